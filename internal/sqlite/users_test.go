package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestUsersMigration_LeavesPeopleAndProvidersWhatTheyAre(t *testing.T) {
	names, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	before := fstest.MapFS{}
	for _, name := range names {
		if filepath.Base(name) < "0028" {
			raw, err := os.ReadFile(name)
			require.NoError(t, err)
			before[name] = &fstest.MapFile{Data: raw}
		}
	}
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: path}, before)
	require.NoError(t, err)
	for _, statement := range []string{
		`INSERT INTO people (id, username, display_name, email, role, given_role, created_at, updated_at, version)
			VALUES ('1', 'root', '', '', 'administrator', 'administrator', 1, 1, 1), ('2', 'bo', '', '', 'member', 'administrator', 1, 1, 1)`,
		`INSERT INTO providers (id, slug, preset, label, position, enabled, issuer, client_id, has_secret, scopes, claims, create_people,
				allowed_domains, allowed_groups, sign_out, created_at, updated_at, version)
			VALUES ('1', 'open', 'oidc', 'x', 0, 1, 'x', 'x', 0, '[]', '{}', 1, '[]', '[]', 0, 1, 1, 1),
				('2', 'linked', 'oidc', 'x', 0, 1, 'x', 'x', 0, '[]', '{}', 0, '[]', '[]', 0, 1, 1, 1)`,
	} {
		require.NoError(t, write(t.Context(), db, statement))
	}
	require.NoError(t, db.Close())

	db, err = sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, db, "people WHERE role = 'administrator' AND given_role = 'administrator'"))
	require.Equal(t, 1, count(t, db, "people WHERE role = 'member' AND given_role = 'administrator'"))
	require.Equal(t, 1, count(t, db, "providers WHERE slug = 'open' AND new_role = 'member'"))
	require.Equal(t, 1, count(t, db, "providers WHERE slug = 'linked' AND new_role = 'user'"))
	require.ErrorContains(t, write(t.Context(), db, "UPDATE people SET role = 'owner'"), "CHECK")
	require.NoError(t, write(t.Context(), db, "UPDATE people SET role = 'user'"))
	require.NoError(t, db.Close())
}
