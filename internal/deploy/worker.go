package deploy

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/sqlite"
)

// deployLater has a stage's deployments worked on.
func (s *Service) deployLater(stageID string) {
	s.jobs.start(jobKey{jobDeploy, stageID})
}

// deploy works on a stage's deployments until there are none, or no new work
// may be begun.
func (s *Service) deploy(ctx context.Context, stageID string, _ <-chan struct{}) {
	retry := firstRetry
	for s.jobs.isOpen() && ctx.Err() == nil {
		more, err := s.deployNext(ctx, stageID)
		if err == nil && !more {
			return
		}
		if err == nil || ctx.Err() != nil {
			retry = firstRetry
			continue
		}
		s.log.ErrorContext(ctx, "deployment not worked on; trying again", "stage_id", stageID, "error", err)
		if !s.jobs.pause(ctx, retry) {
			return
		}
		retry = min(2*retry, longestRetry)
	}
}

// deployNext works on one deployment. more says that there was one.
func (s *Service) deployNext(ctx context.Context, stageID string) (more bool, err error) {
	var d deployment
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		d, err = nextDeployment(ctx, tx, stageID)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	ctx, untrack := s.jobs.track(ctx, d.ID)
	defer untrack()
	a, err := s.take(ctx, d)
	if err != nil {
		return true, err
	}
	began := time.Now()
	err = a.run(ctx)
	s.log.InfoContext(ctx, "deployment worked on", "project", d.Project, "stage", d.Stage, "deployment", d.ID,
		"generation", d.Generation, "tag", d.Reference, "state", a.d.State, "took", time.Since(began))
	return true, err
}
