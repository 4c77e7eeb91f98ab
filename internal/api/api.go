// Package api is what Berth answers on its base host: the JSON under /api/,
// its live streams, /health and /metrics, with the registry and the dashboard
// beside them.
//
// Start with [New] and with the route table in route.go, where the access
// rule stands beside each line. A handler decodes, calls one method of a
// domain package and encodes; what is allowed is decided by package identity,
// what is right by the domain packages.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"berth/internal/container"
	"berth/internal/cookie"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/notify"
	"berth/internal/registry"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/vault"
	"berth/internal/webhook"
)

// Config is what an API needs. Everything is required but what says otherwise.
type Config struct {
	Identity *identity.Service
	Factors  *factor.Service
	Deploy   *deploy.Service
	Registry *registry.Registry
	Resolver *registry.Resolver
	Watcher  *registry.Watcher
	Webhooks *webhook.Service
	Vault    *vault.Vault
	Gateway  *gateway.Gateway
	Runtime  container.Runtime
	Events   *event.Log
	Notifier *notify.Notifier
	Manifest *manifest.Service
	SignIn   *signin.Service
	Grants   *vault.Grants
	// AdminsFrom says where the list of those who administer comes from; the
	// vault alone when nil.
	AdminsFrom func() AdminsFrom
	Contact    string // whom those are told to ask who may not

	BaseURL *url.URL
	// Disks gives the disks that Berth depends on, the data folder's first; that
	// one alone when nil.
	Disks    func(context.Context) []Disk
	DataDir  string
	Version  string
	Settings []settings.Value    // as settings.Describe gives them
	Gatherer prometheus.Gatherer // nothing is at /metrics when nil
	Web      http.Handler        // the dashboard; nothing else answers when nil
	Clock    func() time.Time    // time.Now when nil
	Log      *slog.Logger        // nowhere when nil
}

// API serves the base host. Its methods may be called from many goroutines.
type API struct {
	identity *identity.Service
	factors  *factor.Service
	deploy   *deploy.Service
	registry *registry.Registry
	resolver *registry.Resolver
	watcher  *registry.Watcher
	webhooks *webhook.Service
	vault    *vault.Vault
	gateway  *gateway.Gateway
	runtime  container.Runtime
	events   *event.Log
	notifier *notify.Notifier
	manifest *manifest.Service
	signin   *signin.Service
	grants   *vault.Grants

	adminsFrom func() AdminsFrom
	contact    string

	baseURL  *url.URL
	disks    func(context.Context) []Disk
	version  string
	settings []settings.Value
	gatherer prometheus.Gatherer
	web      http.Handler
	clock    func() time.Time
	log      *slog.Logger

	cookies   cookie.Rule
	started   time.Time
	routing   *http.ServeMux // the route table
	base      http.Handler
	local     http.Handler
	document  []byte // OpenAPI
	streams   streams
	terminals terminals
	stop      sync.Once
	stopping  chan struct{}
}

// New checks c once. It fails when a route has no access rule.
func New(c Config) (*API, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Disks == nil {
		c.Disks = func(context.Context) []Disk { return []Disk{DiskAt(c.DataDir)} }
	}
	if c.Gatherer == nil {
		c.Gatherer = prometheus.NewRegistry()
	}
	if c.Web == nil {
		c.Web = http.NotFoundHandler()
	}
	if c.AdminsFrom == nil {
		c.AdminsFrom = func() AdminsFrom { return AdminsFrom{} }
	}
	a := &API{
		identity: c.Identity, factors: c.Factors, deploy: c.Deploy, registry: c.Registry, resolver: c.Resolver, watcher: c.Watcher, webhooks: c.Webhooks,
		vault: c.Vault, gateway: c.Gateway, runtime: c.Runtime, events: c.Events, notifier: c.Notifier,
		manifest: c.Manifest, signin: c.SignIn, grants: c.Grants, adminsFrom: c.AdminsFrom, contact: cmp.Or(c.Contact, defaultContact),
		baseURL: c.BaseURL, disks: c.Disks, version: c.Version, settings: c.Settings,
		gatherer: c.Gatherer, web: c.Web, clock: c.Clock, log: c.Log,
		cookies: cookie.For(c.BaseURL), started: c.Clock(),
		streams:  streams{person: map[string]int{}},
		stopping: make(chan struct{}),
	}
	var err error
	if a.routing, a.document, err = newMux(a); err != nil {
		return nil, err
	}
	a.base, a.local = a.newBase(), a.newLocal()
	return a, nil
}

func (c *Config) check() error {
	for name, missing := range map[string]bool{
		"Identity": c.Identity == nil, "Factors": c.Factors == nil, "Deploy": c.Deploy == nil, "Registry": c.Registry == nil,
		"Resolver": c.Resolver == nil, "Watcher": c.Watcher == nil, "Webhooks": c.Webhooks == nil, "Vault": c.Vault == nil, "Gateway": c.Gateway == nil,
		"Runtime": c.Runtime == nil, "Events": c.Events == nil, "BaseURL": c.BaseURL == nil,
		"Notifier": c.Notifier == nil, "Manifest": c.Manifest == nil, "SignIn": c.SignIn == nil,
	} {
		if missing {
			return errors.New("api: no " + name)
		}
	}
	return nil
}

// Handler serves the base host.
func (a *API) Handler() http.Handler { return a.base }

// LocalHandler serves the Unix socket: whoever can open it is administrator.
func (a *API) LocalHandler() http.Handler { return a.local }

// MetricsHandler serves the metrics to whoever reaches it: for a listener of
// its own.
func (a *API) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(a.gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// EndStreams ends every live stream between two events, and lets none begin.
// Commands that people run in instances are ended, and waited for. It is the
// first step of a stop.
func (a *API) EndStreams() {
	a.stop.Do(func() { close(a.stopping) })
	a.terminals.end()
}

func (a *API) newBase() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", a.identify(http.HandlerFunc(a.serveAPI)))
	mux.HandleFunc("/health", a.health)
	mux.Handle("/metrics", a.identify(http.HandlerFunc(a.guardedMetrics)))
	mux.Handle("/v2/", a.registry.Handler())
	mux.Handle("/auth/{provider}/", a.signin.Handler(signInEdge{a}))
	mux.HandleFunc(enterPath, a.handOver)
	mux.HandleFunc("POST "+leavePath, a.leave)
	mux.HandleFunc("GET /.well-known/jwks.json", a.webKeys)
	mux.Handle("/", a.pages(a.web))
	return a.recovered(a.sameSite(mux))
}

func (a *API) newLocal() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", http.HandlerFunc(a.serveAPI))
	mux.HandleFunc("/health", a.health)
	mux.HandleFunc("/metrics", a.guardedMetrics)
	return a.recovered(local(mux))
}

// methods are those that the table uses.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// serveAPI finds the line of the table. What is not in the table is told only
// to those who are signed in.
func (a *API) serveAPI(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if _, pattern := a.routing.Handler(r); pattern != "" {
		a.routing.ServeHTTP(w, r)
		return
	}
	if err := callerOf(r.Context()).allowed(may(identity.ActionRead), identity.On{}); fault.KindOf(err) == fault.Unauthenticated {
		a.answer(w, r, err)
		return
	}
	var allow []string
	for _, m := range methods {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := a.routing.Handler(other); pattern != "" {
			allow = append(allow, m)
		}
	}
	if len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", ")) // RFC 9110 section 15.5.6
		a.answer(w, r, newProblem(http.StatusMethodNotAllowed, fault.BadInput, "this address takes "+strings.Join(allow, ", ")))
		return
	}
	a.answer(w, r, fault.NotFound("the API has nothing at this address"))
}

// protect sets what every answer of the API carries: it is for one person's
// eyes, and no page may be made of it.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// answer writes an error outside of the route table.
func (a *API) answer(w http.ResponseWriter, r *http.Request, err error) {
	p := a.report(r.Context(), err)
	protect(w.Header())
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = huma.DefaultJSONFormat.Marshal(w, p) // the client is away
}

// Health says that Berth answers.
type Health struct {
	Service string `json:"service"` // "berth": by it, others know who is there
	Status  string `json:"status"`  // "ok", or "unavailable"
	Version string `json:"version"`
}

// health answers 200 when the database does.
func (a *API) health(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	w.Header().Set("Content-Type", "application/json")
	h := Health{Service: "berth", Status: "ok", Version: a.version}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if _, err := a.events.Last(ctx); err != nil {
		a.log.ErrorContext(ctx, "health check failed", "error", err)
		h.Status = "unavailable"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = huma.DefaultJSONFormat.Marshal(w, h) // the client is away
}

func (a *API) guardedMetrics(w http.ResponseWriter, r *http.Request) {
	if err := callerOf(r.Context()).allowed(may(identity.ActionAdminister), identity.On{}); err != nil {
		a.answer(w, r, err)
		return
	}
	protect(w.Header())
	a.MetricsHandler().ServeHTTP(w, r)
}

// recovered turns a panic into an answer and a line in the log.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.recover(w, r)
		next.ServeHTTP(w, r)
	})
}

func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok {
		if errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		// huma panics when an answer can't be written: the client is away.
		if _, away := errors.AsType[net.Error](err); away {
			panic(http.ErrAbortHandler)
		}
	}
	a.answer(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
}
