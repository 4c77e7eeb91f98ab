package deploy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// CheckStage gives spec as it would be saved, or the fault that names every
// field that is wrong. An empty name is a stage that is not there yet.
func (s *Service) CheckStage(ctx context.Context, project, name string, spec StageSpec, allow ...Allowance) (StageSpec, error) {
	spec = spec.Normalise()
	var found checks
	found.spec(spec, s.reserved, s.hostPaths)
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		var st stage
		before := usualAccess()
		if project != "" && name != "" {
			var err error
			switch st, err = findStage(ctx, tx, project, name); {
			case err == nil:
				before = st.Spec.access()
			case fault.KindOf(err) != fault.Missing:
				return err
			}
		}
		found.binds(st.Spec.Mounts, spec.Mounts, allow)
		if err := perimeter(before, spec.access(), allow); err != nil {
			if fault.KindOf(err) != fault.Denied {
				return err
			}
			found = append(found, fault.FieldsOf(err)...)
		}
		if err := found.source(ctx, tx, project, name, spec.PromoteFrom); err != nil {
			return err
		}
		if err := s.namesPeople(ctx, tx, &found, spec.access()); err != nil {
			return err
		}
		if err := s.claimsOfProviders(ctx, tx, &found, before, spec.access()); err != nil {
			return err
		}
		return found.stageAddress(ctx, tx, spec, st.ID, allow)
	})
	if err != nil {
		return spec, err
	}
	return spec, fault.InvalidFields(found)
}

// address says when another stage or fixed route has the address already.
func (c *checks) address(ctx context.Context, tx *sqlite.Tx, hostname, prefix, except string) error {
	by, err := addressTaken(ctx, tx, hostname, prefix, except)
	if by != "" {
		c.add("spec.hostname", "%s is the address of %s", hostname+prefix, by)
	}
	return err
}

// stageAddress says when a stage can't have its address: because something else
// has it, or because the host is a fixed route's and the author may not say who
// enters there, which for the paths of the stage its own policy would.
func (c *checks) stageAddress(ctx context.Context, tx *sqlite.Tx, spec StageSpec, stageID string, allow []Allowance) error {
	found := len(*c)
	if err := c.address(ctx, tx, spec.Hostname, spec.PathPrefix, stageID); err != nil || len(*c) > found || slices.Contains(allow, AllowAccess) {
		return err
	}
	route, err := routeBeside(ctx, tx, stageID, spec)
	if route != "" {
		c.add("spec.hostname", "%s is the host of the route %s, and only administrators put a stage beside a route: take another hostname, or ask one", spec.Hostname, route)
	}
	return err
}

// source says when a stage can't promote from the one that it names: because
// there is none, or because that one promotes from this one in its turn.
func (c *checks) source(ctx context.Context, tx *sqlite.Tx, project, name, from string) error {
	const field = "spec.promote_from"
	switch {
	case from == "" || project == "":
		return nil
	case from == name:
		c.add(field, "a stage does not promote from itself")
		return nil
	}
	if _, err := findStage(ctx, tx, project, from); fault.KindOf(err) == fault.Missing {
		c.add(field, "there is no stage named %q in project %q", from, project)
		return nil
	} else if err != nil {
		return err
	}
	way, seen := []string{name, from}, map[string]bool{from: true}
	for at := from; ; {
		next, err := sourceOf(ctx, tx, project, at)
		if err != nil || next == "" || seen[next] {
			return err
		}
		way = append(way, next)
		if next == name {
			c.add(field, "it would go round: %s", strings.Join(way, " from "))
			return nil
		}
		at, seen[next] = next, true
	}
}

// CreateStage stores a stage of a project; fault.Conflict when the project
// has one of that name. What not every editor may do must be allowed.
func (s *Service) CreateStage(ctx context.Context, actor, project, name string, spec StageSpec, allow ...Allowance) (made Stage, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		made, err = s.CreateStageIn(ctx, tx, actor, project, name, spec, allow...)
		return err
	})
	if err != nil {
		return Stage{}, err
	}
	return made, nil
}

// CreateStageIn is CreateStage as a part of a transaction. What it refuses, it
// refuses before it has written anything.
func (s *Service) CreateStageIn(ctx context.Context, tx *sqlite.Tx, actor, project, name string, spec StageSpec, allow ...Allowance) (Stage, error) {
	spec = spec.Normalise()
	var found checks
	found.name("name", name)
	found.spec(spec, s.reserved, s.hostPaths)
	p, err := findProject(ctx, tx, project)
	if err != nil {
		return Stage{}, err
	}
	if _, err := findStage(ctx, tx, project, name); fault.KindOf(err) != fault.Missing {
		return Stage{}, errors.Join(err, unless(err != nil, fault.Conflict("there is a stage named %q in project %q already", name, project)))
	}
	if err := perimeter(usualAccess(), spec.access(), allow); err != nil {
		return Stage{}, err
	}
	found.binds(nil, spec.Mounts, allow)
	if err := found.stageAddress(ctx, tx, spec, "", allow); err != nil {
		return Stage{}, err
	}
	if err := found.source(ctx, tx, project, name, spec.PromoteFrom); err != nil {
		return Stage{}, err
	}
	if err := s.namesPeople(ctx, tx, &found, spec.access()); err != nil {
		return Stage{}, err
	}
	if err := s.claimsOfProviders(ctx, tx, &found, usualAccess(), spec.access()); err != nil {
		return Stage{}, err
	}
	if err := fault.InvalidFields(found); err != nil {
		return Stage{}, err
	}
	now := s.now()
	st := stage{projectID: p.ID, Stage: Stage{
		ID: sqlite.NewID(now), Project: project, Name: name, Spec: spec, CreatedAt: now, UpdatedAt: now, Version: 1,
	}}
	if err := insertStage(ctx, tx, st); err != nil {
		return Stage{}, err
	}
	if err := s.syncJobs(ctx, tx, st); err != nil {
		return Stage{}, err
	}
	return st.Stage, s.emitStage(ctx, tx, eventStageCreated, actor, st)
}

// UpdateStage saves the configuration over the version that its author saw;
// fault.Conflict when there is a newer one. What runs is not changed by it:
// the next deployment takes it up. Who may enter counts when it returns.
func (s *Service) UpdateStage(ctx context.Context, actor, project, name string, version int64, spec StageSpec, allow ...Allowance) (saved Stage, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		saved, err = s.UpdateStageIn(ctx, tx, actor, project, name, version, spec, allow...)
		return err
	})
	if err != nil {
		return Stage{}, err
	}
	return saved, s.reroute(context.WithoutCancel(ctx), saved.ID)
}

// UpdateStageIn is UpdateStage as a part of a transaction. What it refuses, it
// refuses before it has written anything.
func (s *Service) UpdateStageIn(ctx context.Context, tx *sqlite.Tx, actor, project, name string, version int64, spec StageSpec, allow ...Allowance) (Stage, error) {
	spec = spec.Normalise()
	var found checks
	found.spec(spec, s.reserved, s.hostPaths)
	st, err := findStage(ctx, tx, project, name)
	if err != nil {
		return Stage{}, err
	}
	if err := perimeter(st.Spec.access(), spec.access(), allow); err != nil {
		return Stage{}, err
	}
	found.binds(st.Spec.Mounts, spec.Mounts, allow)
	if err := found.stageAddress(ctx, tx, spec, st.ID, allow); err != nil {
		return Stage{}, err
	}
	if err := found.source(ctx, tx, project, name, spec.PromoteFrom); err != nil {
		return Stage{}, err
	}
	if err := s.namesPeople(ctx, tx, &found, spec.access()); err != nil {
		return Stage{}, err
	}
	if err := s.claimsOfProviders(ctx, tx, &found, st.Spec.access(), spec.access()); err != nil {
		return Stage{}, err
	}
	if err := fault.InvalidFields(found); err != nil {
		return Stage{}, err
	}
	before := st.Spec.access()
	st.Spec, st.Version, st.UpdatedAt = spec, version+1, s.now()
	if ok, err := updateStage(ctx, tx, st); err != nil || !ok {
		return Stage{}, errors.Join(err, unless(ok, fault.Conflict("stage %q was changed meanwhile; look at it again", name)))
	}
	if err := s.syncJobs(ctx, tx, st); err != nil {
		return Stage{}, err
	}
	if err := s.emitAccess(ctx, tx, actor, st, before); err != nil {
		return Stage{}, err
	}
	return st.Stage, s.emitStage(ctx, tx, eventStageUpdated, actor, st)
}

// RemoveStage ends a stage's deployments, takes its route away, and removes
// its containers and everything known of it. It names the volumes that stay.
// fault.Conflict while another stage promotes from it.
func (s *Service) RemoveStage(ctx context.Context, actor, project, name string) (keptVolumes []string, err error) {
	return s.remove(ctx, actor, project, name, false)
}

// remove removes a stage, by itself or with all others of its project.
func (s *Service) remove(ctx context.Context, actor, project, name string, withAll bool) (keptVolumes []string, err error) {
	var st stage
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if st, err = findStage(ctx, tx, project, name); err != nil || withAll {
			return err
		}
		return notASource(ctx, tx, st) // said before anything is stopped
	})
	if err != nil {
		return nil, err
	}
	lift, err := s.jobs.bar(ctx, st.ID)
	if err != nil {
		return nil, err
	}
	keptVolumes, err = s.removeStage(context.WithoutCancel(ctx), actor, st, withAll) // begun, it goes to its end
	lift()
	if err != nil {
		s.deployLater(st.ID)
		s.giveWayLater(st.ID)
		s.keepLater(st.ID)
	}
	return keptVolumes, err
}

// notASource says which stages promote from one.
func notASource(ctx context.Context, tx *sqlite.Tx, st stage) error {
	names, err := promotingFrom(ctx, tx, st.projectID, st.Name)
	if err == nil && len(names) > 0 {
		err = fault.Conflict("%s promotes from %s/%s: change that first", strings.Join(names, " and "), st.Project, st.Name)
	}
	return err
}

func (s *Service) removeStage(ctx context.Context, actor string, st stage, withAll bool) ([]string, error) {
	defer s.locks.hold(st.ID)()
	var deployments []deployment
	var releases []release
	err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if !withAll {
			if err := notASource(ctx, tx, st); err != nil {
				return err
			}
		}
		if deployments, err = listDeployments(ctx, tx, DeploymentFilter{Project: st.Project, Stage: st.Name}, "", -1); err != nil {
			return err
		}
		if releases, err = releasesOf(ctx, tx, st.ID, "", -1); err != nil {
			return err
		}
		if err := s.endTokens(ctx, tx, actor, st.ID); err != nil {
			return err
		}
		if err := deleteStage(ctx, tx, st.ID); err != nil {
			return err
		}
		if err := s.router.Remove(ctx, st.ID); err != nil {
			return err
		}
		s.beats.forget(st.ID)
		s.losses.forget(st.ID)
		s.verdicts.forget(st.ID)
		s.counts.forget(st.ID)
		tx.OnCommit(func() { s.outcomes.forget(st) })
		s.execs.forget(st.Project, st.Name)
		tx.OnCommit(func() { s.usage.forget(st.ID) })
		return s.emitStage(ctx, tx, eventStageRemoved, actor, st)
	})
	if err != nil {
		return nil, err
	}
	// What is not removed now belongs to nothing and is swept later.
	if err := s.removeContainers(ctx, st, deployments); err != nil {
		s.log.WarnContext(ctx, "containers of a removed stage not removed yet", "project", st.Project, "stage", st.Name, "error", err)
	}
	return s.volumesOf(ctx, st, releases), nil
}

func (s *Service) removeContainers(ctx context.Context, st stage, deployments []deployment) error {
	list, err := s.runtime.List(ctx, map[string]string{labelServer: s.server, labelProject: st.Project, labelStage: st.Name})
	if err != nil {
		return err
	}
	own := make(map[string]bool, len(deployments))
	for _, d := range deployments {
		own[d.ID] = true
	}
	list = slices.DeleteFunc(list, func(c container.Container) bool { return !own[c.Labels[labelDeployment]] && c.Labels[labelRun] == "" })
	return s.removeAll(ctx, list, time.Duration(st.Spec.StopTimeout))
}

// volumesOf names the volumes of a stage that are in the engine; when that does not
// answer, those that its configurations named.
func (s *Service) volumesOf(ctx context.Context, st stage, releases []release) []string {
	var names []string
	list, err := s.runtime.Volumes(ctx, map[string]string{labelServer: s.server, labelProject: st.Project, labelStage: st.Name})
	if err == nil {
		for _, v := range list {
			names = append(names, cmp.Or(v.Labels[labelVolume], v.Name))
		}
	} else {
		for _, r := range releases {
			for _, v := range r.Spec.Volumes {
				names = append(names, volumeName(st.Project, st.Name, v))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// emitStage leaves the configuration out of the event: it is long, and
// whoever reads the event may read the stage.
func (s *Service) emitStage(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, st stage) error {
	data := struct {
		ID       string `json:"id"`
		Hostname string `json:"hostname"`
		Version  int64  `json:"version"`
	}{st.ID, st.Spec.Hostname, st.Version}
	tx.OnCommit(s.promoteSoon)
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: st.Project, Stage: st.Name}, data)
}
