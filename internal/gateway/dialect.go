package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// dialect is the way in which another proxy asks whether a request may go on.
// Each reads what was asked from one place alone: a proxy that writes some
// headers passes on others as its client sent them.
type dialect int

// The dialects. nginx throws away what it is told beside the status, so it may
// ask for the answer to its client apart.
const (
	nginx       dialect = iota // auth_request
	nginxAnswer                // what its client is to be told
	traefik                    // ForwardAuth
	caddy                      // forward_auth
	envoy                      // ext_authz over HTTP
	dialects    = iota
)

func (d dialect) String() string {
	switch d {
	case nginx:
		return "nginx"
	case nginxAnswer:
		return "nginx/answer"
	case traefik:
		return "traefik"
	case caddy:
		return "caddy"
	case envoy:
		return "envoy"
	}
	return "unknown"
}

// kind is the proxy whose dialect it is, as Config.ForwardAuth names it.
func (d dialect) kind() string {
	if d == nginxAnswer {
		return nginx.String()
	}
	return d.String()
}

// authzPath begins the addresses at which other proxies ask. They are Berth's
// own on every host: some proxies ask under the base host's name and some under
// their client's, and where an app answered instead, whatever it said would be
// taken for a decision.
const authzPath = "/api/authz/"

// dialectOf says whether a request is to an address of a dialect, or to one
// that begins with one.
func dialectOf(u *url.URL) (d dialect, ok bool) {
	if len(u.Path) <= len(authzPath) || u.Path[:len(authzPath)] != authzPath {
		return 0, false
	}
	name := u.Path[len(authzPath):]
	if name == nginxAnswer.String() {
		return nginxAnswer, true
	}
	for _, d := range []dialect{nginx, traefik, caddy} {
		if name == d.String() || strings.HasPrefix(name, d.String()+"/") {
			return d, true
		}
	}
	return envoy, strings.HasPrefix(name, envoy.String())
}

// question is what another proxy asks about: a request of its client's.
type question struct {
	method, host string // the host as it was spelled
	target       *url.URL
}

// unclearError says what another proxy leaves unclear.
type unclearError struct{ what string }

func (e *unclearError) Error() string { return e.what }

func unclear(what string) error { return &unclearError{what} }

// question reads what is asked. host is the one that the connection names.
func (d dialect) question(r *http.Request, host string) (q question, err error) {
	h := r.Header
	if len(h["X-Forwarded-For"])+len(h["Forwarded"])+len(h["X-Real-Ip"]) == 0 {
		return q, unclear("X-Forwarded-For is missing") // or the client would have the proxy's address
	}
	// Caddy puts its client's query behind the address it asks at.
	if d != envoy && (r.URL.Path != authzPath+d.String() || r.URL.RawQuery != "" && d != caddy) {
		return q, unclear("the address has more than " + authzPath + d.String())
	}
	if d != envoy && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return q, unclear("the question is no GET")
	}
	switch d {
	case nginx, nginxAnswer:
		q, err = originalURL(h)
	case traefik, caddy:
		q, err = forwardedURL(h)
	case envoy:
		rest, ok := strings.CutPrefix(r.RequestURI, authzPath+d.String())
		if !ok {
			return q, unclear("the address is not " + authzPath + d.String() + " with the client's behind it")
		}
		q.method, q.host = r.Method, host
		q.target, err = targetOf(rest)
	}
	if err != nil {
		return q, err
	}
	if !httpguts.ValidHeaderFieldName(q.method) { // which is a token, too
		return q, unclear("the method is none")
	}
	return q, q.agrees(h)
}

// originalURL reads what nginx is configured to send.
func originalURL(h http.Header) (q question, err error) {
	if q.method, err = once(h, "X-Original-Method"); err != nil {
		return q, err
	}
	whole, err := once(h, "X-Original-Url")
	if err != nil {
		return q, err
	}
	scheme, rest, _ := strings.Cut(whole, "://")
	at := strings.IndexByte(rest, '/')
	if scheme != "http" && scheme != "https" || at < 0 {
		return q, unclear("X-Original-URL is no address such as https://app.example.com/x")
	}
	q.host = rest[:at]
	q.target, err = targetOf(rest[at:])
	return q, err
}

// forwardedURL reads what Traefik and Caddy send.
func forwardedURL(h http.Header) (q question, err error) {
	if q.method, err = once(h, "X-Forwarded-Method"); err != nil {
		return q, err
	}
	if q.host, err = once(h, "X-Forwarded-Host"); err != nil {
		return q, err
	}
	if _, err = once(h, "X-Forwarded-Proto"); err != nil {
		return q, err
	}
	target, err := once(h, "X-Forwarded-Uri")
	if err != nil {
		return q, err
	}
	q.target, err = targetOf(target)
	return q, err
}

// agrees says that other headers, where they are there, say the same of the
// host: a proxy that serves the base host to everybody passes on what its client
// wrote, beside a host of its own.
func (q question) agrees(h http.Header) error {
	for _, name := range []string{"X-Forwarded-Host", "X-Original-Host"} {
		if h[name] == nil {
			continue
		}
		also, err := once(h, name)
		if err != nil {
			return err
		}
		one, _ := normalHost(q.host)
		if two, ok := normalHost(also); !ok || one != two {
			return unclear(name + " names another host")
		}
	}
	return nil
}

// once gives the one value of a header.
func once(h http.Header, name string) (string, error) {
	switch values := h[name]; {
	case len(values) == 0 || values[0] == "":
		return "", unclear(name + " is missing")
	case len(values) > 1, strings.Contains(values[0], ",") && name != "X-Forwarded-Uri" && name != "X-Original-Url":
		return "", unclear(name + " is there twice")
	default:
		return values[0], nil
	}
}

var errNoTarget = errors.New("no path")

// targetOf reads a request's target as net/http does: a path, and a query.
func targetOf(s string) (u *url.URL, err error) {
	if s == "" || s[0] != '/' || strings.ContainsAny(s, " \t") {
		err = errNoTarget
	} else {
		u, err = url.ParseRequestURI(s)
	}
	if err != nil {
		return nil, unclear("the path is none, or not that of a request")
	}
	return u, nil
}
