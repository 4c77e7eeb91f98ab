package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// tokenTime is how long the provider's tokens are good.
const tokenTime = time.Hour

// cameFrom signs somebody in who comes from a provider named forge, which gave
// tokens with that.
func (s *server) cameFrom(t *testing.T, expires time.Time) identity.Subject {
	t.Helper()
	ext := identity.External{Provider: "forge", ExternalID: "1001", Username: "cleo", Create: true}
	_, subject, err := s.identity.SignInExternal(t.Context(), ext, identity.Origin{Address: "192.0.2.1"}, func(tx *sqlite.Tx, id string) error {
		return s.grants.KeepTokens(t.Context(), tx, id, vault.Tokens{
			Provider: "forge", ClientID: "berth", ExternalID: "1001", Access: secret.New("the-forge-token"), ExpiresAt: expires,
		})
	})
	require.NoError(t, err)
	return subject
}

// shown gives what an app at shop.localhost is shown of a subject.
func (s *server) shown(t *testing.T, subject identity.Subject, policy identity.Policy) (assertion string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { assertion = r.Header.Get("X-Berth-Assertion") }))
	defer app.Close()
	require.NoError(t, s.table.Switch(t.Context(), deploy.Route{
		StageID: "1", Project: "shop", Stage: "prod", Hostname: "shop.localhost", Access: policy, Deployment: "d",
		Instances: []deploy.Endpoint{{Instance: "i", Address: strings.TrimPrefix(app.URL, "http://")}},
	}))
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.edge.Serve(ctx, l) }()
	defer func() { stop(); require.NoError(t, <-ended) }()

	ticket, err := s.identity.IssueTicket(subject, identity.Passage{Host: "shop.localhost", Bind: "b", To: "/"})
	require.NoError(t, err)
	token, _, err := s.identity.RedeemTicket(t.Context(), ticket, "shop.localhost", "b")
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", http.NoBody)
	require.NoError(t, err)
	r.Host = "shop.localhost"
	r.AddCookie(&http.Cookie{Name: "berth", Value: token.Reveal()})
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NotEmpty(t, assertion)
	return assertion
}

func (s *server) exchange(t *testing.T, form url.Values) (reply, api.ExchangeAnswer) {
	t.Helper()
	answer := s.do(nobody, http.MethodPost, "/api/token-exchange", form.Encode(), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	var said api.ExchangeAnswer
	answer.decode(t, &said)
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	return answer, said
}

func exchangeForm(assertion string) url.Values {
	return url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {assertion}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}
}

func TestExchange_GivesAnAppTheTokenOfWhoCame(t *testing.T) {
	s := newServer(t)
	_, err := s.signin.Create(t.Context(), "ana", signin.NewProvider{
		Slug: "forge", Preset: signin.OIDC, Enabled: true, Issuer: "https://forge.example.com", ClientID: "berth", ClientSecret: secret.New("s"),
	})
	require.NoError(t, err)
	cleo := s.cameFrom(t, time.Now().Add(tokenTime))
	policy := identity.SignedIn()
	policy.Audience, policy.TokensOf = "the shop", "forge"
	assertion := s.shown(t, cleo, policy)

	for range 2 {
		answer, said := s.exchange(t, exchangeForm(assertion))
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
		require.Equal(t, "the-forge-token", said.AccessToken)
		require.Equal(t, "Bearer", said.TokenType)
		require.Equal(t, "urn:ietf:params:oauth:token-type:access_token", said.IssuedType)
		require.InDelta(t, tokenTime.Seconds(), said.ExpiresIn, 30)
	}
	given, err := s.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{vault.GrantGiven}}, 10)
	require.NoError(t, err)
	require.Len(t, given, 1, "once for a token and an app")
	require.Equal(t, "cleo", given[0].Actor)
	require.NotContains(t, string(given[0].Data), "the-forge-token")

	// Whose route does not say so gets none, and neither does who shows nothing.
	for name, c := range map[string]struct {
		form url.Values
		code string
	}{
		"no such right":         {exchangeForm(s.shown(t, cleo, identity.Policy{Rules: policy.Rules, Audience: "the shop"})), "unauthorized_client"},
		"no assertion":          {exchangeForm("e30.e30.e30"), "invalid_request"},
		"another grant":         {url.Values{"grant_type": {"authorization_code"}}, "unsupported_grant_type"},
		"two assertions":        {url.Values{"grant_type": exchangeForm("")["grant_type"], "subject_token_type": exchangeForm("")["subject_token_type"], "subject_token": {assertion, "e30.e30.e30"}}, "invalid_request"},
		"another kind of token": {url.Values{"grant_type": exchangeForm("")["grant_type"], "subject_token": {assertion}}, "invalid_request"},
	} {
		answer, said := s.exchange(t, c.form)
		require.Equal(t, http.StatusBadRequest, answer.StatusCode, name)
		require.Equal(t, c.code, said.Error, name)
		require.NotEmpty(t, said.Description, name)
		require.Empty(t, said.AccessToken, name)
	}

	// What RFC 8693 lets be given more than once may be.
	several := exchangeForm(s.shown(t, cleo, policy))
	several["resource"] = []string{"https://a.example", "https://b.example"}
	answer, _ := s.exchange(t, several)
	require.Equal(t, http.StatusOK, answer.StatusCode)

	// A person without an identity there, such as who signed in by a password.
	_, local, err := s.identity.SignIn(t.Context(), member, secret.New(password), identity.Origin{Address: "192.0.2.1"})
	require.NoError(t, err)
	_, said := s.exchange(t, exchangeForm(s.shown(t, local, policy)))
	require.Equal(t, "invalid_grant", said.Error)
	require.Equal(t, "http://localhost:8080/auth/forge/start", said.SignIn)

	// With the session it is over at once, also for an assertion from before.
	assertion = s.shown(t, cleo, policy)
	require.NoError(t, s.identity.SignOut(t.Context(), cleo))
	_, said = s.exchange(t, exchangeForm(assertion))
	require.Equal(t, "invalid_grant", said.Error)
	require.Empty(t, said.AccessToken)
}

func TestExchange_GivesNoTokenThatLastsAndNoneThatIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		expires time.Time
		code    string
	}{
		"without an end":        {time.Time{}, "unauthorized_client"},
		"for a week":            {time.Now().Add(7 * 24 * time.Hour), "unauthorized_client"},
		"expired, without more": {time.Now().Add(-time.Minute), "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			_, err := s.signin.Create(t.Context(), "ana", signin.NewProvider{
				Slug: "forge", Preset: signin.OIDC, Enabled: true, Issuer: "https://forge.example.com", ClientID: "berth", ClientSecret: secret.New("s"),
			})
			require.NoError(t, err)
			policy := identity.SignedIn()
			policy.Audience, policy.TokensOf = "the shop", "forge"
			_, said := s.exchange(t, exchangeForm(s.shown(t, s.cameFrom(t, c.expires), policy)))
			require.Equal(t, c.code, said.Error)
			require.Empty(t, said.AccessToken)
		})
	}
}

func TestStage_GivesTokensWhereAnAdministratorSaysSo(t *testing.T) {
	s := newServer(t)
	stage := func(who, access string) reply {
		return s.do(who, http.MethodPost, "/api/projects/shop/stages", `{"name":"beta","spec":{"hostname":"beta.example.com","tags":{"kind":"exact","pattern":"1"},"access":`+access+`}}`)
	}
	with := `{"rules":[{"allow":{"signed_in":true}}],"audience":"the shop","tokens_of":"forge"}`
	answer := stage(member, with)
	require.Equal(t, http.StatusForbidden, answer.StatusCode, answer.body)
	require.Contains(t, answer.body, `"location":"body.spec.access"`)
	require.Contains(t, answer.body, "only administrators")
	answer = stage(admin, strings.Replace(with, `"audience":"the shop",`, "", 1))
	require.Equal(t, http.StatusUnprocessableEntity, answer.StatusCode, answer.body)
	require.Contains(t, answer.body, "spec.access.audience")
	answer = stage(admin, with)
	require.Equal(t, http.StatusCreated, answer.StatusCode, answer.body)

	// What was there stays in an edit by somebody else.
	var made deploy.Stage
	answer.decode(t, &made)
	edit := `{"version":1,"spec":{"hostname":"beta.example.com","tags":{"kind":"exact","pattern":"2"},"access":` + with + `}}`
	answer = s.do(member, http.MethodPut, "/api/projects/shop/stages/beta", edit)
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.Equal(t, "forge", made.Spec.Access.TokensOf)
}
