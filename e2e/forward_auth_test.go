package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

func frontPolicy() identity.Policy {
	return identity.Policy{
		Audience: "https://app.example",
		Rules: []identity.Rule{
			{Paths: []string{"/public"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/admin"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/near"}, Networks: []string{"127.0.0.1/32"}, Allow: identity.Who{Public: true}},
			{Paths: []string{"/safe"}, Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey},
			{Allow: identity.Who{SignedIn: true}, APITokens: true},
		},
	}
}

// TestForwardAuth has Debian's nginx and Caddy serve an app by the examples in
// packaging/, and ask Berth who may enter.
func TestForwardAuth(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, string, string, *strings.Replacer){"nginx": nginxFront, "caddy": caddyFront} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, begin)
			// A route that leads nowhere: the proxy serves the app.
			f.call("POST", "/api/routes", map[string]any{"name": "outside", "spec": map[string]any{"hostname": frontApp, "access": frontPolicy()}}, nil)
			for _, name := range []string{"ana", "bo"} {
				f.call("POST", "/api/people", map[string]any{"username": name, "password": passwordOf(name), "role": "member", "email": name + "@example.com"}, nil)
			}
			f.call("POST", "/api/groups", map[string]any{"name": crew, "members": []string{"ana"}}, nil)
			for _, step := range []struct {
				name string
				test func(*testing.T)
			}{
				{"what is for everybody", f.public},
				{"a program is told to sign in", f.programs},
				{"signing in, and who comes", f.enters},
				{"an API token", f.tokens},
				{"somebody who may not", f.refuses},
				{"lies about who comes", f.liesOfIdentity},
				{"lies about what is asked for", f.liesOfTarget},
				{"paths that read in two ways", f.confusion},
				{"what only the proxy may ask", f.strangers},
				{"where people sign in from", f.origins},
				{"a WebSocket", f.upgrades},
				{"a stronger sign-in", f.stepUp},
				{"signing out", f.signOut},
				{"a session that is ended", f.revoked},
			} {
				t.Run(step.name, func(t *testing.T) {
					was := f.t
					f.t = t
					defer func() { f.t = was }()
					f.app.took()
					step.test(t)
				})
			}
		})
	}
}

// only gives the one request that reached the app.
func (f *front) only(t *testing.T) *http.Request {
	t.Helper()
	seen := f.app.took()
	require.Len(t, seen, 1)
	return seen[0]
}

// told are the headers that tell apps who comes, at Berth or elsewhere.
var told = []string{
	"X-Berth-User", "X-Berth-Email", "X-Berth-Groups", "X-Berth-Claims", "X-Berth-Context", "X-Berth-Provider", "X-Berth-External-Id", "X-Berth-Assertion",
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
}

// elsewhere are those that tell them of another request than was decided on.
var elsewhere = []string{
	"X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Original-Host", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix",
	"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Forwarded", "Proxy",
}

// telling gives what of a request's head tells an app who comes, read as apps
// do that take headers for CGI variables.
func telling(r *http.Request) map[string]string {
	found := map[string]string{}
	for name, values := range r.Header {
		plain := strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return '-'
		}, strings.ToLower(name))
		if same := func(one string) bool { return strings.EqualFold(one, plain) }; slices.ContainsFunc(told, same) || slices.ContainsFunc(elsewhere, same) {
			if value := strings.Join(values, "|"); value != "" {
				found[name] = value
			}
		}
	}
	return found
}

func (f *front) public(t *testing.T) {
	r := f.guest().do("POST", f.url(frontApp, "/public/x?y=z"), "a body", "Cookie: theme=dark", "Authorization: Basic YTpi")
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	require.Equal(t, "the app says a body", r.body)
	got := f.only(t)
	require.Equal(t, "POST /public/x?y=z", got.Method+" "+got.RequestURI)
	require.Equal(t, frontApp, strings.TrimSuffix(got.Host, ":"+f.port()))
	require.Equal(t, "theme=dark", got.Header.Get("Cookie"))
	require.Equal(t, "Basic YTpi", got.Header.Get("Authorization"), "which is the app's own affair")
	require.Empty(t, telling(got))

	large := strings.Repeat("0123456789abcdef", 512<<10) // 8 MiB, which the question must not take
	r = f.guest().do("PUT", f.url(frontApp, "/public/x"), large)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Len(t, r.body, len("the app says ")+len(large))
	f.app.took()
	require.Equal(t, http.StatusUnauthorized, f.guest().do("PUT", f.url(frontApp, "/pages"), large).StatusCode)
	require.Empty(t, f.app.took())
}

func (f *front) programs(t *testing.T) {
	for what, lines := range map[string][]string{
		"curl": nil, "fetch": {"Accept: text/html", "Sec-Fetch-Mode: cors"}, "XHR": {"Accept: text/html", "X-Requested-With: XMLHttpRequest"},
		"a made up cookie": {"Cookie: __Host-berth=" + strings.Repeat("x", 43)},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			r := f.guest().do(method, f.url(frontApp, "/pages"), "", lines...)
			require.Equal(t, http.StatusUnauthorized, r.StatusCode, "%s %s", what, method)
			require.Len(t, r.Header["Www-Authenticate"], 1, "%s %s: %v", what, method, r.Header)
			require.Contains(t, r.Header.Get("Www-Authenticate"), `Bearer realm="berth"`)
			require.Empty(t, r.to())
		}
	}
	require.Equal(t, http.StatusUnauthorized, f.guest().asks("/near").StatusCode, "the client is not where the proxy is")
	require.Empty(t, f.app.took())
}

func (f *front) enters(t *testing.T) {
	g := f.guest()
	at, r := g.browse(f.url(frontApp, "/pages/a%20b?c=d"))
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, f.url(frontBase, "/sign-in"), at.Scheme+"://"+at.Host+at.Path)
	require.Empty(t, f.app.took())
	g.signIn("ana", passwordOf("ana"))
	at, r = g.browse(f.url(frontApp, "/pages/a%20b?c=d"))
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	require.Equal(t, f.url(frontApp, "/pages/a%20b?c=d"), at.String())
	require.Contains(t, g.cookies(), "__Host-berth=")
	got := f.only(t)
	require.Equal(t, "/pages/a%20b?c=d", got.RequestURI)
	require.Equal(t, "ana", got.Header.Get("X-Berth-User"))
	require.Equal(t, "ana@example.com", got.Header.Get("X-Berth-Email"))
	require.Equal(t, crew, got.Header.Get("X-Berth-Groups"))
	require.Equal(t, "local", got.Header.Get("X-Berth-Provider"))
	require.Equal(t, "outside", got.Header.Get("X-Berth-Context"))
	require.Len(t, strings.Split(got.Header.Get("X-Berth-Assertion"), "."), 3)
	require.NotContains(t, got.Header.Get("Cookie"), "berth")

	g.asks("/pages", "Cookie: theme=dark") // beside the jar's
	got = f.only(t)
	require.Contains(t, got.Header.Get("Cookie"), "theme=dark")
	require.NotContains(t, got.Header.Get("Cookie"), "berth")

	r = f.guest().asks("/pages", "Cookie: "+g.cookies())
	require.Equal(t, http.StatusOK, r.StatusCode)
	f.app.took()
	require.Equal(t, http.StatusForbidden, g.asks("/.berth/ticket?ticket=used", pageLines...).StatusCode)
	require.Empty(t, f.app.took())
}

// member gives a guest who is signed in and known to the app.
func (f *front) member(name string) *guest {
	f.t.Helper()
	g := f.guest()
	g.signIn(name, passwordOf(name))
	_, r := g.browse(f.url(frontApp, "/pages"))
	require.Equal(f.t, http.StatusOK, r.StatusCode, r.body)
	f.app.took()
	return g
}

func (f *front) tokens(t *testing.T) {
	g := f.member("ana")
	made := g.do("POST", f.url(frontBase, "/api/account/tokens"), `{"name":"ci","scope":"read"}`, "Content-Type: application/json")
	require.Equal(t, http.StatusCreated, made.StatusCode, made.body)
	var token struct{ Secret string }
	require.NoError(t, json.Unmarshal([]byte(made.body), &token))
	r := f.guest().asks("/pages", "Authorization: Bearer "+token.Secret)
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	got := f.only(t)
	require.Equal(t, "ana", got.Header.Get("X-Berth-User"))
	require.NotContains(t, got.Header.Get("Authorization"), token.Secret, "what opens Berth is no app's to know")
	require.Equal(t, http.StatusForbidden, f.guest().asks("/admin", "Authorization: Bearer "+token.Secret).StatusCode)
	require.Equal(t, http.StatusUnauthorized, f.guest().asks("/pages", "Authorization: Bearer "+token.Secret[:len(token.Secret)-2]+"xx").StatusCode)
	require.Empty(t, f.app.took())
}

func (f *front) refuses(t *testing.T) {
	g := f.member("ana")
	r := g.asks("/admin/x", pageLines...)
	require.Equal(t, http.StatusForbidden, r.StatusCode)
	require.Contains(t, r.body, "You are signed in as ana")
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, http.StatusForbidden, g.do("DELETE", f.url(frontApp, "/admin"), "").StatusCode)
	require.Empty(t, f.app.took())
}

func (f *front) liesOfIdentity(t *testing.T) {
	g := f.member("ana")
	var lines []string
	for _, name := range append([]string{"X-Berth_User", "X_berth-groups", "X-BERTH-USER"}, told...) {
		for _, other := range []string{"-", "_", ".", "~"} {
			lines = append(lines, strings.ReplaceAll(name, "-", other)+": root")
		}
	}
	for _, path := range []string{"/public/x", "/pages"} {
		head := "GET " + path + " HTTP/1.1\r\nHost: " + frontApp + "\r\nCookie: " + g.cookies() + "\r\nX-Berth-Groups: again\r\nConnection: close, X-Berth-User\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
		status, body := g.raw(head)
		require.Equal(t, http.StatusOK, status, body)
		for name, value := range telling(f.only(t)) {
			require.NotContains(t, value, "root", name)
			require.NotContains(t, value, "again", name)
		}
		// The same over HTTP/2.
		require.Equal(t, http.StatusOK, g.asks(path, lines...).StatusCode)
		for name, value := range telling(f.only(t)) {
			require.NotContains(t, value, "root", name)
		}
	}
	status, body := f.guest().raw("GET /public HTTP/1.1\r\nHost: " + frontApp + "\r\nConnection: close\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
	require.Equal(t, http.StatusOK, status, body)
	require.Empty(t, telling(f.only(t)), "nobody is signed in, and nothing is said of them")
}

func (f *front) liesOfTarget(t *testing.T) {
	ana := f.member("ana")
	for _, lines := range [][]string{
		{"X-Original-URL: " + f.url(frontApp, "/public"), "X-Original-Method: GET"},
		{"X-Original-URL: https://" + frontApp + "/public", "X-Original-URL: /public"},
		{"X-Original-URI: /public", "X-Rewrite-URL: /public"},
		{"X-Forwarded-Uri: /public"},
		{"X-Forwarded-Uri: /public", "X-Forwarded-Uri: /public"},
		{"X_Forwarded_Uri: /public"},
		{"X-Forwarded-Uri: /public", "X-Forwarded-Method: GET", "X-Forwarded-Host: " + frontApp, "X-Forwarded-Proto: https"},
		{"X-Forwarded-Proto: http"},
		{"X-Forwarded-Host: other.example.com"},
		{"X-Original-Host: other.example.com"},
		{"X-Forwarded-Method: OPTIONS"},
		{"X-Forwarded-For: 127.0.0.1"},
		{"X-Real-IP: 127.0.0.1"},
		{"Forwarded: for=127.0.0.1;host=" + frontApp},
		{"Connection: close, X-Forwarded-Uri, X-Original-URL, X-Forwarded-For"},
		{"X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X_HTTP_Method: GET", "X_Method_Override: GET"},
		{"X-Original-URI: /public", "X-Original-Method: GET", "X-Forwarded-Prefix: /public", "Proxy: http://192.0.2.9"},
	} {
		said := strings.Join(lines, "\r\n")
		for _, path := range []string{"/admin", "/near"} {
			if path == "/near" {
				status, _ := f.guest().raw("GET " + path + " HTTP/1.1\r\nHost: " + frontApp + "\r\n" + said + "\r\n\r\n")
				require.Equal(t, http.StatusUnauthorized, status, said)
				continue
			}
			status, _ := ana.raw("GET " + path + " HTTP/1.1\r\nHost: " + frontApp + "\r\nCookie: " + ana.cookies() + "\r\n" + said + "\r\n\r\n")
			require.Equal(t, http.StatusForbidden, status, said)
		}
		require.Empty(t, f.app.took(), said)
		status, body := ana.raw("GET /public HTTP/1.1\r\nHost: " + frontApp + "\r\n" + said + "\r\n\r\n")
		require.Equal(t, http.StatusOK, status, body)
		got := f.only(t)
		require.Empty(t, telling(got), said)
		require.Equal(t, ana.from, got.Header.Get("X-Forwarded-For"), said)
		require.Equal(t, frontApp, got.Header.Get("X-Forwarded-Host"), said)
		require.Equal(t, "https", got.Header.Get("X-Forwarded-Proto"), said)
		require.NotEqual(t, "127.0.0.1", got.Header.Get("X-Real-IP"))
	}
	// A host that is the proxy's default, or said in two ways.
	status, _ := ana.raw("GET https://" + frontApp + "/admin HTTP/1.1\r\nHost: other.example.com\r\nCookie: " + ana.cookies() + "\r\n\r\n")
	require.NotEqual(t, http.StatusOK, status)
	require.Empty(t, f.app.took())
}

func (f *front) confusion(t *testing.T) {
	ana := f.member("ana")
	for _, path := range []string{
		"/public/../admin", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public//../admin", "/public/./../admin", "/public/..;/admin", "/public/..;x=y/admin",
		"/public/..%2fadmin", "/public%2f..%2fadmin", "/public/..\\admin", "/public\\..\\admin", "/public/..%5cadmin", "//admin", "/./admin", "/%2e/admin", "/;/admin", "/;x/admin",
		"/admin;/x", "/admin;x", "/admin%2fx", "/ADMIN", "/Admin/x", "/%61dmin", "/admin%20", "/admin%09", "/admin%00", "/public/%00/../admin", "/public/%c0%ae%c0%ae/admin",
		"/public%3f/../admin", "/public%23/../admin", "/public#/../admin", "/public/%252e%252e/../admin", "/public/x/..%252f../../admin", "/admin/", "/admin?x=/public", "/admin%3f",
		"http://" + frontApp + "/admin", "https://" + frontApp + "/public/../admin", "/near/../admin", "/.berth/../admin", "/.berth%2f..%2fadmin", "/.berth", "/.BERTH/ticket",
	} {
		status, body := ana.raw("GET " + path + " HTTP/1.1\r\nHost: " + frontApp + "\r\nCookie: " + ana.cookies() + "\r\n\r\n")
		seen := f.app.took()
		require.Empty(t, seen, "%s: %d %s", path, status, body)
		require.NotEqual(t, http.StatusOK, status, path)
	}
	for _, host := range []string{frontApp + ".", strings.ToUpper(frontApp), frontApp + ":443"} {
		ana.raw("GET /admin HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + ana.cookies() + "\r\n\r\n")
		require.Empty(t, f.app.took(), host)
	}
}

// strangers ask for decisions themselves: through the proxy, and past it.
func (f *front) strangers(t *testing.T) {
	for _, dialect := range []string{"nginx", "nginx/answer", "traefik", "caddy", "envoy/public"} {
		lines := []string{
			"X-Original-URL: https://" + frontApp + "/public", "X-Original-Method: GET", "X-Forwarded-Uri: /public", "X-Forwarded-Method: GET",
			"X-Forwarded-Host: " + frontApp, "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1",
		}
		for _, line := range [][]string{nil, lines} {
			r := f.guest().do("GET", f.url(frontBase, "/api/authz/"+dialect), "", line...)
			require.Equal(t, http.StatusNotFound, r.StatusCode, dialect)
		}
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.8.1.1")}}
		c, err := dialer.DialContext(t.Context(), "tcp", f.address)
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET /api/authz/"+dialect+" HTTP/1.1\r\nHost: "+frontApp+"\r\nConnection: close\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, response.StatusCode, dialect)
		_ = response.Body.Close()
		_ = c.Close()
	}
	require.NotEqual(t, http.StatusOK, f.guest().asks("/berth-decides").StatusCode, "nginx's own")
	require.Empty(t, f.app.took())
	require.Empty(t, f.member("ana").asks("/berth-decides").Header.Get("X-Berth-User"), "no client gets what is for the app")
}

// origins are what limits on signing in go by.
func (f *front) origins(t *testing.T) {
	g := f.member("ana")
	body := `{"username":"ana","password":"` + passwordOf("ana") + `"}`
	for _, line := range []string{"X-Forwarded-For: 192.0.2.9", "X-Real-IP: 192.0.2.9", "Forwarded: for=192.0.2.9", "X-Forwarded-Host: " + frontApp, "X-Forwarded-Proto: http"} {
		r := g.do("POST", f.url(frontBase, "/api/session"), body, "Content-Type: application/json", line)
		require.Equal(t, http.StatusOK, r.StatusCode, "%s: %s", line, r.body)
		r = g.do("GET", f.url(frontBase, "/api/account/sessions"), "")
		require.NotContains(t, r.body, "192.0.2.9", line)
		require.Contains(t, r.body, g.from, line)
	}
}

func (f *front) upgrades(t *testing.T) {
	for _, who := range []*guest{f.guest(), f.member("ana")} {
		c := who.secure()
		_, err := io.WriteString(c, "GET /pages HTTP/1.1\r\nHost: "+frontApp+"\r\nCookie: "+who.cookies()+"\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		require.NoError(t, err)
		reader := bufio.NewReader(c)
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		if who.cookies() == "" {
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Empty(t, f.app.took())
			continue
		}
		require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
		_, err = io.WriteString(c, "hello\n")
		require.NoError(t, err)
		line, err := reader.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "hello\n", line)
		_ = c.Close()
	}
}

func (f *front) stepUp(t *testing.T) {
	g := f.member("ana")
	at, _ := g.browse(f.url(frontApp, "/safe/x"))
	require.Equal(t, "/sign-in", at.Path)
	require.Equal(t, frontBase, at.Hostname())
	require.Equal(t, "passkey", at.Query().Get("step_up"))
	r := g.asks("/safe/x")
	require.Equal(t, http.StatusUnauthorized, r.StatusCode)
	require.Contains(t, r.Header.Get("Www-Authenticate"), "insufficient_user_authentication")
	require.Empty(t, f.app.took())
}

func (f *front) signOut(t *testing.T) {
	g := f.member("ana")
	r := g.asks("/.berth/sign-out", pageLines...)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Contains(t, r.body, "Sign out?")
	r = g.do("POST", f.url(frontApp, "/.berth/sign-out"), "", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example")
	require.Equal(t, http.StatusForbidden, r.StatusCode)
	require.Equal(t, http.StatusOK, g.asks("/pages").StatusCode)
	r = g.do("POST", f.url(frontApp, "/.berth/sign-out"), "", "Origin: "+f.url(frontApp, ""))
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	f.app.took()
	require.Equal(t, http.StatusUnauthorized, g.asks("/pages").StatusCode)
	at, _ := g.browse(f.url(frontApp, "/pages"))
	require.Equal(t, "/sign-in", at.Path, "in Berth itself, too")
	require.Empty(t, f.app.took())
}

func (f *front) revoked(t *testing.T) {
	g := f.member("bo")
	require.Equal(t, http.StatusOK, g.asks("/pages").StatusCode)
	var bo identity.Person
	f.call("GET", "/api/people/bo", nil, &bo)
	f.call("PATCH", "/api/people/bo", map[string]any{"version": bo.Version, "disabled": true}, nil)
	f.app.took()
	require.Equal(t, http.StatusUnauthorized, g.asks("/pages").StatusCode)
	require.Empty(t, f.app.took())
}
