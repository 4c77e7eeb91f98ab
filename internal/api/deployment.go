package api

import (
	"context"
	"strconv"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
)

type started struct {
	Location string `header:"Location"`
	Body     deploy.Deployment
}

// accepted answers with a deployment that has been asked for.
func accepted(d deploy.Deployment, err error) (*started, error) {
	if err != nil {
		return nil, err
	}
	return &started{Location: "/api/deployments/" + d.ID, Body: whole(d)}, nil
}

// whole makes an empty list of no steps, as the contract has it.
func whole(d deploy.Deployment) deploy.Deployment {
	d.Steps = notNull(d.Steps)
	return d
}

// triggerOf says what asks: the dashboard comes with a session.
func triggerOf(s identity.Subject) deploy.Trigger {
	if s.Via == identity.ViaSession {
		return deploy.TriggerPerson
	}
	return deploy.TriggerAPI
}

type startDeploymentInput struct {
	StagePath
	Body struct {
		Reference string `json:"reference" maxLength:"300" doc:"A tag, a digest, or an image with either; empty is the tag latest" example:"1.4"`
	}
}

func (a *API) startDeployment(ctx context.Context, in *startDeploymentInput) (*started, error) {
	c := callerOf(ctx)
	return accepted(a.deploy.Start(ctx, deploy.StartRequest{
		Project: in.Project, Stage: in.Stage, Reference: in.Body.Reference,
		Trigger: triggerOf(c.who()), Actor: c.actor(),
	}))
}

func (a *API) redeploy(ctx context.Context, in *StagePath) (*started, error) {
	c := callerOf(ctx)
	return accepted(a.deploy.Redeploy(ctx, c.actor(), in.Project, in.Stage, triggerOf(c.who())))
}

type rollBackInput struct {
	StagePath
	Body struct {
		Release string `json:"release" minLength:"1" maxLength:"64" doc:"A release's id"`
	}
}

func (a *API) rollBack(ctx context.Context, in *rollBackInput) (*started, error) {
	c := callerOf(ctx)
	return accepted(a.deploy.Rollback(ctx, c.actor(), in.Project, in.Stage, in.Body.Release, triggerOf(c.who())))
}

type listReleasesInput struct {
	StagePath
	Page
}

func (a *API) listReleases(ctx context.Context, in *listReleasesInput) (*listOutput[deploy.Release], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	found, next, err := a.deploy.Releases(ctx, in.Project, in.Stage, deploy.Page{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

type compareReleaseInput struct {
	StagePath
	Release string `path:"release" maxLength:"64"`
}

// Comparison is what rolling back would change.
type Comparison struct {
	Changes []deploy.Change `json:"changes"`
}

func (a *API) compareRelease(ctx context.Context, in *compareReleaseInput) (*output[Comparison], error) {
	changes, err := a.deploy.Compare(ctx, in.Project, in.Stage, in.Release)
	if err != nil {
		return nil, err
	}
	return answer(Comparison{Changes: notNull(changes)}), nil
}

type listDeploymentsInput struct {
	Page
	Project string       `query:"project" maxLength:"64"`
	Stage   string       `query:"stage" maxLength:"64"`
	State   deploy.State `query:"state"`
}

func (a *API) listDeployments(ctx context.Context, in *listDeploymentsInput) (*listOutput[deploy.Deployment], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	project, stage, err := callerOf(ctx).narrow(in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	found, next, err := a.deploy.Deployments(ctx,
		deploy.DeploymentFilter{Project: project, Stage: stage, State: in.State},
		deploy.Page{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = whole(found[i])
	}
	return list(found, next), nil
}

func (a *API) getDeployment(ctx context.Context, in *idInput) (*output[deploy.Deployment], error) {
	d, err := a.deploy.Deployment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(whole(d)), nil
}

func (a *API) cancelDeployment(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, a.deploy.Cancel(ctx, callerOf(ctx).actor(), in.ID)
}

func (a *API) continueDeployment(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, a.deploy.GoOn(ctx, callerOf(ctx).actor(), in.ID)
}

type deploymentLogInput struct {
	ID    string `path:"id" maxLength:"64"`
	After int64  `query:"after" minimum:"0" doc:"Events above this id"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (a *API) deploymentLog(ctx context.Context, in *deploymentLogInput) (*listOutput[event.Event], error) {
	if _, err := a.deploy.Deployment(ctx, in.ID); err != nil {
		return nil, err
	}
	found, err := a.events.Since(ctx, in.After, event.Filter{Deployment: in.ID}, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(found) > in.Limit {
		found = found[:in.Limit]
		next = strconv.FormatInt(found[in.Limit-1].ID, 10)
	}
	return list(found, next), nil
}
