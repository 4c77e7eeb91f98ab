package api

import (
	"context"

	"berth/internal/registry"
)

type listSourcesInput struct {
	Page
	Project string `query:"project" maxLength:"64" doc:"Only those of this project"`
}

func (a *API) listSources(_ context.Context, in *listSourcesInput) (*listOutput[registry.Source], error) {
	found, next := a.watcher.Sources(in.Project, in.Cursor, in.Limit)
	return list(found, next), nil
}

type pollSourceInput struct {
	Body struct {
		Repository string `json:"repository" minLength:"1" maxLength:"255" doc:"As the project has it, with its host"`
	}
}

func (a *API) pollSource(ctx context.Context, in *pollSourceInput) (*output[registry.Source], error) {
	s, err := a.watcher.Poll(ctx, in.Body.Repository)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}
