package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// Party gives whom tokens of a provider are of and for today.
func (s *Service) Party(ctx context.Context, slug string) (vault.Party, error) {
	p, err := s.Provider(ctx, slug)
	if err != nil {
		return vault.Party{}, err
	}
	if !p.Enabled {
		return vault.Party{}, fault.Forbidden("the provider %q is switched off", slug)
	}
	return vault.Party{Issuer: p.PinnedIssuer, ClientID: p.ClientID}, nil
}

// Refresh has new tokens kept for those that a person had, before anything
// else is asked, and then takes over what the provider says of them by now, as
// a sign-in does. Tokens of another issuer or client than the provider has
// today are not sent anywhere. An error with [vault.ErrGrantEnded] in its chain
// never goes better: the provider takes the token no more, is another, tells of
// somebody else, or of somebody who may not come in any more.
func (s *Service) Refresh(ctx context.Context, t vault.Tokens, keep func(vault.Tokens) error) error {
	p, err := s.Provider(ctx, t.Provider)
	if err != nil {
		return err
	}
	if !p.Enabled || p.PinnedIssuer != t.Issuer || p.ClientID != t.ClientID || t.Refresh.Empty() {
		return fmt.Errorf("refresh at %s: %w", p.Slug, vault.ErrGrantEnded)
	}
	c, err := s.connect(ctx, p)
	if err != nil {
		return s.failed(p, err)
	}
	config, err := s.config(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.client), 2*fetchTimeout)
	defer cancel()
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: t.Refresh.Reveal()}).Token()
	if err != nil {
		if p.ends(err) {
			return fmt.Errorf("refresh at %s: %s: %w", p.Slug, trouble(err), vault.ErrGrantEnded)
		}
		return s.failed(p, err)
	}
	if err := keep(c.tokens(token, t.ExternalID)); err != nil {
		return err
	}
	return s.resync(ctx, c, token, t.ExternalID)
}

// Hear takes over what a provider says of somebody by now, where only the access
// token of their sign-in is there to ask with. Its errors are those of Refresh.
func (s *Service) Hear(ctx context.Context, t vault.Tokens) error {
	p, err := s.Provider(ctx, t.Provider)
	if err != nil {
		return err
	}
	if !p.Enabled || p.PinnedIssuer != t.Issuer || p.ClientID != t.ClientID {
		return fmt.Errorf("ask %s: %w", p.Slug, vault.ErrGrantEnded)
	}
	c, err := s.connect(ctx, p)
	if err != nil {
		return s.failed(p, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*fetchTimeout)
	defer cancel()
	return s.resync(ctx, c, &oauth2.Token{AccessToken: t.Access.Reveal()}, t.ExternalID)
}

// tellsByAccess says whether a provider tells all by its access token that it
// tells at a sign-in. With OpenID Connect a part may be in the id_token alone.
func (p Provider) tellsByAccess() bool { return p.Preset.protocol() == protocolGitHub }

// ends says whether a provider ended a grant: by RFC 6749 section 5.2, and as
// GitHub does. Forgejo and Gitea answer unauthorized_client to a token that was
// used before; Keycloak does to a wrong client secret, which is Berth's trouble
// and nobody's end.
func (p Provider) ends(err error) bool {
	said, is := errors.AsType[*oauth2.RetrieveError](err)
	if !is || isAway(said.Response.StatusCode) {
		return false
	}
	switch said.ErrorCode {
	case "invalid_grant", "bad_refresh_token":
		return true
	case "unauthorized_client":
		return p.Preset != Keycloak && said.Response.StatusCode != http.StatusUnauthorized
	}
	return false
}

// resync takes over what a provider says of somebody at a refresh. The tokens
// are good without, but for an error that ends the grant.
func (s *Service) resync(ctx context.Context, c *connection, token *oauth2.Token, externalID string) error {
	told, err := s.told(ctx, c, token, externalID)
	if err == nil {
		err = s.identity.SyncExternal(ctx, c.provider.external(answer{externalID: externalID, claims: told}))
		if errors.Is(err, identity.ErrUnknownIdentity) || errors.Is(err, identity.ErrDisabled) {
			return nil // Berth has ended by itself what they had
		}
	}
	if err == nil {
		err = c.provider.admits(told)
	}
	if err == nil {
		return nil
	}
	if why := c.provider.withdraws(err); why != "" {
		return &vault.EndedError{Why: why, Cause: s.failed(c.provider, err)}
	}
	err = s.failed(c.provider, err)
	s.log.WarnContext(ctx, "groups not taken over at a refresh", "provider", c.provider.Slug, "error", err)
	return err
}

// withdraws says why somebody is no longer who may come in by this provider;
// "" when err says only that this can't be told now.
func (p Provider) withdraws(err error) string {
	said, answered := errors.AsType[*statusError](err)
	reason, _ := ReasonOf(err)
	switch {
	case errors.Is(err, errSomebodyElse):
		return "the provider told of somebody else"
	case reason == ReasonGroup:
		return "in none of the groups that may come in any more"
	case reason == ReasonDomain:
		return "of no e-mail domain that may come in any more"
	case answered && said.status == http.StatusUnauthorized: // RFC 6750 section 3.1
		return "the provider no longer takes its own token"
	case errors.Is(err, errPage) && (p.Preset == Forgejo || p.Preset == Gitea):
		// They go on giving tokens for an account that is locked, and show it
		// a page that says so in the place of everything else.
		return "the account is locked at the provider"
	}
	return ""
}

// told asks who a token is of, which must be who it was before.
func (s *Service) told(ctx context.Context, c *connection, token *oauth2.Token, externalID string) (claims, error) {
	if c.oidc == nil {
		a, err := s.askGitHub(ctx, c, token)
		if err == nil && a.externalID != externalID {
			err = errSomebodyElse
		}
		return a.claims, err
	}
	told := claims{}
	if raw, _ := token.Extra("id_token").(string); raw != "" {
		verified, err := c.verifier.Verify(ctx, raw)
		if err != nil {
			return nil, refused(ReasonInvalid, err)
		}
		if verified.Subject != externalID { // section 12.2
			return nil, errSomebodyElse
		}
		if told, err = s.checkRenewed(c, verified); err != nil {
			return nil, refused(ReasonInvalid, err)
		}
	}
	if c.meta.UserInfoURL == "" {
		if len(told) == 0 {
			return nil, refused(ReasonInvalid, errors.New("it tells nothing at a refresh"))
		}
		return told, nil
	}
	return told, s.addUserInfo(ctx, c, token, externalID, told)
}

// Ended ends, in tx, the sessions that an identity began, when its provider has
// ended the grant: they stood on the provider's word. Where nobody is asked
// about between two sign-ins, sessions stand on the sign-in alone, and go on.
func (s *Service) Ended(ctx context.Context, tx *sqlite.Tx, identityID, why string) error {
	if s.rounds.every == 0 {
		return nil
	}
	_, err := s.identity.EndIdentitySessions(ctx, tx, identityID, "no more at the provider: "+why)
	return err
}

// failure is a provider that could not be asked, or did not answer as it
// should. What it says is for logs and administrators, and has no part of an
// answer in it.
type failure struct {
	said string
	wide bool          // it fails, and not only when asked about this person
	wait time.Duration // that it asked for; 0 when it did not
}

func (f *failure) Error() string { return f.said }

// Unwrap gives the fault that a person may read.
func (f *failure) Unwrap() error {
	return fault.Unavailable("the provider does not answer as it should").After(f.wait)
}

func (s *Service) failed(p Provider, err error) error {
	f := &failure{said: fmt.Sprintf("refresh at %s: %s", p.Slug, trouble(err)), wide: true}
	if said, is := errors.AsType[*oauth2.RetrieveError](err); is {
		f.wait = s.retryAfter(said.Response.Header)
		return f
	}
	if said, is := errors.AsType[*statusError](err); is {
		f.wait = said.wait
		f.wide = isAway(said.status)
		return f
	}
	reason, _ := ReasonOf(err)
	f.wide = reason != ReasonInvalid && !errors.Is(err, errPage)
	return f
}

// isAway says of a status that it tells of the provider, and of nobody there.
func isAway(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
