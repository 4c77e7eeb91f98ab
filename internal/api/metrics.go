package api

import (
	"context"
	"time"

	"berth/internal/deploy"
	"berth/internal/gateway"
)

// HowFarBack chooses the time of a chart.
type HowFarBack struct {
	Minutes int `query:"minutes" minimum:"1" maximum:"20160" default:"60" doc:"How far back, up to 14 days"`
}

// pointsMost is how many steps of a chart tell enough.
const pointsMost = 360

// step is of how many minutes a chart has one figure: it grows with the time,
// so that an answer stays small. It divides an hour, so that steps begin where
// people look for them.
func (b HowFarBack) step() int {
	for _, step := range []int{1, 5, 10, 15, 30} {
		if b.Minutes <= step*pointsMost {
			return step
		}
	}
	return 60
}

// RouteMetrics is what passed through a route.
type RouteMetrics struct {
	Step  int              `json:"step" doc:"Minutes that each item is of: 1 for up to six hours, then more"`
	Items []gateway.Minute `json:"items" doc:"Without gaps, the oldest first; the last is under way"`
}

type routeMetricsInput struct {
	RoutePath
	HowFarBack
}

func (a *API) routeMetrics(ctx context.Context, in *routeMetricsInput) (*output[RouteMetrics], error) {
	r, err := a.deploy.FixedRoute(ctx, in.Route)
	if err != nil {
		return nil, err
	}
	return a.metricsOf(ctx, r.ID, in.HowFarBack)
}

type stageMetricsInput struct {
	StagePath
	HowFarBack
}

func (a *API) stageMetrics(ctx context.Context, in *stageMetricsInput) (*output[RouteMetrics], error) {
	s, err := a.deploy.Stage(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return a.metricsOf(ctx, s.ID, in.HowFarBack)
}

func (a *API) metricsOf(ctx context.Context, id string, back HowFarBack) (*output[RouteMetrics], error) {
	now, step := a.clock(), back.step()
	found, err := a.gateway.Series(ctx, id, now.Add(-time.Duration(back.Minutes)*time.Minute), now, time.Duration(step)*time.Minute)
	if err != nil {
		return nil, err
	}
	return answer(RouteMetrics{Step: step, Items: found}), nil
}

type stageUsageInput struct {
	StagePath
	HowFarBack
}

func (a *API) stageUsage(ctx context.Context, in *stageUsageInput) (*output[deploy.Usage], error) {
	u, err := a.deploy.Usage(ctx, in.Project, in.Stage, in.Minutes, in.step())
	if err != nil {
		return nil, err
	}
	return answer(u), nil
}
