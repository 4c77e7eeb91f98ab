package notify_test

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"berth/internal/secret"
	"berth/internal/sqlite"
)

func secretText(s string) secret.Text { return secret.New(s) }

// keepsSecret looks for words in all that was logged, in every column of every
// table, which holds events and errors, and in what lists give.
func (r *rig) keepsSecret(words ...string) {
	r.t.Helper()
	var all strings.Builder
	all.WriteString(r.logged.String())
	channels, err := r.Channels(r.t.Context(), "")
	require.NoError(r.t, err)
	fmt.Fprintf(&all, "%+v %+v", channels, r.sent())
	require.NoError(r.t, r.db.Read(r.t.Context(), func(tx *sqlite.Tx) error {
		for _, table := range []string{"events", "notify_channels", "notify_deliveries", "slots"} {
			rows, err := tx.QueryContext(r.t.Context(), "SELECT * FROM "+table)
			require.NoError(r.t, err)
			defer rows.Close()
			columns, err := rows.Columns()
			require.NoError(r.t, err)
			for rows.Next() {
				values, to := make([]any, len(columns)), make([]any, len(columns))
				for i := range values {
					to[i] = &values[i]
				}
				require.NoError(r.t, rows.Scan(to...))
				for _, v := range values {
					if b, ok := v.([]byte); ok {
						v = string(b)
					}
					fmt.Fprintln(&all, v)
				}
			}
			require.NoError(r.t, rows.Err())
		}
		return nil
	}))
	for _, w := range words {
		require.NotContains(r.t, all.String(), w)
	}
}
