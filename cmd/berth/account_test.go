package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/factor"
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

	h.signIn("admin", adminPassword)
	h.signIn("admin", adminPassword)
	shown = h.local("", "people", "show", "admin")
	require.Zero(t, shown.code, shown.err)
	require.Regexp(t, `(?s)Username: +admin.*Role: +administrator.*`+sessions()[0].ID+` +\S+ +local`, shown.out)
	require.Contains(t, h.must("people", "sign-out", "admin", "-y"), "2 sessions of admin ended")
	require.Empty(t, sessions())

	require.Equal(t, exitMissing, h.local("", "people", "end-session", "admin", "nothing").code)
	require.Equal(t, exitMissing, h.local("", "people", "unlink", "admin", "nothing", "-y").code)
	require.Equal(t, "[]\n", h.must("--json", "people", "identities", "admin"))
	require.Zero(t, h.run("", "account", "identities").code)
	require.Equal(t, exitMissing, h.run("", "account", "unlink", "nothing").code)
	require.Equal(t, exitMissing, h.local("", "people", "show", "nobody").code)
	require.Equal(t, exitMissing, h.local("", "people", "sessions", "nobody").code)
}

func TestLogin_AsksForASecondFactor(t *testing.T) {
	h := newHouse(t)
	codes := h.secondFactor("admin", adminPassword)
	s := h.run(adminPassword, "login", h.url, "-u", "admin")
	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "second line")
	require.Equal(t, exitUnauthenticated, h.run(adminPassword+"\n000000", "login", h.url, "-u", "admin").code)
	s = h.run(adminPassword+"\r\n"+codes[0]+"\r\n", "login", h.url, "-u", "admin")
	require.Zero(t, s.code, s.err)
	require.NotContains(t, s.out+s.err, codes[0])

	s = h.local("", "people", "factors", "admin")
	require.Regexp(t, `(?s)app +codes from an app.*recovery +9 codes left`, s.out)
	require.Contains(t, h.must("people"), "yes")
	require.Zero(t, h.local("", "people", "reset-factors", "admin", "--yes").code)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
}

// secondFactor adds an app that makes codes, as a browser does, and gives the
// recovery codes.
func (h *house) secondFactor(username, password string) []string {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	browser := &http.Client{Jar: jar}
	post := func(path string, body, into any) {
		raw, err := json.Marshal(body)
		require.NoError(h.t, err)
		response, err := browser.Post(h.url+path, "application/json", bytes.NewReader(raw))
		require.NoError(h.t, err)
		defer response.Body.Close()
		require.Less(h.t, response.StatusCode, 300)
		require.NoError(h.t, json.NewDecoder(response.Body).Decode(into))
	}
	var came api.Entry
	post("/api/session", map[string]string{"username": username, "password": password}, &came)
	var made factor.Enrolment
	post("/api/account/totp", nil, &made)
	code, err := totp.GenerateCode(made.Secret, time.Now())
	require.NoError(h.t, err)
	post("/api/account/totp/confirm", map[string]string{"code": code}, &came)
	return came.RecoveryCodes
}

func TestAccount_ForgetsTheTokensOfAProvider(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	require.Zero(t, h.local("client secret\n", "provider", "add", "forge", "forgejo", "--issuer", "https://forge.example.com", "--client-id", "berth").code)
	h.identify("admin", "forge", "https://forge.example.com")
	h.past(`INSERT INTO grants (provider, name, identity_id, external_id, version, renewable, updated_at) SELECT 'forge', id, id, id, 1, 1, 1 FROM identities`)
	listed := h.run("", "account", "identities")
	require.Regexp(t, `forge.* held`, listed.out, listed.err)
	var own []api.IdentityInfo
	require.NoError(t, json.Unmarshal([]byte(h.run("", "--json", "account", "identities").out), &own))

	forgotten := h.run("", "account", "forget-tokens", own[0].ID)
	require.Zero(t, forgotten.code, forgotten.err)
	require.Contains(t, forgotten.out, "are forgotten")
	require.Regexp(t, `forge.* none`, h.run("", "account", "identities").out, "it stays a way in")
	require.Equal(t, exitMissing, h.run("", "account", "forget-tokens", own[0].ID).code)
}
