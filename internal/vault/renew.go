package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Renew refreshes the tokens of an identity, however long they are still good,
// by which the provider tells of the person anew: once, however many ask at the
// same time, here and in other processes, also by [Grants.Bearer]. Where there
// is nothing to refresh with, the access token that is good is asked with. An error
// with [ErrGrantEnded] in its chain says that the grant is over, and so is what
// stood on it; after every other it goes on.
func (g *Grants) Renew(ctx context.Context, identityID string) error {
	if resting := g.rests.of(identityID, g.now()); resting != nil {
		return resting
	}
	got, err := g.renewOnce(ctx, identityID, true)
	if err != nil {
		return err
	}
	return got.untold
}

// Good gives the identities of which there are tokens that are good, each with
// whether they can be refreshed.
func (g *Grants) Good(ctx context.Context) (renewable map[string]bool, err error) {
	err = g.db.Read(ctx, func(tx *sqlite.Tx) error {
		renewable, err = goodGrants(ctx, tx, g.now())
		return err
	})
	return renewable, err
}

// renewed is what a renewal came to.
type renewed struct {
	bearer Bearer
	untold error // why the provider told nothing of the person; the token is good
}

// renewOnce renews once for all who ask. Whoever asked first may leave: the
// others wait for what was asked.
func (g *Grants) renewOnce(ctx context.Context, identityID string, early bool) (renewed, error) {
	answer := g.renewing.DoChan(identityID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
		defer cancel()
		return g.renew(ctx, identityID, early)
	})
	select {
	case <-ctx.Done():
		return renewed{}, ctx.Err()
	case got := <-answer:
		if got.Err != nil {
			return renewed{}, got.Err
		}
		return got.Val.(renewed), nil //nolint:forcetypeassert // the only type that renew gives
	}
}

// renew refreshes tokens that are due, or early, unless somebody else just has.
func (g *Grants) renew(ctx context.Context, identityID string, early bool) (renewed, error) {
	var first int64
	for {
		h, err := g.read(ctx, identityID)
		if err != nil {
			return renewed{}, err
		}
		if first == 0 {
			first = h.grant.Version
		}
		if h.grant.Version != first || !early && !h.due(g.now()) {
			return renewed{bearer: h.bearer()}, nil
		}
		if !h.grant.Renewable {
			return g.hear(ctx, h)
		}
		claimed, err := g.claim(ctx, &h.grant)
		if err != nil {
			return renewed{}, err
		}
		if claimed {
			return g.refresh(ctx, h)
		}
		select {
		case <-ctx.Done():
			return renewed{}, fault.Unavailable("the provider's answer takes too long").Because(ctx.Err())
		case <-time.After(claimLook):
		}
	}
}

// hear asks with an access token that is good; there is nothing to be kept, so
// that it needs no claim.
func (g *Grants) hear(ctx context.Context, h held) (renewed, error) {
	err := g.providers().Hear(ctx, h.tokens)
	if errors.Is(err, ErrGrantEnded) {
		return renewed{}, g.end(context.WithoutCancel(ctx), h.grant, err)
	}
	return renewed{h.bearer(), err}, nil
}

// claim takes the right to refresh a grant as it was read.
func (g *Grants) claim(ctx context.Context, one *Grant) (claimed bool, err error) {
	now := g.now()
	err = g.db.Write(ctx, func(tx *sqlite.Tx) error {
		claimed, err = claimGrant(ctx, tx, *one, now, now.Add(-claimLasts))
		return err
	})
	one.claimedAt = now
	return claimed, err
}

// refresh asks the provider, and keeps what it says at once. Dying anywhere
// here leaves the old refresh token: the provider takes it, or says that it
// was used and the grant is over.
func (g *Grants) refresh(ctx context.Context, h held) (renewed, error) {
	outcome := "refreshed"
	defer func() { g.counts.WithLabelValues(h.grant.Provider, outcome).Inc() }()
	still := context.WithoutCancel(ctx)
	kept, mine := held{}, false
	err := g.providers().Refresh(ctx, h.tokens, func(fresh Tokens) (err error) {
		kept, mine, err = g.keep(still, h, fresh)
		return err
	})
	switch ended := errors.Is(err, ErrGrantEnded); {
	case kept.grant.IdentityID == "" && ended:
		outcome = "ended"
		return renewed{}, g.end(still, h.grant, err)
	case mine && ended:
		outcome = "ended"
		return renewed{}, g.end(still, kept.grant, err)
	case mine:
		return renewed{kept.bearer(), err}, nil
	case kept.grant.IdentityID != "":
		return renewed{bearer: kept.bearer()}, nil // somebody signed in anew: what was heard is older
	}
	outcome = "failed"
	wait := max(renewRests, min(fault.RetryAfter(err), renewRestsMost))
	away := error(fault.Unavailable("the provider can not be asked for a new token at the moment").Because(err).After(wait))
	g.rests.begin(h.grant.IdentityID, away, g.now().Add(wait))
	if err := g.swap(still, h.grant, releaseGrant); err != nil && !errors.Is(err, errMoved) {
		away = errors.Join(away, err)
	}
	return renewed{}, away
}

// keep stores what a refresh gave. Where a new sign-in came in between, what
// that brought counts, and is not mine.
func (g *Grants) keep(ctx context.Context, h held, fresh Tokens) (kept held, mine bool, err error) {
	if fresh.Refresh.Empty() {
		fresh.Refresh = h.tokens.Refresh // it goes on: RFC 6749 section 6
	}
	next := g.grant(h.grant.IdentityID, h.grant.Version+1, fresh)
	err = g.swap(ctx, h.grant, func(ctx context.Context, tx *sqlite.Tx, was Grant) (bool, error) {
		return renewGrant(ctx, tx, was, next)
	})
	switch {
	case errors.Is(err, errMoved):
		kept, err = g.read(ctx, h.grant.IdentityID)
		return kept, false, err
	case err != nil:
		return held{}, false, err
	}
	return held{next, fresh}, true, nil
}

// errMoved says that a grant is no longer what was claimed.
var errMoved = errors.New("the grant was changed meanwhile")

// swap writes over a grant that is still the one which was claimed.
func (g *Grants) swap(ctx context.Context, was Grant, write func(context.Context, *sqlite.Tx, Grant) (bool, error)) error {
	return g.db.Write(ctx, func(tx *sqlite.Tx) error {
		done, err := write(ctx, tx, was)
		if err == nil && !done {
			err = errMoved
		}
		return err
	})
}

// end forgets the tokens of a grant that is over, and says so once.
func (g *Grants) end(ctx context.Context, one Grant, cause error) error {
	why := ErrGrantEnded.Error()
	if said, is := errors.AsType[*EndedError](cause); is {
		why = said.Why
	}
	err := g.swap(ctx, one, func(ctx context.Context, tx *sqlite.Tx, was Grant) (bool, error) {
		done, err := endGrant(ctx, tx, was, why, g.now())
		if err != nil || !done {
			return done, err
		}
		about := was.about()
		about.Why = why
		if err := g.record(ctx, tx, GrantEnded, "berth", about); err != nil {
			return false, err
		}
		return true, g.providers().Ended(ctx, tx, was.IdentityID, why)
	})
	if err != nil && !errors.Is(err, errMoved) {
		return fmt.Errorf("end a grant: %w", err)
	}
	g.log.InfoContext(ctx, "grant ended", "provider", one.Provider, "identity", one.IdentityID, "error", cause)
	return again("%s", why)
}

// rests are the renewals that failed a moment ago.
type rests struct {
	mu  *sync.Mutex
	all map[string]rest
}

type rest struct {
	err   error
	until time.Time
}

func newRests() rests { return rests{mu: &sync.Mutex{}, all: map[string]rest{}} }

func (r rests) begin(id string, err error, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= restsMost {
		clear(r.all)
	}
	r.all[id] = rest{err, until}
}

func (r rests) of(id string, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.all[id]
	if ok && !now.Before(one.until) {
		delete(r.all, id)
		return nil
	}
	return one.err
}

func (r rests) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, id)
}
