package deploy

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/sqlite"
)

// The pace of looking again at what is not well.
const (
	lookAgain     = 5 * time.Second
	firstRetry    = 200 * time.Millisecond
	longestRetry  = 15 * time.Second
	stuckGrace    = time.Second // to end by itself, for an instance that does not answer
	engineAtATime = 8           // calls that keepers make of the engine together
)

// pause waits, and says false when ctx ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
		return false
	}
	return true
}

// look is what looking after a stage came to.
type look struct {
	served *served    // nil when nothing is
	probe  []Instance // those that run and are not known to answer
	again  time.Duration
	// doubt says why the engine can't tell how some of them are.
	doubt error
}

// lookAfter brings the instances of what a stage serves to run, when told to
// act, stores how they are, and points the route to those that are ready. One
// that the engine can say nothing of is not, and keeps no other from that. The
// stage's lock is held. An engine that does not answer is an error, and leaves
// all as it was.
func (s *Service) lookAfter(ctx context.Context, stageID string, act bool) (look, error) {
	v, err := s.readServed(ctx, stageID)
	if err != nil || v == nil {
		return look{}, err
	}
	found := look{served: v}
	before := slices.Clone(v.instances)
	cares, doubts := make([]Care, len(v.instances)), make([]error, len(v.instances))
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for n := range v.instances {
		group.Go(func() (err error) {
			cares[n], err = s.care(ctx, v, &v.instances[n], act)
			doubts[n], err = s.inDoubt(ctx, &v.instances[n], err)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return look{}, err
	}
	if err := s.tell(ctx, v, before); err != nil {
		return look{}, err
	}
	found.doubt = errors.Join(doubts...)
	for n, care := range cares {
		switch care {
		case CareNothing:
		case CareProbe:
			found.probe = append(found.probe, v.instances[n])
		case CareStart, CareRecreate, CareWait:
			found.again = sooner(found.again, max(s.restarts.due(v.instances[n].ID).Sub(s.clock()), firstRetry))
		}
	}
	return found, nil
}

// inDoubt tells an engine that failed at one instance, which then gets no
// requests, from one that does not answer at all.
func (s *Service) inDoubt(ctx context.Context, i *Instance, why error) (doubt, err error) {
	if why == nil {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, why
	}
	if err := s.engine.gone(ctx, s.runtime, why); err != nil {
		return nil, err
	}
	i.State, i.Detail = InstanceDown, "the container engine can't tell how it is: "+engineWords(why)
	return why, nil
}

// care does what one instance needs, and gives what is left to do.
func (s *Service) care(ctx context.Context, v *served, i *Instance, act bool) (Care, error) {
	c, err := s.find(ctx, *i)
	if err != nil {
		return CareNothing, err
	}
	var care Care
	if *i, care = Tend(*i, c, v.release.Spec, s.clock(), s.restarts.due(i.ID)); !act {
		return care, nil
	}
	switch care {
	case CareNothing, CareProbe, CareWait:
		return care, nil
	case CareRecreate:
		return s.revive(ctx, v, i, 0, s.recreate)
	case CareStart:
		return s.revive(ctx, v, i, c.Finished.Sub(c.Started), func(context.Context, *served, *Instance) error { return nil })
	}
	return care, nil
}

// find gives an instance's container, nil when there is none of its own.
func (s *Service) find(ctx context.Context, i Instance) (*container.Container, error) {
	c, err := s.inspect(ctx, i)
	if errors.Is(err, container.ErrNotFound) {
		return nil, nil //nolint:nilnil // that there is none is what was asked
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// revive starts an instance's container, once prepare has made sure of it.
func (s *Service) revive(ctx context.Context, v *served, i *Instance, ran time.Duration, prepare func(context.Context, *served, *Instance) error) (Care, error) {
	if s.clock().Before(s.restarts.due(i.ID)) {
		return CareWait, nil
	}
	s.restarts.started(i.ID, s.clock(), ran)
	s.fell(*i, false, i.Detail)
	if err := s.engine.turn(ctx); err != nil {
		return CareWait, err
	}
	defer s.engine.done()
	if err := prepare(ctx, v, i); err != nil {
		i.State, i.Detail = InstanceDown, "it could not be created: "+faultText(err)
		return CareWait, s.engine.gone(ctx, s.runtime, err)
	}
	s.settle(ctx, *i)
	c, err := s.start(ctx, s.logOf(v), i, func(ctx context.Context) error { return s.recreate(ctx, v, i) })
	if err != nil {
		i.State, i.Detail = InstanceDown, "it could not be started: "+engineWords(err)
		return CareWait, s.engine.gone(ctx, s.runtime, err)
	}
	if !running(c) {
		i.State, i.Address, i.Detail = InstanceDown, "", "its container "+ended(c, v.release.Spec)
		return CareWait, nil
	}
	i.State, i.Address, i.Detail = InstanceStarting, c.Address, ""
	return CareProbe, nil
}

// settleTime bounds the wait for an engine to be done with a container that
// ended.
const settleTime = 5 * time.Second

// settle waits until the engine has cleaned up after a container that ended.
// One that is started before that comes up on rootless Podman with nothing
// behind its port, for good.
func (s *Service) settle(ctx context.Context, i Instance) {
	c, err := s.inspect(ctx, i)
	if err != nil || c.State != container.StateExited {
		return
	}
	ctx, stop := context.WithTimeout(ctx, settleTime)
	defer stop()
	_, _ = s.runtime.Wait(ctx, i.Container) // the start says what is wrong
}

// recreate makes an instance's container anew.
func (s *Service) recreate(ctx context.Context, v *served, i *Instance) error {
	image, err := s.imageOf(ctx, v.release)
	if err != nil {
		return err
	}
	r, err := s.recipe(ctx, v.deployment, v.release, image)
	if err != nil {
		return err
	}
	id, err := s.create(ctx, r, *i)
	if err != nil {
		return engineRefused("create the container", err)
	}
	i.Container, i.Address = id, ""
	// Stored before anything else may fail: the sweep takes what is unknown.
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return updateInstance(ctx, tx, *i) })
}

func (s *Service) readServed(ctx context.Context, stageID string) (v *served, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		v, err = servedBy(ctx, tx, stageID)
		return err
	})
	return v, err
}

// lost takes an instance that missed its beats out of its route, and has it
// looked after: it is probed until it answers, and started anew when that
// takes too long.
func (s *Service) lost(ctx context.Context, t target, why error) {
	defer s.locks.hold(t.stageID)()
	v, err := s.readServed(ctx, t.stageID)
	if err == nil && v != nil && v.deployment.ID == t.deployment {
		err = s.markLost(ctx, v, t, why)
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "instance that does not answer still routed to", "deployment", t.deployment, "instance", t.Instance, "error", err)
	}
}

func (s *Service) markLost(ctx context.Context, v *served, t target, why error) error {
	n := slices.IndexFunc(v.instances, func(i Instance) bool {
		return i.ID == t.Instance && i.Container == t.Container && i.Address == t.Address && i.State == InstanceReady
	})
	if n < 0 {
		return nil
	}
	s.logOf(v).WarnContext(ctx, "instance does not answer its probe", "instance", t.Instance, "error", why)
	s.losses.count(v.stage.Stage)
	before := slices.Clone(v.instances)
	v.instances[n].State, v.instances[n].Detail = InstanceDown, "it does not answer its probe: "+why.Error()
	s.fell(v.instances[n], true, why.Error())
	if err := s.tell(ctx, v, before); err != nil {
		return err
	}
	s.keepLater(t.stageID)
	return nil
}

// tell stores what is not as it was before of what a stage serves, and points
// the route to the instances that are ready.
func (s *Service) tell(ctx context.Context, v *served, before []Instance) error {
	if err := s.storeInstances(ctx, before, v.instances); err != nil {
		return err
	}
	return s.switchTo(ctx, s.routeTo(v), v.release.Spec)
}

// switchTo points a route, and has what it points to probed from then on.
func (s *Service) switchTo(ctx context.Context, r Route, spec StageSpec) error {
	if err := s.router.Switch(ctx, r); err != nil {
		return err
	}
	s.beats.follow(r, spec)
	return nil
}

// storeInstances stores those that are not as they were before.
func (s *Service) storeInstances(ctx context.Context, before, after []Instance) error {
	var changes []Instance
	for n, i := range after {
		if i != before[n] {
			changes = append(changes, i)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, i := range changes {
			if err := s.saveInstance(ctx, tx, i); err != nil {
				return err
			}
		}
		return nil
	})
}
