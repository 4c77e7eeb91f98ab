package signin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/outgoing"
	"berth/internal/sqlite"
)

// LoggedOutThere is the data of signin.logged_out.
type LoggedOutThere struct {
	Provider string `json:"provider"`
	Ended    int    `json:"ended"` // sessions
}

// logoutAge is how old a logout token may be, and how long one is remembered.
const logoutAge = 10 * time.Minute

// LogOut ends the sessions that a provider says are over, by a logout token
// (OpenID Connect Back-Channel Logout 1.0), and says how many that were. A
// token that is not good gives a fault of kind BadInput. Anybody can send
// what is none: whoever does uses up what their own network may.
func (s *Service) LogOut(ctx context.Context, slug, raw string, from identity.Origin) (ended int, err error) {
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return 0, err
	}
	if err := s.gates.pass(gateLogout, p.ID+" "+from.Network(), s.now()); err != nil {
		return 0, err
	}
	c, err := s.connect(ctx, p)
	if err != nil {
		return 0, fault.Unavailable("the provider's keys can not be had").Because(err)
	}
	if c.oidc == nil {
		return 0, fault.Invalid("this provider sends no logout tokens")
	}
	token, err := s.verifyLogout(ctx, c, raw)
	if errors.Is(err, outgoing.ErrSpared) {
		return 0, fault.Unavailable("the provider's keys were asked for too often").After(5 * time.Second)
	}
	if err != nil {
		s.log.WarnContext(ctx, "logout token refused", "provider", p.Slug, "error", trouble(err))
		return 0, fault.Invalid("the logout token is not good").Because(err)
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		fresh, err := insertLogout(ctx, tx, p.ID, digestOf(token.TokenID), s.now().Add(2*logoutAge))
		if err != nil {
			return err
		}
		if !fresh {
			return fault.Invalid("the logout token was used before")
		}
		ended, err = s.identity.EndUpstream(ctx, tx, p.Slug, c.provider.PinnedIssuer, token.Subject, token.SessionID)
		if err != nil || ended == 0 {
			return err
		}
		return s.events.Append(ctx, tx, event.Event{Kind: LoggedOut, Actor: "berth", At: s.now()}, LoggedOutThere{Provider: p.Slug, Ended: ended})
	})
	if err == nil {
		s.counts.add(p.Slug, "logged_out")
	}
	return ended, err
}

// verifyLogout checks a logout token as section 2.6 has it. The library checks
// signature, algorithm, issuer, audience, exp, jti, and that there is a sub or
// a sid and no nonce.
func (s *Service) verifyLogout(ctx context.Context, c *connection, raw string) (*oidc.LogoutToken, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	token, err := c.logouts.VerifyLogout(ctx, raw)
	if err != nil {
		return nil, err
	}
	told, err := decodeClaims(token.Claims)
	if err != nil {
		return nil, err
	}
	events, _ := told["events"].(map[string]any)
	_, is := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	_, nonce := told["nonce"]
	now := s.now()
	switch {
	case !is:
		return nil, errors.New("its events do not say logout")
	case nonce:
		return nil, errors.New("it has a nonce, as an id_token has")
	case token.Issuer != c.provider.PinnedIssuer:
		return nil, fmt.Errorf("it is of the issuer %q", token.Issuer)
	case token.IssuedAt.IsZero() || token.IssuedAt.After(now.Add(leeway)) || now.Sub(token.IssuedAt) > logoutAge:
		return nil, errors.New("its iat is missing, to come, or too long ago")
	case token.Expiry.Sub(token.IssuedAt) > 24*time.Hour:
		return nil, errors.New("it is good for too long")
	}
	return token, nil
}

// LeadsOn says whether signing out of Berth leads on to a provider's own
// sign-out.
func (s *Service) LeadsOn(ctx context.Context, slug string) bool {
	p, err := s.Provider(ctx, slug)
	return err == nil && p.SignOut && p.Enabled
}

// signedOut is the state that a provider gives back with the browser: the
// sign-in page is shown then, also where it leads straight to a provider, who
// would sign the same person in again.
const signedOut = "signed_out"

// SignOutAt gives where a browser goes to sign out at its provider, too: the
// provider's page (OpenID Connect RP-Initiated Logout 1.0), or "" when it has
// none, or is set up not to be asked. No id_token is kept to hint at who it is:
// the client's id says who asks, and the provider may ask the person.
func (s *Service) SignOutAt(ctx context.Context, slug string) (string, error) {
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return "", err
	}
	if !p.SignOut || !p.Enabled {
		return "", nil
	}
	c, err := s.connect(ctx, p)
	if err != nil {
		return "", err
	}
	if c.meta.EndSessionURL == "" {
		return "", nil
	}
	to, err := url.Parse(c.meta.EndSessionURL)
	if err != nil {
		return "", err
	}
	query := to.Query()
	query.Set("client_id", p.ClientID)
	query.Set("state", signedOut)
	query.Set("post_logout_redirect_uri", s.base.JoinPath("sign-in").String())
	to.RawQuery = query.Encode()
	return to.String(), nil
}
