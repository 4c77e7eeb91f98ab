package gateway

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"berth/internal/identity"
)

// App is a route as somebody sees it who may enter.
type App struct {
	Name   string        // of the stage as project/stage, or of the route that no stage makes
	On     identity.On   // the stage, which a bound token may be for
	URL    string        // the first address of it that they may open
	Public bool          // everybody may
	Need   identity.Need // what they must prove first; NeedNothing when the sign-in is enough
}

// Apps lists what somebody may enter, by name: what the gate of each route says
// of them, here and now, decides. Who may open a part of an app alone is given
// that part's address. nil is nobody, who enters what is public.
func (g *Gateway) Apps(subject *identity.Subject, from netip.Addr, at time.Time) []App {
	visit := identity.Visit{Method: http.MethodGet, Address: from, At: at}
	apps := []App{}
	now := g.table.current.Load()
	for host, routes := range now.hosts {
		for _, to := range routes {
			if app, open := now.appAt(host, to, subject, visit); open {
				app.URL = g.addressOf(host).JoinPath(app.URL).String()
				apps = append(apps, app)
			}
		}
	}
	slices.SortFunc(apps, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
	return apps
}

// appAt looks for the first way into a route that is open to somebody: the
// route's own path, then those that its rules name. An open one is better than
// one where more must be proved first. Its URL is the path alone.
func (s *snapshot) appAt(host string, to *route, subject *identity.Subject, visit identity.Visit) (app App, open bool) {
	visit.On = identity.On{Project: to.Project, Stage: to.Stage}
	for _, path := range to.ways() {
		r, safe := read(&url.URL{Path: path})
		if !safe {
			continue
		}
		if ours, same := r.toBerth(); ours || !same {
			continue
		}
		if found, same := s.route(host, r); !same || found != to {
			continue // another route has this part of the host
		}
		visit.Path, visit.Others = r.path, r.others()
		switch v := to.gate.Enter(subject, visit); {
		case v.Allowed:
			return App{Name: to.name(), On: visit.On, URL: path, Public: v.Why == identity.WhyPublic}, true
		case !open && (v.Need == identity.NeedStronger || v.Need == identity.NeedFresher):
			app, open = App{Name: to.name(), On: visit.On, URL: path, Need: v.Need}, true
		}
	}
	return app, open
}

// ways are the paths that a route's rules tell apart, its own first.
func (r *route) ways() []string {
	ways := []string{r.PathPrefix}
	for _, rule := range r.Access.Rules {
		for _, path := range rule.Paths {
			if !slices.Contains(ways, path) {
				ways = append(ways, path)
			}
		}
	}
	return ways
}

func (r *route) name() string {
	if r.Fixed != nil {
		return r.Fixed.Name
	}
	return r.Project + "/" + r.Stage
}
