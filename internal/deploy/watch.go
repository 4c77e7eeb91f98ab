package deploy

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/sqlite"
)

const (
	sweepSoon  = 2 * time.Second // after the engine was found: what happened while that was
	sweepEvery = time.Minute
)

// watch follows what happens to containers until ctx ends. Each time that it
// finds the engine, anew or at first, it looks at everything.
func (s *Service) watch(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.engine.set(true) {
			s.log.ErrorContext(ctx, "the container engine does not answer; routes stay as they are", "error", err)
		}
		if time.Since(began) > longestRetry {
			retry = firstRetry
		}
		if !pause(ctx, retry, nil) {
			return
		}
		retry = min(2*retry, longestRetry)
	}
}

// follow reconciles and acts on the engine's events until these end.
func (s *Service) follow(ctx context.Context) error {
	if _, err := s.runtime.Info(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for e, err := range s.runtime.Events(ctx, map[string]string{labelServer: s.server}) {
			if err != nil {
				return err
			}
			s.heard(ctx, e)
		}
		return errors.New("the engine's events ended")
	})
	group.Go(func() error { return s.sweep(ctx) })
	return group.Wait()
}

// sweep reconciles now, soon, and then slowly, for what no event told.
func (s *Service) sweep(ctx context.Context) error {
	next := sweepSoon
	for {
		if err := s.reconcile(ctx); err != nil {
			return err
		}
		if s.engine.set(false) {
			s.log.InfoContext(ctx, "the container engine answers again")
		}
		if !pause(ctx, next, nil) {
			return ctx.Err()
		}
		next = sweepEvery
	}
}

// heard acts on one event: what serves a stage is looked after.
func (s *Service) heard(ctx context.Context, e container.Event) {
	var stages []string
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		stages, err = sqlite.All(ctx, tx, scanText, `
			SELECT id
			FROM stages
			WHERE live_deployment = ?`, e.Labels[labelDeployment])
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "event of the container engine not looked at", "container", e.Container, "error", err)
	}
	for _, id := range stages {
		s.keepLater(id)
	}
}
