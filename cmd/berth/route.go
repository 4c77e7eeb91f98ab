package main

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/settings"
)

type routeCommand struct {
	List    routeList    `cmd:"" default:"withargs" help:"List the routes that no stage makes."`
	Show    routeShow    `cmd:"" help:"Show a route, and who may enter."`
	Add     routeAdd     `cmd:"" help:"Add a route to something that Berth does not run."`
	Edit    routeEdit    `cmd:"" help:"Change a route."`
	Access  routeAccess  `cmd:"" help:"Show or say who may enter."`
	Metrics routeMetrics `cmd:"" help:"Show what passed through a route, over time."`
	Remove  routeRemove  `cmd:"" help:"Remove a route, and cut what goes through it."`
}

type routeName struct {
	Route string `arg:"" help:"The route."`
}

func (n routeName) path() string { return pathf("/api/routes/%s", n.Route) }

type routeList struct{}

// Run lists routes.
func (*routeList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[deploy.FixedRoute](ctx, c, "/api/routes", 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, r := range list {
			state := "on"
			if r.Spec.Disabled {
				state = "off"
			}
			rows[i] = []string{r.Name, r.Spec.Hostname + r.Spec.PathPrefix, targetOf(r.Spec), state}
		}
		o.table([]string{"route", "address", "target", "state"}, rows)
	})
}

func targetOf(s deploy.FixedSpec) string {
	if s.Target == "" {
		return "(another proxy)"
	}
	return s.Target
}

type routeShow struct{ routeName }

// Run shows a route.
func (cmd *routeShow) Run(ctx context.Context, c *client, o *output) error {
	var r deploy.FixedRoute
	if err := c.get(ctx, cmd.path(), &r); err != nil {
		return err
	}
	return o.result(r, func() {
		s := r.Spec
		yes := map[bool]string{true: "yes", false: "no"}
		o.pairs(
			[2]string{"route", r.Name}, [2]string{"address", s.Hostname + s.PathPrefix}, [2]string{"target", targetOf(s)},
			[2]string{"on", yes[!s.Disabled]}, [2]string{"host sent", string(s.Host)}, [2]string{"strip prefix", yes[s.StripPrefix]},
			[2]string{"protocol", string(s.Protocol)}, [2]string{"waits", time.Duration(s.RequestTimeout).String()},
			[2]string{"largest body", largestBody(s.MaxBodyBytes)},
		)
		o.beside(r)
		o.printf("\n")
		o.policy(policyOfRoute(s))
	})
}

// beside says which paths of a route's host are not the route's.
func (o *output) beside(r deploy.FixedRoute) {
	for _, b := range r.Beside {
		o.note("%s%s is the stage %s/%s: who enters there, it says: berth access show %s %s",
			r.Spec.Hostname, b.PathPrefix, b.Project, b.Stage, b.Project, b.Stage)
	}
}

// largestBody says what a limit of 0 means.
func largestBody(n int64) string {
	if n == 0 {
		return "as BERTH_MAX_BODY says"
	}
	return bytesText(n)
}

func policyOfRoute(s deploy.FixedSpec) identity.Policy {
	if s.Access == nil {
		return identity.Policy{}
	}
	return *s.Access
}

// routeFields change a route's configuration.
type routeFields struct {
	Hostname    *string        `help:"Where it is reached."`
	Path        *string        `placeholder:"/PREFIX" help:"Path prefix at that hostname."`
	StripPrefix *bool          `negatable:"" help:"Take the path prefix off before the target sees it."`
	Target      *string        `placeholder:"URL" help:"Where requests go, such as http://192.168.0.7:8123; \"\" where another proxy forwards them."`
	Host        *string        `enum:"public,upstream" placeholder:"public|upstream" help:"Whose name the target is asked by: the one that the client asked for, or its own."`
	Protocol    *string        `enum:"http1,http2" placeholder:"http1|http2" help:"What the target speaks: HTTP/1.1, or HTTP/2, which gRPC needs."`
	Wait        *time.Duration `placeholder:"60s" help:"How long to wait for the target's answer to begin."`
	MaxBody     *byteSize      `placeholder:"100MiB" help:"Largest body of a request; 0 for what BERTH_MAX_BODY says."`
	On          *bool          `negatable:"" help:"Serve it, or with --no-on keep it without serving it."`
}

func (f *routeFields) empty() bool { return reflect.ValueOf(*f).IsZero() }

// apply gives spec with the changes. The server checks what they mean.
func (f *routeFields) apply(spec deploy.FixedSpec) deploy.FixedSpec {
	give(&spec.Hostname, f.Hostname)
	give(&spec.PathPrefix, f.Path)
	give(&spec.StripPrefix, f.StripPrefix)
	give(&spec.Target, f.Target)
	give((*string)(&spec.Host), f.Host)
	give((*string)(&spec.Protocol), f.Protocol)
	give((*time.Duration)(&spec.RequestTimeout), f.Wait)
	give((*byteSize)(&spec.MaxBodyBytes), f.MaxBody)
	if f.On != nil {
		spec.Disabled = !*f.On
	}
	return spec
}

func give[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

// byteSize is a number of bytes, as people write it.
type byteSize int64

// UnmarshalText reads bytes, or a size such as "100MiB".
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := settings.ParseSize(string(text))
	if err != nil {
		return fmt.Errorf("%q %w; it takes bytes, or a size such as 100MiB", text, err)
	}
	*s = byteSize(n)
	return nil
}

type routeAdd struct {
	Name string `arg:"" help:"What it is called, such as nas."`
	routeFields
	Access *string `enum:"public,signed-in,administrators,nobody" placeholder:"WHO" help:"Who may enter: public, signed-in, administrators or nobody, which is the default. \"berth route access\" says it in detail."`
}

// Help gives examples.
func (*routeAdd) Help() string {
	return `Nobody may enter until somebody says who. Only administrators add routes: Berth reaches whatever address they name.

Examples:
  berth route add nas --hostname nas.example.com --target http://192.168.0.7:5000 --access signed-in
  berth route add wiki --hostname wiki.example.com --target https://wiki.lan --host upstream
  berth route add builds --hostname builds.example.com --target http://192.168.0.9:50051 --protocol http2   # gRPC
  berth route add grafana --hostname grafana.example.com --access administrators   # nginx forwards it, and asks Berth`
}

// Run adds a route.
func (cmd *routeAdd) Run(ctx context.Context, c *client, o *output) error {
	spec := cmd.apply(deploy.FixedSpec{})
	if cmd.Access != nil {
		policy := accessNamed(*cmd.Access)
		spec.Access = &policy
	}
	var made deploy.FixedRoute
	if err := c.call(ctx, http.MethodPost, "/api/routes", map[string]any{"name": cmd.Name, "spec": spec}, &made); err != nil {
		return err
	}
	return o.result(made, func() {
		o.printf("Added the route %s: %s%s to %s.\n", made.Name, made.Spec.Hostname, made.Spec.PathPrefix, targetOf(made.Spec))
		if len(policyOfRoute(made.Spec).Rules) == 0 {
			o.note("Nobody may enter yet: berth route access %s signed-in", made.Name)
		}
		o.beside(made)
	})
}

type routeEdit struct {
	routeName
	routeFields
}

// Run changes what is named and keeps the rest.
func (cmd *routeEdit) Run(ctx context.Context, c *client, o *output) error {
	if cmd.empty() {
		return fault.Invalid("nothing to change: see \"berth route edit --help\"")
	}
	saved, err := cmd.save(ctx, c, cmd.apply)
	if err != nil {
		return err
	}
	return o.result(saved, func() {
		o.printf("Changed the route %s.\n", saved.Name)
		o.beside(saved)
	})
}

// save changes a route over the version there is.
func (n routeName) save(ctx context.Context, c *client, edit func(deploy.FixedSpec) deploy.FixedSpec) (saved deploy.FixedRoute, err error) {
	var r deploy.FixedRoute
	if err := c.get(ctx, n.path(), &r); err != nil {
		return r, err
	}
	err = c.call(ctx, http.MethodPut, n.path(), map[string]any{"version": r.Version, "spec": edit(r.Spec)}, &saved)
	return saved, err
}

type routeAccess struct {
	routeName
	policyFlags
}

// Help gives examples.
func (*routeAccess) Help() string {
	return `Without anything it shows the rules. What is said counts at once: whoever is not let in any more is cut off.

Examples:
  berth route access nas
  berth route access nas signed-in
  berth route access nas --group ops --person ana
  berth --json route access nas > policy.json; berth route access nas -f policy.json`
}

// Run shows or saves who may enter.
func (cmd *routeAccess) Run(ctx context.Context, c *client, o *output, p *process) error {
	var r deploy.FixedRoute
	if cmd.none() {
		if err := c.get(ctx, cmd.path(), &r); err != nil {
			return err
		}
	} else {
		if err := c.get(ctx, cmd.path(), &r); err != nil {
			return err
		}
		policy, err := cmd.policy(p, policyOfRoute(r.Spec))
		if err != nil {
			return err
		}
		r, err = cmd.save(ctx, c, func(s deploy.FixedSpec) deploy.FixedSpec {
			s.Access = &policy
			return s
		})
		if err != nil {
			return err
		}
	}
	policy := policyOfRoute(r.Spec)
	return o.result(policy, func() { o.policy(policy) })
}

type routeMetrics struct {
	routeName
	Minutes int `default:"60" help:"How far back, at most 20160, which are 14 days. Past six hours a line is of more than one minute."`
}

// Run shows what passed through a route.
func (cmd *routeMetrics) Run(ctx context.Context, c *client, o *output) error {
	return o.metrics(ctx, c, cmd.path(), cmd.Minutes)
}

type routeRemove struct {
	routeName
	Yes bool `short:"y" help:"Do not ask."`
}

// Run removes a route.
func (cmd *routeRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, "The route "+cmd.Route+" will be removed, and what goes through it cut off."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, cmd.path(), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Route}, func() { o.printf("Removed the route %s.\n", cmd.Route) })
}
