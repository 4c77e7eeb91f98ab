package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestAll_ReadsEveryRowAndGivesNoNil(t *testing.T) {
	db := openNotes(t)
	text := func(row sqlite.Row) (s string, err error) {
		err = row.Scan(&s)
		return s, err
	}
	number := func(row sqlite.Row) (n int, err error) {
		err = row.Scan(&n)
		return n, err
	}
	require.NoError(t, db.Read(t.Context(), func(tx *sqlite.Tx) error {
		in, args := sqlite.Placeholders([]string{"a", "b"})
		require.Equal(t, "?, ?", in)
		list, err := sqlite.All(t.Context(), tx, text, `SELECT ?1 UNION ALL SELECT ?2`, args...)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, list)

		list, err = sqlite.All(t.Context(), tx, text, `SELECT 'a' WHERE 0`)
		require.NoError(t, err)
		require.NotNil(t, list)
		require.Empty(t, list)

		numbers, err := sqlite.All(t.Context(), tx, number, `SELECT 1 UNION ALL SELECT 'no number'`)
		require.Error(t, err)
		require.Nil(t, numbers)
		return nil
	}))
}
