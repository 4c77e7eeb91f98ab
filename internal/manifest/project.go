package manifest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"berth/internal/deploy"
	"berth/internal/fault"
)

func (p *planner) projects() {
	walk(p, p.wanted.Projects, p.have.Projects, func(h deploy.SavedProject) string { return h.Name }, p.project, removedProject)
}

func (p *planner) project(name string, w Project, h deploy.SavedProject, there bool) {
	p.change(there, Change{
		Kind: KindProject, Name: name, project: name, version: h.Version,
		Fields: differences("image", h.Image, w.Image, "description", h.Description, w.Description),
	})
	walk(p, w.Stages, h.Stages, func(s deploy.Stage) string { return s.Name }, func(stage string, w deploy.StageSpec, h deploy.Stage, there bool) {
		p.stage(name, stage, w, h, there)
	}, removedStage)
}

func (p *planner) stage(project, name string, w deploy.StageSpec, h deploy.Stage, there bool) {
	before := deploy.StageSpec{}.Normalise() // its defaults go without saying
	if there {
		before = h.Spec.Normalise()
	}
	p.change(there, Change{
		Kind: KindStage, Name: project + "/" + name, project: project, stage: name, version: h.Version,
		Fields: ofSpec(deploy.Differences(before, w.Normalise())),
	})
}

// ofSpec names fields of a spec as a document does.
func ofSpec(fields []deploy.Change) []deploy.Change {
	for n := range fields {
		fields[n].Field = strings.TrimPrefix(fields[n].Field, "spec.")
	}
	return fields
}

func removedProject(h deploy.SavedProject) Change {
	c := Change{Action: Remove, Kind: KindProject, Name: h.Name, Fields: []deploy.Change{}, project: h.Name, version: h.Version}
	for _, s := range h.Stages {
		stage := removedStage(s)
		c.Live = c.Live || stage.Live
		c.KeptVolumes = append(c.KeptVolumes, stage.KeptVolumes...)
		c.Fields = append(c.Fields, deploy.Change{Field: "stages." + s.Name, From: s.Spec.Hostname + s.Spec.PathPrefix})
		c.version += s.Version // each of them only grows
	}
	return c
}

func removedStage(s deploy.Stage) Change {
	return Change{
		Action: Remove, Kind: KindStage, Name: s.Project + "/" + s.Name, Fields: []deploy.Change{}, Live: s.LiveDeployment != "",
		KeptVolumes: deploy.VolumeNames(s.Project, s.Name, s.Spec), project: s.Project, stage: s.Name, version: s.Version,
	}
}

func (w *writing) stage(ctx context.Context, c Change) (err error) {
	spec := w.wanted.Projects[c.project].Stages[c.stage]
	if c.Action == Create {
		_, err = w.deploy.CreateStageIn(ctx, w.tx, w.actor, c.project, c.stage, spec, w.allow...)
		return err
	}
	_, err = w.deploy.UpdateStageIn(ctx, w.tx, w.actor, c.project, c.stage, c.version, spec, w.allow...)
	return err
}

func (w *writing) project(ctx context.Context, c Change) error {
	p := w.wanted.Projects[c.project]
	if c.Action == Create {
		_, err := w.deploy.CreateProjectIn(ctx, w.tx, w.actor, deploy.Project{Name: c.project, Image: p.Image, Description: p.Description})
		return err
	}
	_, err := w.deploy.UpdateProjectIn(ctx, w.tx, w.actor, c.project, c.version,
		deploy.ProjectEdit{Image: &p.Image, Description: &p.Description})
	return err
}

// remove removes what a plan says, a stage after those that promote from it.
func (s *Service) remove(ctx context.Context, actor string, plan Plan, result *Result) {
	open := plan.later()
	for {
		var refused []Change
		var failed []Failure
		for _, c := range open {
			kept, err := s.removeOne(ctx, actor, c)
			result.KeptVolumes = append(result.KeptVolumes, kept...)
			if err == nil || fault.KindOf(err) == fault.Missing {
				result.Applied = append(result.Applied, c)
				continue
			}
			if fault.KindOf(err) == fault.Internal {
				s.log.ErrorContext(ctx, "removal failed", "kind", string(c.Kind), "name", c.Name, "error", err)
			}
			refused = append(refused, c)
			failed = append(failed, Failure{Action: Remove, Kind: c.Kind, Name: c.Name, Reason: fault.Message(err)})
		}
		if len(refused) == len(open) || len(refused) == 0 {
			result.Failed = append(result.Failed, failed...)
			slices.Sort(result.KeptVolumes)
			return
		}
		open = refused
	}
}

func (s *Service) removeOne(ctx context.Context, actor string, c Change) (keptVolumes []string, err error) {
	if c.Kind == KindProject {
		return s.deploy.RemoveProject(ctx, actor, c.project)
	}
	return s.deploy.RemoveStage(ctx, actor, c.project, c.stage)
}

// later gives the changes that are made after the transaction, stages first.
func (p Plan) later() []Change {
	list := slices.DeleteFunc(slices.Clone(p.Changes), func(c Change) bool { return !c.later() })
	order := map[Kind]int{KindStage: 0, KindProject: 1}
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(order[a.Kind], order[b.Kind]) })
	return list
}

// redeploy asks for a deployment of every stage of a document whose live release
// runs with another configuration than is saved. Doing it again asks for those
// alone that still do.
func (s *Service) redeploy(ctx context.Context, actor string, doc Document, result *Result) {
	for _, project := range slices.Sorted(maps.Keys(doc.Projects)) {
		status, err := s.deploy.Project(ctx, project)
		if err != nil {
			result.Failed = append(result.Failed, Failure{Action: actionDeploy, Kind: KindProject, Name: project, Reason: fault.Message(err)})
			continue
		}
		for _, st := range status.Stages {
			if _, named := doc.Projects[project].Stages[st.Name]; !named || st.Release == nil || len(st.Changes) == 0 {
				continue
			}
			made, err := s.deploy.Redeploy(ctx, actor, project, st.Name, deploy.TriggerAPI)
			if err != nil {
				result.Failed = append(result.Failed, Failure{
					Action: actionDeploy, Kind: KindStage, Name: strings.Join([]string{project, st.Name}, "/"), Reason: fault.Message(err),
				})
				continue
			}
			result.Deployments = append(result.Deployments, made)
		}
	}
}
