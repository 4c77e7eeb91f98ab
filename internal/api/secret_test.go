package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestShowSecret_AsksWhoeverProvedItLongAgo(t *testing.T) {
	const path = "/api/secrets/project%2Fshop/API_KEY/value"
	s := newServer(t)
	cookie := s.session(admin)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE sessions SET authenticated_at = ?`, time.Now().Add(-11*time.Minute).UnixMilli())
		return err
	}))
	answer := s.do(nobody, http.MethodGet, path, "", func(r *http.Request) {
		r.AddCookie(cookie)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	require.Equal(t, http.StatusForbidden, answer.StatusCode, answer.body)
	require.Contains(t, answer.body, `"code":"step_up"`)
	require.NotContains(t, answer.body, "hunter2")
}
