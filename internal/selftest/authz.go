package selftest

import (
	"context"
	"net/http"
	"strings"
)

// askers are the addresses at which other proxies ask who may enter.
var askers = []string{"/api/authz/nginx", "/api/authz/nginx/answer", "/api/authz/caddy", "/api/authz/traefik", "/api/authz/envoy", "/api/authz/envoy/", "/api/authz/envoy/admin", "/api/authz"}

var forwardAuthForgery = Check{
	Name:       "forward-auth-forgery",
	Prevents:   "A client asks, as a proxy would, for the decision on another request than its own, or asks in two ways at once, and is told yes.",
	Advisories: []string{"CVE-2026-40575", "CVE-2026-39858", "CVE-2021-32637"},
	Attack: func(ctx context.Context, t *Try) {
		host, closed := "nothing."+t.base(), "/admin"
		if t.Guarded != "" {
			host, closed = t.on(t.Guarded), t.Closed
		} else {
			t.Partly("about an app that asks for signing in")
		}
		open := "/health"
		if len(t.Open) > 0 {
			open = t.Open[0]
		}
		page := t.Base.Scheme + "://" + host
		caddy := []string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: " + t.Base.Scheme, "X-Forwarded-Host: " + host, "X-Forwarded-Uri: " + closed}
		nginx := []string{"X-Original-URL: " + page + closed, "X-Original-Method: GET"}
		from := "X-Forwarded-For: 127.0.0.1"
		for _, asker := range askers {
			for _, lines := range [][]string{
				nil,
				{from},
				append(nginx, from), append(caddy, from), append(append(nginx, caddy...), from),
				append(nginx, from, "X-Original-URL: "+page+open), append(nginx, from, "X_Original_URL: "+page+open), append(nginx, from, "X-Forwarded-Uri: "+open),
				append(caddy, from, "X-Forwarded-Uri: "+open), append(caddy, from, "X_Forwarded_Uri: "+open), append(caddy, from, "X.Forwarded.Uri: "+open), append(caddy, from, "X-Original-URL: "+page+open), append(caddy, from, "X-Original-URI: "+open),
				append(caddy, from, "X-Forwarded-Host: "+t.base()), append(caddy, from, "Forwarded: host="+t.base()), append(caddy, from, "X-Forwarded-Method: OPTIONS"), append(caddy, from, "User-Agent: kube-probe/1.30"),
				{from, "X-Original-URL: " + page + open + "/.." + closed, "X-Original-Method: GET"},
				{from, "X-Original-URL: " + page + "/%2e" + closed, "X-Original-Method: GET"},
				{from, "X-Original-URL: " + page + "/" + closed, "X-Original-Method: GET"},
				{from, "X-Original-URL: " + page + closed + "#" + open, "X-Original-Method: GET"},
				{from, "X-Original-URL: :" + closed, "X-Original-Method: GET"},
				{from, "X-Original-URL: " + page + "/%zz", "X-Original-Method: GET"},
				append(caddy, from, "X-Berth-User: admin", "Remote-User: admin"), append(append(nginx, caddy...), from, "Content-Type: application/grpc"),
			} {
				for _, at := range []string{t.base(), host} {
					message := request(http.MethodGet, at, asker, lines...)
					for _, a := range t.Send(ctx, message) {
						t.notLetIn(message, &a)
					}
				}
			}
		}
	},
}

// notLetIn looks whether an answer tells a proxy to go on. Whoever comes by a
// proxy that is trusted may ask, and be sent to sign in; in the house of the
// tests, which trusts none, nobody may.
func (t *Try) notLetIn(message string, a *Answer) {
	if a.Status < 300 || t.Echo && (a.Status < 400 || a.Header.Get("Set-Cookie") != "") {
		t.Broken(message, a.String())
	}
	for name := range a.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-berth-") || strings.HasPrefix(low, "remote-") {
			t.Broken(message, name+": "+a.Header.Get(name))
		}
	}
}
