package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/factor"
)

// app gives somebody an app that makes codes, in a browser, and gives the
// recovery codes that come with it.
func (h *house) app(username, password string) []string {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	browser := http.Client{Jar: jar}
	post := func(path string, body, into any) {
		raw, err := json.Marshal(body)
		require.NoError(h.t, err)
		response, err := browser.Post(h.url+path, "application/json", bytes.NewReader(raw))
		require.NoError(h.t, err)
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		require.NoError(h.t, err)
		require.Less(h.t, response.StatusCode, 300, "%s", answer)
		require.NoError(h.t, json.Unmarshal(answer, into))
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

func TestAccount_RemovesItsPasswordAndSetsAFirstOne(t *testing.T) {
	h := newHouse(t)
	const first = "correct horse battery"
	require.Zero(t, h.local(first, "people", "add", "bo").code)
	require.Zero(t, h.run(first, "login", h.url, "-u", "bo").code)

	only := h.run(first, "account", "remove-password", "--yes")
	require.Equal(t, exitClash, only.code)
	require.Contains(t, only.err, "your password is your only way in")
	require.Zero(t, h.local("the client's secret\n", "provider", "add", "home", "oidc", "--issuer", "https://id.example.org", "--client-id", "berth").code)
	h.identify("bo", "home", "https://id.example.org")
	require.Equal(t, exitInput, h.run("wrong password", "account", "remove-password", "--yes").code)
	removed := h.run(first, "account", "remove-password", "--yes")
	require.Zero(t, removed.code, removed.err)
	require.Contains(t, removed.out, "Your password is removed.")
	require.Equal(t, exitUnauthenticated, h.run(first, "login", h.url, "-u", "bo").code)

	// A token alone proves nobody, nor does what somebody has not.
	s := h.run("whatever\n"+first, "account", "password")
	require.Equal(t, exitDenied, s.code)
	require.Contains(t, s.err, h.url+"/account")

	require.Zero(t, h.local(first, "people", "password", "bo").code)
	codes := h.app("bo", first)
	require.Zero(t, h.run(codes[0], "account", "remove-password", "--yes").code)
	require.Equal(t, exitInput, h.run("not-a-code\nanother of my own", "account", "password").code)
	set := h.run(codes[1]+"\nanother of my own", "account", "password")
	require.Zero(t, set.code, set.err)
	require.Contains(t, set.out, "You have a password now.")
	require.Equal(t, exitInput, h.run("another of my own\n", "login", h.url, "-u", "bo").code, "asks for the second factor, too")
}
