package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// comesBy makes somebody of whoever a provider proves, and gives the token of
// their session.
func (s *server) comesBy(provider, username string) string {
	s.t.Helper()
	p, err := s.signin.Provider(s.t.Context(), provider)
	require.NoError(s.t, err)
	ext := identity.External{Provider: provider, Issuer: p.Issuer, ExternalID: "id of " + username, Username: username, Create: true, NewRole: identity.RoleMember}
	token, _, err := s.identity.SignInExternal(s.t.Context(), ext, identity.Origin{Address: "192.0.2.1"}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(s.t, err)
	return token.Reveal()
}

const homeProvider = `{"slug":"home","preset":"oidc","label":"Home","issuer":"https://id.example.org","client_id":"berth","create":true}`

func TestProvider_SaysWhoItsLossLeavesOut(t *testing.T) {
	s := newServer(t)
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/providers", homeProvider).StatusCode)
	s.comesBy("home", "cy")

	var left identity.LeftOut
	s.do(admin, "GET", "/api/providers/home/left-out", "").decode(t, &left)
	require.Equal(t, identity.LeftOut{People: 1, Usernames: []string{"cy"}}, left)
	require.Equal(t, http.StatusForbidden, s.do(member, "GET", "/api/providers/home/left-out", "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(admin, "GET", "/api/providers/away/left-out", "").StatusCode)

	got := s.do(admin, "PATCH", "/api/providers/home", `{"version":1,"enabled":false}`)
	require.Equal(t, http.StatusConflict, got.StatusCode)
	require.Contains(t, got.body, "cy would have no way in left")
	require.Equal(t, http.StatusConflict, s.do(admin, "DELETE", "/api/providers/home", "").StatusCode)
	require.Contains(t, s.do(admin, "GET", "/api/people/cy", "").body, `"way_in":true`)

	require.Equal(t, http.StatusOK, s.do(admin, "PATCH", "/api/providers/home", `{"version":1,"enabled":false,"force":true}`).StatusCode)
	var cy api.PersonDetail
	s.do(admin, "GET", "/api/people/cy", "").decode(t, &cy)
	require.False(t, cy.WayIn, "an administrator sees who needs a password")
	require.Equal(t, http.StatusNoContent, s.do(admin, "DELETE", "/api/providers/home", "").StatusCode, "whoever has no way in as it is does not count")
	require.Equal(t, http.StatusNoContent, s.do(admin, "POST", "/api/people/cy/password", `{"password":"`+password+`"}`).StatusCode)
	require.Equal(t, http.StatusOK, s.do(nobody, "POST", "/api/session", `{"username":"cy","password":"`+password+`"}`).StatusCode)
}

// A provider of one's own makes an administrator of whomever it likes, who has
// proved just now who they are.
// A token outlives the session that made it, and proves nothing again.
func TestTokens_AreMadeByWhoJustProvedWhoTheyAre(t *testing.T) {
	s := newServer(t)
	stale := s.longAgo(member)
	codes, err := s.identity.AskByDevice(identity.DeviceAsk{Machine: "harbour", Scope: identity.ScopeRead, Lives: time.Hour}, identity.Origin{Address: "192.0.2.1"})
	require.NoError(t, err)
	for path, body := range map[string]string{
		"/api/account/tokens": `{"name":"ci","scope":"read"}`,
		"/api/device/approve": `{"code":"` + codes.Person.Reveal() + `","scope":"read","lives":600}`,
	} {
		got := s.do(nobody, "POST", path, body, stale)
		require.Equal(t, http.StatusForbidden, got.StatusCode, got.body)
		require.Contains(t, got.body, "step_up")
		require.Less(t, s.do(member, "POST", path, body).StatusCode, 300, path)
	}
}

func TestProviders_AreChangedByWhoJustProvedWhoTheyAre(t *testing.T) {
	s := newServer(t)
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/providers", homeProvider).StatusCode)
	stale := s.longAgo(admin)
	const theirs = `{"slug":"theirs","preset":"oidc","issuer":"https://id.example.net","client_id":"berth","create":true,"claims":{"admin":"email_verified"}}`
	for _, ask := range []struct{ method, path, body string }{
		{"POST", "/api/providers", theirs},
		{"PATCH", "/api/providers/home", `{"version":1,"claims":{"admin":"email_verified"}}`},
		{"DELETE", "/api/providers/home?force=true", ""},
		{"POST", "/api/manifest/apply", document(t, "berth: 1\nproviders: {theirs: {issuer: 'https://id.example.net', client_id: berth, create: true, claims: {admin: email_verified}}}\n")},
	} {
		got := s.do(nobody, ask.method, ask.path, ask.body, stale)
		require.Equal(t, http.StatusForbidden, got.StatusCode, "%s %s: %s", ask.method, ask.path, got.body)
		require.Contains(t, got.body, `"code":"step_up"`, "%s %s", ask.method, ask.path)
	}
	left, err := s.signin.Providers(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "home", left[0].Slug)
	require.EqualValues(t, 1, left[0].Version)
}
