package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
)

// Another proxy may serve an app and ask here who may enter it, request by
// request (forward-auth). It is told what [exchange.enter] decides of a request
// that comes to the gateway itself, and what the app would be told of whoever
// comes. Only proxies that Config.TrustProxy names get any answer: what they ask
// about is in headers, which anybody can write. See docs/forward-auth.md.

// authzTime is how long a decision may take; most take no time at all.
const authzTime = 5 * time.Second

var (
	errNotAProxy    = errors.New("the question comes from an address that BERTH_TRUST_PROXY does not name")
	errUnknownHost  = errors.New("no app of this server is there")
	errOwnToAsk     = errors.New("the address is Berth's own: the proxy has to pass it on")
	errNotAskedHere = errors.New("BERTH_FORWARD_AUTH does not name this kind of proxy")
	errAllowedNow   = errors.New("it would be let in now")
)

// serveQuestion answers a proxy. host is the one that its connection names.
func (x *exchange) serveQuestion(ctx context.Context, d dialect, host string, origin error) {
	x.asked, x.grpc = &d, false // an error of gRPC's has the status 200
	ctx, cancel := context.WithTimeout(ctx, authzTime)
	defer cancel()
	err := x.decideQuestion(ctx, d, host, origin)
	x.unwatch()
	x.countQuestion(ctx, d, err)
	if err == nil {
		x.letThrough(d)
	} else {
		x.show(d.told(x.pageOfQuestion(err), err))
	}
	if !x.body.whole.Load() {
		_ = x.control.SetReadDeadline(time.Now().Add(lingering)) // a body is nothing that is read
	}
	if x.g.accessLog.takes() {
		x.logAccess(ctx, x.r.URL.Path, time.Since(x.started))
	}
}

// decideQuestion puts what is asked about in the place of the question, and
// decides on that.
func (x *exchange) decideQuestion(ctx context.Context, d dialect, host string, origin error) error {
	if !slices.Contains(x.g.asks, d.kind()) {
		return errNotAskedHere
	}
	if !fromProxy(x.r, x.g.proxies) {
		return errNotAProxy
	}
	if origin != nil {
		return origin
	}
	q, err := d.question(x.r, host)
	if err != nil {
		return err
	}
	var ok bool
	if x.host, ok = normalHost(q.host); !ok {
		return unclear("the host is none")
	}
	asked := x.r.WithContext(ctx)
	asked.Method, asked.URL, asked.Host, asked.RequestURI = q.method, q.target, q.host, ""
	asked.Body, asked.ContentLength = http.NoBody, 0
	x.r = asked
	switch x.path, ok = read(q.target); {
	case q.method == http.MethodConnect:
		return errBadMethod
	case !ok:
		return errBadTarget
	case x.g.isBase(x.host):
		return errUnknownHost
	}
	if ours, same := x.path.toBerth(); ours || !same {
		return errOwnToAsk
	}
	found, ok := x.g.table.current.Load().route(x.host, x.path)
	switch {
	case !ok:
		return errBadTarget
	case found == nil:
		return errUnknownHost
	}
	x.route = found
	if err := x.enter(ctx, found); err != nil {
		return err
	}
	if d == nginxAnswer {
		return errAllowedNow
	}
	return nil
}

// letThrough tells the proxy to go on, and what to tell the app: who comes, and
// of the client's cookies and Authorization what is not Berth's.
func (x *exchange) letThrough(d dialect) {
	h := x.w.Header()
	x.tell(func(name, value string) { h.Set(name, value) })
	if cookies := x.g.own.withoutCookies(x.r.Header["Cookie"]); len(cookies) > 0 {
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	if kept := withoutTokens(x.r.Header["Authorization"]); len(kept) == 1 {
		h["Authorization"] = kept
	}
	if d == envoy {
		h.Set("X-Envoy-Auth-Headers-To-Remove", strings.Join(x.g.teller.untold(h), ","))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	x.begin(http.StatusOK)
}

// pageOfQuestion puts a refusal into words.
func (x *exchange) pageOfQuestion(err error) page {
	if said, ok := errors.AsType[*unclearError](err); ok {
		return page{status: http.StatusBadRequest, title: "Bad request", detail: "The proxy in front of this app does not say clearly what was asked for: " + said.what + ".", code: fault.BadInput}
	}
	no := page{status: http.StatusForbidden, title: "No access", code: fault.Denied}
	switch {
	case errors.Is(err, errNotAskedHere):
		return page{status: http.StatusNotFound, title: "Not found", detail: "No proxy of this kind may ask here who may enter: BERTH_FORWARD_AUTH names those that may.", code: fault.Missing}
	case errors.Is(err, errNotAProxy):
		no.detail = "Only proxies that this server knows may ask it who may enter: BERTH_TRUST_PROXY names them."
	case errors.Is(err, errUnknownHost):
		no.detail = "This server knows no app at that address."
	case errors.Is(err, errOwnToAsk):
		no.detail = fmt.Sprintf("What is below %s/ on an app's host is for this server: the proxy in front has to pass it on.", ownPath)
	case errors.Is(err, errAllowedNow):
		return page{status: http.StatusServiceUnavailable, title: "Try again", detail: "It was being decided whether you may see this. Try again.", code: fault.NotNow, retry: 1, refresh: true}
	default:
		return x.pageFor(err)
	}
	return no
}

// told gives what a proxy is told. nginx takes 401 and 403 for answers, and
// everything else for a failure: what its client is told in the end, it asks
// for apart.
func (d dialect) told(p page, err error) page {
	switch {
	case d != nginx:
	case p.header.Get("Location") != "":
		p.status = http.StatusUnauthorized
	case p.status == http.StatusUnauthorized, errors.Is(err, errNotAskedHere), p.status >= http.StatusInternalServerError, outcomeOf(err) == leftUnclear:
	default:
		p.status = http.StatusForbidden
	}
	return p
}
