package gateway

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// door is a rig whose gateway knows people.
type door struct {
	*rig
	people *identity.Service
	db     *sqlite.DB
}

const doorPassword = "correct horse battery"

func newDoor(tb testing.TB, edit ...func(*Config)) *door {
	tb.Helper()
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	d := &door{db: db}
	events := event.New(event.Config{DB: db})
	d.people, err = identity.New(identity.Config{DB: db, Events: events, PasswordCost: bcrypt.MinCost})
	require.NoError(tb, err)
	sealed, err := vault.New(vault.Config{DB: db, Events: events, Key: secret.New(strings.Repeat("k", 32))})
	require.NoError(tb, err)
	keys, err := OpenKeys(context.Background(), sealed, nil, nil)
	require.NoError(tb, err)
	// Berth is set up: a provider makes nobody before.
	_, err = d.people.CreatePerson(tb.Context(), "test", identity.Person{Username: "first"}, secret.New(doorPassword))
	require.NoError(tb, err)
	d.rig = newRig(tb, append([]func(*Config){func(c *Config) { c.Identity, c.Keys, c.DB, c.Events = d.people, keys, db, events }}, edit...)...)
	return d
}

// signIn makes a person and signs them in.
func (d *door) signIn(name string, role identity.Role) identity.Subject {
	d.t.Helper()
	_, err := d.people.CreatePerson(context.Background(), "test", identity.Person{Username: name, Role: role, Email: name + "@example.com"}, secret.New(doorPassword))
	require.NoError(d.t, err)
	_, subject, err := d.people.SignIn(context.Background(), name, secret.New(doorPassword), identity.Origin{Address: "192.0.2.1"})
	require.NoError(d.t, err)
	return subject
}

// cookieFor carries a session over to an app's host.
func (d *door) cookieFor(subject identity.Subject, host string) string {
	d.t.Helper()
	ticket, err := d.people.IssueTicket(subject, identity.Passage{Host: host, Bind: "b", To: "/"})
	require.NoError(d.t, err)
	token, _, err := d.people.RedeemTicket(context.Background(), ticket, host, "b")
	require.NoError(d.t, err)
	return "berth=" + token.Reveal()
}

func (d *door) routeFor(host string, policy identity.Policy, h http.HandlerFunc) deploy.Route {
	d.t.Helper()
	r := routeTo(host, "d-"+host, addressOf(app(d.t, h)))
	r.Access = policy
	d.route(r)
	return r
}

func with(name, value string) func(*http.Request) {
	return func(q *http.Request) { q.Header.Set(name, value) }
}

func asPage(q *http.Request) {
	q.Header.Set("Accept", "text/html,application/xhtml+xml")
	q.Header.Set("Sec-Fetch-Mode", "navigate")
}

func allow(w identity.Who) identity.Policy {
	return identity.Policy{Rules: []identity.Rule{{Allow: w}}}
}

func TestEnter_LetsInWhomThePolicyDoesAndNobodyElse(t *testing.T) {
	d := newDoor(t)
	reached := 0
	count := func(http.ResponseWriter, *http.Request) { reached++ }
	ana, root := d.signIn("ana", identity.RoleMember), d.signIn("root", identity.RoleAdministrator)
	for host, c := range map[string]struct {
		policy            identity.Policy
		nobody, ana, root int
	}{
		"none.test":   {identity.Policy{}, 403, 403, 403},
		"public.test": {identity.Public(), 200, 200, 200},
		"signed.test": {identity.SignedIn(), 401, 200, 200},
		"admin.test":  {allow(identity.Who{Administrators: true}), 401, 403, 200},
		"ana.test":    {allow(identity.Who{People: []string{"ana"}}), 401, 200, 403},
		"strong.test": {identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey}}}, 401, 401, 401},
	} {
		d.routeFor(host, c.policy, count)
		for who, want := range map[string]int{"": c.nobody, d.cookieFor(ana, host): c.ana, d.cookieFor(root, host): c.root} {
			before := reached
			res, _ := d.get("http://"+host+"/x", with("Cookie", who))
			assert.Equal(t, want, res.StatusCode, host)
			assert.Equal(t, want == 200, reached > before, host)
		}
	}
}

func TestEnter_LeadsABrowserAtAPageToSignInAndNobodyElse(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) { t.Error("let in") })
	res, _ := d.get("http://app.test:8080/a%20b?c=d", asPage)
	require.Equal(t, http.StatusFound, res.StatusCode)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	to, err := res.Location()
	require.NoError(t, err)
	require.Equal(t, "http://localhost/auth/enter", to.Scheme+"://"+to.Host+to.Path)
	require.Equal(t, "app.test", to.Query().Get("host"))
	require.Equal(t, "/a%20b?c=d", to.Query().Get("to"))
	kept := res.Cookies()
	require.Len(t, kept, 1)
	require.Equal(t, "berth-bind", kept[0].Name)
	require.True(t, kept[0].HttpOnly)
	require.Equal(t, bindOf(kept[0].Value), to.Query().Get("bind"))
	_, err = d.gateway.CheckPassage(identity.Passage{Host: to.Query().Get("host"), To: to.Query().Get("to"), Bind: to.Query().Get("bind")})
	require.NoError(t, err)

	other, _ := d.get("http://app.test/", asPage, with("Cookie", "berth-bind="+kept[0].Value))
	require.Equal(t, kept[0].Value, other.Cookies()[0].Value, "two tabs of one browser do not undo each other")

	for name, edit := range map[string]func(*http.Request){
		"curl":            func(*http.Request) {},
		"fetch":           func(q *http.Request) { asPage(q); q.Header.Set("Sec-Fetch-Mode", "cors") },
		"an old XHR":      func(q *http.Request) { asPage(q); q.Header.Set("X-Requested-With", "XMLHttpRequest") },
		"a script's JSON": with("Accept", "application/json"),
		"a form":          func(q *http.Request) { asPage(q); q.Method = http.MethodPost },
		"a WebSocket": func(q *http.Request) {
			asPage(q)
			q.Header.Set("Connection", "Upgrade")
			q.Header.Set("Upgrade", "websocket")
		},
		"a token that is old": func(q *http.Request) { asPage(q); q.Header.Set("Authorization", "Bearer "+apiToken) },
	} {
		res, body := d.get("http://app.test/", edit)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode, name)
		assert.Contains(t, res.Header.Get("WWW-Authenticate"), `Bearer realm="berth"`, name)
		assert.Empty(t, res.Header.Get("Location"), name)
		assert.Empty(t, res.Cookies(), name)
		if !strings.Contains(res.Header.Get("Content-Type"), "html") {
			var problem struct {
				Code string `json:"code"`
			}
			require.NoError(t, json.Unmarshal([]byte(body), &problem), name)
			assert.Equal(t, "unauthenticated", problem.Code, name)
		}
	}
}

func TestEnter_TellsWhoIsRefusedPlainlyAndNothingOfTheRule(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", allow(identity.Who{People: []string{"zoe"}, Groups: []string{"board"}}), nil)
	ana := d.signIn("ana", identity.RoleMember)
	res, body := d.get("http://app.test/reports", asPage, with("Cookie", d.cookieFor(ana, "app.test")))
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Contains(t, body, "signed in as ana")
	require.Contains(t, body, "app.test/reports")
	require.Contains(t, body, "administrator")
	require.Contains(t, body, "/.berth/sign-out")
	for _, word := range []string{"zoe", "board", "rule", "group"} {
		require.NotContains(t, body, word)
	}
}

func TestEnter_SendsWhoIsNotSureEnoughToStepUp(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.Policy{Rules: []identity.Rule{
		{Paths: []string{"/pay"}, Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey, Within: identity.Duration(5 * time.Minute)},
		{Allow: identity.Who{SignedIn: true}},
	}}, func(http.ResponseWriter, *http.Request) {})
	ana := d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test")
	res, _ := d.get("http://app.test/pay/1", asPage, with("Cookie", ana))
	require.Equal(t, http.StatusFound, res.StatusCode)
	to, err := res.Location()
	require.NoError(t, err)
	require.Equal(t, "/sign-in", to.Path)
	require.Equal(t, "passkey", to.Query().Get("step_up"))
	require.Equal(t, "5m0s", to.Query().Get("within"))
	back, err := url.Parse(to.Query().Get("to"))
	require.NoError(t, err)
	require.Equal(t, "/auth/enter", back.Path, "back with what the new session gives")
	require.Equal(t, "/pay/1", back.Query().Get("to"))
	res, _ = d.get("http://app.test/pay/1", with("Cookie", ana))
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Contains(t, res.Header.Get("WWW-Authenticate"), "insufficient_user_authentication")
}

func TestTicket_GivesTheAppsHostACookieOfItsOwnOnce(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") })
	d.routeFor("other.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	ana := d.signIn("ana", identity.RoleMember)
	bind := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	ticket := func(host string) string {
		text, err := d.people.IssueTicket(ana, identity.Passage{Host: host, Bind: bindOf(bind), To: "//evil.test/x?y=z"})
		require.NoError(t, err)
		u, err := url.Parse(d.gateway.PassageTo(host, text))
		require.NoError(t, err)
		require.Equal(t, "/.berth/ticket", u.Path)
		return u.String()
	}
	for name, address := range map[string]string{
		"no ticket": "http://app.test/.berth/ticket", "another host's": strings.Replace(ticket("other.test"), "other.test", "app.test", 1),
	} {
		res, _ := d.get(address, with("Cookie", "berth-bind="+bind))
		require.Equal(t, http.StatusForbidden, res.StatusCode, name)
	}
	for name, cookie := range map[string]string{
		"no cookie": "", "another browser's": "berth-bind=" + strings.Repeat("A", 42) + "E", "the digest itself": "berth-bind=" + bindOf(bind),
	} {
		stolen := ticket("app.test")
		res, _ := d.get(stolen, with("Cookie", cookie))
		require.Equal(t, http.StatusForbidden, res.StatusCode, name)
		require.Empty(t, res.Cookies(), name)
		res, _ = d.get(stolen, with("Cookie", "berth-bind="+bind))
		require.Equal(t, http.StatusForbidden, res.StatusCode, "a ticket is taken once: "+name)
	}

	good := ticket("app.test")
	res, _ := d.get(good, with("Cookie", "berth-bind="+bind))
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Equal(t, "http://app.test//evil.test/x?y=z", res.Header.Get("Location"), "on that host, whatever the path looks like")
	cookies := res.Cookies()
	require.Len(t, cookies, 2)
	require.Equal(t, "berth", cookies[0].Name)
	require.Equal(t, "berth-bind", cookies[1].Name)
	require.Negative(t, cookies[1].MaxAge)
	session := "berth=" + cookies[0].Value
	res, body := d.get("http://app.test/", with("Cookie", session))
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "in", body)
	res, _ = d.get("http://other.test/", with("Cookie", session))
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "it is good on one host alone")
	_, err := d.people.BySession(t.Context(), secret.New(cookies[0].Value))
	require.Error(t, err, "and never on the base host")

	late := ticket("app.test")
	require.NoError(t, d.people.SignOut(t.Context(), ana))
	res, _ = d.get(late, with("Cookie", "berth-bind="+bind))
	require.Equal(t, http.StatusForbidden, res.StatusCode, "of a session that ended meanwhile")
	res, _ = d.get("http://app.test/", with("Cookie", session))
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}

func TestCheckPassage_LeadsOnlyToAppsOfBerth(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), nil)
	bind := bindOf("x")
	for _, bad := range []identity.Passage{
		{Host: "evil.test", To: "/", Bind: bind},
		{Host: "app.test.evil.test", To: "/", Bind: bind},
		{Host: "app.test@evil.test", To: "/", Bind: bind},
		{Host: "localhost", To: "/", Bind: bind},
		{Host: "", To: "/", Bind: bind},
		{Host: "app.test", To: "", Bind: bind},
		{Host: "app.test", To: "@evil.test", Bind: bind},
		{Host: "app.test", To: "http://evil.test", Bind: bind},
		{Host: "app.test", To: `/\evil.test`, Bind: bind},
		{Host: "app.test", To: "/\r\nSet-Cookie: x", Bind: bind},
		{Host: "app.test", To: "/" + strings.Repeat("x", 5000), Bind: bind},
		{Host: "app.test", To: "/", Bind: ""},
		{Host: "app.test", To: "/", Bind: "short"},
	} {
		_, err := d.gateway.CheckPassage(bad)
		require.Error(t, err, bad)
	}
	good, err := d.gateway.CheckPassage(identity.Passage{Host: "APP.test.:8080", To: "/x", Bind: bind})
	require.NoError(t, err)
	require.Equal(t, "app.test", good.Host)
}

func TestSignOut_EndsTheWholeSessionAndTakesNoOtherSitesWord(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	d.routeFor("other.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	ana := d.signIn("ana", identity.RoleMember)
	here, there := d.cookieFor(ana, "app.test"), d.cookieFor(ana, "other.test")
	res, body := d.get("http://app.test/.berth/sign-out", asPage, with("Cookie", here))
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, body, `<form method="post">`)
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "form-action 'self'")
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	for _, h := range []func(*http.Request){with("Sec-Fetch-Site", "cross-site"), with("Sec-Fetch-Site", "same-site"), with("Origin", "http://evil.test")} {
		res, _ = d.send(http.MethodPost, "http://app.test/.berth/sign-out", nil, with("Cookie", here), h)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
	}
	for _, cookie := range []string{here, there} {
		host := map[bool]string{true: "app.test", false: "other.test"}[cookie == here]
		res, _ = d.get("http://"+host+"/", with("Cookie", cookie))
		require.Equal(t, http.StatusOK, res.StatusCode, "asking ends nothing, and another site's page neither")
	}
	res, _ = d.send(http.MethodPost, "http://app.test/.berth/sign-out", nil, with("Cookie", here), with("Sec-Fetch-Site", "same-origin"))
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Negative(t, res.Cookies()[0].MaxAge)
	for host, cookie := range map[string]string{"app.test": here, "other.test": there} {
		res, _ = d.get("http://"+host+"/", with("Cookie", cookie))
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	}
	res, _ = d.send(http.MethodDelete, "http://app.test/.berth/sign-out", nil)
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

func TestSignOut_LeadsToSigningInAsSomebodyElse(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	_, body := d.get("http://app.test/.berth/sign-out", asPage)
	require.Contains(t, body, `href="/.berth/sign-in?other=1&amp;to=/"`)
	for path, other := range map[string]bool{"/.berth/sign-in?other=1&to=/x": true, "/.berth/sign-in?to=/x": false, "/x": false} {
		res, _ := d.get("http://app.test"+path, asPage)
		to, err := res.Location()
		require.NoError(t, err)
		require.Equal(t, "/auth/enter", to.Path)
		require.Equal(t, "/x", to.Query().Get("to"))
		require.Equal(t, other, to.Query().Has("other"), path)
	}
}

func TestSignOut_LeadsOnToTheProviderWhereThatIsSetUpSo(t *testing.T) {
	on := false
	d := newDoor(t, func(c *Config) {
		c.LeadsOn = func(_ context.Context, provider string) bool { return on && provider == identity.ProviderLocal }
	})
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	ana := d.signIn("ana", identity.RoleMember)
	ends := func(cookie string) (string, string) {
		t.Helper()
		res, body := d.send(http.MethodPost, "http://app.test/.berth/sign-out", nil, asPage, with("Cookie", cookie), with("Sec-Fetch-Site", "same-origin"))
		require.Equal(t, http.StatusOK, res.StatusCode)
		return res.Header.Get("Refresh"), body
	}
	cookie := d.cookieFor(ana, "app.test")
	to, _ := ends(cookie)
	require.Empty(t, to)
	on = true
	to, _ = ends(cookie)
	require.Empty(t, to, "who was signed out before is led nowhere")
	_, again, err := d.people.SignIn(t.Context(), "ana", secret.New(doorPassword), identity.Origin{Address: "192.0.2.1"})
	require.NoError(t, err)
	to, body := ends(d.cookieFor(again, "app.test"))
	there := d.gateway.baseURL.JoinPath("auth/local/sign-out").String()
	require.Equal(t, "0;url="+there, to)
	require.Contains(t, body, `href="`+there+`"`)
}

func TestEnter_TakesAnAPITokenWhereTheRuleDoes(t *testing.T) {
	d := newDoor(t)
	got := make(chan http.Header, 1)
	policy := identity.Policy{Rules: []identity.Rule{
		{Paths: []string{"/api"}, Allow: identity.Who{SignedIn: true}, APITokens: true},
		{Allow: identity.Who{SignedIn: true}},
	}}
	d.routeFor("app.test", policy, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header })
	token, _, err := d.people.CreateToken(t.Context(), d.signIn("ana", identity.RoleMember), "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	bearer := with("Authorization", "Bearer "+token.Reveal())
	res, _ := d.get("http://app.test/api/x", bearer)
	require.Equal(t, http.StatusOK, res.StatusCode)
	h := <-got
	require.Equal(t, "ana", h.Get("X-Berth-User"))
	require.Empty(t, h.Get("Authorization"))
	res, _ = d.get("http://app.test/", bearer)
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	res, _ = d.get("http://app.test/api", with("Authorization", "Bearer "+apiToken))
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Contains(t, res.Header.Get("WWW-Authenticate"), "invalid_token")
}

func TestTell_SaysWhoComesAndLetsNobodyElseSayIt(t *testing.T) {
	d := newDoor(t, func(c *Config) {
		c.HeaderPrefix = "X-Hero-"
		c.HeaderFamilies = []HeaderFamily{RemoteUser, ForwardedUser}
	})
	got := make(chan http.Header, 1)
	policy := identity.SignedIn()
	policy.Audience = "the shop"
	d.routeFor("app.test", policy, func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		for name, values := range q.Trailer {
			q.Header["Trailed-"+name] = values
		}
		got <- q.Header
	})
	d.routeFor("public.test", identity.Public(), func(_ http.ResponseWriter, q *http.Request) { got <- q.Header })
	ana := d.signIn("ana", identity.RoleMember)
	cookie := d.cookieFor(ana, "app.test")
	lies := func(q *http.Request) {
		for _, name := range []string{"X-Berth-User", "x_hero.user", "X-Hero-Groups", "X-HERO-Anything", "Remote-User", "remote.groups", "X-Forwarded-User", "x_forwarded_email"} {
			q.Header[name] = []string{"root"}
		}
		q.Header.Set("Connection", "X-Hero-User, Remote-User, X-Hero-Assertion")
		q.Trailer = http.Header{"X-Hero-User": {"root"}, "Remote-Groups": {"admins"}}
	}
	res, _ := d.send(http.MethodPost, "http://app.test/", io.MultiReader(strings.NewReader("x")), with("Cookie", cookie), lies)
	require.Equal(t, http.StatusOK, res.StatusCode)
	h := <-got
	for name, want := range map[string]string{
		"X-Hero-User": "ana", "X-Hero-Email": "ana@example.com", "X-Hero-Context": "shop/prod", "X-Hero-Provider": "local", "X-Hero-Groups": "",
		"Remote-User": "ana", "Remote-Email": "ana@example.com", "Remote-Groups": "", "X-Forwarded-User": "ana", "X-Forwarded-Email": "ana@example.com", "X-Forwarded-Groups": "",
		"X-Berth-User": "", "X-Hero-Anything": "",
	} {
		assert.Equal(t, want, h.Get(name), name)
	}
	for name, values := range h {
		assert.NotContains(t, values, "root", name)
		assert.NotContains(t, name, "Trailed-", name)
	}
	require.NotEmpty(t, h.Get("X-Hero-Assertion"))

	res, _ = d.get("http://public.test/", lies)
	require.Equal(t, http.StatusOK, res.StatusCode)
	h = <-got
	for name, values := range h {
		assert.NotContains(t, values, "root", name)
		assert.NotContains(t, name, "X-Hero", "nobody came")
	}
}

// nOAuth: see the test of the same name in package signin.
func TestTell_SaysNoAddressThatNobodyVouchesFor(t *testing.T) {
	d := newDoor(t, func(c *Config) { c.HeaderFamilies = []HeaderFamily{RemoteUser, ForwardedUser} })
	got := make(chan http.Header, 1)
	policy := identity.SignedIn()
	policy.Audience = "the shop"
	d.routeFor("app.test", policy, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header })
	ext := identity.External{Provider: "home", Issuer: "https://id.example.org", ExternalID: "1", Username: "eve", Email: "boss@victim.example", Create: true}
	for _, vouched := range []bool{false, true} {
		ext.EmailVerified = vouched
		_, eve, err := d.people.SignInExternal(t.Context(), ext, identity.Origin{Address: "192.0.2.1"}, func(*sqlite.Tx, string) error { return nil })
		require.NoError(t, err)
		res, _ := d.get("http://app.test/", with("Cookie", d.cookieFor(eve, "app.test")))
		require.Equal(t, http.StatusOK, res.StatusCode)
		h := <-got
		require.Equal(t, "eve", h.Get("X-Berth-User"))
		want := map[bool]string{true: "boss@victim.example"}[vouched]
		for _, name := range []string{"X-Berth-Email", "Remote-Email", "X-Forwarded-Email"} {
			assert.Equal(t, want, h.Get(name), name)
		}
		said, _ := checked(t, d.gateway.PublicKeys(), h.Get("X-Berth-Assertion"))["email"].(string)
		assert.Equal(t, want, said)
	}
}

func TestSpellable_GivesBackWhatItWasGiven(t *testing.T) {
	for given, want := range map[string]string{
		"ana": "ana", "Ana Müller": "Ana M%C3%BCller", " a ": "%20a%20", "a\r\nX-Evil: 1": "a%0D%0AX-Evil: 1", "100%": "100%25", "a,b": "a%2Cb", "": "",
	} {
		got := spellable(given, ",")
		assert.Equal(t, want, got)
		back, err := url.PathUnescape(got)
		require.NoError(t, err)
		assert.Equal(t, given, back)
	}
}

func TestAssertion_IsBoundAndCanBeChecked(t *testing.T) {
	d := newDoor(t)
	got := make(chan string, 1)
	route := d.routeFor("app.test", identity.SignedIn(), func(_ http.ResponseWriter, q *http.Request) { got <- q.Header.Get("X-Berth-Assertion") })
	route.PathPrefix, route.StripPrefix, route.Access.Audience = "/shop", true, "the shop"
	d.route(route)
	ana := d.signIn("ana", identity.RoleMember)
	cookie := with("Cookie", d.cookieFor(ana, "app.test"))
	d.get("http://APP.test:80/shop/a%2Fb?x=y", cookie)
	text := <-got
	claims := checked(t, d.gateway.PublicKeys(), text)
	now := time.Now().Unix()
	assert.InDelta(t, now, claims["iat"], 5)
	assert.InDelta(t, 30, claims["exp"].(float64)-claims["iat"].(float64), 0) //nolint:forcetypeassert // or it fails
	sum := sha256.Sum256([]byte("/a%2Fb"))
	for name, want := range map[string]any{
		"iss": "http://localhost", "aud": "the shop", "sub": ana.Person.ID, "user": "ana", "method": "GET", "host": "app.test",
		"path_sha256": base64.RawURLEncoding.EncodeToString(sum[:]), "context": "shop/prod", "provider": "local",
	} {
		assert.Equal(t, want, claims[name], name)
	}
	d.get("http://app.test/shop/other", cookie)
	require.NotEqual(t, text, <-got)
	d.send(http.MethodPut, "http://app.test/shop/a%2Fb", nil, cookie)
	require.NotEqual(t, text, <-got)

	route.Access.Audience = ""
	d.route(route)
	d.get("http://app.test/shop/", cookie)
	require.Empty(t, <-got, "nobody asked for it")
}

// checked proves an assertion with the public keys, and gives what it says.
func checked(t *testing.T, keys []byte, text string) map[string]any {
	t.Helper()
	var set struct {
		Keys []webKey `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(keys, &set))
	parts := strings.Split(text, ".")
	require.Len(t, parts, 3)
	part := func(s string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		require.NoError(t, err)
		return raw
	}
	var head struct {
		Algorithm string `json:"alg"`
		ID        string `json:"kid"`
	}
	require.NoError(t, json.Unmarshal(part(parts[0]), &head))
	require.Equal(t, "ES256", head.Algorithm)
	for _, k := range set.Keys {
		if k.ID != head.ID {
			continue
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, part(k.X), part(k.Y)))
		require.NoError(t, err)
		sum, signature := sha256.Sum256([]byte(parts[0]+"."+parts[1])), part(parts[2])
		require.True(t, ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])))
		var claims map[string]any
		require.NoError(t, json.Unmarshal(part(parts[1]), &claims))
		return claims
	}
	require.Fail(t, "the key is not shown")
	return nil
}

func TestKeys_ChangeWithOverlapAndStayOverARestart(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	sealed, err := vault.New(vault.Config{DB: db, Events: event.New(event.Config{DB: db}), Key: secret.New(strings.Repeat("k", 32))})
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	k, err := OpenKeys(t.Context(), sealed, clock, nil)
	require.NoError(t, err)
	first := k.signing().id
	again, err := OpenKeys(t.Context(), sealed, clock, nil)
	require.NoError(t, err)
	require.Equal(t, first, again.signing().id)

	for _, step := range []struct {
		after         time.Duration
		shown         int
		signsWithTheo bool // the first
	}{
		{keyServes - time.Second, 1, true},
		{keyServes, 2, true}, // the new one is shown first
		{keyServes + keyShown, 2, false},
		{keyServes + keyShown + keyKept - time.Second, 2, false},
		{keyServes + keyShown + keyKept, 1, false},
	} {
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(step.after)
		require.NoError(t, k.turn(t.Context()))
		require.Equal(t, step.shown, strings.Count(string(k.Public()), `"kid"`), step.after)
		require.Equal(t, step.signsWithTheo, k.signing().id == first, step.after)
	}
	require.NotContains(t, string(k.Public()), `"d"`)
}

// streams opens a WebSocket-like tunnel, an event stream and a long answer on
// a host, each as a channel that is closed when it ends.
func (d *door) streams(host, cookie string) map[string]<-chan struct{} {
	d.t.Helper()
	open := map[string]<-chan struct{}{}
	for _, kind := range []string{"tunnel", "events", "long"} {
		c, err := net.Dial("tcp", d.address)
		require.NoError(d.t, err)
		d.t.Cleanup(func() { _ = c.Close() })
		request := fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n", kind, host, cookie)
		if kind == "tunnel" {
			request += "Connection: Upgrade\r\nUpgrade: echo\r\n"
		}
		_, err = io.WriteString(c, request+"\r\n")
		require.NoError(d.t, err)
		require.NoError(d.t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		in := bufio.NewReader(c)
		for { // until the first of what it has to say
			line, err := in.ReadString('\n')
			require.NoError(d.t, err, kind)
			if strings.Contains(line, "hello") {
				break
			}
		}
		require.NoError(d.t, c.SetReadDeadline(time.Time{})) // to end by itself would look as if it was cut
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, in)
		}()
		open[kind] = ended
	}
	return open
}

// stream is the app of streams.
func stream(w http.ResponseWriter, q *http.Request) {
	switch q.URL.Path {
	case "/tunnel":
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
		_, _ = io.Copy(io.Discard, c)
		return
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
	}
	_, _ = io.WriteString(w, "hello\n")
	_ = http.NewResponseController(w).Flush()
	<-q.Context().Done()
}

func TestLiveThings_EndWithWhatTheyStandOn(t *testing.T) {
	// But for what expires nothing looks at them again and again: what ends
	// them has to be told of.
	for name, end := range map[string]func(t *testing.T, d *door, route deploy.Route, ana identity.Subject){
		"signed out": func(t *testing.T, d *door, _ deploy.Route, ana identity.Subject) {
			t.Helper()
			require.NoError(t, d.people.SignOut(t.Context(), ana))
		},
		"disabled": func(t *testing.T, d *door, _ deploy.Route, _ identity.Subject) {
			t.Helper()
			_, err := d.people.UpdatePerson(t.Context(), "root", "ana", 1, identity.PersonEdit{Disabled: new(true)})
			require.NoError(t, err)
		},
		"another policy": func(t *testing.T, d *door, route deploy.Route, _ identity.Subject) {
			t.Helper()
			route.Access = allow(identity.Who{Administrators: true})
			d.route(route)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			route := d.routeFor("app.test", identity.SignedIn(), stream)
			ana, bob := d.signIn("ana", identity.RoleMember), d.signIn("bob", identity.RoleAdministrator)
			hers, his := d.streams("app.test", d.cookieFor(ana, "app.test")), d.streams("app.test", d.cookieFor(bob, "app.test"))
			end(t, d, route, ana)
			ends(t, hers)
			goesOn(t, his)
			require.Zero(t, d.table.Answers("d-app.test").Errors, "it is no fault of the app")
		})
	}
}

func TestLiveThings_EndWithTheirSession(t *testing.T) {
	d, forward := ahead(t)
	d.routeFor("app.test", identity.SignedIn(), stream)
	open := d.streams("app.test", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test"))
	forward(31 * 24 * time.Hour)
	ends(t, open)
}

func TestEnter_AsksTheStoreNothingOnceItKnowsSomebody(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) {})
	cookie := with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test"))
	res, _ := d.get("http://app.test/", cookie)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.NoError(t, d.db.Close())
	for range 20 {
		res, _ = d.get("http://app.test/", cookie)
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	res, _ = d.get("http://app.test/", with("Cookie", "berth="+strings.Repeat("A", 43)))
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "what can not be found out lets nobody in")
}

func TestCollector_CountsDecisions(t *testing.T) {
	d := newDoor(t)
	d.routeFor("app.test", allow(identity.Who{Administrators: true}), func(http.ResponseWriter, *http.Request) {})
	for _, role := range []identity.Role{identity.RoleMember, identity.RoleAdministrator} {
		d.get("http://app.test/", with("Cookie", d.cookieFor(d.signIn(string(role), role), "app.test")))
	}
	d.get("http://app.test/")
	registry := prometheus.NewRegistry()
	registry.MustRegister(d.gateway.Collector())
	families, err := registry.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "berth_gateway_decisions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "decision" {
					counted[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	require.Equal(t, map[string]float64{"allowed": 1, "refused": 1, "sign_in": 1}, counted)
}
