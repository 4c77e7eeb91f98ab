// Package gateway is the data plane: it takes every request that comes in,
// finds the route for its host and path, claims an instance of the release
// that is live, passes the request through, and counts what happened.
//
// Start with [Table], which says where requests go and is what package deploy
// switches, and [Gateway.ServeHTTP], the way of one request. What comes in is
// read by net/http; what goes to an app that speaks HTTP/1.1 is written and
// read here (http1.go), over connections that are chosen with care (its first
// comment says why). Who may enter
// an app is decided by the route's policy (enter.go); how a session comes to an
// app's host says passage.go.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"berth/internal/cookie"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Config is what a [Gateway] is made of.
type Config struct {
	Table *Table
	// Base answers for Berth's own hosts, which IsBase names. The host it is
	// given is lower case and has neither port nor trailing dot; an IPv6
	// address has its brackets. In the log a request has the Pattern that Base
	// leaves in it, and not its path, which may hold a token.
	Base   http.Handler
	IsBase func(host string) bool
	// BaseURL is where the base host is reached: apps' hosts have its scheme and
	// port.
	BaseURL *url.URL
	// Contact is whom those are told to ask who may not; an administrator when
	// empty.
	Contact string
	// TrustProxy are the proxies whose word about where a request came from
	// counts; nobody's when empty.
	TrustProxy []netip.Prefix
	// ForwardAuth are the kinds of proxies that may ask who may enter: nginx,
	// traefik, caddy, envoy. What the others would ask at answers 404: behind a
	// proxy that passes everything on, any page's script could ask there, and
	// read in the answer what its own app is told.
	ForwardAuth []string
	// Identity knows who comes; without it nobody is known, and only what is
	// for everybody can be entered.
	Identity *identity.Service
	// LeadsOn says whether who signs out at an app is led on to sign out at the
	// provider that they came by, at /auth/<provider>/sign-out of the base host;
	// nobody is when nil.
	LeadsOn func(ctx context.Context, provider string) bool
	// Issuers fetches the keys of the issuers that policies name; their tokens
	// let nobody in without.
	Issuers *http.Client
	// Keys sign the assertions that apps get; none are given without.
	Keys *Keys
	// HeaderPrefix begins the headers that tell apps who comes, X-Berth- when
	// empty. HeaderFamilies are those that tell them besides.
	HeaderPrefix   string
	HeaderFamilies []HeaderFamily
	// AccessLog is the share of requests that are logged, none when zero.
	AccessLog AccessLogMode
	// MaxBodyBytes bounds a request's body where its route does not; 1 GiB
	// when zero.
	MaxBodyBytes int64
	// MaxConnections bounds the connections of clients at one time, and their
	// requests under way; one network, but for TrustProxy, gets a fourth of
	// either. 0 is any number.
	MaxConnections int
	// MaxRequests bounds what one instance serves at one time, streams with it;
	// 0 is any number.
	MaxRequests int
	// ShutdownTimeout says, once Serve is to end, what requests get to end in;
	// 30 s when nil. Streams get StreamShutdownTimeout of it, 5 s when zero.
	ShutdownTimeout       func() time.Duration
	StreamShutdownTimeout time.Duration
	// DB keeps the minutes of the charts; without it only the running one is known.
	DB *sqlite.DB
	// Events has written down who was refused; nobody writes it when nil, or
	// without DB.
	Events *event.Log
	Log    *slog.Logger     // nothing is logged when nil
	Clock  func() time.Time // time.Now when nil
}

// Gateway passes requests through.
type Gateway struct {
	table      *Table
	base       http.Handler
	isBase     func(host string) bool
	baseURL    *url.URL
	contact    string
	proxies    []netip.Prefix
	asks       []string // kinds of proxies
	own        own
	identity   *identity.Service
	leadsOn    func(ctx context.Context, provider string) bool
	bearers    verifier
	keys       *Keys
	teller     teller
	accessLog  AccessLogMode
	maxBody    int64
	clients    *clients
	most       int                  // requests on an instance
	requests   func() time.Duration // to end in
	streams    time.Duration        // to end in
	stall      time.Duration        // see clientStall
	minutes    *minutes
	refused    *refusedVisits
	log        *slog.Logger
	clock      func() time.Time
	assertions assertions     // of late
	questions  questions      // of other proxies
	loopMark   string         // this gateway's own, in loopHeader
	failures   rate.Sometimes // keeps a broken app from filling the log
}

// New checks c.
func New(c Config) (*Gateway, error) {
	if c.Table == nil || c.Base == nil || c.IsBase == nil || c.BaseURL == nil {
		return nil, errors.New("gateway: Table, Base, IsBase and BaseURL are needed")
	}
	if c.AccessLog < 0 || c.AccessLog > 1 {
		return nil, errors.New("gateway: AccessLog is a share from 0 to 1")
	}
	if c.MaxBodyBytes <= 0 {
		c.MaxBodyBytes = 1 << 30
	}
	if c.ShutdownTimeout == nil {
		c.ShutdownTimeout = func() time.Duration { return 30 * time.Second }
	}
	if c.StreamShutdownTimeout <= 0 {
		c.StreamShutdownTimeout = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	teller, err := newTeller(c.HeaderPrefix, c.HeaderFamilies)
	if err != nil {
		return nil, err
	}
	var bearers verifier
	if c.Issuers != nil {
		bearers = newIssuers(c.Issuers, c.Clock)
	}
	return &Gateway{
		table: c.Table, base: c.Base, isBase: c.IsBase,
		baseURL: c.BaseURL, contact: cmp.Or(c.Contact, "an administrator of this server"), proxies: c.TrustProxy, asks: c.ForwardAuth, own: own{prefix: strings.ToLower(teller.prefix), cookies: cookie.For(c.BaseURL)},
		identity: c.Identity, leadsOn: c.LeadsOn, keys: c.Keys, bearers: bearers, teller: teller, accessLog: c.AccessLog, maxBody: c.MaxBodyBytes,
		clients: newClients(orAny(c.MaxConnections), c.TrustProxy), most: orAny(c.MaxRequests),
		requests: c.ShutdownTimeout, streams: c.StreamShutdownTimeout, stall: clientStall,
		minutes: newMinutes(c.DB, c.Table, c.Clock), refused: newRefusedVisits(c.DB, c.Events, c.Clock), log: c.Log, clock: c.Clock,
		questions: questions{warns: rate.Sometimes{First: 10, Interval: time.Second}},
		loopMark:  "berth-" + rand.Text(),
		failures:  rate.Sometimes{First: 10, Interval: time.Second},
	}, nil
}

func orAny(n int) int {
	if n <= 0 {
		return math.MaxInt
	}
	return n
}

var (
	errBadHost    = errors.New("no usable host")
	errBadTarget  = errors.New("ambiguous path")
	errNotHere    = errors.New("Berth has nothing at this address") //nolint:staticcheck // a name
	errBadMethod  = errors.New("CONNECT")
	errMethodCase = errors.New("ambiguous method")
)

// ServeHTTP takes one request from its arrival to its end.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, w: w, r: r, method: r.Method, started: time.Now(), control: http.NewResponseController(w)}
	connected := r.Host
	var origin error
	x.from, r.Host, origin = originOf(r, g.proxies)
	host, ok := normalHost(r.Host)
	x.host, x.id = host, requestID(r)
	x.grpc = r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	x.body.whole.Store(r.ContentLength == 0 || r.Body == http.NoBody)
	place, err := g.clients.enter(x.from.address)
	if err != nil {
		x.finish(r.Context(), err)
		return
	}
	defer place.leave()
	if d, asks := dialectOf(r.URL); asks {
		x.serveQuestion(r.Context(), d, connected, origin)
		return
	}
	if ok && origin == nil && g.isBase(host) {
		x.serveBase(r.Context())
		return
	}
	x.upgrade = upgradeOf(r)
	x.claim.cut, x.claim.reenter = x.cut, x.reenter
	switch {
	case origin != nil:
		x.finish(r.Context(), origin)
		return
	case !ok:
		x.finish(r.Context(), errBadHost)
		return
	}
	x.finish(r.Context(), x.serve(r.Context()))
}

// serve finds the route, takes the body and passes the request.
func (x *exchange) serve(ctx context.Context) error {
	if x.r.Method == http.MethodConnect {
		return errBadMethod
	}
	path, ok := read(x.r.URL)
	if !ok {
		return errBadTarget
	}
	x.path = path
	switch ours, same := path.toBerth(); {
	case !same:
		return errBadTarget
	case ours:
		return x.serveOwn(ctx)
	}
	found, ok := x.g.table.current.Load().route(x.host, path)
	switch {
	case !ok:
		return errBadTarget
	case found == nil:
		return errNoRoute
	}
	x.route = found
	x.shard = found.meter.begin()
	if found.Fixed != nil && x.wentRound() {
		return errLoop
	}
	if err := x.enter(ctx, found); err != nil {
		return err
	}
	if found.elsewhere() {
		return errElsewhere
	}
	if found.Maintenance != nil {
		return errAtWork
	}
	if err := x.takeBody(); err != nil {
		return err
	}
	return x.pass(ctx)
}

// finish tells the client what is left to tell, and counts.
func (x *exchange) finish(ctx context.Context, err error) {
	aborted := err != nil && x.status != 0
	left := errors.Is(err, errLeft) || errors.Is(err, errBodyBroken) && x.left(ctx)
	failed := aborted && !left && !errors.Is(err, errSignedOut)
	switch {
	case err == nil || aborted:
	case left:
		x.status, aborted = statusGone, true // or net/http would answer 200
	default:
		p := x.pageFor(err)
		failed = p.status >= http.StatusInternalServerError // gRPC is told in another way
		x.show(p)
		if p.status == http.StatusBadGateway || p.status == http.StatusGatewayTimeout {
			x.g.failures.Do(func() {
				x.g.log.WarnContext(ctx, "request failed at the app", x.attrs("status", p.status, "error", err)...)
			})
		}
	}
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.unwatch()
	if x.client == nil && (x.r.ProtoMajor != 1 || time.Since(x.started) > x.g.stall/2) {
		x.extend() // for what net/http still has to write
	}
	if !x.body.whole.Load() {
		_ = x.control.SetReadDeadline(time.Now().Add(lingering)) // net/http reads on for the rest
	}

	took := time.Since(x.started)
	counted := took
	if x.stream || x.grpc {
		counted = x.first
	}
	if x.shard == nil {
		x.shard = x.g.table.unrouted.begin()
	}
	x.shard.end(x.status, counted, x.body.read.Load(), x.sent)
	switch {
	case x.claim.in != nil:
		x.claim.in.tally.add(failed || x.status >= http.StatusInternalServerError, counted)
		x.claim.in.count(x.status, counted, x.body.read.Load(), x.sent)
	case errors.Is(err, errNoInstance), errors.Is(err, errBusy):
		x.route.tally.add(true, counted)
	}
	if x.g.accessLog.takes() {
		x.logAccess(ctx, x.r.URL.Path, took)
	}
	if aborted && x.client == nil {
		panic(http.ErrAbortHandler) // the one way to tell the client that the answer is not whole
	}
}
