package gateway

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

// TableConfig is what a [Table] needs; the zero value will do.
type TableConfig struct {
	Clock func() time.Time // time.Now when nil
	Log   *slog.Logger     // nothing is logged when nil
	// Own says that Berth itself listens at an address: no fixed route gets
	// there, whatever name it goes by. Nothing is its own when nil.
	Own func(netip.AddrPort) bool
	// Roots are whose certificates targets may have; the system's when nil.
	Roots *x509.CertPool
}

// Table says where a request goes: a copy-on-write table of hostnames and
// path prefixes, and the instances behind them. It is a [deploy.Router].
//
// A request reads the table without a lock and then claims an instance. A
// change first puts the new table in place and then closes the instances it
// displaced, so a request that still holds the old table finds its claim
// refused and looks again: once [Table.Switch] has returned, no request
// without a claim can get one on what served before.
type Table struct {
	clock func() time.Time
	log   *slog.Logger
	edge  edge

	current atomic.Pointer[snapshot]

	mu        sync.Mutex // one change at a time; guards what follows
	stages    map[string]*route
	instances map[string][]*instance // by deployment, until they are drained
	meters    map[string]*meter      // by stage
	served    map[servedKey]*meter   // by instance, until it is gone and told of
	tallies   map[string]*tally      // by deployment
	unrouted  *meter                 // counts what no route was found for
}

var (
	_ deploy.Router = (*Table)(nil)
	_ deploy.Meter  = (*Table)(nil)
)

// snapshot is one state of the table. It is never changed.
type snapshot struct {
	hosts map[string][]*route // the longest prefix first
}

// route is one line of a snapshot. It is never changed.
type route struct {
	deploy.Route
	context   string               // what apps are told of it
	gate      *identity.Gate       // of Access
	issuers   []identity.JWTIssuer // that Access names
	instances []*instance
	canary    *route // for a share of the clients; nil when there is none
	meter     *meter
	tally     *tally // of its deployment; nil when it has none
}

// NewTable makes an empty table.
func NewTable(c TableConfig) *Table {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &Table{
		clock: c.Clock, log: c.Log, edge: edge{own: c.Own, roots: c.Roots},
		stages: map[string]*route{}, instances: map[string][]*instance{}, meters: map[string]*meter{}, served: map[servedKey]*meter{},
		tallies: map[string]*tally{}, unrouted: newMeter(deploy.Route{}),
	}
	t.current.Store(&snapshot{})
	return t
}

// Switch points a stage's route to r.Instances, as [deploy.Router] promises.
// An instance that the route has already keeps its connections. It fails with
// a BadInput fault for a route that cannot be, and with a Clash when another
// stage has the same hostname and path prefix.
func (t *Table) Switch(ctx context.Context, r deploy.Route) error {
	if err := check(&r); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()

	for _, other := range t.current.Load().hosts[r.Hostname] {
		if other.StageID != r.StageID && other.PathPrefix == r.PathPrefix {
			return fault.Conflict("%s%s already goes to %s", r.Hostname, r.PathPrefix, other.what())
		}
	}
	old := t.stages[r.StageID]
	now := t.routeTo(old, r)
	if err := now.compile(old); err != nil {
		return err
	}
	if r.Canary != nil {
		now.canary = t.routeTo(old, *r.Canary)
		now.canary.gate, now.canary.issuers = now.gate, now.issuers
	}
	t.replace(old, now)
	if old != nil && old.Fixed != nil {
		old.cut(now, true)
	}
	if old != nil && old.gate != now.gate {
		for _, instances := range t.instances {
			for _, in := range instances {
				in.reenter(now)
			}
		}
	}
	t.stages[r.StageID] = now
	about := []any{
		"project", r.Project, "stage", r.Stage,
		"hostname", r.Hostname, "path_prefix", r.PathPrefix, "tag", r.Reference, "deployment", r.Deployment, "instances", len(r.Instances),
	}
	if c := r.Canary; c != nil {
		about = append(about, "canary", c.Deployment, "share", c.Share)
	}
	if r.Maintenance != nil {
		about = append(about, "maintenance", true)
	}
	if r.Fixed != nil {
		about = []any{"route", r.Fixed.Name, "hostname", r.Hostname, "path_prefix", r.PathPrefix, "target", r.Fixed.Target}
	}
	t.log.InfoContext(ctx, "route switched", about...)
	return nil
}

// routeTo makes the line of the table for r, with those of old's instances
// that are the same. t.mu is held.
func (t *Table) routeTo(old *route, r deploy.Route) *route {
	now := &route{Route: r, context: contextOf(r), meter: t.meterOf(r), tally: t.tallyOf(r.Deployment)}
	for _, e := range r.Instances {
		now.instances = append(now.instances, t.instanceFor(old, r, e))
	}
	return now
}

// compile readies the route's policy. One that is as old's is old's, so that
// what it has let in need not be asked again.
func (r *route) compile(old *route) (err error) {
	if old != nil && reflect.DeepEqual(old.Access, r.Access) {
		r.gate, r.issuers = old.gate, old.issuers
		return nil
	}
	if r.gate, err = identity.NewGate(r.Access); err != nil {
		return fmt.Errorf("switch route of %s: %w", r.Hostname, err)
	}
	for _, rule := range r.Access.Rules {
		r.issuers = append(r.issuers, rule.JWTs...)
	}
	return nil
}

// Remove takes a route away. Requests under way to a stage go on, and Drain
// ends them; those to a fixed address end at once.
func (t *Table) Remove(ctx context.Context, stageID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.stages[stageID]
	if old == nil {
		return nil
	}
	t.replace(old, nil)
	delete(t.stages, stageID)
	if old.Fixed != nil {
		old.cut(nil, false)
		t.log.InfoContext(ctx, "route removed", "route", old.Fixed.Name, "hostname", old.Hostname)
		return nil
	}
	t.log.InfoContext(ctx, "route removed", "project", old.Project, "stage", old.Stage, "hostname", old.Hostname)
	return nil
}

// Drain waits for what a deployment still serves, as [deploy.Router] promises.
// From its start the deployment gets no request, even when a route still
// points to it.
func (t *Table) Drain(ctx context.Context, deployment string, requests, streams time.Duration) (cut int, err error) {
	t.mu.Lock()
	leaving := slices.Clone(t.instances[deployment])
	for _, in := range leaving {
		in.close()
	}
	t.mu.Unlock()

	cut, err = drain(ctx, leaving, requests, streams)

	t.mu.Lock()
	defer t.mu.Unlock()
	for _, in := range leaving {
		in.upstream.close() // what was in use when it was closed
	}
	t.forget(deployment, (*instance).idle)
	if err != nil {
		return cut, err
	}
	t.log.InfoContext(ctx, "deployment drained", "deployment", deployment, "instances", len(leaving), "cut", cut)
	return cut, nil
}

// replace puts a snapshot in place that has now instead of old, and then
// closes what only old had. The order is the promise: see [Table].
func (t *Table) replace(old, now *route) {
	before := t.current.Load().hosts
	hosts := make(map[string][]*route, len(before)+1)
	maps.Copy(hosts, before)
	if old != nil {
		kept := slices.DeleteFunc(slices.Clone(hosts[old.Hostname]), func(r *route) bool { return r == old })
		if hosts[old.Hostname] = kept; len(kept) == 0 {
			delete(hosts, old.Hostname)
		}
	}
	if now != nil {
		routes := append(slices.Clone(hosts[now.Hostname]), now)
		slices.SortFunc(routes, func(a, b *route) int { return cmp.Compare(len(b.PathPrefix), len(a.PathPrefix)) })
		hosts[now.Hostname] = routes
	}
	t.current.Store(&snapshot{hosts})

	if old == nil {
		return
	}
	for in := range old.all() {
		if !now.has(in) {
			in.close()
		}
	}
}

// all gives the instances of a route and of its canary; none of no route.
func (r *route) all() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		for ; r != nil; r = r.canary {
			for _, in := range r.instances {
				if !yield(in) {
					return
				}
			}
		}
	}
}

func (r *route) has(in *instance) bool {
	for other := range r.all() {
		if other == in {
			return true
		}
	}
	return false
}

// instanceFor gives old's instance when it is the same one and takes requests,
// and makes one otherwise.
func (t *Table) instanceFor(old *route, r deploy.Route, e deploy.Endpoint) *instance {
	for in := range old.all() {
		if in.Endpoint == e && in.deployment == r.Deployment && in.protocol == r.Protocol && in.open() {
			return in
		}
	}
	in := newInstance(e, r.Deployment, r.Protocol, newUpstream(e, r.Protocol, &t.edge), t.tallyOf(r.Deployment), t.servedMeter(r, e.Instance))
	t.forget(r.Deployment, (*instance).idle)
	t.instances[r.Deployment] = append(t.instances[r.Deployment], in)
	return in
}

// forget drops those instances of a deployment that gone says are gone.
func (t *Table) forget(deployment string, gone func(*instance) bool) {
	left := slices.DeleteFunc(t.instances[deployment], gone)
	if t.instances[deployment] = left; len(left) == 0 {
		delete(t.instances, deployment)
	}
}

func (t *Table) meterOf(r deploy.Route) *meter {
	m := t.meters[r.StageID]
	if m == nil || !m.isOf(r) {
		m = newMeter(r)
		t.meters[r.StageID] = m
	}
	return m
}

// allMeters gives every route's meter.
func (t *Table) allMeters() []*meter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(slices.Collect(maps.Values(t.meters)), t.unrouted)
}

// forgetMeter drops the meter of a stage that has no route any more.
func (t *Table) forgetMeter(m *meter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stages[m.stageID] == nil && t.meters[m.stageID] == m {
		delete(t.meters, m.stageID)
	}
}

// all gives every instance that has been routed to and not been drained.
func (t *Table) all() []*instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*instance
	for _, instances := range t.instances {
		list = append(list, instances...)
	}
	return list
}

// find gives that of a host's routes with the longest prefix that holds path, on
// segment boundaries; nil when there is none. path is decoded; with fold its
// case does not count.
func find(routes []*route, path string, fold bool) *route {
	for _, r := range routes {
		if identity.Under(r.PathPrefix, path, fold) {
			return r
		}
	}
	return nil
}

// starting says that the route waits for its first instance.
func (r *route) starting() bool { return len(r.instances) == 0 && r.Deployment != "" }

// check fills in what r leaves open and says what is wrong with it.
func check(r *deploy.Route) error {
	if r.StageID == "" {
		return errors.New("switch route: no stage id")
	}
	host, ok := normalHost(r.Hostname)
	if !ok {
		return fault.Invalid("%q is not a hostname", r.Hostname)
	}
	r.Hostname = host
	if r.PathPrefix == "" {
		r.PathPrefix = "/"
	}
	if r.PathPrefix[0] != '/' || len(r.PathPrefix) > 1 && strings.HasSuffix(r.PathPrefix, "/") {
		return fault.Invalid("%q is not a path prefix such as \"/\" or \"/shop\"", r.PathPrefix)
	}
	if r.Protocol == "" {
		r.Protocol = deploy.HTTP1
	}
	if r.RequestTimeout <= 0 {
		r.RequestTimeout = time.Minute
	}
	for _, e := range r.Instances {
		if _, _, err := net.SplitHostPort(e.Address); err != nil {
			return fault.Invalid("instance %s has no address such as 127.0.0.1:8080", e.Instance).Because(err)
		}
	}
	return checkCanary(r)
}

// checkCanary checks a route's canary as check does the route; what they have
// in common is the route's.
func checkCanary(r *deploy.Route) error {
	if r.Canary == nil {
		return nil
	}
	c := *r.Canary
	if c.Canary != nil || c.Deployment == "" || c.Deployment == r.Deployment || c.Share < 1 || c.Share > 99 {
		return fault.Invalid("a canary is another deployment with a share of 1 to 99 of a hundred clients")
	}
	c.StageID, c.Project, c.Stage, c.Hostname, c.PathPrefix = r.StageID, r.Project, r.Stage, r.Hostname, r.PathPrefix
	if err := check(&c); err != nil {
		return err
	}
	r.Canary = &c
	return nil
}
