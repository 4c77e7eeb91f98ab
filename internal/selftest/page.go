package selftest

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// asNobody are those of the API's addresses that answer whoever asks.
var asNobody = []string{"/api/setup", "/api/sign-in", "/api/session/second-factor"}

// listed are addresses of the API that are asked for where its own document
// can not be read.
var listed = []string{
	"/api/session", "/api/account/sessions", "/api/account/tokens", "/api/account/factors", "/api/account/identities", "/api/people", "/api/groups", "/api/providers", "/api/projects", "/api/deployments",
	"/api/events", "/api/events/stream", "/api/audit", "/api/images", "/api/secrets", "/api/registries", "/api/webhooks", "/api/channels", "/api/sources", "/api/system", "/api/openapi.json", "/api/nothing", "/api/", "/api", "/metrics", "/v2/", "/v2/_catalog",
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

var closedAPI = Check{
	Name:       "unguarded-api",
	Prevents:   "An address of the API answers somebody who has not signed in.",
	Advisories: []string{"CVE-2026-25748", "CVE-2021-32637"},
	Attack: func(ctx context.Context, t *Try) {
		paths := listed
		if t.Token != "" {
			paths = append(t.documented(ctx), paths...)
		} else {
			t.Partly("all addresses of the API's own document, which takes a token to read")
		}
		for _, path := range paths {
			if slices.Contains(asNobody, path) {
				continue
			}
			path = parameter.ReplaceAllString(path, "x")
			for _, method := range []string{"GET", "HEAD"} {
				a := t.Ask(ctx, method, t.base(), path)
				switch {
				case a == nil, a.Status == http.StatusUnauthorized, a.Status >= 300 && a.Status < 400, a.Status == http.StatusNotFound:
				case a.Status == http.StatusOK && strings.Contains(a.Header.Get("Content-Type"), "text/html"): // the dashboard
				default:
					t.Broken(method+" "+path, a.String())
				}
			}
		}
	},
}

// documented lists the addresses of the API's document.
func (t *Try) documented(ctx context.Context) []string {
	a := t.Ask(ctx, "GET", t.base(), "/api/openapi.json", "Authorization: Bearer "+t.Token)
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if a == nil || json.Unmarshal([]byte(a.Body), &document) != nil || len(document.Paths) == 0 {
		t.Partly("all addresses of the API's own document: the token does not open it")
		return nil
	}
	var paths []string
	for path, methods := range document.Paths {
		if methods["get"] != nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

var crossSite = Check{
	Name:     "cross-site-request-forgery",
	Prevents: "A page of another site has a browser change something here, or read it, as whoever is signed in.",
	Attack: func(ctx context.Context, t *Try) {
		// A name that nobody has, so that nobody is locked out should one go through.
		body := `{"username":"` + mark() + `","password":"x"}`
		places := []struct{ method, host, path string }{
			{"POST", t.base(), "/api/session"}, {"DELETE", t.base(), "/api/session"}, {"POST", t.base(), "/api/setup"}, {"POST", t.base(), "/api/projects"}, {"PUT", t.base(), "/api/projects/x/stages/x"}, {"PATCH", t.base(), "/api/people/x"}, {"GET", t.base(), "/api/session"}, {"GET", t.base(), "/api/projects"},
		}
		if t.Guarded != "" {
			places = append(places, struct{ method, host, path string }{"POST", t.on(t.Guarded), "/.berth/sign-out"})
		}
		for _, p := range places {
			for _, from := range [][]string{
				{"Sec-Fetch-Site: cross-site", "Origin: https://" + evil},
				{"Sec-Fetch-Site: same-site"},
				{"Sec-Fetch-Site: cross-site", "Origin: null"},
				{"Origin: https://" + evil},
				{"Origin: null"},
				{"Sec-Fetch-Site: cross-site", "Referer: " + t.Base.String()},
				{"Origin: " + t.Base.Scheme + "://" + t.Base.Hostname() + ".evil.example"},
				{"Origin: " + t.Base.Scheme + "://" + t.Base.Hostname() + ":1"},
			} {
				if p.method == "GET" && !strings.HasPrefix(from[0], "Sec-Fetch-Site") {
					continue // a browser that does not say so keeps the answer from the page
				}
				for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
					lines := append([]string{"Content-Type: " + kind, "Content-Length: 0"}, from...)
					message := request(p.method, p.host, p.path, lines...)
					if p.method != "GET" {
						message = strings.Replace(message, "Content-Length: 0", "Content-Length: "+strconv.Itoa(len(body)), 1) + body
					}
					for _, a := range t.Send(ctx, message) {
						if a.Status != http.StatusForbidden {
							t.Broken(message, a.String())
						}
						if a.Header.Get("Access-Control-Allow-Origin") != "" {
							t.Broken(message, "Access-Control-Allow-Origin: "+a.Header.Get("Access-Control-Allow-Origin"))
						}
					}
				}
			}
		}
		for _, from := range []string{"Origin: https://" + evil, "Sec-Fetch-Site: cross-site", "Origin: null"} {
			message := request("GET", t.base(), "/api/instances/x/exec", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", from)
			for _, a := range t.Send(ctx, message) {
				if a.Status < 400 {
					t.Broken(message, a.String())
				}
			}
		}
		// A GET is a GET, whatever a header says of it.
		for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "_method"} {
			plain, with := t.Ask(ctx, "GET", t.base(), "/api/session"), t.Ask(ctx, "GET", t.base(), "/api/session?_method=DELETE", name+": DELETE")
			switch {
			case plain == nil || with == nil:
				t.noAnswer("GET with " + name + ": DELETE")
			case plain.Status != with.Status:
				t.Broken("GET with "+name+": DELETE", "another answer than without")
			}
		}
	},
}

var framing = Check{
	Name:     "framing",
	Prevents: "A page of Berth's own is shown inside another site's, where a click means something else; or is read as something else than it is.",
	Attack: func(ctx context.Context, t *Try) {
		pages := map[string][]string{t.base(): {"/", "/sign-in", "/setup", "/nothing", "/api/session", "/api/nothing", "/health", "/auth/enter?host=x", "/auth/nothing/start", "/metrics", "/v2/", "/.well-known/jwks.json"}, "nothing." + t.base(): {"/"}}
		if t.Guarded != "" {
			pages[t.on(t.Guarded)] = []string{t.Closed, "/.berth/sign-out", "/.berth/ticket?ticket=x", "/.berth/nothing", "/a/../b"}
		}
		for host, paths := range pages {
			for _, path := range paths {
				for _, accept := range []string{"Accept: text/html", "Accept: application/json"} {
					a := t.Ask(ctx, "GET", host, path, accept)
					if a == nil {
						t.noAnswer(host + path)
						continue
					}
					policy := strings.Join(a.Header.Values("Content-Security-Policy"), ";")
					framed := !strings.Contains(policy, "frame-ancestors 'none'") && !strings.Contains(policy, "sandbox") && !strings.EqualFold(a.Header.Get("X-Frame-Options"), "DENY")
					if framed || a.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "script-src 'unsafe-inline'") {
						t.Broken(host+path, a.Header.Get("Content-Type")+" "+policy)
					}
				}
			}
		}
	},
}

var reflection = Check{
	Name:     "reflected-markup",
	Prevents: "What stands in an address or a header comes back as markup, or as a header, in a page of Berth's own.",
	Attack: func(ctx context.Context, t *Try) {
		m := mark()
		hosts := []string{t.base(), "nothing." + t.base()}
		if t.Guarded != "" {
			hosts = append(hosts, t.on(t.Guarded))
		}
		markup := "<script>" + m + "</script>"
		for _, host := range hosts {
			for _, target := range []string{"/" + markup, "/%3Cscript%3E" + m + "%3C/script%3E", "/api/" + markup, "/sign-in?to=" + markup + "&problem=" + markup + "&provider=" + markup, "/.berth/sign-in?to=/" + markup, "/x%0d%0aX-Split:%20" + m, "/auth/" + markup + "/callback?error=" + markup, "/auth/enter?host=" + markup} {
				for _, line := range []string{"X-Nothing: x", "User-Agent: " + markup, "Referer: " + markup, "X-Request-Id: " + markup, "X-Forwarded-Host: " + markup, "Accept-Language: " + markup} {
					message := request("GET", host, target, "Accept: text/html", line)
					for _, a := range t.Send(ctx, message) {
						html := strings.Contains(a.Header.Get("Content-Type"), "html")
						if html && strings.Contains(a.Body, markup) || a.Header.Get("X-Split") != "" || a.Header.Get("X-Request-Id") == markup {
							t.Broken(message, a.String())
						}
					}
				}
			}
		}
	},
}
