package deploy

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/sqlite"
)

// known is what the database says about what should be in the engine.
type known struct {
	live  []*served
	inUse map[string]bool   // deployments that may have containers
	runs  map[string]string // of jobs, not over; by their ids the stages'
	work  []string          // stages with deployments to run, resume or clean up
}

// readKnown reads it in a few queries, however much it is.
func (s *Service) readKnown(ctx context.Context) (k known, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		stages, err := liveStages(ctx, tx)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(stages, 1000) {
			list, err := servedOf(ctx, tx, part)
			if err != nil {
				return err
			}
			k.live = append(k.live, list...)
		}
		if k.inUse, err = inUse(ctx, tx); err != nil {
			return err
		}
		if k.runs, err = unfinished(ctx, tx); err != nil {
			return err
		}
		k.work, err = stagesWithWork(ctx, tx)
		return err
	})
	return k, err
}

// announceRoutes has the router know every live route, without instances,
// before the engine was asked: it says that they are starting.
func (s *Service) announceRoutes(ctx context.Context) error {
	k, err := s.readKnown(ctx)
	if err != nil {
		return err
	}
	for _, v := range k.live {
		v.instances = nil
		if err := s.switchTo(ctx, v.route(), v.release.Spec); err != nil {
			return fmt.Errorf("announce the route of %s/%s: %w", v.stage.Project, v.stage.Name, err)
		}
	}
	return nil
}

// reconcile compares what should be in the engine with what is, has the
// difference seen to, and removes containers that belong to nothing. The
// first time it also routes what runs, has begun deployments resumed, and
// lets new work in.
func (s *Service) reconcile(ctx context.Context) error {
	// The engine is asked before the database: a container that is made
	// meanwhile belongs to a deployment that the database knows then.
	list, err := s.runtime.List(ctx, map[string]string{labelServer: s.server})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	k, err := s.readKnown(ctx)
	if err != nil {
		return err
	}
	if !s.reconciled.Load() {
		unsure, err := s.routeWhatRuns(ctx, k.live)
		if err != nil {
			return err
		}
		s.admit()
		for _, id := range unsure {
			s.keepLater(id)
		}
		// What was asked for until now woke nobody.
		if k, err = s.readKnown(ctx); err != nil {
			return err
		}
	}
	for _, v := range k.live {
		if !s.looksWell(v, list) {
			s.keepLater(v.stage.ID)
		}
	}
	for _, id := range k.work {
		s.deployLater(id)
		s.giveWayLater(id)
	}
	for _, stageID := range k.runs {
		s.runLater(stageID)
	}
	s.removeOrphans(ctx, k, list)
	if s.reconciled.CompareAndSwap(false, true) {
		close(s.ready)
	}
	return nil
}

// routeWhatRuns points the routes to the live instances that run and are
// their own, each asked of the engine. One that the engine can say nothing of
// (a container that a power cut broke) keeps no other stage from being served:
// its own is among those that it is not sure of.
func (s *Service) routeWhatRuns(ctx context.Context, live []*served) (unsure []string, err error) {
	failed := make([]bool, len(live))
	var group errgroup.Group
	group.SetLimit(engineAtATime)
	for n, v := range live {
		group.Go(func() error {
			defer s.locks.hold(v.stage.ID)()
			_, err := s.lookAfter(ctx, v.stage.ID, false)
			if err == nil {
				return nil
			}
			failed[n] = true
			s.logOf(v).WarnContext(ctx, "live release not routed yet", "error", err)
			return s.engine.gone(ctx, s.runtime, err)
		})
	}
	err = group.Wait()
	for n, v := range live {
		if failed[n] {
			unsure = append(unsure, v.stage.ID)
		}
	}
	return unsure, err
}

// looksWell says that the list of containers has every instance of what a
// stage serves, running where the database has it.
func (s *Service) looksWell(v *served, list []container.Container) bool {
	for _, i := range v.instances {
		n := slices.IndexFunc(list, func(c container.Container) bool { return c.ID == i.Container && s.owns(c, i) })
		if n < 0 || i.State != InstanceReady || list[n].State != container.StateRunning ||
			(list[n].Address != "" && list[n].Address != i.Address) {
			return false
		}
	}
	return true
}

// removeOrphans removes containers of this Berth whose deployment is not in
// use, those of a live one that are not its instances, and those of runs that
// are over.
func (s *Service) removeOrphans(ctx context.Context, k known, list []container.Container) {
	stageOf := map[string]string{}
	for _, v := range k.live {
		stageOf[v.deployment.ID] = v.stage.ID
	}
	for _, c := range list {
		if s.archives.has(c.Labels[labelArchive]) {
			continue
		}
		id := c.Labels[labelDeployment]
		if k.runs[c.Labels[labelRun]] != "" {
			continue
		}
		stageID, live := stageOf[id]
		if k.inUse[id] && (!live || !s.stray(ctx, stageID, c)) {
			continue
		}
		s.log.InfoContext(ctx, "removing a container that belongs to nothing", "container", c.Name, "deployment", id)
		if err := s.removeContainer(ctx, c); err != nil {
			s.log.WarnContext(ctx, "container not removed", "container", c.Name, "error", err)
		}
	}
}

// stray says that a container of a live deployment is not one of its
// instances, once nobody is about to make it one.
func (s *Service) stray(ctx context.Context, stageID string, c container.Container) bool {
	defer s.locks.hold(stageID)()
	v, err := s.readServed(ctx, stageID)
	if err != nil || v == nil || v.deployment.ID != c.Labels[labelDeployment] {
		return false
	}
	if c.Labels[labelCommand] != "" {
		return !v.deployment.FinishedAt.IsZero()
	}
	return !slices.ContainsFunc(v.instances, func(i Instance) bool { return i.Container == c.ID })
}
