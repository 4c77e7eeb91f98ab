package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

func TestOwnPassword_IsSetAndRemovedByWhoeverComesOtherwise(t *testing.T) {
	s := newServer(t)
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/providers", homeProvider).StatusCode)
	token := s.comesBy("home", "cy")
	b := s.browser()
	b.cookies["berth"] = &http.Cookie{Name: "berth", Value: token}
	require.Contains(t, b.do(t, "GET", "/api/session", "").body, `"has_password":false`)
	require.Equal(t, http.StatusUnprocessableEntity, b.do(t, "POST", "/api/account/password", `{"old":"none","new":"`+password+`"}`).StatusCode, "there is none to change")

	short := b.do(t, "PUT", "/api/account/password", `{"new":"short"}`)
	require.Equal(t, http.StatusUnprocessableEntity, short.StatusCode)
	require.Contains(t, short.body, "takes 10 characters or more")
	require.Contains(t, short.body, `"location":"body.new"`)
	require.Equal(t, http.StatusNoContent, b.do(t, "PUT", "/api/account/password", `{"new":"`+password+`"}`).StatusCode)
	require.Contains(t, b.do(t, "GET", "/api/session", "").body, `"has_password":true`)
	require.Equal(t, http.StatusConflict, b.do(t, "PUT", "/api/account/password", `{"new":"`+password+`"}`).StatusCode)
	other := s.browser()
	other.must(t, "POST", "/api/session", `{"username":"cy","password":"`+password+`"}`, nil)

	// An API token proves nobody afresh.
	bare := s.token("cy", identity.ScopeAdmin)
	with := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bare) }
	require.Equal(t, http.StatusUnprocessableEntity, s.do(nobody, "POST", "/api/account/password/remove", `{}`, with).StatusCode)
	require.Equal(t, http.StatusNoContent, b.do(t, "POST", "/api/account/password/remove", `{}`).StatusCode)
	require.Equal(t, http.StatusUnauthorized, other.do(t, "GET", "/api/session", "").StatusCode, "what the password began has ended")
	require.Equal(t, http.StatusOK, b.do(t, "GET", "/api/session", "").StatusCode)
	require.Equal(t, http.StatusForbidden, s.do(nobody, "PUT", "/api/account/password", `{"new":"`+password+`"}`, with).StatusCode)
	audit := s.do(admin, "GET", "/api/audit", "").body
	for _, kind := range []string{"person.password_added", "person.password_removed"} {
		require.Contains(t, audit, `"`+kind+`"`)
	}
	require.NotContains(t, audit, password)
}
