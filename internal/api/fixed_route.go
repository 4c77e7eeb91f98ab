package api

import (
	"context"

	"berth/internal/deploy"
)

func (a *API) listRoutes(ctx context.Context, in *Page) (*listOutput[deploy.FixedRoute], error) {
	found, next, err := a.deploy.FixedRoutes(ctx, deploy.Page{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

type createRouteInput struct {
	Body struct {
		Name string           `json:"name" minLength:"1" maxLength:"64"`
		Spec deploy.FixedSpec `json:"spec"`
	}
}

func (a *API) createRoute(ctx context.Context, in *createRouteInput) (*output[deploy.FixedRoute], error) {
	r, err := a.deploy.CreateFixedRoute(ctx, callerOf(ctx).actor(), in.Body.Name, in.Body.Spec)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

// RoutePath names a route in a path.
type RoutePath struct {
	Route string `path:"route" maxLength:"64"`
}

func (a *API) getRoute(ctx context.Context, in *RoutePath) (*output[deploy.FixedRoute], error) {
	r, err := a.deploy.FixedRoute(ctx, in.Route)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

type updateRouteInput struct {
	RoutePath
	Body struct {
		Version int64            `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Spec    deploy.FixedSpec `json:"spec"`
	}
}

func (a *API) updateRoute(ctx context.Context, in *updateRouteInput) (*output[deploy.FixedRoute], error) {
	r, err := a.deploy.UpdateFixedRoute(ctx, callerOf(ctx).actor(), in.Route, in.Body.Version, in.Body.Spec)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

func (a *API) removeRoute(ctx context.Context, in *RoutePath) (*struct{}, error) {
	return nil, a.deploy.RemoveFixedRoute(ctx, callerOf(ctx).actor(), in.Route)
}
