package signin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/vault"
)

// leeway is how far a provider's clock may be ahead.
const leeway = 2 * time.Minute

// proofs are what an answer is held to.
type proofs struct {
	nonce    string
	verifier string
	fresh    bool // the provider has to have asked anew
	// since is when the browser left to prove again who somebody is: the
	// provider has to say that it asked since then.
	since time.Time
}

// redeem turns a code into what the provider tells of somebody, and believes
// it only when everything fits.
func (s *Service) redeem(ctx context.Context, c *connection, code string, want proofs) (answer, error) {
	config, err := s.config(ctx, c)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.client), 2*fetchTimeout)
	defer cancel()
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(want.verifier))
	if err != nil {
		return answer{}, fromProvider(err)
	}
	if c.oidc == nil {
		return s.askGitHub(ctx, c, token)
	}
	return s.believe(ctx, c, token, want)
}

// fromProvider tells a provider that is away from one that said no.
func fromProvider(err error) error {
	if said, is := errors.AsType[*oauth2.RetrieveError](err); is && said.Response.StatusCode < 500 {
		return refused(ReasonDeclined, err)
	}
	return refused(ReasonAway, err)
}

// believe verifies the id_token (OpenID Connect Core section 3.1.3.7), and that
// userinfo is about the same person (section 5.3.2).
func (s *Service) believe(ctx context.Context, c *connection, token *oauth2.Token, want proofs) (answer, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return answer{}, refused(ReasonInvalid, errors.New("it gave no id_token"))
	}
	verified, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return answer{}, refused(ReasonInvalid, err)
	}
	told, err := s.checkToken(c, verified, want)
	if err != nil {
		return answer{}, refused(ReasonInvalid, err)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return answer{}, refused(ReasonInvalid, err)
		}
	}
	if want.fresh {
		if err := s.asked(told); err != nil {
			return answer{}, err
		}
	}
	if !want.since.IsZero() {
		if err := s.askedSince(told, want.since); err != nil {
			return answer{}, err
		}
	}
	methods, factor := told.methods(), told.saysSecondFactor()
	if c.meta.UserInfoURL != "" {
		if err := s.addUserInfo(ctx, c, token, verified.Subject, told); err != nil {
			return answer{}, err
		}
	}
	return answer{
		externalID: verified.Subject, sessionID: told.text("sid"), claims: told, methods: methods, factor: factor,
		tokens: c.tokens(token, verified.Subject),
	}, nil
}

// checkToken checks what go-oidc leaves to us.
func (s *Service) checkToken(c *connection, t *oidc.IDToken, want proofs) (claims, error) {
	told, err := decodeClaims(t.Claims)
	if err != nil {
		return nil, err
	}
	now := s.now()
	party, named := told["azp"]
	switch {
	case t.Issuer != c.provider.PinnedIssuer: // go-oidc is lenient with Google
		return nil, fmt.Errorf("it is of the issuer %q", t.Issuer)
	case t.Subject == "" || len(t.Subject) > 255: // section 2
		return nil, errors.New("its sub is empty, or longer than 255 letters")
	case want.nonce == "" || subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(want.nonce)) != 1:
		return nil, errors.New("its nonce is not the one of this browser")
	case named && party != c.provider.ClientID:
		return nil, errors.New("its azp is another client")
	case !named && len(t.Audience) > 1:
		return nil, errors.New("it is for several clients, and has no azp")
	case t.IssuedAt.IsZero() || t.IssuedAt.After(now.Add(leeway)):
		return nil, errors.New("it has no iat, or one that is to come")
	}
	return told, nil
}

// asked says whether the provider asked for a sign-in anew: where it says
// when that was, it must be now.
func (s *Service) asked(told claims) error {
	number, is := told["auth_time"].(json.Number)
	if !is {
		return nil
	}
	at, err := number.Float64()
	if err != nil || s.now().Sub(time.Unix(int64(at), 0)) > freshFor {
		return refused(ReasonStale, nil)
	}
	return nil
}

// askedSince says whether the provider asked for a sign-in since the browser
// left. Asked with max_age it has to say when it did (OpenID Connect Core
// section 3.1.2.1): one that does not, or that names an earlier time, or one
// that is to come, has proved nothing new.
func (s *Service) askedSince(told claims, left time.Time) error {
	number, is := told["auth_time"].(json.Number)
	if !is {
		return refused(ReasonStale, errors.New("it does not say when it asked"))
	}
	seconds, err := number.Float64()
	at := time.Unix(int64(seconds), 0)
	if err != nil || at.Before(left.Add(-leeway)) || at.After(s.now().Add(leeway)) {
		return refused(ReasonStale, fmt.Errorf("it asked at %s, and the browser left at %s", at.UTC().Format(time.RFC3339), left.Format(time.RFC3339)))
	}
	return nil
}

// addUserInfo fills in what userinfo tells on top. It is bound to the id_token
// by its subject alone.
func (s *Service) addUserInfo(ctx context.Context, c *connection, token *oauth2.Token, subject string, told claims) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.meta.UserInfoURL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	token.SetAuthHeader(request)
	var raw json.RawMessage
	status, err := s.fetch(request, &raw)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("its userinfo answered %d %s", status, http.StatusText(status))
	}
	if err != nil {
		return refused(ReasonAway, err)
	}
	more, err := decodeClaims(func(into any) error { return json.Unmarshal(raw, into) })
	if err != nil {
		return refused(ReasonInvalid, err)
	}
	if more["sub"] != subject {
		return refused(ReasonInvalid, errors.New("its userinfo is about somebody else"))
	}
	told.fill(more)
	return nil
}

// decodeClaims reads claims with their numbers as they were written.
func decodeClaims(read func(any) error) (claims, error) {
	var raw json.RawMessage
	if err := read(&raw); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	told := claims{}
	return told, decoder.Decode(&told)
}

func (c *connection) tokens(t *oauth2.Token, externalID string) vault.Tokens {
	return vault.Tokens{
		Provider: c.provider.Slug, Issuer: c.provider.PinnedIssuer, ClientID: c.provider.ClientID, ExternalID: externalID,
		Access: secret.New(t.AccessToken), Refresh: secret.New(t.RefreshToken), ExpiresAt: t.Expiry,
	}
}

// endings are the errors with which a provider says so: RFC 6749 section 5.2,
// and what Forgejo answers to a token that was used before.
var endings = []string{"invalid_grant", "unauthorized_client"}

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
// else is asked, and then takes over what the provider says of their groups by
// now. Tokens of another issuer or client than the provider has today are not
// sent anywhere. An error with [vault.ErrGrantEnded] in its chain never goes
// better.
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
		return err
	}
	config, err := s.config(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.client), 2*fetchTimeout)
	defer cancel()
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: t.Refresh.Reveal()}).Token()
	if said, is := errors.AsType[*oauth2.RetrieveError](err); is && slices.Contains(endings, said.ErrorCode) {
		return fmt.Errorf("refresh at %s: %s: %w", p.Slug, trouble(err), vault.ErrGrantEnded)
	}
	if err != nil {
		return fmt.Errorf("refresh at %s: %s", p.Slug, trouble(err))
	}
	if err := keep(c.tokens(token, t.ExternalID)); err != nil {
		return err
	}
	s.resync(ctx, c, token, t.ExternalID)
	return nil
}

// resync takes over what a provider says of somebody at a refresh. The tokens
// are good without: what fails here is only logged.
func (s *Service) resync(ctx context.Context, c *connection, token *oauth2.Token, externalID string) {
	told, err := s.told(ctx, c, token, externalID)
	if err == nil {
		err = s.identity.SyncExternal(ctx, c.provider.external(answer{externalID: externalID, claims: told}))
	}
	if err != nil {
		s.log.WarnContext(ctx, "groups not taken over at a refresh", "provider", c.provider.Slug, "error", trouble(err))
	}
}

// told asks who a token is of, which must be who it was before.
func (s *Service) told(ctx context.Context, c *connection, token *oauth2.Token, externalID string) (claims, error) {
	if c.oidc == nil {
		a, err := s.askGitHub(ctx, c, token)
		if err == nil && a.externalID != externalID {
			err = errors.New("the token is of somebody else")
		}
		return a.claims, err
	}
	told := claims{}
	if raw, _ := token.Extra("id_token").(string); raw != "" {
		verified, err := c.verifier.Verify(ctx, raw)
		if err != nil {
			return nil, err
		}
		if verified.Subject != externalID || verified.Issuer != c.provider.PinnedIssuer { // section 12.2
			return nil, errors.New("the id_token is about somebody else")
		}
		if told, err = decodeClaims(verified.Claims); err != nil {
			return nil, err
		}
	}
	if c.meta.UserInfoURL == "" {
		if len(told) == 0 {
			return nil, errors.New("it tells nothing at a refresh")
		}
		return told, nil
	}
	return told, s.addUserInfo(ctx, c, token, externalID, told)
}
