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
	got, err := g.renewOnce(ctx, identityID, false)
	switch {
	case err == nil:
		return got.bearer, nil // what went wrong afterwards takes no token back
	case errors.Is(err, ErrGrantEnded), ctx.Err() != nil:
		return Bearer{}, err
	}
	return h.despite(g.now(), err)
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
