package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/manifest"
)

const whoEnters = `berth: 1
providers:
  corp: {issuer: "https://id.example.com", client_id: berth}
administrators: ["local:ana", "corp:bo@example.com"]
second_factor: {required_of: administrators}
`

func exported(t *testing.T, s *Server) string {
	t.Helper()
	doc, err := s.manifest.Export(t.Context(), manifest.Scope{Accounts: true})
	require.NoError(t, err)
	raw, err := manifest.Encode(doc)
	require.NoError(t, err)
	return string(raw)
}

func TestManifest_HasItsListOfAdministratorsSayWhoAdministers(t *testing.T) {
	s := newServer(t)
	addPeople(t, s)
	r := manifest.Request{Document: []byte(whoEnters), Administrator: true, By: identity.Local()}
	_, err := s.manifest.Plan(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "root", whoAdministers(t, s), "of a plan nothing is kept")
	_, err = s.manifest.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, "ana root", whoAdministers(t, s))

	r.Document = []byte("berth: 1\nadministrators: ['githb:bo']\n")
	_, err = s.manifest.Apply(t.Context(), "root", r)
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.ErrorContains(t, err, `administrators: line 2, column 17: has "githb:bo", and there is no provider named "githb"`)
	require.Equal(t, "ana root", whoAdministers(t, s), "the list of before stays")

	other := newServer(t)
	r.Document = []byte(exported(t, s))
	_, err = other.manifest.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, string(r.Document), exported(t, other))
}

func TestManifest_LeavesAdministratorsOfTheSettings(t *testing.T) {
	s := newServer(t, "BERTH_ADMINS=local:bo")
	addPeople(t, s)
	require.NoError(t, s.takeAdmins(t.Context()))
	require.Contains(t, exported(t, s), "# Who administers is not in it: BERTH_ADMINS says so, set by environment.\n")
	result, err := s.manifest.Apply(t.Context(), "root", manifest.Request{Document: []byte(whoEnters), Administrator: true, By: identity.Local()})
	require.NoError(t, err)
	require.Contains(t, result.Plan.Notes, "BERTH_ADMINS says who administers, set by environment: the list in the file changes nothing")
	require.Equal(t, "bo root", whoAdministers(t, s))
}

func TestSeed_SaysWhoEnters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "berth.yaml")
	require.NoError(t, os.WriteFile(file, []byte(whoEnters), 0o600))
	s := newServer(t, "BERTH_SEED_FILE="+file, "BERTH_ADMIN_PASSWORD=long enough for a test")
	require.Equal(t, "admin", whoAdministers(t, s), "who always does")
	all, err := s.identity.Administrators(t.Context())
	require.NoError(t, err)
	require.Len(t, all.Listed, 2)
	require.True(t, s.identity.RequiresSecondFactor(identity.RoleAdministrator))
	_, err = s.signin.Provider(t.Context(), "corp")
	require.NoError(t, err)
}

// A seed is refused as any other document is: its list is looked at when it is
// set, and not at the next start.
func TestSeed_RefusesAListThatNamesAProviderThatIsNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "berth.yaml")
	require.NoError(t, os.WriteFile(file, []byte("berth: 1\nadministrators: ['githb:bo']\n"), 0o600))
	require.ErrorContains(t, startFails(t, "BERTH_SEED_FILE="+file), `there is no provider named "githb"`)
}
