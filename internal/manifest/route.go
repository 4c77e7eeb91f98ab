package manifest

import (
	"context"

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
	switch c.Action {
	case Create:
		_, err = w.deploy.CreateFixedRouteIn(ctx, w.tx, w.actor, c.Name, spec)
	case Update:
		_, err = w.deploy.UpdateFixedRouteIn(ctx, w.tx, w.actor, c.Name, c.version, spec)
	case Remove:
		err = w.deploy.RemoveFixedRouteIn(ctx, w.tx, w.actor, c.Name)
	case actionDeploy: // in no plan
	}
	return err
}
