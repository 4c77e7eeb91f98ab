package signin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

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
	switch {
	case t.Subject == "" || len(t.Subject) > 255: // section 2
		return nil, errors.New("its sub is empty, or longer than 255 letters")
	case want.nonce == "" || subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(want.nonce)) != 1:
		return nil, errors.New("its nonce is not the one of this browser")
	}
	return s.checkRenewed(c, t)
}

// checkRenewed checks what also holds of a token that a refresh gives, which
// has no nonce (section 12.2).
func (s *Service) checkRenewed(c *connection, t *oidc.IDToken) (claims, error) {
	told, err := decodeClaims(t.Claims)
	if err != nil {
		return nil, err
	}
	now := s.now()
	party, named := told["azp"]
	switch {
	case t.Issuer != c.provider.PinnedIssuer: // go-oidc is lenient with Google
		return nil, fmt.Errorf("it is of the issuer %q", t.Issuer)
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

// errSomebodyElse says that what a provider tells is not of whom it should be.
var errSomebodyElse = errors.New("what it tells is about somebody else")

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
	if err := s.get(request, "its userinfo", &raw); err != nil {
		return refused(ReasonAway, err)
	}
	more, err := decodeClaims(func(into any) error { return json.Unmarshal(raw, into) })
	if err != nil {
		return refused(ReasonInvalid, err)
	}
	if more["sub"] != subject {
		return refused(ReasonInvalid, errSomebodyElse)
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
