package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// warmEvery is how often a guard looks at the instances that it may go back to.
const warmEvery = 5 * time.Second

// watchOver watches the release that the route was given to, while the
// instances of the one before stay up and ready. A breach gives the stage back
// to them.
func (a *attempt) watchOver(ctx context.Context) error {
	before, err := a.goesBackTo(ctx)
	if err != nil {
		return err
	}
	switch {
	case a.d.Kind == KindRollback:
		a.step.Detail = "a roll back is not watched: whoever asks for it wants it"
	case before == nil:
		a.step.Detail = "nothing was live before, so there is nothing to go back to"
	}
	if a.step.Detail != "" {
		a.leave(StepSkipped)
		return nil
	}
	w, resumed := a.guardWatch(before)
	// It is watched before anybody can read that it is.
	k := a.s.beginWatch(a.d, a.release.Spec.Guard, w, a.answered)
	defer k.forget()
	if !resumed {
		if err := a.commit(ctx, func(tx *sqlite.Tx) error { return saveWatch(ctx, tx, a.d.ID, w) }); err != nil {
			return err
		}
	}
	a.s.keepLater(a.stage.ID)
	// Neither keeps the release from being judged, nor the stage from being
	// given back.
	beside, end := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { a.s.keepWarm(beside, *before) })
	group.Go(func() { a.probing().run(beside) })
	o, err := k.run(ctx, byHand, func(context.Context) error { return nil })
	end(err)
	if err != nil {
		return err
	}
	w = k.as(o)
	if o.state == Breached {
		a.keepWatch(w)
		return a.goBack(ctx, before, w.Reason)
	}
	a.keepWatch(w)
	a.step.Detail = w.said()
	return nil
}

// probing is that of the instances that the route points to. One that does not
// answer is lost, which is counted once, whether this or a beat finds it.
func (a *attempt) probing() *probing {
	stageID, id := a.stage.ID, a.d.ID
	return &probing{
		s: a.s, spec: a.release.Spec,
		instances: func(ctx context.Context) ([]Instance, error) {
			v, err := a.s.readServed(ctx, stageID)
			if err != nil || v == nil || v.deployment.ID != id {
				return nil, err
			}
			return slices.DeleteFunc(v.instances, func(i Instance) bool { return i.State != InstanceReady }), nil
		},
		silent: func(ctx context.Context, i Instance, why error) {
			a.s.lost(ctx, target{Endpoint: endpointOf(i), stageID: stageID, deployment: id}, why)
		},
	}
}

// byHand says whether somebody asked by hand: a push waits for
// the guard, a person does not.
func byHand(newer []Trigger) bool {
	return slices.Contains(newer, TriggerPerson) || slices.Contains(newer, TriggerAPI)
}

// guardWatch gives the guard's watch: the one that an earlier process began,
// or a new one.
func (a *attempt) guardWatch(before *served) (w Watch, resumed bool) {
	for _, w := range a.d.Watches {
		if w.Phase == WatchGuard && w.State == Watching && w.Previous == before.deployment.ID {
			return w, true
		}
	}
	now, window := a.s.now(), time.Duration(a.release.Spec.Guard.Window)
	return Watch{
		Phase: WatchGuard, State: Watching, Since: now, Until: now.Add(window),
		Previous: before.deployment.ID, Release: before.release.ID, Before: seenOf(a.s.meter.Lately(before.deployment.ID)),
	}, false
}

// goesBackTo gives what was live before the attempt and still has its
// instances; nil when nothing does.
func (a *attempt) goesBackTo(ctx context.Context) (v *served, err error) {
	err = a.s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err := onceLive(ctx, tx, a.stage.ID, a.d.Generation)
		if err != nil || len(list) == 0 {
			return err
		}
		v, err = asServed(ctx, tx, a.stage, list[len(list)-1])
		return err
	})
	return v, err
}

// asServed gives a deployment as if its stage served it.
func asServed(ctx context.Context, tx *sqlite.Tx, st stage, d deployment) (*served, error) {
	st.LiveDeployment = d.ID
	list, err := servedOf(ctx, tx, []stage{st})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// keepWarm sees to it that the instances of a release that serves nothing run,
// until ctx ends.
func (s *Service) keepWarm(ctx context.Context, v served) {
	v.instances = slices.Clone(v.instances)
	for {
		for n := range v.instances {
			i := v.instances[n]
			if _, err := s.care(ctx, &v, &i, true); err != nil && ctx.Err() == nil {
				s.logOf(&v).WarnContext(ctx, "instance of the release before not looked after", "instance", i.ID, "error", err)
			}
			v.instances[n].Container, v.instances[n].Address = i.Container, i.Address
		}
		if !pause(ctx, warmEvery, nil) {
			return
		}
	}
}

// backTime is how long the way back waits for one instance where another
// answers.
const backTime = 2 * time.Second

// readyAgain gives the instances of a release that serves nothing, as they are
// stored by now, those that answer as ready; fault.Unavailable when none does
// in the time of its probe.
func (s *Service) readyAgain(ctx context.Context, v *served) ([]Instance, error) {
	var stored map[string][]Instance
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		stored, err = instancesOf(ctx, tx, v.deployment.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	spec := v.release.Spec
	full := spec.Probe.Timeout
	for spec.Probe.Timeout = min(full, Duration(backTime)); ; spec.Probe.Timeout = full {
		list := s.askAgain(ctx, spec, stored[v.deployment.ID])
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(i Instance) bool { return i.State == InstanceReady }) {
			return list, nil
		}
		if spec.Probe.Timeout == full {
			return nil, fault.Unavailable("no instance of the release before answers")
		}
	}
}

// askAgain gives instances as they are, asked once.
func (s *Service) askAgain(ctx context.Context, spec StageSpec, instances []Instance) []Instance {
	list := slices.Clone(instances)
	var group errgroup.Group
	for n := range list {
		i := &list[n]
		group.Go(func() error {
			c, err := s.find(ctx, *i)
			if err != nil || c == nil || !running(*c) {
				i.State, i.Address, i.Detail = InstanceDown, "", "its container does not run"
				return nil //nolint:nilerr // it counts as one that does not run
			}
			i.State, i.Address, i.Detail = InstanceStarting, c.Address, ""
			if err := s.probeOnce(ctx, spec, i.Address); err == nil {
				i.State = InstanceReady
			}
			return nil
		})
	}
	_ = group.Wait()
	return list
}

// The moments of going back that tests crash at.
const (
	momentBreach    = "breach"
	momentBack      = "back"
	momentWithdrawn = "withdrawn"
)

// goBack gives the stage back to the release before because of what the step
// under way came to. In one transaction the route's deployment changes and the attempt says why;
// what comes after that is completed by whoever takes it up.
func (a *attempt) goBack(ctx context.Context, to *served, why string) error {
	a.s.crash(ctx, a.d.ID, a.step.Name, momentBreach)
	defer a.s.locks.hold(a.stage.ID)()
	ready, err := a.s.readyAgain(ctx, to)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		a.step.Detail = shorten(why + "; the stage could not be given back: " + fault.Message(err))
		a.say("%s", a.step.Detail)
		a.leave(StepFailed)
		return nil
	}
	back := *to
	back.instances = ready
	reason := shorten(why)
	was := a.d
	a.d.State, a.d.Error, a.d.FailedStep = Reverted, reason, a.step.Name
	a.step.Detail = reason
	a.say("the route goes back to generation %d: %s", to.deployment.Generation, reason)
	a.leave(StepFailed)
	if err := a.commit(ctx, func(tx *sqlite.Tx) error { return a.s.giveBack(ctx, tx, a.d, &back) }); err != nil {
		a.d.State, a.d.Error, a.d.FailedStep = was.State, was.Error, was.FailedStep
		a.flushed()
		return err
	}
	a.pointed = false
	a.log().WarnContext(ctx, "release taken back", "reason", reason, "back_to", to.deployment.ID)
	a.s.crash(ctx, a.d.ID, a.step.Name, momentBack)
	if err := a.s.switchTo(ctx, a.s.routeTo(&back), back.release.Spec); err != nil {
		return fmt.Errorf("point the route back: %w", err) // the undoing points it again
	}
	return nil
}

// giveBack points a stage from d back to the deployment before, whose
// instances are given as they are now. d is left to be undone.
func (s *Service) giveBack(ctx context.Context, tx *sqlite.Tx, d deployment, to *served) error {
	ok, err := repointStage(ctx, tx, d, to.deployment, to.release.Spec)
	switch {
	case sqlite.IsUnique(err):
		return fault.Conflict("%s is served by another stage now", to.release.Spec.Hostname+to.release.Spec.PathPrefix)
	case err != nil || !ok:
		return errors.Join(err, unless(ok, errTaken))
	}
	d.FinishedAt = time.Time{}
	if ok, err := moveDeployment(ctx, tx, d, Live); err != nil || !ok {
		return errors.Join(err, unless(ok, errTaken))
	}
	if err := setStopAt(ctx, tx, to.deployment.ID, time.Time{}); err != nil {
		return err
	}
	for _, i := range to.instances {
		if err := s.saveInstance(ctx, tx, i); err != nil {
			return err
		}
	}
	if err := s.markInstances(ctx, tx, []deployment{d}, InstanceDraining); err != nil {
		return err
	}
	for _, id := range []string{d.ID, to.deployment.ID} {
		if err := s.noteHealth(ctx, tx, id); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { s.keepLater(d.stageID); s.deployLater(d.stageID) })
	return s.emitDeployment(ctx, tx, d)
}

// kept is how long before its instances are stopped a deployment may still be
// gone back to.
const kept = 5 * time.Second

// rollBackWarm gives the stage back to a release whose instances still run,
// which takes no time. It says false when there are none of it.
func (s *Service) rollBackWarm(ctx context.Context, actor string, st stage, back release) (d deployment, ok bool, err error) {
	defer s.locks.hold(st.ID)()
	to, from, err := s.warmOf(ctx, st, back)
	if err != nil || to == nil {
		return d, false, err
	}
	if to.instances, err = s.readyAgain(ctx, to); err != nil {
		return d, false, unless(fault.KindOf(err) == fault.NotNow, err) // then it is made anew
	}
	why := actor + " rolled back to " + back.Reference
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if still, _, err := warmIn(ctx, tx, s.now(), st.ID, back.ID); err != nil || still == nil || still.deployment.ID != to.deployment.ID {
			return errors.Join(err, errTaken)
		}
		if err := s.endWatch(ctx, tx, from, why); err != nil {
			return err
		}
		from.State, from.Error, from.Actor = Reverted, why, actor
		if err := s.giveBack(ctx, tx, from, to); err != nil {
			return err
		}
		d, err = deploymentByID(ctx, tx, to.deployment.ID)
		return errors.Join(err, withSteps(ctx, tx, []*deployment{&d}))
	})
	if errors.Is(err, errTaken) {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	s.log.With(from.attrs()...).InfoContext(ctx, "rolled back to instances that still ran", "back_to", to.deployment.ID)
	if k := s.watchOf(from.ID); k != nil {
		k.nudge()
	}
	return d, true, s.switchTo(ctx, s.routeTo(to), to.release.Spec)
}

// endWatch stores that the watch of a deployment ended, when one runs.
func (s *Service) endWatch(ctx context.Context, tx *sqlite.Tx, d deployment, why string) error {
	k := s.watchOf(d.ID)
	if k == nil {
		return nil
	}
	guard := Step{Name: GuardStep, State: StepFailed, Detail: why, StartedAt: k.snapshot().Since, FinishedAt: s.now()}
	if err := saveStep(ctx, tx, d.ID, guard); err != nil {
		return err
	}
	w := k.as(outcome{Ended, why})
	tx.OnCommit(func() { s.verdicts.count(d, w) })
	err := s.events.Append(ctx, tx, event.Event{Kind: eventStep, Actor: "berth", Project: d.Project, Stage: d.Stage, Deployment: d.ID}, guard)
	return errors.Join(err, saveWatch(ctx, tx, d.ID, w))
}

func (s *Service) warmOf(ctx context.Context, st stage, back release) (to *served, from deployment, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		to, from, err = warmIn(ctx, tx, s.now(), st.ID, back.ID)
		return err
	})
	return to, from, err
}

// warmIn gives the deployment of a release whose instances run unused, and the
// live one: while a guard watches that, or after it for as long as the old
// instances are kept. While they drain they are not to be had.
func warmIn(ctx context.Context, tx *sqlite.Tx, now time.Time, stageID, releaseID string) (to *served, from deployment, err error) {
	v, err := servedBy(ctx, tx, stageID)
	if err != nil || v == nil {
		return nil, from, err
	}
	from = v.deployment
	if err := withSteps(ctx, tx, []*deployment{&from}); err != nil {
		return nil, from, err
	}
	guarded := slices.ContainsFunc(from.Steps, func(s Step) bool { return s.Name == GuardStep && s.State == StepRunning })
	list, err := warm(ctx, tx, stageID, from.ID, releaseID)
	for _, d := range list {
		if guarded && d.stopAt.IsZero() || !from.FinishedAt.IsZero() && d.stopAt.After(now.Add(kept)) {
			to, err = asServed(ctx, tx, v.stage, d)
			return to, from, err
		}
	}
	return nil, from, err
}

// GoOn ends the watch of a deployment well: a canary is given to everybody, a
// guard lets go. fault.Conflict when nothing is watched.
func (s *Service) GoOn(ctx context.Context, actor, id string) error {
	k := s.watchOf(id)
	if k == nil {
		if _, err := s.Deployment(ctx, id); err != nil {
			return err
		}
		return fault.Conflict("this deployment is not being watched")
	}
	why := actor + " ended the " + string(k.snapshot().Phase) + " early"
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{
			Kind: event.DeploymentLog, Actor: actor, Project: k.d.Project, Stage: k.d.Stage, Deployment: id,
		}, logData{Stream: streamBerth, Text: why})
	})
	if err == nil {
		k.endFor(why)
	}
	return err
}
