package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// canaries holds the routes to releases that some clients try, by stage.
type canaries struct {
	mu     sync.Mutex
	routes map[string]*Route
}

// set remembers a stage's canary; nil is none.
func (c *canaries) set(stageID string, r *Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r == nil {
		delete(c.routes, stageID)
		return
	}
	if c.routes == nil {
		c.routes = map[string]*Route{}
	}
	c.routes[stageID] = r
}

func (c *canaries) of(stageID string) *Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.routes[stageID]
}

// canary gives the new release to a share of the clients and watches it. When
// it is well to the end it stays with them until the switch; when it is not,
// the attempt fails, and the stage never was its.
func (a *attempt) canary(ctx context.Context) error {
	before, err := a.s.readServed(ctx, a.stage.ID)
	if err != nil {
		return err
	}
	if why := a.noCanary(before); why != "" {
		a.step.Detail = why
		a.leave(StepSkipped)
		return nil
	}
	spec, now := a.release.Spec, a.s.now()
	rule := spec.Canary
	w := Watch{
		Phase: WatchCanary, State: Watching, Share: rule.Share, Since: now, Until: now.Add(time.Duration(rule.Duration)),
		Previous: before.deployment.ID, Release: before.release.ID, Before: seenOf(a.s.meter.Lately(before.deployment.ID)),
	}
	a.say("%d %% of the clients go to generation %d for %s", rule.Share, a.d.Generation, time.Duration(rule.Duration))
	// It is watched before anybody can read that it is.
	k := a.s.beginWatch(a.d, spec.Guard, w, Answers{})
	defer k.forget()
	if err := a.commit(ctx, func(tx *sqlite.Tx) error { return saveWatch(ctx, tx, a.d.ID, w) }); err != nil {
		return err
	}
	route := a.canaryRoute(rule.Share)
	a.tried = true
	a.s.canaries.set(a.stage.ID, &route)
	if err := a.s.reroute(ctx, a.stage.ID); err != nil {
		a.keepWatch(k.as(outcome{Ended, "it was stopped"}))
		return fmt.Errorf("point the route to the canary: %w", err)
	}
	instances := a.instances()
	p := probing{
		s: a.s, spec: spec,
		instances: func(context.Context) ([]Instance, error) { return instances, nil },
		silent:    func(_ context.Context, i Instance, why error) { a.s.fell(i, true, why.Error()) },
	}
	beside, end := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { p.run(beside) })
	o, err := k.run(ctx, func([]Trigger) bool { return true }, a.lookAtContainers)
	end()
	group.Wait()
	if err != nil {
		a.keepWatch(k.as(outcome{Ended, "it was stopped"}))
		return err
	}
	w = k.as(o)
	a.keepWatch(w)
	newer := o.reason == errNewer.Error()
	if o.state == Breached || newer {
		// Before anybody is told, or what its containers said is read. Where it
		// fails, the undoing does it again and tells.
		_ = a.unroute(ctx)
	}
	switch {
	case o.state == Breached:
		return fault.Unavailable("the canary did worse than the release before: %s", o.reason)
	case newer:
		a.say("a newer request came, so the canary ends")
		return a.giveUp(ctx, Superseded, "", "a newer request came during its canary")
	}
	a.step.Detail = w.said()
	return nil
}

// noCanary says why there can be none.
func (a *attempt) noCanary(before *served) string {
	spec := a.release.Spec
	switch {
	case before == nil:
		return "nothing was live before"
	case a.d.Kind == KindRollback:
		return "a roll back goes to everybody at once"
	case before.release.Spec.Hostname != spec.Hostname || before.release.Spec.PathPrefix != spec.PathPrefix:
		return "the address changes with this release, so there is none that both could have"
	}
	return ""
}

func (a *attempt) canaryRoute(share int) Route {
	r := routeOf(a.stage, a.d.Deployment, a.release.Spec, a.instances())
	r.Share, r.Maintenance = share, nil
	return r
}

func (a *attempt) instances() []Instance {
	list := make([]Instance, len(a.berths))
	for n, b := range a.berths {
		list[n] = b.Instance
	}
	return list
}

// lookAtContainers counts the containers that ended: nobody starts those of a
// canary again.
func (a *attempt) lookAtContainers(ctx context.Context) error {
	for n := range a.berths {
		b := &a.berths[n]
		if !b.seen.Running {
			continue
		}
		c, err := a.s.find(ctx, b.Instance)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || c != nil && c.State == container.StateRunning:
			continue // an engine that does not answer is no fault of the release
		}
		b.seen = Observation{Exists: c != nil}
		how := "its container was removed"
		if c != nil {
			how = "it " + ended(*c, a.release.Spec)
		}
		a.s.fell(b.Instance, false, how)
	}
	return nil
}

// keepWatch has what was watched stored with the end of the step.
func (a *attempt) keepWatch(w Watch) {
	a.later(func(ctx context.Context, tx *sqlite.Tx) error {
		tx.OnCommit(func() { a.s.verdicts.count(a.d, w) })
		return saveWatch(ctx, tx, a.d.ID, w)
	})
}

// said tells what was seen, for a person.
func (w Watch) said() string {
	text := fmt.Sprintf("%d of %d answers were errors", w.Seen.Errors, w.Seen.Requests)
	if w.Seen.Requests == 0 {
		text = "nothing was asked of it"
	}
	if w.State == Ended {
		text += "; " + w.Reason
	}
	return text
}

// unroute takes the route from a release that some or all of the clients had.
func (a *attempt) unroute(ctx context.Context) error {
	if canary := a.s.canaries.of(a.stage.ID); canary != nil && canary.Deployment == a.d.ID {
		a.s.canaries.set(a.stage.ID, nil)
	}
	defer a.s.locks.hold(a.stage.ID)()
	_, err := a.s.lookAfter(ctx, a.stage.ID, false)
	return err
}

// withdraw takes the route from a release, and waits for what it still answers.
func (a *attempt) withdraw(ctx context.Context) error {
	if err := a.unroute(ctx); err != nil {
		return err
	}
	spec := a.release.Spec
	if _, err := a.s.router.Drain(ctx, a.d.ID, time.Duration(spec.DrainTimeout), time.Duration(spec.StreamDrainTimeout)); err != nil {
		return fmt.Errorf("drain deployment %s: %w", a.d.ID, err)
	}
	return nil
}
