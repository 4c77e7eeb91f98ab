package signin

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Return is a browser that a provider sent back.
type Return struct {
	Query   url.Values
	Browser secret.Text       // what it has in its cookie
	Subject *identity.Subject // who is signed in there, nil for nobody
	Origin  identity.Origin
}

// Arrival is how a way to a provider and back ended.
type Arrival struct {
	Purpose  Purpose
	Session  secret.Text       // the session's new token, to sign in and to step up
	Identity identity.Identity // the new identity, to link
	Trial    string            // the id of what was found, to test
	ReturnTo string            // a path on the base host
	Strength identity.Strength // what a step-up was to come to
}

// Finish reads what a browser brings back from a provider: a session when it
// was sent to sign in. Whatever is wrong gives a [RefusedError]; the state is
// used up then, too. Where a second factor is needed the error is an
// [identity.FactorError]. The purpose in an Arrival is told also with an error,
// once it is known.
func (s *Service) Finish(ctx context.Context, slug string, r Return) (Arrival, error) {
	if err := s.gates.pass(gateFinish, r.Origin.Network(), s.now()); err != nil {
		return Arrival{}, err
	}
	f, p, err := s.take(ctx, slug, r)
	if err != nil {
		s.counts.add(slug, "refused")
		return Arrival{Purpose: f.purpose, ReturnTo: f.returnTo, Strength: f.strength}, err
	}
	at := Arrival{Purpose: f.purpose, ReturnTo: f.returnTo, Strength: f.strength}
	a, c, err := s.receive(ctx, p, f, r)
	if f.purpose == ToTest {
		at.Trial = s.try(ctx, p, c, a, err, f.sessionID)
		return at, nil
	}
	var ext identity.External
	if err == nil {
		ext = c.provider.external(a)
		err = s.admit(ctx, &at, a, ext, r)
	}
	if _, half := errors.AsType[*identity.FactorError](err); half {
		s.counts.add(p.Slug, "second_factor")
		return at, err
	}
	if err != nil {
		s.counts.add(p.Slug, "refused")
		s.tell(ctx, p, err, ext, r.Origin)
		return at, err
	}
	s.counts.add(p.Slug, "signed_in")
	return at, nil
}

// take finds the flow that a browser comes back from, and uses it up: whoever
// shows the state, and wherever, it works once.
func (s *Service) take(ctx context.Context, slug string, r Return) (f flow, p Provider, err error) {
	state, ok := single(r.Query, "state")
	if !ok || len(state) != secretLength {
		return f, p, refused(ReasonExpired, errors.New("no state"))
	}
	var found bool
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if f, found, err = takeFlow(ctx, tx, digestOf(state)); err != nil {
			return err
		}
		p, err = findProvider(ctx, tx, slug)
		if fault.KindOf(err) == fault.Missing {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return f, p, err
	case !found, !s.now().Before(f.expires):
		return f, p, refused(ReasonExpired, errors.New("no such state"))
	case f.browser != digestOf(r.Browser.Reveal()):
		return f, p, refused(ReasonExpired, errors.New("another browser"))
	case p.ID != f.provider:
		// The address that it comes back to is the provider's own.
		return f, p, refused(ReasonMixUp, errors.New("another provider's address"))
	case p.Version != f.version:
		return f, p, refused(ReasonChanged, nil)
	case f.sessionID != "" && (r.Subject == nil || r.Subject.SessionID != f.sessionID):
		return f, p, refused(ReasonOther, nil)
	}
	return f, p, nil
}

// single gives a parameter that is there once.
func single(query url.Values, name string) (string, bool) {
	values := query[name]
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// receive reads what the provider answers, and redeems it.
func (s *Service) receive(ctx context.Context, p Provider, f flow, r Return) (answer, *connection, error) {
	c, err := s.connect(ctx, p)
	if err != nil {
		return answer{}, nil, refused(ReasonAway, err)
	}
	if err := c.checkIssuer(r.Query); err != nil {
		return answer{}, c, err
	}
	if r.Query.Has("error") {
		if code := r.Query.Get("error"); code == "access_denied" {
			return answer{}, c, refused(ReasonCancelled, nil)
		}
		return answer{}, c, refused(ReasonDeclined, fmt.Errorf("it said %q", errorCode(r.Query.Get("error"))))
	}
	code, ok := single(r.Query, "code")
	if !ok || code == "" || len(code) > 4096 {
		return answer{}, c, refused(ReasonInvalid, errors.New("no code"))
	}
	state := r.Query.Get("state")
	want := proofs{nonce: derive(r.Browser, state, "nonce"), verifier: derive(r.Browser, state, "verifier"), fresh: f.purpose == ToLink}
	if f.purpose == ToStepUp {
		want.since = f.expires.Add(-flowLives)
	}
	a, err := s.redeem(ctx, c, code, want)
	if err != nil {
		return a, c, err
	}
	return a, c, c.provider.admits(a.claims)
}

// checkIssuer refuses the answer of another provider than was asked (RFC 9207
// section 2.4), also an unasked one.
func (c *connection) checkIssuer(query url.Values) error {
	issuer, told := single(query, "iss")
	switch {
	case told && issuer != c.provider.PinnedIssuer:
		return refused(ReasonMixUp, fmt.Errorf("it says that it is %q", shortened(issuer, 200)))
	case !told && (c.meta.TellsIssuer || query.Has("iss")):
		return refused(ReasonMixUp, errors.New("it does not say who it is, as it does otherwise"))
	}
	return nil
}

// admit does what the browser came for.
func (s *Service) admit(ctx context.Context, at *Arrival, a answer, ext identity.External, r Return) (err error) {
	keep := func(tx *sqlite.Tx, id string) error {
		if s.keeper == nil {
			return nil
		}
		return s.keeper.KeepTokens(ctx, tx, id, a.tokens)
	}
	switch at.Purpose {
	case ToLink:
		at.Identity, err = s.identity.LinkExternal(ctx, *r.Subject, ext, keep)
	case ToStepUp:
		at.Session, err = s.stepUp(ctx, *r.Subject, ext, at.Strength, keep)
	case ToSignIn, ToTest: // of which a test never comes here
		at.Session, _, err = s.identity.SignInExternal(ctx, ext, r.Origin, keep)
	}
	switch {
	case errors.Is(err, identity.ErrUnknownIdentity):
		return refused(ReasonUnknown, nil)
	case errors.Is(err, identity.ErrNotSetUp):
		return refused(ReasonNotSetUp, nil)
	case errors.Is(err, identity.ErrDisabled):
		return refused(ReasonDisabled, nil)
	case errors.Is(err, identity.ErrLinkedElsewhere):
		return refused(ReasonTaken, nil)
	}
	return err
}
