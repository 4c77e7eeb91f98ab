package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/sqlite"
)

func TestJobRuns_AreThoseOfTheStageInThePath(t *testing.T) {
	s := newServer(t)
	s.places()
	blog, err := s.deploy.Stage(t.Context(), "blog", "prod")
	require.NoError(t, err)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO job_runs (id, stage_id, job, state, trigger, task, overlap, due_at, finished_at)
			VALUES ('r1', ?, 'tidy', 'succeeded', 'schedule', '{"command": ["tidy"]}', 'skip', 1, 2)`, blog.ID)
		return err
	}))
	require.Contains(t, s.do(admin, "GET", "/api/projects/blog/stages/prod/job-runs", "").body, `"id":"r1"`)
	as := s.bound("ana", identity.ScopeDeploy, "shop", "prod")
	for _, path := range []string{"/r1", "/r1/log"} {
		require.Equal(t, http.StatusOK, s.do(admin, "GET", "/api/projects/blog/stages/prod/job-runs"+path, "").StatusCode)
		got := s.do(nobody, "GET", "/api/projects/shop/stages/prod/job-runs"+path, "", as)
		require.Equal(t, http.StatusNotFound, got.StatusCode, "it is another stage's")
	}
	require.Equal(t, http.StatusNotFound, s.do(nobody, "POST", "/api/projects/shop/stages/prod/job-runs/r1/cancel", "{}", as).StatusCode)
	require.Equal(t, http.StatusConflict, s.do(admin, "POST", "/api/projects/blog/stages/prod/job-runs/r1/cancel", "{}").StatusCode)
}

func TestPreviewSchedule_SaysWhenOrWhatIsWrong(t *testing.T) {
	s := newServer(t)
	got := s.do(member, "GET", "/api/schedule?schedule=0+12+*+*+*&time_zone=Europe/Berlin", "")
	require.Equal(t, http.StatusOK, got.StatusCode, got.body)
	require.Contains(t, got.body, "T12:00:00+0")
	got = s.do(member, "GET", "/api/schedule?schedule=nonsense", "")
	require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	require.Contains(t, got.body, `"location":"body.schedule"`)
}
