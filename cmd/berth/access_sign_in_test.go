package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAccessSignIn_IsShownAndSet(t *testing.T) {
	h := newHouse(t)
	said := h.must("access", "sign-in")
	require.Contains(t, said, "Everybody signs in with a password.")
	require.Contains(t, said, "sees the page.")
	file := writeFile(t, h.home, "berth.yaml", "berth: 1\nproviders: {corp: {issuer: 'https://id.example.com', client_id: berth}}\n")
	h.must("apply", "-y", "-f", file)
	require.Contains(t, h.must("access", "sign-in", "--straight-to", "corp"), "is led straight to corp; ")
	require.Contains(t, h.must("access", "sign-in"), "/sign-in?local=1 shows the page.")
	require.Contains(t, h.must("--json", "access", "sign-in"), `"straight": true`)
	h.must("provider", "edit", "corp", "--no-on")
	require.Contains(t, h.must("access", "sign-in"), "sees the page: corp, to which they would be led, is switched off.")

	require.Equal(t, exitDone, h.local("a password for bo", "people", "add", "bo").code)
	left := h.local("", "access", "sign-in", "--passwords", "administrators")
	require.Equal(t, exitInput, left.code)
	require.Contains(t, left.err, "bo has no way in left then.")
	require.Contains(t, h.local("", "access", "sign-in", "--passwords", "administrators", "--yes").err, "--force says that it is meant")
	require.Contains(t, h.must("access", "sign-in", "--passwords", "administrators", "--force"), "Administrators with an account of Berth's own sign in with a password.")
	require.Contains(t, h.run("a password for bo", "login", h.url, "-u", "bo").err, "only administrators sign in with a password here: make an API token at "+h.url)
	require.Contains(t, h.local("", "people", "show", "bo").err, "a password of theirs signs in only where passwords are for everybody")
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	require.Contains(t, h.must("access", "sign-in", "--page"), "Administrators", "what is not named stays")
	require.NotContains(t, h.must("access", "sign-in"), "corp")
	require.NotZero(t, h.local("", "access", "sign-in", "--page", "--straight-to", "corp").code)
	require.NotZero(t, h.local("", "access", "sign-in", "--straight-to", "nowhere").code)
}

func TestPeopleEdit_TakesNoRoleUnseenThatIsAWayIn(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.local("a password for carol", "people", "add", "carol", "--role", "administrator").code)
	h.must("access", "sign-in", "--passwords", "administrators", "--force")
	for _, args := range [][]string{{"people", "edit", "carol", "--role", "member"}, {"access", "admins", "set", "local:admin"}} {
		refused := h.local("", args...)
		require.Equal(t, exitClash, refused.code, args)
		require.Contains(t, refused.err, "carol would have no way in left: have them add a passkey or link another identity first; --force says that it is meant")
		require.Contains(t, h.must("access", "admins"), "carol")
		h.must(append(args, "--force")...)
		require.NotContains(t, h.must("access", "admins"), "carol")
		h.must("people", "edit", "carol", "--role", "administrator")
	}
}

func TestPasswords_AreSaidToBeRefusedWhereTheyAreGivenOrAskedFor(t *testing.T) {
	h := newHouse(t)
	const refused = "Their password signs in only where passwords are for everybody"
	require.NotContains(t, h.local("a password for bo", "people", "add", "bo").err, refused)
	require.Zero(t, h.run("a password for bo", "login", h.url, "-u", "bo").code)
	h.must("access", "sign-in", "--passwords", "administrators", "--force")
	require.Contains(t, h.local("a password for cy", "people", "add", "cy").err, refused)
	require.Contains(t, h.local("another one for cy", "people", "password", "cy").err, refused)
	require.NotContains(t, h.local("a password for di", "people", "add", "di", "--role", "administrator").err, refused)
	require.NotContains(t, h.local("another one for di", "people", "password", "di").err, refused)
	said := h.run("", "account", "password")
	require.Contains(t, said.err, "only administrators sign in with a password here", "before anything is asked")
}

func TestLogin_SaysNothingOfTheModeWhereTheServerDoesNot(t *testing.T) {
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/sign-in" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"providers":[]}`))
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"status":401,"code":"unauthenticated","detail":"the username or the password is wrong"}`))
	}))
	defer older.Close()
	said := newHouse(t).run("a password for bo", "login", older.URL, "-u", "bo")
	require.Contains(t, said.err, "the username or the password is wrong")
	require.NotContains(t, said.err, "only administrators")
}
