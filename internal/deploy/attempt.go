package deploy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"berth/internal/container"
	"berth/internal/sqlite"
)

// attempt is one deployment while a worker is at it. It belongs to that
// worker's goroutine.
type attempt struct {
	s       *Service
	d       deployment
	stage   stage
	release release // its ID is empty until the preflight is over
	pointed bool
	image   container.Image
	berths  []berth
	before  *served // what the stage served when this began to switch
	tried   bool    // it was routed to as a canary
	picked  func()  // set while it chooses its image
	// answered is what it had answered before the switch, as a canary.
	answered Answers

	step   Step                                      // the one under way
	writes []func(context.Context, *sqlite.Tx) error // to be stored with the step's end
	lines  []logData                                 // the same, of the log
}

// berth is the place of one instance of an attempt, and what was seen of it.
type berth struct {
	Instance
	seen Observation
}

// take loads a deployment with everything that its journal and the engine
// know of it.
func (s *Service) take(ctx context.Context, d deployment) (*attempt, error) {
	a := &attempt{s: s, d: d}
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if err = withSteps(ctx, tx, []*deployment{&a.d}); err != nil {
			return err
		}
		if a.stage, err = stageByID(ctx, tx, d.stageID); err != nil {
			return err
		}
		a.pointed = a.stage.LiveDeployment == d.ID || d.State == Live
		if d.Release != "" {
			if a.release, err = releaseByID(ctx, tx, d.Release); err != nil {
				return err
			}
		}
		instances, err := instancesOf(ctx, tx, d.ID)
		for _, i := range instances[d.ID] {
			a.berths = append(a.berths, berth{Instance: i})
		}
		return err
	})
	if err != nil || d.State == Waiting || d.State == Live {
		return a, err // nothing is made of it yet, or all that matters
	}
	return a, a.observe(ctx)
}

// observe looks for what an earlier process left in the engine.
func (a *attempt) observe(ctx context.Context) error {
	if a.release.imageID != "" {
		image, err := a.s.runtime.Image(ctx, a.release.imageID)
		if err != nil && !errors.Is(err, container.ErrNotFound) {
			return engineAway(err)
		}
		a.image = image
	}
	list, err := a.s.containersOf(ctx, a.d.ID)
	if err != nil {
		return engineAway(err)
	}
	for n := range a.berths {
		b := &a.berths[n]
		for _, c := range list {
			// It may have been created without its id being written down.
			if !a.s.owns(c, b.Instance) || (b.Container != "" && b.Container != c.ID) {
				continue
			}
			b.Container = c.ID
			if c, err = a.s.inspect(ctx, b.Instance); err != nil {
				return engineAway(err)
			}
			b.Address = c.Address
			b.seen = Observation{Exists: true, Running: running(c)}
		}
	}
	return nil
}

// log is Berth's log, with what is known of the attempt in each line.
func (a *attempt) log() *slog.Logger { return a.s.log.With(a.d.attrs()...) }

// run brings the attempt to its end, or as far as ctx allows: what is left is
// in the journal.
func (a *attempt) run(ctx context.Context) error {
	defer a.hasPicked()
	for {
		switch action := Plan(a.situation()); action {
		case Finish:
			return a.finish(ctx)
		case Undo:
			return a.undo(undoing(ctx))
		default:
			if (a.step.Name == SwitchRoute || a.step.Name == GuardStep || a.step.Name == AfterStep) && action == Action(DrainOld) && a.s.jobs.isOpen() {
				return a.handOver(ctx)
			}
			err := a.act(ctx, StepName(action))
			if err != nil {
				err = a.stumble(ctx, StepName(action), err)
			}
			if errors.Is(err, errTaken) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// handOver leaves the old release's draining and stopping to a job of its
// own: the next deployment has no reason to wait for that.
func (a *attempt) handOver(ctx context.Context) error {
	return a.commit(ctx, func(tx *sqlite.Tx) error {
		tx.OnCommit(func() { a.s.giveWayLater(a.stage.ID) })
		return nil
	})
}

// undoing gives the context to undo under: a person's cancelling ends the
// attempt's own, and is what begins the undoing.
func undoing(ctx context.Context) context.Context {
	if errors.Is(context.Cause(ctx), errCanceled) {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// stumble decides what becomes of an attempt whose step ended in an error:
// nil when that is in the journal and there is more to do.
func (a *attempt) stumble(ctx context.Context, step StepName, why error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(why, errTaken):
		return why
	case !a.pointed && (errors.Is(cause, errCanceled) || errors.Is(why, errCanceled)):
		a.d.cancel = true
		return nil
	case cause != nil || a.pointed || errors.Is(why, errShutdown):
		return why // the next process, or the next try, takes it up here
	}
	return a.fail(ctx, step, why)
}

func (a *attempt) situation() Situation {
	s := Situation{
		State: a.d.State, Canceled: a.d.cancel, Pointed: a.pointed, Image: a.image.ID != "",
		Canary: a.release.Spec.Canary.Share > 0, Guard: a.release.Spec.Guard.Window > 0,
		Before: !a.release.Spec.BeforeSwitch.none(), After: !a.release.Spec.AfterSwitch.task().none(),
		Done: make(map[StepName]bool, len(AllSteps)),
	}
	for _, step := range a.d.Steps {
		s.Done[step.Name] = step.State == StepDone || step.State == StepSkipped || (a.pointed && step.State == StepFailed)
	}
	for _, b := range a.berths {
		s.Instances = append(s.Instances, b.seen)
	}
	return s
}

// act writes a step into the journal and does it.
func (a *attempt) act(ctx context.Context, step StepName) error {
	if step == SwitchRoute {
		// Nothing else may point the route while this does.
		defer a.s.locks.hold(a.stage.ID)()
	}
	do := map[StepName]func(context.Context) error{
		Preflight: a.preflight, PullImage: a.pull, CreateStep: a.create, StartStep: a.start,
		ProbeStep: a.probe, CanaryStep: a.canary, SwitchRoute: a.switchRoute, GuardStep: a.watchOver,
		BeforeStep: a.beforeSwitch, AfterStep: a.afterSwitch,
		DrainOld: a.drain, StopOld: a.stop,
	}[step]
	if err := a.enter(ctx, step); err != nil {
		return err
	}
	a.s.crash(ctx, a.d.ID, step, "before")
	if err := do(ctx); err != nil {
		return err
	}
	a.s.crash(ctx, a.d.ID, step, "after")
	a.leave(StepDone)
	return nil
}

func (s *Service) crash(ctx context.Context, deployment string, step StepName, when string) {
	if s.hook != nil {
		s.hook(ctx, deployment, step, when)
	}
}

// now is the time as it is stored.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }
