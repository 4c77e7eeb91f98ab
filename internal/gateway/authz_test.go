package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

// trustLoopback has the tests be a proxy.
func trustLoopback(c *Config) {
	c.TrustProxy, c.ForwardAuth = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"nginx", "traefik", "caddy", "envoy"}
}

// The dialects whose answer goes to the client as it is.
var plainDialects = []dialect{traefik, caddy, envoy}

// asking makes of a client's request the question about it that a proxy sends:
//
//   - nginx: a GET with all of the client's headers, and those of packaging/nginx
//     (https://nginx.org/en/docs/http/ngx_http_auth_request_module.html).
//   - Traefik: a GET with all of the client's headers and X-Forwarded-*
//     (https://doc.traefik.io/traefik/middlewares/http/forwardauth/#forward-request-headers).
//   - Caddy: a GET with all of the client's headers, its Host, and X-Forwarded-*
//     (https://caddyserver.com/docs/caddyfile/directives/forward_auth#expanded-form).
//   - Envoy: the client's method and Host, its path behind path_prefix, and those
//     headers that allowed_headers names
//     (https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto).
func (d *door) asking(by dialect, method, target string, edit ...func(*http.Request)) *http.Request {
	d.t.Helper()
	client, err := http.NewRequest(method, target, nil)
	require.NoError(d.t, err)
	for _, e := range edit {
		e(client)
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(target, "http://"), "/")
	path = "/" + path
	address := "http://localhost/api/authz/" + by.String()
	if _, query, has := strings.Cut(path, "?"); has && by == caddy {
		address += "?" + query // as Caddy's rewrite leaves it
	}
	if by == envoy {
		address = "http://" + host + "/api/authz/envoy" + path
	}
	q, err := http.NewRequest(http.MethodGet, "http://x", nil)
	require.NoError(d.t, err)
	q.URL = mustOpaque(d.t, address)
	q.Header = client.Header.Clone()
	q.Header.Set("X-Forwarded-For", "192.0.2.7")
	switch by {
	case nginx, nginxAnswer:
		q.Host = "localhost"
		q.Header.Set("X-Original-URL", "https://"+host+path)
		q.Header.Set("X-Original-Method", client.Method)
		q.Header.Set("X-Forwarded-Host", host)
		q.Header.Set("X-Forwarded-Proto", "https")
	case traefik, caddy:
		q.Host = "localhost"
		if by == caddy {
			q.Host = host
		}
		q.Header.Set("X-Forwarded-Method", client.Method)
		q.Header.Set("X-Forwarded-Host", host)
		q.Header.Set("X-Forwarded-Proto", "https")
		q.Header.Set("X-Forwarded-Uri", path)
	case envoy:
		q.Host, q.Method = host, client.Method
		allowed := http.Header{}
		for _, name := range []string{"Accept", "Authorization", "Cookie", "X-Forwarded-For", "X-Requested-With", "Sec-Fetch-Mode"} {
			allowed[name] = q.Header[name]
		}
		q.Header = allowed
		q.Header.Set("X-Forwarded-For", "192.0.2.7,127.0.0.1") // its own is added to what it asks
	}
	return q
}

// mustOpaque has a path be sent as it is written.
func mustOpaque(tb testing.TB, address string) *url.URL {
	tb.Helper()
	rest := strings.TrimPrefix(address, "http://")
	at := strings.IndexByte(rest, '/')
	return &url.URL{Scheme: "http", Host: rest[:at], Opaque: rest[at:]}
}

func (d *door) ask(by dialect, method, target string, edit ...func(*http.Request)) *http.Response {
	d.t.Helper()
	return d.answerTo(d.asking(by, method, target, edit...))
}

func (d *door) answerTo(q *http.Request) *http.Response {
	d.t.Helper()
	res, err := d.client.Do(q)
	require.NoError(d.t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(d.t, err, "an answer is as long as it says")
	require.NoError(d.t, res.Body.Close())
	return res
}

// direct sends a client's request to the gateway itself.
func (d *door) direct(method, target string, edit ...func(*http.Request)) *http.Response {
	d.t.Helper()
	q, err := http.NewRequest(method, "http://x", nil)
	require.NoError(d.t, err)
	q.URL = mustOpaque(d.t, target)
	q.Host = q.URL.Host
	for _, e := range edit {
		e(q)
	}
	q.Header.Set("X-Forwarded-For", "192.0.2.7")
	return d.answerTo(q)
}

func authzPolicy() identity.Policy {
	return identity.Policy{
		Audience: "https://app.test",
		Rules: []identity.Rule{
			{Paths: []string{"/public"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/admin"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/near"}, Networks: []string{"127.0.0.0/8"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/far"}, Networks: []string{"192.0.2.0/24"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/writes"}, Methods: []string{"PUT", "DELETE"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/safe"}, Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey},
			{Paths: []string{"/none"}},
			{Allow: identity.Who{SignedIn: true}, APITokens: true},
		},
	}
}

func TestAuthz_DecidesAsTheGatewayDoes(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", authzPolicy(), func(http.ResponseWriter, *http.Request) {})
	ana, root := d.signIn("ana", identity.RoleMember), d.signIn("root", identity.RoleAdministrator)
	key, _, err := d.people.CreateToken(t.Context(), ana, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	whos := map[string]func(*http.Request){
		"nobody": func(*http.Request) {},
		"ana":    with("Cookie", d.cookieFor(ana, "app.test")),
		"root":   with("Cookie", "a=b; "+d.cookieFor(root, "app.test")),
		"token":  with("Authorization", "Bearer "+key.Reveal()),
		"liar":   with("Cookie", "berth="+strings.Repeat("x", 43)),
		"basic":  with("Authorization", "Basic YTpi"),
	}
	asks := map[string]func(*http.Request){"program": func(*http.Request) {}, "page": asPage, "fetch": func(q *http.Request) { asPage(q); q.Header.Set("Sec-Fetch-Mode", "cors") }}
	seen := map[int]int{}
	for _, path := range []string{
		"/", "/public", "/public/x?y=z", "/admin", "/Admin", "/admin/", "/administrator", "/near", "/far", "/writes", "/safe", "/none",
		"/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin", "/public//../admin", "/public//admin", "/public%2f..%2fadmin",
		"/public%2f", "/public;/x", "/public\\admin", "/%61dmin", "/public/%00", "/public?next=/admin", "/a%20b", "/public%3f/admin",
	} {
		hosts := []string{"app.test"}
		if path == "/admin" {
			hosts = append(hosts, "APP.test", "app.test.", "app.test:8443")
		}
		for _, host := range hosts {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
				for who, proves := range whos {
					for how, sends := range asks {
						target := "http://" + host + path
						want := d.direct(method, target, proves, sends)
						for _, by := range plainDialects {
							got := d.ask(by, method, target, proves, sends)
							require.Equal(t, want.StatusCode, got.StatusCode, "%s %s by %s, as %s, %s", method, target, by, who, how)
							require.Equal(t, want.Header.Get("WWW-Authenticate"), got.Header.Get("WWW-Authenticate"))
							sameWay(t, want, got)
						}
						seen[want.StatusCode]++
						asNginx(t, want.StatusCode, d.ask(nginx, method, target, proves, sends).StatusCode,
							d.ask(nginxAnswer, method, target, proves, sends).StatusCode)
					}
				}
			}
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden} {
		require.NotZero(t, seen[status], "no case is answered with %d", status)
	}
}

// asNginx says what nginx is answered, and its client, where the gateway itself
// answers want.
func asNginx(t *testing.T, want, answer, told int) {
	t.Helper()
	switch want {
	case http.StatusOK:
		require.Equal(t, http.StatusOK, answer)
		require.Equal(t, http.StatusServiceUnavailable, told, "never an empty 200 to a client")
		return
	case http.StatusFound, http.StatusUnauthorized:
		require.Equal(t, http.StatusUnauthorized, answer)
	default:
		require.Equal(t, http.StatusForbidden, answer)
	}
	require.Equal(t, want, told)
}

// sameWay says that both lead to the same place, but for the browser's own bind.
func sameWay(t *testing.T, want, got *http.Response) {
	t.Helper()
	way := func(r *http.Response) string {
		to, err := url.Parse(r.Header.Get("Location"))
		require.NoError(t, err)
		query := to.Query()
		if inner, err := url.Parse(query.Get("to")); err == nil && query.Has("step_up") {
			in := inner.Query()
			in.Del("bind")
			query.Set("to", inner.Path+"?"+in.Encode())
		}
		query.Del("bind")
		to.RawQuery = query.Encode()
		return to.String()
	}
	require.Equal(t, way(want), way(got))
	require.Len(t, got.Cookies(), len(want.Cookies()))
}

// claimsIn reads what an assertion says.
func claimsIn(t *testing.T, jwt string) (c assertionClaims) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	require.Len(t, parts, 3)
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &c))
	return c
}

func TestAuthz_TellsTheAppWhatTheGatewayTells(t *testing.T) {
	d := newDoor(t, trustLoopback, func(c *Config) { c.HeaderFamilies = []HeaderFamily{RemoteUser, ForwardedUser} })
	var told http.Header
	d.routeFor("app.test", authzPolicy(), func(_ http.ResponseWriter, r *http.Request) { told = r.Header.Clone() })
	ana := d.signIn("ana", identity.RoleMember)
	cookies := with("Cookie", "theme=dark; "+d.cookieFor(ana, "app.test")+"; lang=en")
	lies := func(q *http.Request) {
		q.Header.Set("X-Berth-User", "root")
		q.Header.Set("X-Berth-Groups", "ops")
		q.Header.Set("Authorization", "Basic YTpi")
	}
	d.direct("GET", "http://app.test/a%20b/c?d=e", cookies, lies)
	for _, by := range append(plainDialects, nginx) {
		got := d.ask(by, "GET", "http://app.test/a%20b/c?d=e", cookies, lies)
		require.Equal(t, 200, got.StatusCode, by)
		for name, values := range told {
			if strings.HasPrefix(name, "X-Berth-") || strings.HasPrefix(name, "Remote-") || strings.HasPrefix(name, "X-Forwarded-") && strings.ContainsAny(name[12:], "UEG") || strings.HasSuffix(name, "Username") || name == "Cookie" || name == "Authorization" {
				assert.Equal(t, values, got.Header[name], "%s by %s", name, by)
			}
		}
		assert.Equal(t, "ana", got.Header.Get("X-Berth-User"))
		assert.Empty(t, got.Header.Get("X-Berth-Groups"))
		assert.Equal(t, "theme=dark; lang=en", got.Header.Get("Cookie"))
		assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
		claims := claimsIn(t, got.Header.Get("X-Berth-Assertion"))
		assert.Equal(t, "GET", claims.Method)
		assert.Equal(t, "app.test", claims.Host)
		assert.Equal(t, ana.Person.ID, claims.Subject)
		if by == envoy {
			gone := strings.Split(got.Header.Get("X-Envoy-Auth-Headers-To-Remove"), ",")
			assert.Contains(t, gone, "x-berth-groups")
			assert.Contains(t, gone, "x_berth_user")
			assert.NotContains(t, gone, "x-berth-user")
			assert.NotContains(t, gone, "cookie")
		}
	}
	key, _, err := d.people.CreateToken(t.Context(), ana, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	got := d.ask(envoy, "GET", "http://app.test/", with("Authorization", "Bearer "+key.Reveal()))
	require.Equal(t, 200, got.StatusCode)
	require.Empty(t, got.Header.Get("Authorization"), "what opens Berth is no app's to know")
	gone := strings.Split(got.Header.Get("X-Envoy-Auth-Headers-To-Remove"), ",")
	require.Contains(t, gone, "authorization")
	require.Contains(t, gone, "cookie")
}

// Another proxy does not strip what Berth's own gateway would.
func TestAuthz_AssertsTheWholePath(t *testing.T) {
	d := newDoor(t, trustLoopback)
	r := d.routeFor("app.test", authzPolicy(), func(http.ResponseWriter, *http.Request) {})
	r.PathPrefix, r.StripPrefix = "/shop", true
	d.route(r)
	got := d.ask(caddy, "GET", "http://app.test/shop/x", with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test")))
	sum := sha256.Sum256([]byte("/shop/x"))
	require.Equal(t, base64.RawURLEncoding.EncodeToString(sum[:]), claimsIn(t, got.Header.Get("X-Berth-Assertion")).PathHash)
}

func TestAuthz_AnswersOnlyProxiesThatAreNamed(t *testing.T) {
	for name, proxies := range map[string][]netip.Prefix{"nobody": nil, "somebody else": {netip.MustParsePrefix("10.0.0.0/8")}} {
		d := newDoor(t, trustLoopback, func(c *Config) { c.TrustProxy = proxies })
		d.routeFor("app.test", identity.Public(), func(http.ResponseWriter, *http.Request) { t.Error("an app is no judge of who enters") })
		for _, by := range []dialect{nginx, nginxAnswer, traefik, caddy, envoy} {
			got := d.ask(by, "GET", "http://app.test/", func(*http.Request) {})
			assert.Equal(t, http.StatusForbidden, got.StatusCode, "%s by %s", name, by)
			assert.Empty(t, got.Header.Get("Set-Cookie"))
		}
		require.Contains(t, d.log.String(), "BERTH_TRUST_PROXY")
	}
}

// A proxy that passes everything on, and none that asks: a page's own script
// would read what its app alone is told.
func TestAuthz_AnswersOnlyKindsThatAreNamed(t *testing.T) {
	for _, named := range []string{"", "caddy"} {
		d := newDoor(t, trustLoopback, func(c *Config) { c.ForwardAuth = []string{named} })
		d.routeFor("app.test", authzPolicy(), func(http.ResponseWriter, *http.Request) { t.Error("an app is no judge of who enters") })
		cookie := with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test"))
		for _, by := range []dialect{nginx, nginxAnswer, traefik, caddy, envoy} {
			got := d.ask(by, "GET", "http://app.test/shop", cookie)
			if by.kind() == named {
				assert.Equal(t, http.StatusOK, got.StatusCode)
				continue
			}
			assert.Equal(t, http.StatusNotFound, got.StatusCode, "%s by %s", named, by)
			assert.Empty(t, got.Header.Get("X-Berth-Assertion"))
			assert.Empty(t, got.Header.Get("Cookie"))
			assert.Empty(t, got.Header.Get("Set-Cookie"))
		}
		require.Contains(t, d.log.String(), "BERTH_FORWARD_AUTH")
	}
}

func TestAuthz_RefusesWhatIsNotClear(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", identity.Public(), func(http.ResponseWriter, *http.Request) { t.Error("an app is no judge of who enters") })
	without := func(name string) func(*http.Request) { return func(q *http.Request) { q.Header.Del(name) } }
	again := func(name, value string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Add(name, value) }
	}
	cases := map[dialect]map[string]func(*http.Request){
		nginx: {
			"no method": without("X-Original-Method"), "no address": without("X-Original-URL"), "nothing of the client": without("X-Forwarded-For"),
			"two methods": again("X-Original-Method", "GET"), "two addresses": again("X-Original-URL", "https://app.test/public"),
			"two methods in one": with("X-Original-Method", "GET, PUT"), "no method at all": with("X-Original-Method", "G T"),
			"another host beside":   with("X-Forwarded-Host", "berth.test"),
			"two hosts beside":      again("X-Forwarded-Host", "app.test"),
			"a path alone":          with("X-Original-URL", "/x"),
			"no path":               with("X-Original-URL", "https://app.test"),
			"another scheme":        with("X-Original-URL", "ftp://app.test/"),
			"somebody in the host":  with("X-Original-URL", "https://app.test@other.test/"),
			"a query in the host":   with("X-Original-URL", "https://app.test?x=/y"),
			"a space":               with("X-Original-URL", "https://app.test/a b"),
			"no host":               with("X-Original-URL", "https:///x"),
			"a broken escape":       with("X-Original-URL", "https://app.test/%zz"),
			"Traefik's way instead": func(q *http.Request) { q.Header.Del("X-Original-URL"); q.Header.Set("X-Forwarded-Uri", "/") },
			"a POST":                func(q *http.Request) { q.Method = http.MethodPost },
			"a query of its own":    func(q *http.Request) { q.URL.Opaque += "?x" },
			"more of an address":    func(q *http.Request) { q.URL.Opaque += "/x" },
		},
		traefik: {
			"no method": without("X-Forwarded-Method"), "no host": without("X-Forwarded-Host"), "no path": without("X-Forwarded-Uri"), "no scheme": without("X-Forwarded-Proto"),
			"two methods": again("X-Forwarded-Method", "GET"), "two hosts": again("X-Forwarded-Host", "app.test"), "two paths": again("X-Forwarded-Uri", "/public"),
			"two schemes": again("X-Forwarded-Proto", "http"), "a scheme that is none": with("X-Forwarded-Proto", "gopher"),
			"two hosts in one": with("X-Forwarded-Host", "app.test, other.test"),
			"an address":       with("X-Forwarded-Uri", "https://app.test/"),
			"empty":            with("X-Forwarded-Uri", ""),
			"a star":           with("X-Forwarded-Uri", "*"),
			"nginx's way instead": func(q *http.Request) {
				q.Header.Del("X-Forwarded-Uri")
				q.Header.Set("X-Original-URL", "https://app.test/")
			},
			"two clients":  func(q *http.Request) { q.Header.Set("Forwarded", "for=198.51.100.1") },
			"no client":    func(q *http.Request) { q.Header.Set("X-Forwarded-For", "unknown") },
			"another host": with("X-Original-Host", "other.test"),
		},
		caddy: {"no method": without("X-Forwarded-Method"), "no path": without("X-Forwarded-Uri")},
		envoy: {
			"nothing of the client": without("X-Forwarded-For"), "another host": with("X-Forwarded-Host", "other.test"),
			"no path":             func(q *http.Request) { q.URL.Opaque = "/api/authz/envoy" },
			"a star":              func(q *http.Request) { q.URL.Opaque = "/api/authz/envoy*" },
			"the prefix, encoded": func(q *http.Request) { q.URL.Opaque = "/api/authz/env%6fy/x" },
			"the prefix and more": func(q *http.Request) { q.URL.Opaque = "/api/authz/envoyx" },
		},
	}
	for by, list := range cases {
		for name, edit := range list {
			q := d.asking(by, "GET", "http://app.test/x")
			edit(q)
			got := d.answerTo(q)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode, "%s: %s", by, name)
		}
	}
}

func TestAuthz_LogsWhatSomebodyHasToPutRight(t *testing.T) {
	d := newDoor(t, trustLoopback)
	q := d.asking(nginx, "GET", "http://app.test/x?secret=yes")
	q.Header.Del("X-Original-Method")
	d.answerTo(q)
	require.Contains(t, d.log.String(), "X-Original-Method is missing")
	require.NotContains(t, d.log.String(), "secret")
}

func TestAuthz_KnowsNoOtherHostsAndNoneOfBerthsOwnAddresses(t *testing.T) {
	d := newDoor(t, trustLoopback)
	r := d.routeFor("app.test", identity.Public(), func(http.ResponseWriter, *http.Request) {})
	r.StageID, r.Hostname, r.PathPrefix, r.Deployment = "s2", "part.test", "/shop", "d2"
	d.route(r)
	for _, target := range []string{
		"http://other.test/", "http://localhost/", "http://localhost/api/projects", "http://part.test/", "http://part.test/shopping",
		"http://app.test/.berth/ticket", "http://app.test/.BERTH/sign-out", "http://app.test//.berth/x", "http://app.test/.berth",
	} {
		for _, by := range plainDialects {
			assert.Equal(t, http.StatusForbidden, d.ask(by, "GET", target).StatusCode, "%s by %s", target, by)
		}
		assert.Equal(t, http.StatusForbidden, d.ask(nginx, "GET", target).StatusCode, target)
	}
	require.Equal(t, http.StatusOK, d.ask(nginx, "GET", "http://part.test/shop/x").StatusCode)
}

func TestAuthz_DecidesOnThePathAsItCame(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", authzPolicy(), func(http.ResponseWriter, *http.Request) {})
	require.Contains(t, d.raw("GET //admin HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n"), " 400 Bad Request")
	for _, by := range plainDialects {
		require.Equal(t, http.StatusBadRequest, d.ask(by, "GET", "http://app.test//admin").StatusCode, by)
	}
	require.Equal(t, http.StatusForbidden, d.ask(nginx, "GET", "http://app.test//admin").StatusCode)
}

// What asks by gRPC's content type must not be refused in gRPC's way, whose
// status is 200.
func TestAuthz_NeverRefusesWithASuccess(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	d.useHTTP2()
	for _, by := range plainDialects {
		q := d.asking(by, "POST", "http://app.test/package.Service/Call")
		q.Header.Set("Content-Type", "application/grpc")
		require.Equal(t, http.StatusUnauthorized, d.answerTo(q).StatusCode, by)
	}
}

func TestAuthz_EndsWithTheSessionAtOnce(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	ana := d.signIn("ana", identity.RoleMember)
	cookie := with("Cookie", d.cookieFor(ana, "app.test"))
	require.Equal(t, 200, d.ask(caddy, "GET", "http://app.test/", cookie).StatusCode)
	require.NoError(t, d.people.SignOut(t.Context(), ana))
	require.Equal(t, 401, d.ask(caddy, "GET", "http://app.test/", cookie).StatusCode)
}

func TestAuthz_ReadsNoBody(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", identity.Public(), func(http.ResponseWriter, *http.Request) {})
	// The body never comes, and the connection is not kept for it.
	got := d.raw("GET /api/authz/nginx HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\nX-Forwarded-For: 192.0.2.7\r\n" +
		"X-Original-Method: POST\r\nX-Original-URL: https://app.test/\r\n\r\n")
	require.True(t, strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n"), got)
	require.Contains(t, got, "Connection: close")
}

func TestAuthz_CountsByDialectAndOutcome(t *testing.T) {
	d := newDoor(t, trustLoopback)
	d.routeFor("app.test", authzPolicy(), func(http.ResponseWriter, *http.Request) {})
	d.ask(nginx, "GET", "http://app.test/public")
	d.ask(caddy, "GET", "http://app.test/")
	d.ask(traefik, "GET", "http://app.test/public/../admin")
	d.ask(envoy, "GET", "http://other.test/")
	q := d.asking(envoy, "GET", "http://app.test/")
	q.Header.Del("X-Forwarded-For")
	d.answerTo(q)
	registry := prometheus.NewRegistry()
	registry.MustRegister(d.gateway.Collector())
	families, err := registry.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "berth_authz_decisions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			counted[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
		}
	}
	require.Equal(t, map[string]float64{
		"caddy sign_in": 1, "envoy unclear": 1, "envoy unknown_host": 1, "nginx public": 1, "traefik refused": 1,
	}, counted)
}

// FuzzDialect has a proxy ask about any path: whatever is let in leads to what is
// for everybody, in each way to read it.
func FuzzDialect(f *testing.F) {
	for _, target := range []string{"/public", "/public/../admin", "/public%2f..%2fadmin", "/public/..;/admin", "//admin", "/public?/admin", "/public#/admin", "/PUBLIC", "/public/\\admin", "*", "/%", "/public/\xc0\xae\xc0\xae/"} {
		for d := range dialects {
			f.Add(d, "GET", "app.test", target)
		}
	}
	gate, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{{Paths: []string{"/public"}, Methods: []string{"GET"}, Allow: identity.Who{Public: true}}}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, d int, method, host, target string) {
		by := dialect(((d % dialects) + dialects) % dialects)
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: authzPath + by.String()}, Header: http.Header{
			"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Method": {method}, "X-Forwarded-Host": {host}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Uri": {target},
			"X-Original-Method": {method}, "X-Original-Url": {"https://" + host + target},
		}}
		if by == envoy {
			r.Method, r.RequestURI = method, authzPath+"envoy"+target
		}
		q, err := by.question(r, host)
		if err != nil {
			return
		}
		path, ok := read(q.target)
		if !ok || !gate.Enter(nil, identity.Visit{Method: q.method, Path: path.path, Others: path.others()}).Allowed {
			return
		}
		require.Equal(t, "GET", q.method)
		require.Equal(t, method, q.method)
		if by == traefik || by == caddy || by == envoy {
			again, err := url.ParseRequestURI(target)
			require.NoError(t, err)
			require.Equal(t, again, q.target)
			require.Equal(t, host, q.host)
		}
		for _, reading := range append(path.others(), path.path) {
			require.True(t, reading == "/public" || strings.HasPrefix(reading, "/public/"), reading)
		}
	})
}
