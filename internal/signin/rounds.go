package signin

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/vault"
)

// The most looks that are under way at one time, of all providers and of one.
const (
	looksAtOnce = 8
	looksOfOne  = 4
)

// rounds has providers asked, between two sign-ins, about those who are signed
// in: whose account or group was taken away there loses here what it gave.
type rounds struct {
	every time.Duration // 0: nobody is asked about

	running *sync.Mutex // one round at a time
	mu      *sync.Mutex // guards when
	when    schedule
}

func newRounds(every time.Duration) rounds {
	return rounds{every: every, running: &sync.Mutex{}, mu: &sync.Mutex{}, when: newSchedule(every)}
}

// runRounds makes a round now and then until ctx ends.
func (s *Service) runRounds(ctx context.Context) {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "who is signed in by providers could not be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Round asks the providers about those who are due, and waits for what it
// began. Each identity that a living session began with, and of which there is
// a token to ask by, is due when the provider has not told of it for as long as
// Config.RefreshEvery: its tokens are refreshed, and what the provider says by
// that is taken over as at a sign-in. Who is over there is over here. A
// provider that can't be asked ends nothing, and is asked again later.
func (s *Service) Round(ctx context.Context) error {
	if s.rounds.every == 0 || s.keeper == nil {
		return nil
	}
	s.rounds.running.Lock()
	defer s.rounds.running.Unlock()
	if err := s.readRound(ctx); err != nil {
		return err
	}
	s.rounds.mu.Lock()
	due := s.rounds.when.take(s.now())
	s.rounds.mu.Unlock()
	by := map[string][]look{}
	for _, it := range due {
		by[it.provider] = append(by[it.provider], it)
	}
	places := make(chan struct{}, looksAtOnce)
	var all sync.WaitGroup
	for _, list := range by {
		all.Go(func() {
			var group errgroup.Group
			group.SetLimit(looksOfOne)
			for _, it := range list {
				group.Go(func() error {
					places <- struct{}{}
					defer func() { <-places }()
					s.lookAt(ctx, it)
					return nil
				})
			}
			_ = group.Wait() // it has none
		})
	}
	all.Wait()
	return nil
}

// readRound reads who is signed in, when that is some time ago.
func (s *Service) readRound(ctx context.Context) error {
	now := s.now()
	s.rounds.mu.Lock()
	fresh := !s.rounds.when.read.IsZero() && now.Sub(s.rounds.when.read) < rereadEvery
	s.rounds.mu.Unlock()
	if fresh {
		return nil
	}
	living, err := s.identity.Living(ctx, "")
	if err != nil {
		return err
	}
	askable := func(identity.Living) bool { return false }
	if len(living) > 0 {
		if askable, err = s.askable(ctx); err != nil {
			return err
		}
	}
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	s.rounds.when.watch(living, askable, now)
	return nil
}

// askable says of whom a provider can be asked: by a refresh token, or, where
// the provider tells everything by it, by an access token that is good.
func (s *Service) askable(ctx context.Context) (func(identity.Living) bool, error) {
	good, err := s.keeper.Good(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.Providers(ctx)
	if err != nil {
		return nil, err
	}
	open := map[string]bool{}
	for _, p := range all {
		open[p.Slug] = p.tellsByAccess()
	}
	return func(one identity.Living) bool {
		renewable, has := good[one.ID]
		return has && (renewable || open[one.Provider])
	}, nil
}

// lookAt asks about one identity, unless that has no reason any more.
func (s *Service) lookAt(ctx context.Context, it look) {
	s.rounds.mu.Lock()
	halted := s.rounds.when.halts(it.provider, s.now())
	s.rounds.mu.Unlock()
	if halted || ctx.Err() != nil {
		return
	}
	living, err := s.identity.Living(ctx, it.id)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
	case len(living) == 0:
		s.rounds.drop(it)
		return
	case living[0].SyncedAt.After(it.synced):
		s.rounds.went(it, living[0].SyncedAt)
		return
	default:
		// A refresh that has begun is waited for, also at a stop: what the
		// provider gives may be had once.
		err = s.keeper.Renew(context.WithoutCancel(ctx), it.id)
	}
	s.heard(ctx, it, err)
}

// heard takes note of how a look went.
func (s *Service) heard(ctx context.Context, it look, err error) {
	now := s.now()
	if err == nil || errors.Is(err, vault.ErrGrantEnded) {
		outcome := "refreshed"
		if err != nil {
			outcome = "ended"
		}
		s.counts.looks.WithLabelValues(it.provider, outcome).Inc()
		if s.rounds.well(it, now) {
			s.log.InfoContext(ctx, "provider answers again", "provider", it.provider)
		}
		return
	}
	s.counts.looks.WithLabelValues(it.provider, "failed").Inc()
	f, is := errors.AsType[*failure](err)
	if !is {
		f = &failure{said: trouble(err), wait: fault.RetryAfter(err)}
	}
	if s.rounds.failed(it, *f, now) {
		s.log.WarnContext(ctx, "provider not asked about who is signed in", "provider", it.provider, "identity", it.id, "error", f)
	}
}

func (r *rounds) drop(it look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.when.drop(it.id)
}

func (r *rounds) went(it look, synced time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.when.went(it, synced)
}

// well says whether the provider failed before.
func (r *rounds) well(it look, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.when.went(it, now)
	return r.when.heal(it.provider)
}

func (r *rounds) failed(it look, f failure, now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.when.failed(it, f, now)
}

// Health is how a provider answers when it is asked about those who are signed
// in by it.
type Health struct {
	AskedAbout    int       `json:"asked_about" doc:"Identities with a session that it is asked about"`
	NotAskedAbout int       `json:"not_asked_about" doc:"Identities with a session of which it gave no refresh token, so that it can't be asked about them"`
	FailingSince  time.Time `json:"failing_since,omitzero" doc:"Since when it can't be asked about those who are signed in; absent when it can"`
	AskedAgainAt  time.Time `json:"asked_again_at,omitzero" doc:"When it is asked again"`
	Trouble       string    `json:"trouble,omitempty" doc:"What it failed with last"`
}

// Health says how a provider answers in the background.
func (s *Service) Health(slug string) Health {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	when := &s.rounds.when
	health := Health{NotAskedAbout: when.apart[slug]}
	for _, it := range when.all {
		if it.provider == slug {
			health.AskedAbout++
		}
	}
	if h := when.halted[slug]; h != nil {
		health.FailingSince, health.AskedAgainAt, health.Trouble = h.since, h.until, h.said
	}
	return health
}
