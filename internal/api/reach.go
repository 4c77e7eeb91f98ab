package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

// reach is what of Berth a route is about, which counts for API tokens that
// are bound to a project or a stage. The zero reach is all of Berth: a bound
// token gets nothing there.
type reach int

const (
	allOfBerth    reach = iota
	oneStage            // that of the path
	oneDeployment       // that of the path, by its id
	oneInstance         // that of the path, by its id
	oneRepository       // that of the query
	itsOwn              // a list or stream, which the handler narrows: see caller.narrow
)

// boundToken says in the API's document what a bound token gets of a route.
func (r rule) boundToken() string {
	switch {
	case r.public, r.action == identity.ActionOneself, r.action == identity.ActionEndToken:
		return "as any token"
	case r.reach == oneStage, r.reach == oneDeployment, r.reach == oneInstance:
		return "of its own stages"
	case r.reach == oneRepository:
		return "of its project's image"
	case r.reach == itsOwn:
		return "only what is of its own stages"
	}
	return "refused"
}

// admits says whether a request passes its route's rule.
func (a *API) admits(c huma.Context, r rule) error {
	who := callerOf(c.Context())
	if r.public || who.subject == nil || who.subject.Bounds == nil {
		return who.allowed(r, identity.On{}) // what it is on counts for bound tokens alone
	}
	on, err := a.target(c, r.reach, who.subject.Bounds)
	if err != nil {
		return err
	}
	return who.allowed(r, on)
}

// target finds what a bound token's request is on.
func (a *API) target(c huma.Context, what reach, b *identity.Bounds) (identity.On, error) {
	switch what {
	case oneStage:
		return identity.On{Project: c.Param("project"), Stage: c.Param("stage")}, nil
	case oneDeployment:
		d, err := a.deploy.Deployment(c.Context(), c.Param("id"))
		return identity.On{Project: d.Project, Stage: d.Stage}, notMissing(err)
	case oneInstance:
		i, err := a.deploy.Instance(c.Context(), c.Param("id"))
		return identity.On{Project: i.Project, Stage: i.Stage}, notMissing(err)
	case oneRepository:
		return identity.On{Repository: c.Query("repository")}, nil
	case itsOwn:
		return identity.On{Project: b.Project, Stage: b.Stage}, nil
	case allOfBerth:
	}
	return identity.On{}, nil
}

// notMissing lets what is not there be refused as what belongs to others is:
// a bound token learns of neither.
func notMissing(err error) error {
	if fault.KindOf(err) == fault.Missing {
		return nil
	}
	return err
}

// narrow holds what a list is asked for to what the caller may see: nothing
// is changed but for a bound token, which asks for its own or is refused.
func (c *caller) narrow(project, stage string) (string, string, error) {
	if c.subject.Bounds == nil {
		return project, stage, nil
	}
	if project == "" {
		project = c.subject.Bounds.Project
	}
	if stage == "" {
		stage = c.subject.Bounds.Stage
	}
	return project, stage, identity.Decide(c.subject, identity.ActionRead, identity.On{Project: project, Stage: stage})
}

// projectFor gives a project with the stages that the caller may see.
func (a *API) projectFor(ctx context.Context, name string) (deploy.ProjectStatus, error) {
	name, stage, err := callerOf(ctx).narrow(name, "")
	if err != nil {
		return deploy.ProjectStatus{}, err
	}
	p, err := a.deploy.Project(ctx, name)
	if err != nil || stage == "" {
		return p, err
	}
	own := []deploy.StageStatus{}
	for _, s := range p.Stages {
		if s.Name == stage {
			own = append(own, s)
		}
	}
	p.Stages = own
	return p, nil
}
