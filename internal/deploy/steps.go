package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// reserve gives the attempt a place for each instance; they are stored before
// a container is made for them.
func (a *attempt) reserve() {
	if len(a.berths) > 0 {
		return
	}
	now := a.s.now()
	for n := range a.release.Spec.Replicas {
		i := Instance{
			ID: sqlite.NewID(now), Project: a.d.Project, Stage: a.d.Stage, Deployment: a.d.ID, Ordinal: n,
			State: InstanceCreated, CreatedAt: now, UpdatedAt: now,
		}
		a.berths = append(a.berths, berth{Instance: i})
		a.later(func(ctx context.Context, tx *sqlite.Tx) error { return insertInstance(ctx, tx, i) })
	}
}

// each does something for every instance at the same time, and has what
// changed of them stored with the end of the step.
func (a *attempt) each(ctx context.Context, do func(context.Context, *berth) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for n := range a.berths {
		b := &a.berths[n]
		group.Go(func() error {
			err := do(ctx, b)
			if err != nil && len(a.berths) > 1 {
				err = fmt.Errorf("instance %d: %w", b.Ordinal, err)
			}
			return err
		})
	}
	err := group.Wait()
	for _, b := range a.berths {
		a.later(func(ctx context.Context, tx *sqlite.Tx) error { return a.s.saveInstance(ctx, tx, b.Instance) })
	}
	return err
}

// create makes the containers that are not there.
func (a *attempt) create(ctx context.Context) error {
	r, err := a.s.recipe(ctx, a.d, a.release, a.image)
	if err != nil {
		return err
	}
	// Another Berth may have made them since the preflight.
	if err := a.s.volumesOwn(ctx, a.d.Project, a.d.Stage, a.release.Spec); err != nil {
		return err
	}
	return a.each(ctx, func(ctx context.Context, b *berth) error {
		if b.seen.Exists {
			return nil
		}
		id, err := a.s.create(ctx, r, b.Instance)
		if err != nil {
			return engineRefused("create the container", err)
		}
		b.Container, b.State, b.Address, b.seen = id, InstanceCreated, "", Observation{Exists: true}
		return nil
	})
}

// start starts the containers that do not run, and learns their addresses.
func (a *attempt) start(ctx context.Context) error {
	return a.each(ctx, func(ctx context.Context, b *berth) error {
		if b.seen.Running {
			return nil
		}
		c, err := a.s.start(ctx, a.log(), &b.Instance, func(ctx context.Context) error { return a.createAnew(ctx, b) })
		if err != nil {
			return engineRefused("start the container", err)
		}
		if c.State != container.StateRunning {
			return fault.Unavailable("the container %s", ended(c, a.release.Spec))
		}
		if c.Address == "" {
			return fault.Unavailable("the container engine published no port for the container")
		}
		b.Address, b.State, b.seen.Running = c.Address, InstanceStarting, true
		return nil
	})
}

// createAnew makes another container for an instance.
func (a *attempt) createAnew(ctx context.Context, b *berth) error {
	r, err := a.s.recipe(ctx, a.d, a.release, a.image)
	if err != nil {
		return err
	}
	b.Container, err = a.s.create(ctx, r, b.Instance)
	return err
}

// probe waits until every instance is ready, or one is not in time.
func (a *attempt) probe(ctx context.Context) error {
	began := a.s.clock()
	err := a.each(ctx, func(ctx context.Context, b *berth) error {
		if err := a.s.awaitReady(ctx, a.release.Spec, b.Instance); err != nil {
			return err
		}
		b.State, b.Detail, b.seen.Ready = InstanceReady, "", true
		return nil
	})
	if err != nil {
		return err
	}
	a.say("ready after %s", a.s.clock().Sub(began).Round(time.Millisecond))
	return nil
}

// point gives the stage's route to the attempt, in the transaction that says
// so: past it nothing takes it back, and no older deployment comes after it.
func (a *attempt) point(ctx context.Context, tx *sqlite.Tx) error {
	if a.pointed {
		return nil // by an earlier process
	}
	canceled, err := isCanceled(ctx, tx, a.d.ID)
	if err != nil {
		return err
	}
	if canceled {
		return errCanceled
	}
	if a.before, err = servedBy(ctx, tx, a.stage.ID); err != nil {
		return err
	}
	now, err := stageByID(ctx, tx, a.stage.ID)
	if err != nil {
		return err
	}
	if err := a.noRouteBeside(ctx, tx); err != nil {
		return err // the route was made, and the stage's address changed, since the preflight
	}
	a.stage.Maintenance, a.stage.Spec.Access = now.Maintenance, now.Spec.Access
	ok, err := pointStage(ctx, tx, a.d, a.release.Spec)
	switch {
	case sqlite.IsUnique(err):
		return fault.Conflict("%s is served by another stage", a.release.Spec.Hostname+a.release.Spec.PathPrefix)
	case err != nil:
		return err
	case !ok:
		return fault.Conflict("a newer deployment is live already")
	}
	return nil
}

// switchRoute has requests go to the new instances, and has the deployment
// told as live when they do.
func (a *attempt) switchRoute(ctx context.Context) error {
	a.s.canaries.set(a.stage.ID, nil)
	a.answered = a.s.meter.Answers(a.d.ID)
	ready := make([]Instance, len(a.berths))
	resumed := false
	for n, b := range a.berths {
		ready[n] = b.Instance
		resumed = resumed || !b.seen.Ready
	}
	if resumed {
		// An earlier process pointed the stage, and its instances may have
		// ended since.
		if _, err := a.s.lookAfter(ctx, a.stage.ID, true); err != nil {
			return err
		}
	} else if err := a.s.switchTo(ctx, routeOf(a.stage, a.d.Deployment, a.release.Spec, ready), a.release.Spec); err != nil {
		return a.unswitch(ctx, err)
	}
	a.say("the route points to generation %d", a.d.Generation)
	a.later(a.announce)
	return nil
}

// announce stores that the deployment is live, and that the instances before
// it are not used any more.
func (a *attempt) announce(ctx context.Context, tx *sqlite.Tx) error {
	from := a.d.State
	a.d.State = Live
	if ok, err := moveDeployment(ctx, tx, a.d, from); err != nil || !ok {
		return errors.Join(err, unless(ok, errTaken))
	}
	if err := a.s.emitDeployment(ctx, tx, a.d); err != nil {
		return err
	}
	if err := a.s.noteHealth(ctx, tx, a.d.ID); err != nil {
		return err
	}
	// An instance may have ended between its last probe and now.
	tx.OnCommit(func() { a.s.keepLater(a.stage.ID) })
	old, err := onceLive(ctx, tx, a.stage.ID, a.d.Generation)
	if err != nil {
		return err
	}
	return a.s.markInstances(ctx, tx, old, InstanceDraining)
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// markInstances stores the same state for all instances of deployments.
func (s *Service) markInstances(ctx context.Context, tx *sqlite.Tx, of []deployment, state InstanceState) error {
	for _, d := range of {
		instances, err := instancesOf(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		for _, i := range instances[d.ID] {
			if i.State == state {
				continue
			}
			i.State, i.Detail = state, ""
			if state == InstanceStopped {
				i.Address = ""
			}
			if err := s.saveInstance(ctx, tx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// unswitch gives the route back when the router would not take the new one.
func (a *attempt) unswitch(ctx context.Context, why error) error {
	err := a.commit(ctx, func(tx *sqlite.Tx) error { return unpointStage(ctx, tx, a.d, a.before) })
	if err != nil {
		return errors.Join(why, err)
	}
	a.pointed = false
	return fault.Unavailable("the router did not take the route").Because(why)
}

// old gives the deployments that this one takes the place of.
func (a *attempt) old(ctx context.Context) (list []deployment, err error) {
	err = a.s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = onceLive(ctx, tx, a.stage.ID, a.d.Generation)
		return err
	})
	return list, err
}

// drain waits for what the old instances still answer, and cuts what takes
// longer than it may.
func (a *attempt) drain(ctx context.Context) error {
	list, err := a.old(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		a.step.Detail = "nothing was live before"
		a.leave(StepSkipped)
		return nil
	}
	spec := a.release.Spec
	cut := 0
	for _, o := range list {
		n, err := a.s.router.Drain(ctx, o.ID, time.Duration(spec.DrainTimeout), time.Duration(spec.StreamDrainTimeout))
		if err != nil {
			return fmt.Errorf("drain deployment %s: %w", o.ID, err)
		}
		cut += n
	}
	if cut > 0 {
		a.step.Detail = fmt.Sprintf("%d took longer than they may and were cut", cut)
	}
	if spec.KeepOld > 0 {
		until := a.s.now().Add(time.Duration(spec.KeepOld))
		for _, o := range list {
			a.later(func(ctx context.Context, tx *sqlite.Tx) error { return setStopAt(ctx, tx, o.ID, until) })
		}
		a.leave(StepDone)
		a.skip(StopOld, "the old instances are kept until "+until.Format(time.RFC3339))
		a.later(func(_ context.Context, tx *sqlite.Tx) error { tx.OnCommit(a.s.retireSoon); return nil })
	}
	return nil
}

// stop ends the old instances. An engine that does not do it now is asked
// again later: the new release is live all the same.
func (a *attempt) stop(ctx context.Context) error {
	list, err := a.old(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		a.leave(StepSkipped)
		return nil
	}
	for _, o := range list {
		err := a.s.retire(ctx, o, a.later)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		a.log().WarnContext(ctx, "old instances not stopped yet", "old", o.ID, "error", err)
		a.step.Detail = "the container engine did not stop the old instances; it is asked again"
		a.later(func(ctx context.Context, tx *sqlite.Tx) error {
			tx.OnCommit(a.s.retireSoon)
			return setStopAt(ctx, tx, o.ID, a.s.now())
		})
	}
	if a.step.Detail != "" {
		a.leave(StepFailed)
	}
	return nil
}

// engineRefused words what an engine said to a person's configuration.
func engineRefused(what string, err error) error {
	if fault.KindOf(err) != fault.Internal || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Unavailable("the container engine did not %s: %s", what, engineWords(err)).Because(err)
}
