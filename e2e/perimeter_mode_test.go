package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/selftest"
)

// passwordsOf says whose passwords sign in.
func (h *house) passwordsOf(whom string) {
	h.t.Helper()
	var mode api.SignInMode
	h.call("GET", "/api/sign-in-mode", nil, &mode)
	h.call("PUT", "/api/sign-in-mode", map[string]any{"passwords": whom, "version": mode.Version, "force": true}, nil)
}

// withCodes adds an app that makes codes to a visitor's account, and gives what
// makes them, and the one that was used for it.
func (v *visitor) withCodes() (secret, used string) {
	v.h.t.Helper()
	r, err := v.send("POST", v.h.baseURL()+"/api/account/totp", nil)
	require.NoError(v.h.t, err)
	var made struct{ Secret string }
	require.NoError(v.h.t, json.Unmarshal([]byte(r.body), &made), r.body)
	used = v.code(made.Secret, 0)
	r = v.do("POST", v.h.baseURL()+"/api/account/totp/confirm", map[string]any{"code": used})
	require.Equal(v.h.t, http.StatusOK, r.StatusCode, r.body)
	v.h.keep(made.Secret)
	return made.Secret, used
}

// code is the app's some periods from now: each counts once.
func (v *visitor) code(secret string, periods int) string {
	v.h.t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(periods)*30*time.Second))
	require.NoError(v.h.t, err)
	return code
}

func (h *house) passwordsAroundTheMode() selftest.Check {
	return selftest.Check{
		Name:     "password-around-the-mode",
		Prevents: "Where passwords are for administrators alone, another one opens something: a form that is hidden, the registry, the API, a sign-in begun before, or a proof in a session.",
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("hal", "member")
			h.person("ida", "member")
			secret, _ := h.newer(h.t, "ida").withCodes()
			half, session := h.visitor(), h.newer(h.t, "hal")
			r := half.passwordSignIn("ida", passwordOf("ida"))
			require.Equal(h.t, http.StatusOK, r.StatusCode, r.body)
			ok := h.visitor().do("GET", h.baseURL()+"/v2/", nil, "Authorization: "+basic("hal", passwordOf("hal")))
			require.Equal(h.t, http.StatusOK, ok.StatusCode, "before: it is remembered for a while")

			h.passwordsOf("administrators")
			defer h.passwordsOf("everybody")
			wrong := h.visitor().passwordSignIn("hal", "wrong and long enough")
			for _, name := range []string{"hal", "HAL", " hal"} {
				v := h.visitor()
				r = v.passwordSignIn(name, passwordOf("hal"))
				expect(t, sayings(r) == sayings(wrong) && v.known() == "", "the right password of "+name+", told from a wrong one", r)
			}
			for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/token?service=x&scope=repository:x:pull", "/api/projects", "/api/session"} {
				r = h.visitor().do("GET", h.baseURL()+path, nil, "Authorization: "+basic("hal", passwordOf("hal")))
				expect(t, r.StatusCode != http.StatusOK, "HTTP Basic at "+path, r)
			}
			for _, step := range []string{"totp", "recovery"} {
				r = half.do("POST", h.baseURL()+"/api/session/second-factor", map[string]any{"method": step, "code": half.code(secret, 1)})
				expect(t, r.StatusCode >= 400 && half.known() == "", "the second step of a sign-in that began before, by "+step, r)
			}
			expect(t, session.known() == "hal", "a session of before stays", &reply{&http.Response{}, session.known()})
			r = session.do("POST", h.baseURL()+"/api/session/step-up", map[string]any{"method": "password", "password": passwordOf("hal")})
			expect(t, r.StatusCode >= 400 && r.StatusCode != http.StatusUnprocessableEntity, "a password that signs nobody in, as a fresh proof", r)
			r = session.do("POST", h.baseURL()+"/api/account/password", map[string]any{"old": passwordOf("hal"), "new": "another password of hal"})
			expect(t, r.StatusCode >= 400 && r.StatusCode != http.StatusUnprocessableEntity, "another password of one's own", r)
			r = session.do("PATCH", h.baseURL()+"/api/people/hal", map[string]any{"role": "administrator", "version": 1})
			expect(t, r.StatusCode == http.StatusForbidden, "making oneself an administrator", r)
			r = session.do("PUT", h.baseURL()+"/api/sign-in-mode", map[string]any{"passwords": "everybody", "version": 1, "force": true})
			expect(t, r.StatusCode == http.StatusForbidden, "another mode, by a member", r)
			root := h.visitor()
			r = root.passwordSignIn("admin", adminPassword)
			expect(t, r.StatusCode == http.StatusOK, "an administrator's password signs in", r)
		},
	}
}

func (h *house) straightSomewhere() selftest.Check {
	return selftest.Check{
		Name:       "led-astray",
		Prevents:   "Where people are led straight to a provider, an address leads them elsewhere, or in a circle, or signs somebody in by itself who has just signed out.",
		Advisories: []string{"CVE-2026-40575"},
		Attack: func(_ context.Context, t *selftest.Try) {
			l := h.liar("straight")
			var mode api.SignInMode
			h.call("GET", "/api/sign-in-mode", nil, &mode)
			h.call("PUT", "/api/sign-in-mode", map[string]any{"passwords": "everybody", "straight_to": l.slug, "version": mode.Version}, &mode)
			defer func() {
				h.call("PUT", "/api/sign-in-mode", map[string]any{"passwords": "everybody", "version": mode.Version}, nil)
			}()
			led := func(query string) *reply {
				return h.visitor().do("GET", h.baseURL()+"/sign-in"+query, nil, "Accept: text/html", "Sec-Fetch-Mode: navigate")
			}
			r := led("")
			require.Equal(h.t, http.StatusSeeOther, r.StatusCode, r.body)
			base := h.target().Base
			for _, to := range []string{"https://evil.example/", "//evil.example", `\\evil.example`, "/\\evil.example", "/%2f/evil.example", "javascript:alert(1)", "https://evil.example@" + base.Host + "/", " //evil.example", "/\t/evil.example", "http://" + base.Host + ".evil.example/"} {
				for _, name := range []string{"to", "next"} {
					r = led("?" + url.Values{name: {to}}.Encode())
					at, err := base.Parse(r.to())
					require.NoError(h.t, err)
					on, err := base.Parse(at.Query().Get("to"))
					expect(t, err == nil && at.Host == base.Host && on.Host == base.Host && on.Scheme == base.Scheme, name+"="+to, r)
				}
			}
			// What is not thought of shows the page: a circle would have to be built.
			for _, query := range []string{"?local=1", "?state=signed_out", "?ended=1", "?problem=denied", "?step_up=sign_in&to=/", "?anything=else"} {
				r = led(query)
				expect(t, r.to() == "", "/sign-in"+query, r)
			}
			v := h.visitor()
			require.Equal(h.t, "ada-straight", v.comesBack(v.begin(l)))
			r = v.do("DELETE", h.baseURL()+"/api/session", nil)
			expect(t, r.StatusCode < 300 && v.known() == "", "signing out", r)
		},
	}
}
