package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/secret"
)

// stay keeps a client where it is led away from.
func (s *server) stay(t *testing.T, path string, change ...func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	require.NoError(t, err)
	for _, f := range change {
		f(r)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer
}

func TestHandOver_CarriesASessionToAnAppsHostAndNowhereElse(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.table.Switch(t.Context(), deploy.Route{StageID: "1", Project: "shop", Stage: "prod", Hostname: "app.localhost", Access: identity.SignedIn()}))
	sum := sha256.Sum256([]byte("of the browser"))
	bind := base64.RawURLEncoding.EncodeToString(sum[:])
	enter := func(host, to string) string {
		return "/auth/enter?" + url.Values{"host": {host}, "to": {to}, "bind": {bind}}.Encode()
	}

	answer := s.stay(t, enter("app.localhost", "/x?y=z"))
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	to, err := answer.Location()
	require.NoError(t, err)
	require.Equal(t, "/sign-in", to.Path)
	require.Equal(t, enter("app.localhost", "/x?y=z"), to.Query().Get("to"), "it comes back")
	require.False(t, to.Query().Has("other"))
	answer = s.stay(t, enter("app.localhost", "/x?y=z")+"&other=1")
	to, err = answer.Location()
	require.NoError(t, err)
	require.True(t, to.Query().Has("other"), "who signed out at the app is asked who they are")
	require.Equal(t, enter("app.localhost", "/x?y=z"), to.Query().Get("to"), "once")

	answer = s.stay(t, enter("app.localhost", "/x?y=z"), s.as(member))
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", answer.Header.Get("Referrer-Policy"))
	to, err = answer.Location()
	require.NoError(t, err)
	require.Equal(t, "http://app.localhost/.berth/ticket", to.Scheme+"://"+to.Host+to.Path)
	token, path, err := s.identity.RedeemTicket(t.Context(), secret.New(to.Query().Get("ticket")), "app.localhost", bind)
	require.NoError(t, err)
	require.Equal(t, "/x?y=z", path)
	guest, err := s.identity.ByHostSession(t.Context(), "app.localhost", token)
	require.NoError(t, err)
	require.Equal(t, member, guest.Subject().Person.Username)

	for _, bad := range []string{
		enter("evil.test", "/"), enter("app.localhost.evil.test", "/"), enter("app.localhost", "https://evil.test/"), enter("app.localhost", ""),
		"/auth/enter?host=app.localhost&to=/", "/auth/enter",
	} {
		answer = s.stay(t, bad, s.as(member))
		require.GreaterOrEqual(t, answer.StatusCode, 400, bad)
		require.Empty(t, answer.Header.Get("Location"), bad)
	}
	answer = s.stay(t, enter("app.localhost", "/"), s.as(member), func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") })
	require.Equal(t, http.StatusForbidden, answer.StatusCode, "no script comes here")
	answer = s.stay(t, enter("app.localhost", "/"), s.as(memberAdmin))
	to, err = answer.Location()
	require.NoError(t, err)
	require.Equal(t, "/sign-in", to.Path, "an API token is no session to carry")
	require.Equal(t, http.StatusMethodNotAllowed, s.do(member, http.MethodPost, enter("app.localhost", "/"), "").StatusCode)
}

func TestWebKeys_AreForEverybody(t *testing.T) {
	s := newServer(t)
	answer := s.do(nobody, http.MethodGet, "/.well-known/jwks.json", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "application/jwk-set+json", answer.Header.Get("Content-Type"))
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	answer.decode(t, &set)
	require.Len(t, set.Keys, 1)
	require.Equal(t, "ES256", set.Keys[0]["alg"])
	require.NotContains(t, set.Keys[0], "d")
	require.NotContains(t, s.do(admin, http.MethodGet, "/api/secrets", "").body, "assertion", "the slot is Berth's own")
}
