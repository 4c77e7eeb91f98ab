package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
)

// signIn opens a session as a browser does.
func (h *house) signIn(username, password string) {
	h.t.Helper()
	body := strings.NewReader(`{"username":"` + username + `","password":"` + password + `"}`)
	response, err := http.Post(h.url+"/api/session", "application/json", body)
	require.NoError(h.t, err)
	require.NoError(h.t, response.Body.Close())
	require.Less(h.t, response.StatusCode, 300)
}

func TestAccount_ShowsWhoOneIs(t *testing.T) {
	h := newHouse(t)
	require.Contains(t, h.must("account"), "local")
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin", "--scope", "read").code)
	s := h.run("", "account")
	require.Zero(t, s.code, s.err)
	require.Regexp(t, `(?s)Username: +admin.*Role: +administrator.*By: +token.*Scope: +read`, s.out)
}

func TestAccount_ChangesItsPassword(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	for stdin, says := range map[string]string{
		"":                     "nothing was given",
		adminPassword:          "two lines",
		adminPassword + "\n\n": "two lines",
		"a\nb\nc":              "two lines",
	} {
		s := h.run(stdin, "account", "password")
		require.Equal(t, exitInput, s.code, "%q", stdin)
		require.Contains(t, s.err, says)
	}
	require.NotZero(t, h.run("wrong password\na new long password\n", "account", "password").code)

	s := h.run(adminPassword+"\r\na new long password\r\n", "account", "password")
	require.Zero(t, s.code, s.err)
	require.NotContains(t, s.out+s.err, "a new long")
	require.Equal(t, exitUnauthenticated, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	require.Zero(t, h.run("a new long password", "login", h.url, "-u", "admin").code)

	s = h.local(adminPassword+"\na new long password", "account", "password")
	require.Equal(t, exitDenied, s.code)
	require.Contains(t, s.err, "no account of its own")
}

func TestSessions_AreListedAndEnded(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	for range 3 {
		h.signIn("admin", adminPassword)
	}
	sessions := func() (list []api.Session) {
		require.NoError(t, json.Unmarshal([]byte(h.must("--json", "people", "sessions", "admin")), &list))
		return list
	}
	require.Len(t, sessions(), 3)
	shown := h.run("", "account", "sessions")
	require.Zero(t, shown.code, shown.err)
	require.Contains(t, shown.out, "Go-http-client")
	require.Contains(t, shown.out, sessions()[0].ID)

	h.must("people", "end-session", "admin", sessions()[0].ID)
	require.Len(t, sessions(), 2)
	s := h.run("", "account", "end-session", sessions()[0].ID)
	require.Zero(t, s.code, s.err)
	require.Len(t, sessions(), 1)
	s = h.run("", "account", "end-other-sessions")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "1 session ended")
	require.Empty(t, sessions())

	require.Equal(t, exitMissing, h.local("", "people", "end-session", "admin", "nothing").code)
	require.Equal(t, exitMissing, h.local("", "people", "sessions", "nobody").code)
}
