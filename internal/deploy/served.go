package deploy

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"berth/internal/sqlite"
)

// served is what a stage serves.
type served struct {
	stage      stage
	deployment deployment
	release    release
	instances  []Instance
}

// servedBy reads what a stage serves; nil when that is nothing, or when there
// is no such stage.
func servedBy(ctx context.Context, tx *sqlite.Tx, stageID string) (*served, error) {
	st, err := stageByID(ctx, tx, stageID)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && st.LiveDeployment == "") {
		return nil, nil //nolint:nilnil // nothing is served, which is not an error
	}
	if err != nil {
		return nil, err
	}
	list, err := servedOf(ctx, tx, []stage{st})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// servedOf reads what stages serve, those that serve nothing left out, in a
// few queries for all of them.
func servedOf(ctx context.Context, tx *sqlite.Tx, stages []stage) ([]*served, error) {
	var ids []string
	for _, st := range stages {
		if st.LiveDeployment != "" {
			ids = append(ids, st.LiveDeployment)
		}
	}
	deployments, err := deploymentsByID(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	releaseIDs := make([]string, 0, len(ids))
	for _, d := range deployments {
		releaseIDs = append(releaseIDs, d.Release)
	}
	releases, err := releasesByID(ctx, tx, releaseIDs)
	if err != nil {
		return nil, err
	}
	instances, err := instancesOf(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	list := make([]*served, 0, len(ids))
	for _, st := range stages {
		if d, ok := deployments[st.LiveDeployment]; ok {
			list = append(list, &served{st, d, releases[d.Release], instances[d.ID]})
		}
	}
	return list, nil
}

// routeOf gives the route of a stage to those of the instances that are ready.
func routeOf(st stage, d Deployment, spec StageSpec, instances []Instance) Route {
	r := Route{
		StageID: st.ID, Project: st.Project, Stage: st.Name,
		Hostname: spec.Hostname, PathPrefix: spec.PathPrefix, StripPrefix: spec.StripPrefix, Protocol: spec.Protocol,
		RequestTimeout: time.Duration(spec.RequestTimeout), MaxBodyBytes: spec.MaxBodyBytes,
		Deployment: d.ID, Reference: d.Reference, Access: st.Spec.access(), Maintenance: st.Maintenance,
	}
	for _, i := range instances {
		if i.State == InstanceReady && i.Address != "" {
			r.Instances = append(r.Instances, endpointOf(i))
		}
	}
	return r
}

func endpointOf(i Instance) Endpoint {
	return Endpoint{Instance: i.ID, Container: i.Container, Address: i.Address}
}

// logOf is Berth's log, with what is known of what is served in each line.
func (s *Service) logOf(v *served) *slog.Logger { return s.log.With(v.deployment.attrs()...) }

// route gives the route to what is served.
func (v *served) route() Route {
	return routeOf(v.stage, v.deployment.Deployment, v.release.Spec, v.instances)
}

// routeTo gives the route to what is served, and to the canary beside it.
func (s *Service) routeTo(v *served) Route {
	r := v.route()
	if canary := s.canaries.of(v.stage.ID); canary != nil && canary.Deployment != r.Deployment {
		r.Canary = canary
	}
	return r
}

// reroute points a stage's route anew to what it serves.
func (s *Service) reroute(ctx context.Context, stageID string) error {
	defer s.locks.hold(stageID)()
	v, err := s.readServed(ctx, stageID)
	if err != nil || v == nil {
		return err
	}
	return s.switchTo(ctx, s.routeTo(v), v.release.Spec)
}
