package sqlite_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

// before gives Berth's own migrations up to the one of a name.
func before(t *testing.T, name string) fs.FS {
	t.Helper()
	paths, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	slices.Sort(paths)
	files := fstest.MapFS{}
	for _, path := range paths {
		if match, err := filepath.Match("migrations/[0-9][0-9][0-9][0-9]_"+name+".sql", path); match || err != nil {
			return files
		}
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		files[path] = &fstest.MapFile{Data: body}
	}
	t.Fatalf("there is no migration named %s", name)
	return nil
}

// The people of a Berth from before it knew whose word stands behind an address.
func TestMigrate_TellsWhoseWordStandsBehindAnAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: path}, before(t, "addresses"))
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO providers (id, slug, preset, label, position, enabled, issuer, client_id, has_secret, scopes, claims,
				create_people, allowed_domains, allowed_groups, sign_out, created_at, updated_at, version)
			VALUES ('1', 'home', 'oidc', 'Home', 0, 1, 'https://h', 'c', 0, '[]', '{"email":"email"}', 1, '[]', '[]', 0, 1, 1, 1),
				('2', 'upn', 'oidc', 'UPN', 0, 1, 'https://u', 'c', 0, '[]', '{"email":"upn"}', 1, '[]', '[]', 0, 1, 1, 1);
			INSERT INTO people (id, username, display_name, email, role, created_at, updated_at, version)
			VALUES ('a', 'given', 'G', 'given@example.org', 'member', 5000, 5000, 1),
				('b', 'verified', 'V', 'Ana@example.org', 'member', 10000, 10000, 1),
				('c', 'second', 'S', 'ana@example.org', 'member', 20000, 20000, 1),
				('d', 'not', 'N', 'boss@victim.example', 'member', 30000, 30000, 1),
				('e', 'other', 'O', 'boss@corp.example', 'member', 40000, 40000, 1),
				('f', 'edited', 'E', 'mine@example.org', 'member', 50000, 50000, 1),
				('g', 'same', 'G', 'given@example.org', 'member', 60000, 60000, 1),
				('h', 'none', '', '', 'member', 70000, 70000, 1);
			INSERT INTO identities (id, person_id, provider, issuer, external_id, email, email_verified, created_at, synced_at)
			VALUES ('ib', 'b', 'home', 'https://h', 'b', 'Ana@example.org', 1, 10001, 1),
				('ic', 'c', 'home', 'https://h', 'c', 'ana@example.org', 1, 20001, 1),
				('id', 'd', 'home', 'https://h', 'd', 'boss@victim.example', 0, 30001, 1),
				('ie', 'e', 'upn', 'https://u', 'e', 'boss@corp.example', 1, 40001, 1),
				('if', 'f', 'home', 'https://h', 'f', 'theirs@example.org', 1, 50001, 1),
				('ig', 'g', 'home', 'https://h', 'g', 'given@example.org', 1, 60001, 1);
			INSERT INTO events (at, kind, actor, data)
			VALUES (50002, 'person.updated', 'root', '{"id":"f","username":"edited","changed":["email"]}')`)
		return err
	}))
	require.NoError(t, db.Close())

	db, err = sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	defer db.Close()
	got := map[string]string{}
	require.NoError(t, db.Read(t.Context(), func(tx *sqlite.Tx) error { return states(t.Context(), tx, got) }))
	require.Equal(t, map[string]string{
		"given": "given  ", "verified": "verified ib ana@example.org", "second": "unverified ic ", "not": "unverified id ",
		"other": "unverified ie ", "edited": "given  theirs@example.org", "same": "unverified ig ", "none": "  ",
	}, got)
}

// states reads the state of each person's address, whom it came from, and
// which one their identity holds.
func states(ctx context.Context, tx *sqlite.Tx, into map[string]string) error {
	_, err := sqlite.All(ctx, tx, func(from sqlite.Row) (none struct{}, err error) {
		var name, state, by, held string
		err = from.Scan(&name, &state, &by, &held)
		into[name] = state + " " + by + " " + held
		return none, err
	}, `
		SELECT people.username, people.email_state, people.email_by, COALESCE(identities.held_email, '')
		FROM people
		LEFT JOIN identities ON identities.person_id = people.id`)
	return err
}
