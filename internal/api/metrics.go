package api

import (
	"context"
	"maps"
	"slices"
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

// span is the time and its steps, up to now.
func (b HowFarBack) span(now time.Time) (from, to time.Time, step time.Duration) {
	return now.Add(-time.Duration(b.Minutes) * time.Minute), now, time.Duration(b.step()) * time.Minute
}

// RouteMetrics is what passed through a route.
type RouteMetrics struct {
	Step  int              `json:"step" doc:"Minutes that each item is of: 1 for up to six hours, then more"`
	Items []gateway.Minute `json:"items" doc:"Without gaps, the oldest first; the last is under way"`
	// Instances is there where it was asked for. It tells of the 64 newest.
	Instances []InstanceMetrics `json:"instances,omitempty" doc:"Of a stage's, where it was asked for: what each instance answered, the newest first, also those that are gone. A request counts with the instance that had it last, and one that got to none with none"`
}

// InstanceMetrics is what one instance answered.
type InstanceMetrics struct {
	Instance   string               `json:"instance" doc:"Its id"`
	Deployment string               `json:"deployment"`
	Ordinal    int                  `json:"ordinal" doc:"From 0"`
	State      deploy.InstanceState `json:"state"`
	Items      []gateway.Minute     `json:"items" doc:"Those in which it answered nothing are left out"`
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
	Instances bool `query:"instances" doc:"Also of each instance"`
}

func (a *API) stageMetrics(ctx context.Context, in *stageMetricsInput) (*output[RouteMetrics], error) {
	s, err := a.deploy.Stage(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	m, err := a.metricsOf(ctx, s.ID, in.HowFarBack)
	if err == nil && in.Instances {
		m.Body.Instances, err = a.instanceMetrics(ctx, s.ID, in.HowFarBack)
	}
	return m, err
}

func (a *API) instanceMetrics(ctx context.Context, stageID string, back HowFarBack) ([]InstanceMetrics, error) {
	from, to, step := back.span(a.clock())
	served, err := a.gateway.Served(ctx, stageID, from, to, step)
	if err != nil {
		return nil, err
	}
	steps := map[string][]gateway.Minute{}
	for _, s := range served {
		steps[s.Instance] = s.Steps
	}
	instances, err := a.deploy.InstancesNamed(ctx, slices.Collect(maps.Keys(steps)))
	if err != nil {
		return nil, err
	}
	var list []InstanceMetrics
	for _, i := range instances {
		list = append(list, InstanceMetrics{Instance: i.ID, Deployment: i.Deployment, Ordinal: i.Ordinal, State: i.State, Items: steps[i.ID]})
	}
	return list, nil
}

func (a *API) metricsOf(ctx context.Context, id string, back HowFarBack) (*output[RouteMetrics], error) {
	from, to, step := back.span(a.clock())
	found, err := a.gateway.Series(ctx, id, from, to, step)
	if err != nil {
		return nil, err
	}
	return answer(RouteMetrics{Step: back.step(), Items: found}), nil
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
