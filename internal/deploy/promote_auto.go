package deploy

import (
	"context"
	"errors"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// promoteRest is how long nothing is looked at when nothing is due and nothing
// changes.
const promoteRest = time.Hour

// promoteSoon has the stages that promote by themselves looked at anew.
func (s *Service) promoteSoon() {
	select {
	case s.promoting <- struct{}{}:
	default:
	}
}

// promoteDue promotes what has been healthy for its time, until ctx ends. All
// that it decides by is in the database, so that a restart changes nothing.
func (s *Service) promoteDue(ctx context.Context) {
	select {
	case <-s.ready: // before that, what is stored of instances may be old
	case <-ctx.Done():
		return
	}
	retry := firstRetry
	for {
		next, err := s.promoteNow(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "releases not promoted yet; trying again", "error", err)
			next, retry = retry, min(2*retry, longestRetry)
		} else {
			retry = firstRetry
		}
		if !pause(ctx, next, s.promoting) {
			return
		}
	}
}

// promoteNow promotes what is due and says how long nothing else is.
func (s *Service) promoteNow(ctx context.Context) (next time.Duration, err error) {
	var stages []stage
	due := map[string]time.Time{}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if stages, err = promotingStages(ctx, tx); err != nil {
			return err
		}
		for _, st := range stages {
			if !st.Spec.AutoPromote {
				continue
			}
			p, err := findProspect(ctx, tx, st)
			if err != nil {
				return err
			}
			if at, ever := Due(p); ever {
				due[st.ID] = at
			}
		}
		return nil
	})
	next = promoteRest
	var failed []error
	for _, st := range stages {
		at, ever := due[st.ID]
		if !ever {
			continue
		}
		if wait := at.Sub(s.clock()); wait > 0 {
			next = min(next, wait)
			continue
		}
		if err := s.promoteByItself(ctx, st); err != nil {
			failed = append(failed, err)
		}
	}
	return next, errors.Join(err, errors.Join(failed...))
}

// promoteByItself looks once more at what is about to be promoted, in the
// engine itself, decides again by what that came to, and asks for it.
func (s *Service) promoteByItself(ctx context.Context, st stage) error {
	if err := s.lookAgainAt(ctx, st.Project, st.Spec.PromoteFrom); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, st.Project, st.Name)
		if err != nil {
			return unless(fault.KindOf(err) == fault.Missing, err)
		}
		p, err := findProspect(ctx, tx, st)
		if err != nil {
			return err
		}
		if at, ever := Due(p); !ever || !st.Spec.AutoPromote || at.After(s.clock()) {
			return nil
		}
		source, err := findSource(ctx, tx, st)
		if err != nil {
			return err
		}
		o, err := liveOffer(ctx, tx, source)
		if err != nil {
			return err
		}
		d, err := s.promotion(ctx, tx, st, o, TriggerPromote, "berth")
		if err != nil {
			return err
		}
		_, err = s.request(ctx, tx, st, d)
		return err
	})
}

// lookAgainAt has what a stage serves compared with the engine, and stored as
// it is there.
func (s *Service) lookAgainAt(ctx context.Context, project, name string) error {
	var id string
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		id = st.ID
		return unless(fault.KindOf(err) == fault.Missing, err)
	})
	if err != nil || id == "" {
		return err
	}
	defer s.locks.hold(id)()
	found, err := s.lookAfter(ctx, id, false)
	if len(found.probe) > 0 || found.again > 0 {
		s.keepLater(id)
	}
	return err
}

// findProspect reads what Due decides by. A stage whose source is gone, or
// serves nothing, has nothing to promote.
func findProspect(ctx context.Context, tx *sqlite.Tx, st stage) (p Prospect, err error) {
	source, err := findSource(ctx, tx, st)
	if fault.KindOf(err) == fault.Missing || (err == nil && source.LiveDeployment == "") {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	there, err := deploymentByID(ctx, tx, source.LiveDeployment)
	if err != nil {
		return p, err
	}
	p = Prospect{
		After: time.Duration(st.Spec.PromoteAfter), Deployment: there.ID, Digest: there.Digest, HealthySince: there.health.since,
	}
	if st.LiveDeployment != "" {
		here, err := deploymentByID(ctx, tx, st.LiveDeployment)
		if err != nil {
			return p, err
		}
		p.Live = here.Digest
	}
	if p.Watched, err = isGuarded(ctx, tx, there.ID); err != nil {
		return p, err
	}
	if p.Tried, err = promotedBefore(ctx, tx, st.ID, there.ID); err != nil {
		return p, err
	}
	p.Busy, err = isBusy(ctx, tx, st.ID)
	p.Busy = p.Busy || st.Paused != nil
	return p, err
}
