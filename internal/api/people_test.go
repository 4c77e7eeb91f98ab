package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/identity"
)

func TestSignOutEverywhere_EndsAllSessionsOfOnePersonAtOnce(t *testing.T) {
	s := newServer(t)
	laptop, phone := s.browser(), s.browser()
	laptop.signIn(t)
	phone.signIn(t)
	require.Equal(t, http.StatusOK, laptop.do(t, "GET", "/api/session", "").StatusCode) // and it is cached now

	made := s.do(member, "POST", "/api/account/tokens", `{"name":"stays","scope":"read"}`)
	require.Equal(t, http.StatusCreated, made.StatusCode, made.body)
	tokens := len(tokensOf(t, s, "bo"))
	require.Positive(t, tokens)

	var ended api.SignedOut
	s.do(admin, "POST", "/api/people/bo/sessions/end", "").decode(t, &ended)
	require.Equal(t, api.SignedOut{Ended: 3, Tokens: tokens}, ended)
	for _, b := range []*browser{laptop, phone} {
		require.Equal(t, http.StatusUnauthorized, b.do(t, "GET", "/api/session", "").StatusCode)
	}
	require.Equal(t, http.StatusOK, s.do(admin, "GET", "/api/session", "").StatusCode, "nobody else's")
}

func tokensOf(t *testing.T, s *server, username string) []identity.Token {
	t.Helper()
	var list struct{ Items []identity.Token }
	s.do(admin, "GET", "/api/people/"+username+"/tokens", "").decode(t, &list)
	return list.Items
}

func TestTokensOfAPerson_AreSeenAndRemovedByAdministratorsAlone(t *testing.T) {
	s := newServer(t)
	var made api.NewToken
	s.do(member, "POST", "/api/account/tokens", `{"name":"ci","scope":"read"}`).decode(t, &made)
	itself := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+made.Secret) }
	require.Equal(t, http.StatusOK, s.do(nobody, "GET", "/api/projects", "", itself).StatusCode)
	path := "/api/people/bo/tokens/" + made.Token.ID
	require.Equal(t, http.StatusForbidden, s.do(member, "GET", "/api/people/bo/tokens", "").StatusCode)
	require.Equal(t, http.StatusForbidden, s.do(member, "DELETE", path, "").StatusCode)
	require.Contains(t, tokensOf(t, s, "bo"), made.Token)
	require.NotContains(t, s.do(admin, "GET", "/api/people/bo/tokens", "").body, made.Secret)

	require.Equal(t, http.StatusNotFound, s.do(admin, "DELETE", "/api/people/ana/tokens/"+made.Token.ID, "").StatusCode, "it is not hers")
	require.Equal(t, http.StatusNoContent, s.do(admin, "DELETE", path, "").StatusCode)
	require.Equal(t, http.StatusUnauthorized, s.do(nobody, "GET", "/api/projects", "", itself).StatusCode)
	require.NotContains(t, tokensOf(t, s, "bo"), made.Token)
	removed, err := s.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{identity.TokenRemoved}}, 10)
	require.NoError(t, err)
	require.Len(t, removed, 1)
	require.Equal(t, "ana", removed[0].Actor)
	require.Contains(t, string(removed[0].Data), `"username":"bo"`)
}
