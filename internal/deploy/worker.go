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

// giveWayLater has what a stage served before drained and stopped.
func (s *Service) giveWayLater(stageID string) {
	s.jobs.start(jobKey{jobGiveWay, stageID})
}

// deploy works on a stage's deployments until each is live or came to nothing.
func (s *Service) deploy(ctx context.Context, stageID string, _ <-chan struct{}) {
	s.workOn(ctx, stageID, nextDeployment)
}

// giveWay completes a stage's deployments that are live, one after another:
// what each took the place of drains and stops while the next one is deployed.
func (s *Service) giveWay(ctx context.Context, stageID string, _ <-chan struct{}) {
	s.workOn(ctx, stageID, nextToComplete)
}

// next gives what there is to work on in a stage, sql.ErrNoRows when there is
// nothing.
type next func(ctx context.Context, tx *sqlite.Tx, stageID string) (deployment, error)

// workOn works on a stage's deployments until there are none, or no new work
// may be begun.
func (s *Service) workOn(ctx context.Context, stageID string, next next) {
	retry := firstRetry
	for s.jobs.isOpen() && ctx.Err() == nil {
		more, err := s.workOnNext(ctx, stageID, next)
		if err == nil && !more || errors.Is(err, errShutdown) {
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

// workOnNext works on one deployment. more says that there was one.
func (s *Service) workOnNext(ctx context.Context, stageID string, next next) (more bool, err error) {
	var d deployment
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		d, err = next(ctx, tx, stageID)
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
	a.log().InfoContext(ctx, "deployment worked on", "state", a.d.State, "took", time.Since(began))
	return true, err
}
