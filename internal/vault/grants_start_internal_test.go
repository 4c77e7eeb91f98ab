package vault

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

// At the start only the grants that were claimed are looked at, however many
// there are.
func TestNewGrants_FreesClaimsWithoutReadingEveryGrant(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var plan []string
	require.NoError(t, db.Read(t.Context(), func(tx *sqlite.Tx) error {
		plan, err = sqlite.All(t.Context(), tx, func(from sqlite.Row) (line string, err error) {
			var id, parent, unused int
			err = from.Scan(&id, &parent, &unused, &line)
			return line, err
		}, "EXPLAIN QUERY PLAN "+releaseAll)
		return err
	}))
	require.Len(t, plan, 1)
	require.Contains(t, plan[0], "grants_claimed")
}
