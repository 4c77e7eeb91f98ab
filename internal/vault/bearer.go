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

// held is a grant with its tokens opened.
type held struct {
	grant  Grant
	tokens Tokens
}

// Bearer gives an access token of an identity that is good for a minute or
// longer. One that is not is refreshed first: once, however many ask at the
// same time, here and in other processes. An error with [ErrGrantEnded] in its
// chain asks for a new sign-in at the provider; nothing is tried again by
// itself. Where a provider is away the old token is given as long as it is
// good, and a fault of kind NotNow after that.
func (g *Grants) Bearer(ctx context.Context, identityID string) (Bearer, error) {
	h, err := g.read(ctx, identityID)
	if err != nil {
		return Bearer{}, err
	}
	if !h.due(g.now()) {
		return h.bearer(), nil
	}
	if resting := g.rests.of(identityID, g.now()); resting != nil {
		return h.despite(g.now(), resting)
	}
	// Whoever asked first may leave: the others wait for what was asked.
	answer := g.renewing.DoChan(identityID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
		defer cancel()
		return g.renew(ctx, identityID)
	})
	select {
	case <-ctx.Done():
		return Bearer{}, ctx.Err()
	case got := <-answer:
		if errors.Is(got.Err, ErrGrantEnded) {
			return Bearer{}, got.Err
		}
		if got.Err != nil {
			return h.despite(g.now(), got.Err)
		}
		return got.Val.(Bearer), nil //nolint:forcetypeassert // the only type that renew gives
	}
}

// givenMost bounds what is known of tokens that apps were given.
const givenMost = 10_000

// Given writes down that an app got a token of an identity: once for each
// token and app.
func (g *Grants) Given(ctx context.Context, actor, identityID, app string, b Bearer) error {
	key := fmt.Sprintf("%s %s %d", identityID, app, b.ExpiresAt.UnixMilli())
	if !g.given.add(key) {
		return nil
	}
	err := g.db.Write(ctx, func(tx *sqlite.Tx) error {
		one, found, err := selectGrant(ctx, tx, identityID)
		if err != nil || !found {
			return err
		}
		about := one.about()
		about.App = app
		return g.record(ctx, tx, GrantGiven, actor, about)
	})
	if err != nil {
		g.given.forget(key) // the next one is written down
	}
	return err
}

// once knows what was done already.
type once struct {
	mu  *sync.Mutex
	all map[string]struct{}
}

func (o once) add(key string) (fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, done := o.all[key]; done {
		return false
	}
	if len(o.all) >= givenMost {
		clear(o.all)
	}
	o.all[key] = struct{}{}
	return true
}

func (o once) forget(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, key)
}

// read opens a grant for the provider as it is today.
func (g *Grants) read(ctx context.Context, identityID string) (h held, err error) {
	var found bool
	err = g.db.Read(ctx, func(tx *sqlite.Tx) error {
		h.grant, found, err = selectGrant(ctx, tx, identityID)
		return err
	})
	switch {
	case err != nil:
		return held{}, err
	case !found:
		return held{}, again("Berth holds no tokens of the provider")
	case h.grant.sealed == nil:
		return held{}, again("%s", h.grant.Ended)
	}
	party, err := g.providers().Party(ctx, h.grant.Provider)
	if err != nil {
		return held{}, err
	}
	if h.tokens, err = g.open(h.grant, party); err != nil {
		g.log.WarnContext(ctx, "tokens not opened", "provider", h.grant.Provider, "identity", identityID, "error", err)
		return held{}, again("the provider was set up anew since")
	}
	if !h.grant.Renewable && h.expired(g.now()) {
		return held{}, again(ranOut)
	}
	return h, nil
}

const ranOut = "the access ran out, and the provider gave nothing to renew it with"

// again is the fault that asks for a new sign-in.
func again(format string, args ...any) error {
	return fault.ProveAgain("sign in at the provider again: "+format, args...).Because(ErrGrantEnded)
}

func (h held) due(now time.Time) bool {
	return h.grant.Renewable && !h.grant.ExpiresAt.IsZero() && !now.Add(renewBefore).Before(h.grant.ExpiresAt)
}

func (h held) expired(now time.Time) bool {
	return !h.grant.ExpiresAt.IsZero() && !now.Before(h.grant.ExpiresAt)
}

func (h held) bearer() Bearer {
	return Bearer{Token: h.tokens.Access, Provider: h.grant.Provider, ExpiresAt: h.grant.ExpiresAt}
}

// despite gives the old token where it is still good.
func (h held) despite(now time.Time, err error) (Bearer, error) {
	if h.expired(now) {
		return Bearer{}, err
	}
	return h.bearer(), nil
}

// renew refreshes tokens that are due, unless somebody else just has.
func (g *Grants) renew(ctx context.Context, identityID string) (Bearer, error) {
	for {
		h, err := g.read(ctx, identityID)
		if err != nil || !h.due(g.now()) {
			return h.bearer(), err
		}
		claimed, err := g.claim(ctx, &h.grant)
		if err != nil {
			return Bearer{}, err
		}
		if claimed {
			return g.refresh(ctx, h)
		}
		select {
		case <-ctx.Done():
			return Bearer{}, fault.Unavailable("the provider's answer takes too long").Because(ctx.Err())
		case <-time.After(claimLook):
		}
	}
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
func (g *Grants) refresh(ctx context.Context, h held) (b Bearer, err error) {
	kept := false
	err = g.providers().Refresh(ctx, h.tokens, func(fresh Tokens) (err error) {
		b, err = g.keep(context.WithoutCancel(ctx), h, fresh)
		kept = err == nil
		return err
	})
	outcome := "refreshed"
	defer func() { g.counts.WithLabelValues(h.grant.Provider, outcome).Inc() }()
	if kept {
		return b, nil // what went wrong afterwards takes no token back
	}
	if errors.Is(err, ErrGrantEnded) {
		outcome = "ended"
		return Bearer{}, g.end(context.WithoutCancel(ctx), h.grant, err)
	}
	outcome = "failed"
	away := error(fault.Unavailable("the provider can not be asked for a new token at the moment").Because(err).After(renewRests))
	g.rests.begin(h.grant.IdentityID, away, g.now())
	if err := g.swap(context.WithoutCancel(ctx), h.grant, releaseGrant); err != nil && !errors.Is(err, errMoved) {
		away = errors.Join(away, err)
	}
	return Bearer{}, away
}

// keep stores what a refresh gave. Where a new sign-in came in between, what
// that brought counts.
func (g *Grants) keep(ctx context.Context, h held, fresh Tokens) (Bearer, error) {
	if fresh.Refresh.Empty() {
		fresh.Refresh = h.tokens.Refresh // it goes on: RFC 6749 section 6
	}
	next := g.grant(h.grant.IdentityID, h.grant.Version+1, fresh)
	err := g.swap(ctx, h.grant, func(ctx context.Context, tx *sqlite.Tx, was Grant) (bool, error) {
		return renewGrant(ctx, tx, was, next)
	})
	if errors.Is(err, errMoved) {
		h, err := g.read(ctx, h.grant.IdentityID)
		return h.bearer(), err
	}
	return held{next, fresh}.bearer(), err
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
	const why = "the provider ended the grant"
	err := g.swap(ctx, one, func(ctx context.Context, tx *sqlite.Tx, was Grant) (bool, error) {
		done, err := endGrant(ctx, tx, was, why, g.now())
		if err != nil || !done {
			return done, err
		}
		about := was.about()
		about.Why = why
		return true, g.record(ctx, tx, GrantEnded, "berth", about)
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

func (r rests) begin(id string, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= restsMost {
		clear(r.all)
	}
	r.all[id] = rest{err, now.Add(renewRests)}
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
