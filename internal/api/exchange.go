package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/vault"
)

// The words of a token exchange: RFC 8693 sections 2.1, 2.2 and 3.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // a name, and no token
)

const (
	// exchangeMost bounds the bytes of a request for a token.
	exchangeMost = 80 << 10
	// givenMost is how long a token that an app gets may be good.
	givenMost = 24 * time.Hour
)

type exchangeInput struct {
	RawBody []byte `contentType:"application/x-www-form-urlencoded" doc:"grant_type, subject_token and subject_token_type, as RFC 8693 section 2.1 has them"`
}

// ExchangeAnswer is a token, or why there is none: RFC 8693 section 2.2, RFC
// 6749 section 5.2.
type ExchangeAnswer struct {
	AccessToken string `json:"access_token,omitempty" doc:"The provider's, on behalf of whom the assertion names"`
	IssuedType  string `json:"issued_token_type,omitempty"`
	TokenType   string `json:"token_type,omitempty" example:"Bearer"`
	ExpiresIn   int64  `json:"expires_in,omitempty" doc:"In seconds"`

	Error       string `json:"error,omitempty" doc:"A code of RFC 6749 section 5.2; invalid_grant asks for a new sign-in"`
	Description string `json:"error_description,omitempty"`
	SignIn      string `json:"sign_in,omitempty" doc:"Where the person signs in at the provider again"`
}

type exchangeOutput struct {
	Status       int
	CacheControl string `header:"Cache-Control"`
	RetryAfter   string `header:"Retry-After"`
	Body         ExchangeAnswer
}

// exchangeToken gives an app that was shown who comes a token of theirs, where
// its route says so.
func (a *API) exchangeToken(ctx context.Context, in *exchangeInput) (*exchangeOutput, error) {
	asked, err := url.ParseQuery(string(in.RawBody))
	switch {
	case err != nil || len(in.RawBody) > exchangeMost:
		return a.notExchanged("invalid_request", "the body is no form"), nil //nolint:nilerr // the answer says it
	case repeats(asked, "resource", "audience"): // which may be: RFC 8693 section 2.1
		return a.notExchanged("invalid_request", "something is given twice"), nil
	case asked.Get("grant_type") != grantExchange:
		return a.notExchanged("unsupported_grant_type", "grant_type is "+grantExchange), nil
	case asked.Get("subject_token_type") != typeJWT:
		return a.notExchanged("invalid_request", "subject_token_type is "+typeJWT), nil
	}
	said, err := a.gateway.ReadAssertion(asked.Get("subject_token"))
	if err != nil {
		return a.notExchanged("invalid_request", "subject_token: "+fault.Message(err)), nil
	}
	if said.TokensOf == "" {
		return a.notExchanged("unauthorized_client", "the policy of "+said.Host+" gives the app no tokens, or who came did not come with a session"), nil
	}
	bearer, one, err := a.onBehalf(ctx, said.PersonID, said.SessionID, said.TokensOf)
	if err != nil {
		return a.notGiven(ctx, said.TokensOf, err)
	}
	left := bearer.ExpiresAt.Sub(a.clock())
	if bearer.ExpiresAt.IsZero() || left > givenMost {
		return a.notExchanged("unauthorized_client", "the provider's tokens are good for longer than a day, and such are not given to apps"), nil
	}
	if err := a.grants.Given(ctx, said.Username, one.ID, said.Host, bearer); err != nil {
		return nil, err
	}
	return &exchangeOutput{Status: http.StatusOK, CacheControl: noStore, Body: ExchangeAnswer{
		AccessToken: bearer.Token.Reveal(), IssuedType: typeAccessToken, TokenType: "Bearer", ExpiresIn: int64(left.Seconds()),
	}}, nil
}

const noStore = "no-store" // RFC 6749 section 5.1

// onBehalf gives a token of a person at a provider, while the session lives.
func (a *API) onBehalf(ctx context.Context, personID, sessionID, provider string) (vault.Bearer, identity.Identity, error) {
	one, err := a.identity.IdentityIn(ctx, personID, sessionID, provider)
	if err != nil {
		return vault.Bearer{}, one, err
	}
	bearer, err := a.grants.Bearer(ctx, one.ID)
	return bearer, one, err
}

func (a *API) notExchanged(code, description string) *exchangeOutput {
	return &exchangeOutput{Status: http.StatusBadRequest, CacheControl: noStore, Body: ExchangeAnswer{Error: code, Description: description}}
}

// notGiven tells an app whose person has to sign in again from one that may
// ask again.
func (a *API) notGiven(ctx context.Context, provider string, err error) (*exchangeOutput, error) {
	kind := fault.KindOf(err)
	switch {
	case errors.Is(err, vault.ErrGrantEnded), kind == fault.Unauthenticated, kind == fault.Missing, kind == fault.Denied:
		out := a.notExchanged("invalid_grant", fault.Message(err))
		out.Body.SignIn = a.baseURL.JoinPath("auth", provider, "start").String()
		return out, nil
	case kind == fault.NotNow:
		a.log.WarnContext(ctx, "no token for an app", "provider", provider, "error", err)
		out := a.notExchanged("temporarily_unavailable", fault.Message(err))
		out.Status, out.RetryAfter = http.StatusServiceUnavailable, strconv.Itoa(int(max(fault.RetryAfter(err), time.Second).Seconds()))
		return out, nil
	}
	return nil, err
}
