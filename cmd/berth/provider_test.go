package main

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// past runs a statement past the server.
func (h *house) past(statement string, args ...any) {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.data, "berth.db")+"?_pragma=busy_timeout(5000)")
	require.NoError(h.t, err)
	defer db.Close()
	_, err = db.ExecContext(h.t.Context(), statement, args...)
	require.NoError(h.t, err)
}

// comesBy adds somebody whom a provider made.
func (h *house) comesBy(provider, issuer, username string) {
	h.t.Helper()
	h.past(`INSERT INTO people (id, username, role, created_at, updated_at) VALUES ($1, $1, 'member', 1, 1)`, username)
	h.identify(username, provider, issuer)
}

// identify has a provider know somebody.
func (h *house) identify(username, provider, issuer string) {
	h.t.Helper()
	h.past(`INSERT INTO identities (id, person_id, provider, issuer, external_id, groups, claims, created_at, synced_at)
		SELECT id, id, $2, $3, id, '[]', '{}', 1, 1 FROM people WHERE username = $1`, username, provider, issuer)
}

func TestProvider_IsNotTakenUnseenFromWhoHasNoOtherWayIn(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.local("the client's secret\n", "provider", "add", "home", "oidc", "--issuer", "https://id.example.org", "--client-id", "berth").code)
	h.comesBy("home", "https://id.example.org", "cy")
	h.comesBy("home", "https://id.example.org", "dee")

	asked := h.local("", "provider", "remove", "home")
	require.Equal(t, exitInput, asked.code)
	require.Contains(t, asked.err, "2 people have no way in left then: cy, dee.", "whoever is asked is told")
	for _, args := range [][]string{{"provider", "remove", "home", "--yes"}, {"provider", "edit", "home", "--no-on"}} {
		refused := h.local("", args...)
		require.Equal(t, exitClash, refused.code, args)
		require.Contains(t, refused.err, "2 people would have no way in left (cy, dee)")
	}
	require.NotContains(t, h.local("", "people", "show", "cy").err, "no way in")

	h.must("provider", "edit", "home", "--no-on", "--force")
	require.Contains(t, h.local("", "people", "show", "cy").err, `They have no way in: set a password with "berth people password cy".`)
	h.must("provider", "edit", "home", "--on")
	require.NotContains(t, asked.err, "led straight")
	h.must("access", "sign-in", "--straight-to", "home")
	require.Contains(t, h.local("", "provider", "remove", "home").err, "People are led straight to it, and will see the sign-in page.")
	require.Contains(t, h.local("", "provider", "edit", "home", "--no-on", "--force").err, "People are led straight to it: while it is off they see the sign-in page.")
	h.must("provider", "remove", "home", "--force")
	require.Zero(t, h.local("correct horse battery\n", "people", "password", "cy").code)
	require.NotContains(t, h.local("", "people", "show", "cy").err, "no way in")
}
