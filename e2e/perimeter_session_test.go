package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"

	"berth/internal/selftest"
)

// expect notes an answer that is not what it should be.
func expect(t *selftest.Try, right bool, sent string, r *reply) {
	t.Sent()
	if right {
		return
	}
	t.Broken(sent, fmt.Sprintf("%d %s %s", r.StatusCode, r.to(), r.body))
}

func (h *house) cookiesOfApps() selftest.Check {
	return selftest.Check{
		Name:       "session-cookie-set-by-an-app",
		Prevents:   "An app, or what was slipped into one, gives a visitor a cookie that Berth takes for its own.",
		Advisories: []string{"CVE-2023-23934", "CVE-2022-31629"},
		Attack: func(_ context.Context, t *selftest.Try) {
			for _, line := range []string{
				"berth=x", "berth=x; Domain=localhost", "BERTH=x; Path=/", "berth-bind=x", "berth-attempt=x", " berth=x", "\tberth=x", "berth =x", "=berth=x", "=berth-bind=x", "berth", "\u2000berth=x", "\u00a0berth=x",
			} {
				v := h.visitor()
				r := v.do("GET", h.appURL(publicApp, "/?set_cookie="+url.QueryEscape(line)), nil)
				expect(t, r.StatusCode == http.StatusOK && !strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Set-Cookie"), "\n")), "berth"),
					"an app's Set-Cookie: "+line, &reply{r.Response, strings.Join(r.Header.Values("Set-Cookie"), "\n")})
			}
			r := h.visitor().do("GET", h.appURL(publicApp, "/?set_cookie="+url.QueryEscape("theme=dark")), nil)
			expect(t, r.Header.Get("Set-Cookie") == "theme=dark", "a cookie of the app's own", r)
			// Nor is an app told what it could pass for somebody with.
			r = h.ana.do("GET", h.appURL(guardedApp, "/pages"), nil, "Cookie: theme=dark")
			expect(t, strings.Contains(r.body, "theme=dark") && !strings.Contains(r.body, h.ana.value(h.appURL(guardedApp, ""), "berth")), "a request with Berth's cookie", r)
		},
	}
}

func (h *house) fixation() selftest.Check {
	return selftest.Check{
		Name:     "session-fixation",
		Prevents: "A cookie that was planted before somebody signs in is theirs afterwards, and known to who planted it.",
		Attack: func(_ context.Context, t *selftest.Try) {
			mallory := h.newer(h.t, "bo")
			for _, planted := range []string{strings.Repeat("A", 43), mallory.value(h.baseURL(), "berth")} {
				v := h.visitor()
				v.plant(h.baseURL(), "berth", planted)
				v.signIn("ana", passwordOf("ana"))
				got := v.value(h.baseURL(), "berth")
				expect(t, got != planted && got != "", "a session that was planted", &reply{&http.Response{}, "the same session"})
			}
			expect(t, mallory.known() == "bo", "who planted it", &reply{&http.Response{}, mallory.known()})

			// The same at an app's host, and the token before is dead after signing in anew.
			v := h.newer(h.t, "ana")
			before := v.value(h.baseURL(), "berth")
			v.signIn("ana", passwordOf("ana"))
			old := h.visitor()
			old.plant(h.baseURL(), "berth", before)
			expect(t, v.value(h.baseURL(), "berth") != before, "signing in twice", &reply{&http.Response{}, "the same session"})
			v.plant(h.appURL(guardedApp, ""), "berth", strings.Repeat("A", 43))
			v.enters("/pages")
			expect(t, v.value(h.appURL(guardedApp, ""), "berth") != strings.Repeat("A", 43), "a session that was planted at an app", &reply{&http.Response{}, "the same session"})
		},
	}
}

func (h *house) stolenTicket() selftest.Check {
	return selftest.Check{
		Name:       "stolen-or-replayed-ticket",
		Prevents:   "What carries a sign-in over to an app is used twice, by another browser, or at another app; or gives somebody another's session.",
		Advisories: []string{"CVE-2021-29651", "GHSA-xg2q-62g2-cvcm", "CVE-2022-39222"},
		Attack: func(_ context.Context, t *selftest.Try) {
			ticket := func() (*visitor, string) {
				v := h.newer(h.t, "ana")
				to := v.do("GET", h.appURL(guardedApp, "/pages"), nil, "Accept: text/html").to()
				to = v.do("GET", to, nil, "Accept: text/html").to()
				require.Contains(h.t, to, "/.berth/ticket?ticket=")
				return v, to
			}
			_, to := ticket()
			thief := h.visitor()
			thief.do("GET", h.appURL(guardedApp, "/pages"), nil, "Accept: text/html") // has a bind cookie of its own
			expect(t, thief.do("GET", to, nil, "Accept: text/html").StatusCode == http.StatusForbidden && thief.asks("/pages") == http.StatusUnauthorized, "another browser's ticket", &reply{&http.Response{}, to})
			r := h.bo().do("GET", to, nil, "Accept: text/html")
			expect(t, r.StatusCode == http.StatusForbidden, "the ticket of another person", r)

			v, to := ticket()
			elsewhere := strings.Replace(to, guardedApp, publicApp, 1)
			v.plant(h.appURL(publicApp, ""), "berth-bind", v.value(h.appURL(guardedApp, ""), "berth-bind"))
			r = v.do("GET", elsewhere, nil, "Accept: text/html")
			expect(t, r.StatusCode == http.StatusForbidden, "a ticket for another app", r)

			v, to = ticket()
			bind := v.value(h.appURL(guardedApp, ""), "berth-bind")
			r = v.do("GET", to, nil, "Accept: text/html")
			expect(t, r.StatusCode == http.StatusSeeOther, "a ticket", r)
			v.plant(h.appURL(guardedApp, ""), "berth-bind", bind)
			r = v.do("GET", to, nil, "Accept: text/html")
			expect(t, r.StatusCode == http.StatusForbidden, "a ticket again", r)

			// A session of one host is nothing at another.
			other := h.visitor()
			other.plant(h.baseURL(), "berth", v.value(h.appURL(guardedApp, ""), "berth"))
			expect(t, other.known() == "", "an app's cookie at the base host", &reply{&http.Response{}, other.known()})
			other.plant(h.appURL(guardedApp, ""), "berth", v.value(h.baseURL(), "berth"))
			expect(t, other.asks("/pages") == http.StatusUnauthorized, "the base host's cookie at an app", &reply{&http.Response{}, ""})
		},
	}
}

func (h *house) bo() *visitor { return h.newer(h.t, "bo") }

func (h *house) halfSignIn() selftest.Check {
	return selftest.Check{
		Name:       "half-finished-sign-in",
		Prevents:   "Who knows a password but not the second factor is somebody, somewhere.",
		Advisories: []string{"GHSA-3q28-qjrv-qr39", "CVE-2024-47070"},
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("cleo", "member")
			_, used := h.newer(h.t, "cleo").withCodes()

			v := h.visitor()
			r := v.passwordSignIn("cleo", passwordOf("cleo"))
			attempt := v.value(h.baseURL(), "berth-attempt")
			expect(t, attempt != "" && v.value(h.baseURL(), "berth") == "" && !strings.Contains(r.body, "cleo"), "the right password alone", r)
			expect(t, v.known() == "", "the API", &reply{&http.Response{}, v.known()})
			for _, name := range []string{"berth", "berth-bind"} {
				v.plant(h.baseURL(), name, attempt)
				v.plant(h.appURL(guardedApp, ""), name, attempt)
			}
			expect(t, v.known() == "", "the attempt as a session", &reply{&http.Response{}, v.known()})
			at, r := v.browse(h.appURL(guardedApp, "/pages"))
			expect(t, at.Path == "/sign-in" && at.Host == h.target().Base.Host, "an app", r)
			for _, wrong := range []string{used, "000000", "", "null", "' OR 1=1", used + "0"} {
				r = v.do("POST", h.baseURL()+"/api/session/second-factor", map[string]any{"method": "totp", "code": wrong})
				expect(t, r.StatusCode >= 400 && v.known() == "", "code "+wrong, r)
			}
			// HTTP Basic, which has no second step.
			request := h.visitor().do("GET", h.baseURL()+"/v2/", nil, "Authorization: "+basic("cleo", passwordOf("cleo")))
			expect(t, request.StatusCode == http.StatusUnauthorized, "the password at the registry", request)
		},
	}
}

func basic(name, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

func (h *house) methodOverride() selftest.Check {
	return selftest.Check{
		Name:     "method-override",
		Prevents: "A request is decided on as a POST and taken by the app as the DELETE that a header makes of it.",
		Attack: func(_ context.Context, t *selftest.Try) {
			r := h.ana.do("DELETE", h.appURL(guardedApp, "/writes"), nil)
			expect(t, r.StatusCode == http.StatusForbidden, "DELETE", r)
			for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override", "x.http.method.override"} {
				for _, method := range []string{"POST", "GET"} {
					r = h.ana.do(method, h.appURL(guardedApp, "/writes"), nil, name+": DELETE")
					got := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(r.body))
					expect(t, !strings.Contains(got, strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))), method+" with "+name+": DELETE", r)
				}
			}
		},
	}
}
