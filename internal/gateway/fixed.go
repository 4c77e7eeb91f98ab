package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"berth/internal/deploy"
	"berth/internal/outgoing"
)

// What only routes have that no stage makes: their targets are anywhere, so
// that names are looked up, certificates verified, addresses looked at, and
// requests found that went round.

// loopHeader says which proxies a request has passed (RFC 8586). Each adds its
// own mark, and none may take another's away.
const loopHeader = "Cdn-Loop"

var (
	errLoop      = errors.New("the request came back here from its target")
	errElsewhere = errors.New("another proxy serves this address")
	errNoHTTP2   = errors.New("the target speaks TLS, and no HTTP/2 within it")
)

// edge is how targets of fixed routes are connected to.
type edge struct {
	own   func(netip.AddrPort) bool
	roots *x509.CertPool
}

// dialer gives what connects to an endpoint. Where somebody named the address,
// what the name has turned into is looked at when it is connected to; an
// instance's Berth knows itself.
func (e *edge) dialer(to deploy.Endpoint) *net.Dialer {
	if !to.Guarded {
		// Keep-alive probes would cost three system calls for each connection to
		// an app on this machine, and find nothing that a reset does not tell.
		return &net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	}
	d := outgoing.NewDialer(true)
	d.Timeout = dialTimeout
	look := d.ControlContext
	d.ControlContext = func(ctx context.Context, network, place string, raw syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(place); err == nil && e.own != nil && e.own(at) {
			return fmt.Errorf("%s %w: it is Berth itself", place, outgoing.ErrForbiddenPlace)
		}
		return look(ctx, network, place, raw)
	}
	return d
}

// tlsTo says how TLS is spoken to an endpoint, and what within it; nil where it
// is not.
func (e *edge) tlsTo(to deploy.Endpoint, protocol string) *tls.Config {
	if to.TLSName == "" {
		return nil
	}
	return &tls.Config{ServerName: to.TLSName, RootCAs: e.roots, MinVersion: tls.VersionTLS12, NextProtos: []string{protocol}}
}

// secure speaks TLS over a connection, and closes that when it can not. It
// takes no longer than connecting may.
func secure(ctx context.Context, nc net.Conn, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c := tls.Client(nc, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("speak TLS: %w", err), nc.Close())
	}
	return c, nil
}

// tlsConn is closed at once: TLS's own farewell may have to wait for a target
// that reads nothing, and whoever cuts waits for nobody.
type tlsConn struct{ *tls.Conn }

// Close closes the connection beneath.
func (c tlsConn) Close() error { return c.NetConn().Close() }

// contextOf is what apps are told of their route: a fixed one's name has no
// slash.
func contextOf(r deploy.Route) string {
	if r.Fixed != nil {
		return r.Fixed.Name
	}
	return r.Project + "/" + r.Stage
}

// what names a route to a person.
func (r *route) what() string {
	if r.Fixed != nil {
		return "the route " + r.Fixed.Name
	}
	return "stage " + r.Stage + " of project " + r.Project
}

// elsewhere says that another proxy serves what the route is about.
func (r *route) elsewhere() bool { return r.Fixed != nil && len(r.instances) == 0 }

// cut ends what is served by those of the route's instances that now does not
// have: all of it, or the streams alone, which would go on for ever.
func (r *route) cut(now *route, streams bool) {
	for in := range r.all() {
		if now.has(in) {
			continue
		}
		in.cutClaims(true, errDrained)
		if !streams {
			in.cutClaims(false, errDrained)
		}
	}
}

// hostSent is the Host header that the app gets.
func (x *exchange) hostSent() string {
	if f := x.route.Fixed; f != nil && f.Host != "" {
		return f.Host
	}
	return x.r.Host
}

// wentRound says that a fixed route has passed the request on before.
func (x *exchange) wentRound() bool {
	for _, line := range x.r.Header[loopHeader] {
		if strings.Contains(line, x.g.loopMark) {
			return true
		}
	}
	return false
}

// comeHome has an answer of a target that was asked by its own name lead back
// to the name that the client knows.
func (x *exchange) comeHome(h http.Header) {
	f := x.route.Fixed
	if f == nil || f.Host == "" {
		return
	}
	to := h.Get("Location")
	rest, ours := strings.CutPrefix(to, f.Target)
	if !ours || rest != "" && !strings.ContainsRune("/?#", rune(rest[0])) {
		return
	}
	if x.route.StripPrefix && x.route.PathPrefix != "/" && !strings.HasPrefix(rest, x.route.PathPrefix+"/") {
		rest = x.route.PathPrefix + rest
	}
	h.Set("Location", x.from.proto+"://"+x.r.Host+rest)
}
