package manifest

import (
	"context"
	"fmt"

	"berth/internal/deploy"
)

func (p *planner) routes() {
	walk(p, p.wanted.Routes, p.have.Routes, func(h deploy.FixedRoute) string { return h.Name },
		func(name string, w deploy.FixedSpec, h deploy.FixedRoute, there bool) {
			p.change(there, Change{Kind: KindRoute, Name: name, Fields: ofSpec(h.Spec.Differences(w)), version: h.Version})
		},
		func(h deploy.FixedRoute) Change {
			return Change{Action: Remove, Kind: KindRoute, Name: h.Name, Fields: []deploy.Change{}, version: h.Version}
		})
}

func (w *writing) route(ctx context.Context, c Change) (err error) {
	spec := w.wanted.Routes[c.Name]
	var saved deploy.FixedRoute
	switch c.Action {
	case Create:
		saved, err = w.deploy.CreateFixedRouteIn(ctx, w.tx, w.actor, c.Name, spec)
	case Update:
		saved, err = w.deploy.UpdateFixedRouteIn(ctx, w.tx, w.actor, c.Name, c.version, spec)
	case Remove:
		err = w.deploy.RemoveFixedRouteIn(ctx, w.tx, w.actor, c.Name)
	case actionDeploy: // in no plan
	}
	for _, b := range saved.Beside {
		w.notes = append(w.notes, fmt.Sprintf("%s%s is the stage %s/%s: who enters there, it says, and not the route %s",
			saved.Spec.Hostname, b.PathPrefix, b.Project, b.Stage, c.Name))
	}
	return err
}
