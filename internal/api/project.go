package api

import (
	"context"

	"berth/internal/deploy"
)

func (a *API) listProjects(ctx context.Context, in *Page) (*listOutput[deploy.ProjectStatus], error) {
	if callerOf(ctx).subject.Bounds != nil {
		own, err := a.projectFor(ctx, "")
		if err != nil {
			return nil, err
		}
		return list([]deploy.ProjectStatus{own}, ""), nil
	}
	found, next, err := a.deploy.Projects(ctx, deploy.Page{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

type createProjectInput struct {
	Body struct {
		Name        string `json:"name" minLength:"1" maxLength:"64"`
		Image       string `json:"image" minLength:"1" maxLength:"255" doc:"Repository without tag: shop in the built-in registry, or ghcr.io/ana/shop"`
		Description string `json:"description,omitempty" maxLength:"1000"`
	}
}

func (a *API) createProject(ctx context.Context, in *createProjectInput) (*output[deploy.Project], error) {
	p, err := a.deploy.CreateProject(ctx, callerOf(ctx).actor(), deploy.Project{
		Name: in.Body.Name, Image: in.Body.Image, Description: in.Body.Description,
	})
	if err != nil {
		return nil, err
	}
	return answer(p), nil
}

// ProjectPath names a project in a path.
type ProjectPath struct {
	Project string `path:"project" maxLength:"64"`
}

func (a *API) getProject(ctx context.Context, in *ProjectPath) (*output[deploy.ProjectStatus], error) {
	p, err := a.projectFor(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return answer(p), nil
}

type updateProjectInput struct {
	ProjectPath
	Body struct {
		Version     int64   `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Image       *string `json:"image,omitempty" minLength:"1" maxLength:"255"`
		Description *string `json:"description,omitempty" maxLength:"1000"`
	}
}

func (a *API) updateProject(ctx context.Context, in *updateProjectInput) (*output[deploy.Project], error) {
	p, err := a.deploy.UpdateProject(ctx, callerOf(ctx).actor(), in.Project, in.Body.Version,
		deploy.ProjectEdit{Image: in.Body.Image, Description: in.Body.Description})
	if err != nil {
		return nil, err
	}
	return answer(p), nil
}

// Kept names what a removal leaves.
type Kept struct {
	Volumes []string `json:"kept_volumes" doc:"The engine's volumes that stay, with their data"`
}

func (a *API) removeProject(ctx context.Context, in *ProjectPath) (*output[Kept], error) {
	volumes, err := a.deploy.RemoveProject(ctx, callerOf(ctx).actor(), in.Project)
	if err != nil {
		return nil, err
	}
	return answer(Kept{Volumes: notNull(volumes)}), nil
}
