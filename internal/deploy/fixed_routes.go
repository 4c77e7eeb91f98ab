package deploy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// FixedRoutes gives the routes that no stage makes, by name; next is empty in
// the last part.
func (s *Service) FixedRoutes(ctx context.Context, p Page) (list []FixedRoute, next string, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		list, err = listFixed(ctx, tx, p.Cursor, p.limit()+1)
		return err
	})
	if len(list) > p.limit() {
		list = list[:p.limit()]
		next = list[len(list)-1].Name
	}
	return list, next, err
}

// AllFixedRoutes gives all of them, by name.
func (s *Service) AllFixedRoutes(ctx context.Context) (list []FixedRoute, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		list, err = listFixed(ctx, tx, "", -1)
		return err
	})
	return list, err
}

// FixedRoute gives one; fault.NotFound when there is none of that name.
func (s *Service) FixedRoute(ctx context.Context, name string) (r FixedRoute, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if r, err = findFixed(ctx, tx, name); err == nil {
			r.Beside, err = stagesBeside(ctx, tx, r.Spec.Hostname)
		}
		return err
	})
	return r, err
}

// CreateFixedRoute stores a route; fault.Conflict when there is one of that
// name. It counts when it returns. Stages that are at its host already keep
// their paths, and are named in what is made.
func (s *Service) CreateFixedRoute(ctx context.Context, actor, name string, spec FixedSpec) (made FixedRoute, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		made, err = s.CreateFixedRouteIn(ctx, tx, actor, name, spec)
		return err
	})
	if err != nil {
		return FixedRoute{}, err
	}
	return made, nil
}

// CreateFixedRouteIn is CreateFixedRoute as a part of a transaction. What it
// refuses, it refuses before it has written anything.
func (s *Service) CreateFixedRouteIn(ctx context.Context, tx *sqlite.Tx, actor, name string, spec FixedSpec) (FixedRoute, error) {
	var found checks
	found.name("name", name)
	if _, err := findFixed(ctx, tx, name); fault.KindOf(err) != fault.Missing {
		return FixedRoute{}, errors.Join(err, unless(err != nil, fault.Conflict("there is a route named %q already", name)))
	}
	spec = spec.Normalise()
	if err := s.checkFixed(ctx, tx, &found, FixedRoute{}, spec); err != nil {
		return FixedRoute{}, err
	}
	now := s.now()
	r := FixedRoute{ID: sqlite.NewID(now), Name: name, Spec: spec, CreatedAt: now, UpdatedAt: now, Version: 1}
	if err := insertFixed(ctx, tx, r); err != nil {
		return FixedRoute{}, err
	}
	if err := s.emitFixedAccess(ctx, tx, actor, r, FixedSpec{}.Normalise()); err != nil {
		return FixedRoute{}, err
	}
	var err error
	if r.Beside, err = stagesBeside(ctx, tx, spec.Hostname); err != nil {
		return FixedRoute{}, err
	}
	return r, s.emitFixed(ctx, tx, eventRouteCreated, actor, r)
}

// UpdateFixedRoute saves the configuration over the version that its author
// saw; fault.Conflict when there is a newer one. It counts when it returns.
func (s *Service) UpdateFixedRoute(ctx context.Context, actor, name string, version int64, spec FixedSpec) (saved FixedRoute, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		saved, err = s.UpdateFixedRouteIn(ctx, tx, actor, name, version, spec)
		return err
	})
	if err != nil {
		return FixedRoute{}, err
	}
	return saved, nil
}

// UpdateFixedRouteIn is UpdateFixedRoute as a part of a transaction. What it
// refuses, it refuses before it has written anything.
func (s *Service) UpdateFixedRouteIn(ctx context.Context, tx *sqlite.Tx, actor, name string, version int64, spec FixedSpec) (FixedRoute, error) {
	r, err := findFixed(ctx, tx, name)
	if err != nil {
		return FixedRoute{}, err
	}
	var found checks
	spec = spec.Normalise()
	if err := s.checkFixed(ctx, tx, &found, r, spec); err != nil {
		return FixedRoute{}, err
	}
	before := r.Spec
	r.Spec, r.Version, r.UpdatedAt = spec, version+1, s.now()
	if ok, err := updateFixed(ctx, tx, r); err != nil || !ok {
		return FixedRoute{}, errors.Join(err, unless(ok, fault.Conflict("route %q was changed meanwhile; look at it again", name)))
	}
	if err := s.emitFixedAccess(ctx, tx, actor, r, before); err != nil {
		return FixedRoute{}, err
	}
	if r.Beside, err = stagesBeside(ctx, tx, spec.Hostname); err != nil {
		return FixedRoute{}, err
	}
	return r, s.emitFixed(ctx, tx, eventRouteUpdated, actor, r)
}

// RemoveFixedRoute removes a route, and cuts what goes through it.
func (s *Service) RemoveFixedRoute(ctx context.Context, actor, name string) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.RemoveFixedRouteIn(ctx, tx, actor, name) })
}

// RemoveFixedRouteIn is RemoveFixedRoute as a part of a transaction.
func (s *Service) RemoveFixedRouteIn(ctx context.Context, tx *sqlite.Tx, actor, name string) error {
	r, err := findFixed(ctx, tx, name)
	if err != nil {
		return err
	}
	if err := deleteFixed(ctx, tx, r.ID); err != nil {
		return err
	}
	r.Version++
	return s.emitFixed(ctx, tx, eventRouteRemoved, actor, r)
}

// checkFixed gives the fault that names every field that is wrong, with what
// found has already. The address must be free: no stage may have it, saved or
// live, no other route, and not Berth itself. Stages are held to the same in
// their turn, by addressTaken, and come to the host of a route only by whoever
// may say who enters: see routeBeside.
func (s *Service) checkFixed(ctx context.Context, tx *sqlite.Tx, found *checks, was FixedRoute, spec FixedSpec) error {
	found.fixed(spec, s.reserved, s.own)
	if err := found.address(ctx, tx, spec.Hostname, spec.PathPrefix, was.ID); err != nil {
		return err
	}
	if err := s.namesPeople(ctx, tx, found, spec.access()); err != nil {
		return err
	}
	if err := s.claimsOfProviders(ctx, tx, found, was.Spec.access(), spec.access()); err != nil {
		return err
	}
	return fault.InvalidFields(*found)
}

// forgetPersonFixed is the part of ForgetPerson that is about fixed routes.
func (s *Service) forgetPersonFixed(ctx context.Context, tx *sqlite.Tx, actor, username string) error {
	routes, err := listFixed(ctx, tx, "", -1)
	if err != nil {
		return err
	}
	for _, r := range routes {
		without, named := r.Spec.access().Without(username)
		if !named {
			continue
		}
		before := r.Spec
		r.Spec.Access, r.Version, r.UpdatedAt = &without, r.Version+1, s.now()
		if _, err := updateFixed(ctx, tx, r); err != nil {
			return err
		}
		if err := s.emitFixedAccess(ctx, tx, actor, r, before); err != nil {
			return err
		}
		if err := s.emitFixed(ctx, tx, eventRouteUpdated, actor, r); err != nil {
			return err
		}
	}
	return nil
}

// routeData is the data of the events of a fixed route.
type routeData struct {
	ID       string `json:"id"`
	Route    string `json:"route"`
	Hostname string `json:"hostname"`
	Target   string `json:"target,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
	Version  int64  `json:"version"`
}

// emitFixed tells of a change of a route, and has the router take it up.
func (s *Service) emitFixed(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, r FixedRoute) error {
	tx.OnCommit(func() { s.routeFixed(context.WithoutCancel(ctx), r, kind == eventRouteRemoved) })
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor},
		routeData{r.ID, r.Name, r.Spec.Hostname + r.Spec.PathPrefix, r.Spec.Target, r.Spec.Disabled, r.Version})
}

func (s *Service) emitFixedAccess(ctx context.Context, tx *sqlite.Tx, actor string, r FixedRoute, before FixedSpec) error {
	was, is := before.access(), r.Spec.access()
	if same, err := samePolicy(was, is); err != nil || same {
		return err
	}
	return s.events.Append(ctx, tx, event.Event{Kind: eventAccessChanged, Actor: actor},
		accessData{Route: r.Name, Hostname: r.Spec.Hostname, From: was, To: is})
}

// route gives what the router is told of a route.
func (r FixedRoute) route() Route {
	s := r.Spec
	to := Route{
		StageID: r.ID, Hostname: s.Hostname, PathPrefix: s.PathPrefix, StripPrefix: s.StripPrefix, Protocol: HTTP1,
		RequestTimeout: time.Duration(s.RequestTimeout), MaxBodyBytes: s.MaxBodyBytes, Access: s.access(),
		Fixed: &Fixed{Name: r.Name},
	}
	target, err := parseTarget(s.Target)
	if err != nil { // none, or one that is not taken any more
		return to
	}
	to.Fixed.Target = target.String()
	if s.Protocol == TargetHTTP2 {
		to.Protocol = H2C
	}
	if s.Host == HostUpstream {
		to.Fixed.Host = target.authority()
	}
	e := Endpoint{Instance: r.ID, Address: target.address(), Guarded: true}
	if target.tls {
		e.TLSName = target.host
	}
	to.Instances = []Endpoint{e}
	return to
}

// announced is what the router was last told of fixed routes. What commits in
// one order may be told in another, so that a version never follows a newer
// one, and an address that another still has is tried again when that moved.
type announced struct {
	mu      sync.Mutex
	newest  map[string]int64 // by id
	waiting []FixedRoute     // their address was taken
}

// routeFixed has the router serve a route as it is, or not any more.
func (s *Service) routeFixed(ctx context.Context, r FixedRoute, gone bool) {
	a := &s.announced
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Version <= a.newest[r.ID] {
		return
	}
	if a.newest == nil {
		a.newest = map[string]int64{}
	}
	a.newest[r.ID] = r.Version
	waiting := slices.DeleteFunc(a.waiting, func(w FixedRoute) bool { return w.ID == r.ID })
	a.waiting = nil
	if gone || r.Spec.Disabled {
		if err := s.router.Remove(ctx, r.ID); err != nil {
			s.log.ErrorContext(ctx, "route not removed", "route", r.Name, "error", err)
		}
	} else {
		waiting = append(waiting, r)
	}
	for _, w := range waiting {
		switch err := s.router.Switch(ctx, w.route()); {
		case fault.KindOf(err) == fault.Clash:
			a.waiting = append(a.waiting, w)
			fallthrough
		case err != nil:
			s.log.ErrorContext(ctx, "route not changed", "route", w.Name, "error", err)
		}
	}
}

// announceFixed has the router know every fixed route.
func (s *Service) announceFixed(ctx context.Context) error {
	list, err := s.AllFixedRoutes(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		s.routeFixed(ctx, r, false)
	}
	return nil
}
