package deploy

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/sqlite"
)

// retire stops and removes the instances of a deployment that is not used any
// more, and hands what is to be stored then to store.
func (s *Service) retire(ctx context.Context, d deployment, store func(func(context.Context, *sqlite.Tx) error)) error {
	var grace time.Duration
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		r, err := releaseByID(ctx, tx, d.Release)
		grace = time.Duration(r.Spec.StopTimeout)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.clear(ctx, d.ID, grace); err != nil {
		return err
	}
	store(func(ctx context.Context, tx *sqlite.Tx) error {
		gone := d
		gone.State, gone.stopAt = Replaced, time.Time{}
		ok, err := moveDeployment(ctx, tx, gone, Live)
		if err != nil || !ok {
			return err
		}
		if err := s.markInstances(ctx, tx, []deployment{d}, InstanceStopped); err != nil {
			return err
		}
		return s.emitDeployment(ctx, tx, gone)
	})
	return nil
}

// retireSoon has the times to stop looked at anew.
func (s *Service) retireSoon() {
	select {
	case s.retiring <- struct{}{}:
	default:
	}
}

// retireDue stops kept instances when their time has come, until ctx ends.
func (s *Service) retireDue(ctx context.Context) {
	retry := time.Second
	for {
		next, err := s.retireNow(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "old instances not stopped yet; trying again", "error", err)
			next, retry = retry, min(2*retry, time.Minute)
		} else {
			retry = time.Second
		}
		if !pause(ctx, next, s.retiring) {
			return
		}
	}
}

// retireNow stops what is due and says how long nothing else is.
func (s *Service) retireNow(ctx context.Context) (next time.Duration, err error) {
	const most, rest = 64, time.Hour
	var list []deployment
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = dueToStop(ctx, tx, most)
		return err
	})
	if err != nil {
		return 0, err
	}
	next = rest
	if len(list) == most {
		next = time.Millisecond
	}
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for _, d := range list {
		if wait := d.stopAt.Sub(s.clock()); wait > 0 {
			next = min(next, wait)
			break
		}
		group.Go(func() error {
			var write func(context.Context, *sqlite.Tx) error
			if err := s.retire(ctx, d, func(w func(context.Context, *sqlite.Tx) error) { write = w }); err != nil {
				return err
			}
			return s.db.Write(ctx, func(tx *sqlite.Tx) error { return write(ctx, tx) })
		})
	}
	return next, group.Wait()
}
