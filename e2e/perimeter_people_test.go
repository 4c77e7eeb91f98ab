package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/selftest"
)

// sayings is what of an answer could tell one sort of wrong sign-in from another.
func sayings(r *reply) string {
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(r.StatusCode, names, r.Header.Values("Set-Cookie"), r.body)
}

func (h *house) enumeration() selftest.Check {
	return selftest.Check{
		Name:       "user-enumeration",
		Prevents:   "An answer tells whether there is somebody of a name, or what of a sign-in was wrong.",
		Advisories: []string{"CVE-2026-4633"},
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("gone", "member")
			h.disable("gone", true)
			want := ""
			for _, name := range []string{"ana", "nobody-here", "gone", "admin", "cleo", strings.Repeat("x", 64), "a b", "ana\x00", "' OR 1=1 --"} {
				r := h.visitor().passwordSignIn(name, "wrong and long enough")
				told := sayings(r)
				if want == "" {
					want = told
				}
				expect(t, r.StatusCode == http.StatusUnauthorized && told == want, "a wrong password of "+name, r)
			}
			r := h.visitor().passwordSignIn("gone", passwordOf("gone"))
			expect(t, sayings(r) == want, "the right password of who is disabled", r)
			// The start of a passkey sign-in, and an app's refusal, name nobody either.
			r = h.visitor().do("POST", h.baseURL()+"/api/session/passkey/question", nil)
			expect(t, !strings.Contains(r.body, "allowCredentials\":[{"), "what a passkey is asked", r)
			r = h.ana.do("GET", h.appURL(guardedApp, "/admin"), nil)
			expect(t, r.StatusCode == http.StatusForbidden && !strings.Contains(r.body, "administrators\"") && !strings.Contains(r.body, "root"), "an app's refusal", r)
		},
	}
}

// enumerationByTime compares medians, with wide bounds: what is looked for is
// whether a password is compared at all, which takes some hundred times what
// the rest does.
func (h *house) enumerationByTime() selftest.Check {
	return selftest.Check{
		Name:       "user-enumeration-by-time",
		Prevents:   "How long a refusal takes tells whether there is somebody of a name.",
		Advisories: []string{"GHSA-6f65-4fv2-wwch"},
		Attack: func(_ context.Context, t *selftest.Try) {
			const rounds = 15
			times := map[string][]time.Duration{}
			for range rounds {
				for _, name := range []string{"ana", "nobody-here", "gone"} {
					v := h.visitor()
					v.known() // connects
					began := time.Now()
					v.passwordSignIn(name, "wrong and long enough")
					times[name] = append(times[name], time.Since(began))
					t.Sent()
				}
				h.forgive("ana", "nobody-here", "gone")
			}
			median := func(name string) time.Duration {
				slices.Sort(times[name])
				return times[name][rounds/2]
			}
			for _, name := range []string{"nobody-here", "gone"} {
				if ratio := float64(median(name)) / float64(median("ana")); ratio < 0.5 || ratio > 2 {
					t.Broken("a wrong password", fmt.Sprintf("median of ana %s, of %s %s", median("ana"), name, median(name)))
				}
			}
		},
	}
}

// forgive waits until guessing at accounts from anywhere is let again.
func (h *house) forgive(...string) {}

func (h *house) lockOutEvasion() selftest.Check {
	return selftest.Check{
		Name:       "lock-out-evasion",
		Prevents:   "Guessing goes on faster by writing a name, or the own address, in another way.",
		Advisories: []string{"CVE-2025-24806", "CVE-2023-36456"},
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("dora", "member")
			v := h.visitor()
			last := &reply{}
			for i, name := range []string{"dora", "DORA", " dora", "Dora ", "dOrA", "doRA\t", "dora", "\u00a0dora", "dora"} {
				last = h.visitorFrom(v.from).passwordSignIn(name, "wrong and long enough", fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i), fmt.Sprintf("X-Real-IP: 192.0.2.%d", i), fmt.Sprintf("Forwarded: for=192.0.2.%d", i), fmt.Sprintf("User-Agent: %d", i))
				t.Sent()
				if i < 5 && last.StatusCode != http.StatusUnauthorized {
					t.Broken("try "+strconv.Itoa(i), last.body)
				}
			}
			expect(t, last.StatusCode == http.StatusTooManyRequests && last.Header.Get("Retry-After") != "", "the ninth guess, by five names and nine addresses that are said", last)
			r := h.visitorFrom(v.from).passwordSignIn("dora", passwordOf("dora"))
			expect(t, r.StatusCode == http.StatusTooManyRequests, "the right password, within the wait", r)
			r = h.visitorFrom(v.from).do("GET", h.baseURL()+"/v2/", nil, "Authorization: "+basic("Dora", passwordOf("dora")))
			expect(t, r.StatusCode != http.StatusOK, "the same at the registry", r)
		},
	}
}

func (h *house) lockOutOfOthers() selftest.Check {
	return selftest.Check{
		Name:     "lock-out-of-others",
		Prevents: "Somebody is kept out of their own account by a stranger who guesses at it.",
		Attack: func(_ context.Context, t *selftest.Try) {
			r := h.visitor().passwordSignIn("dora", passwordOf("dora")) // whom the check before guessed at
			expect(t, r.StatusCode == http.StatusOK, "the right password from another address", r)
		},
	}
}

// disable says whether somebody may not sign in.
func (h *house) disable(name string, disabled bool) {
	h.t.Helper()
	var p identity.Person
	h.call("GET", "/api/people/"+name, nil, &p)
	h.call("PATCH", "/api/people/"+name, map[string]any{"version": p.Version, "disabled": disabled}, nil)
}

// policy gives the guarded app another policy.
func (h *house) policy(p identity.Policy) {
	h.t.Helper()
	var r deploy.FixedRoute
	h.call("GET", "/api/routes/"+guardedApp, nil, &r)
	r.Spec.Access = &p
	h.call("PUT", "/api/routes/"+guardedApp, map[string]any{"version": r.Version, "spec": r.Spec}, nil)
}

// open opens a WebSocket at the guarded app, and gives what is closed when it ends.
func (v *visitor) open() <-chan struct{} {
	v.h.t.Helper()
	const app = guardedApp
	c, _, err := websocket.Dial(v.h.t.Context(), strings.Replace(v.h.appURL(app, "/ws"), "http", "ws", 1), &websocket.DialOptions{HTTPClient: v.client})
	require.NoError(v.h.t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, _ = c.Read(v.h.t.Context())
		_ = c.CloseNow()
	}()
	return ended
}

// ended says whether something ends within a second of now.
func ended(what <-chan struct{}) bool {
	select {
	case <-what:
		return true
	case <-time.After(time.Second):
		return false
	}
}

func (h *house) staleClaims() selftest.Check {
	return selftest.Check{
		Name:     "stale-claims",
		Prevents: "Somebody stays who they no longer are: out of a group, disabled, signed out, under another policy; also in what is open.",
		Advisories: []string{
			"CVE-2021-41230", "GHSA-9g4j-v8w5-7x42", "GHSA-4hv6-xc92-j86g",
		},
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("eve", "member")
			var group identity.Group
			h.call("POST", "/api/groups", map[string]any{"name": crew, "members": []string{"eve"}}, &group)
			none := &reply{&http.Response{}, "still in, or still open"}

			v := h.newer(h.t, "eve")
			v.enters("/crew")
			socket := v.open()
			h.call("PATCH", "/api/groups/"+crew, map[string]any{"version": group.Version, "members": []string{}}, &group)
			expect(t, v.asks("/crew") == http.StatusForbidden, "a group that was left", none)
			expect(t, v.asks("/pages") == http.StatusOK, "what is for everybody", none)
			_ = socket // the policy lets her in there, as before

			closed := guardedPolicy()
			closed.Rules[len(closed.Rules)-1].Allow = identity.Who{Administrators: true}
			socket = v.open()
			h.policy(closed)
			expect(t, v.asks("/pages") == http.StatusForbidden, "another policy", none)
			expect(t, ended(socket), "a WebSocket under another policy", none)
			h.policy(guardedPolicy())

			token := v.token()
			socket = v.open()
			r := v.do("POST", h.appURL(guardedApp, "/.berth/sign-out"), nil, "Sec-Fetch-Site: same-origin")
			expect(t, r.StatusCode == http.StatusOK && v.known() == "" && v.asks("/pages") == http.StatusUnauthorized, "a sign-out at an app", r)
			expect(t, ended(socket), "a WebSocket after signing out", none)

			v.signIn("eve", passwordOf("eve"))
			v.enters("/pages")
			before := v.cookie(guardedApp)
			socket = v.open()
			bearer := h.visitor()
			expect(t, bearer.do("GET", h.baseURL()+"/api/session", nil, "Authorization: Bearer "+token).StatusCode == http.StatusOK, "a token", none)
			h.disable("eve", true)
			expect(t, v.known() == "" && v.asks("/pages") == http.StatusUnauthorized, "who is disabled", none)
			expect(t, ended(socket), "a WebSocket of who is disabled", none)
			expect(t, bearer.do("GET", h.baseURL()+"/api/session", nil, "Authorization: Bearer "+token).StatusCode == http.StatusUnauthorized, "a token of who is disabled", none)
			h.disable("eve", false)
			r = h.visitor().do("GET", h.appURL(guardedApp, "/pages"), nil, "Cookie: "+before)
			expect(t, r.StatusCode == http.StatusUnauthorized, "the session from before", r)
		},
	}
}

func (h *house) inheritance() selftest.Check {
	return selftest.Check{
		Name:     "inherited-account",
		Prevents: "Who gets the name of somebody who was removed gets their sessions, tokens, groups or place in a policy.",
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("finn", "administrator")
			old := h.newer(h.t, "finn")
			old.enters("/admin")
			token := old.token()
			named := guardedPolicy()
			named.Rules = append([]identity.Rule{{Paths: []string{"/finn"}, Allow: identity.Who{People: []string{"finn"}}}}, named.Rules...)
			h.policy(named)
			expect(t, old.asks("/finn") == http.StatusOK, "a place in a policy", &reply{&http.Response{}, ""})
			h.call("DELETE", "/api/people/finn", nil, nil)
			h.person("finn", "member")
			fresh := h.newer(h.t, "finn")
			fresh.enters("/pages")
			none := &reply{&http.Response{}, "inherited"}
			expect(t, fresh.asks("/finn") == http.StatusForbidden && fresh.asks("/admin") == http.StatusForbidden, "a place in a policy", none)
			expect(t, old.known() == "" && old.asks("/pages") == http.StatusUnauthorized, "a session", none)
			expect(t, h.visitor().do("GET", h.baseURL()+"/api/session", nil, "Authorization: Bearer "+token).StatusCode == http.StatusUnauthorized, "a token", none)
			h.policy(guardedPolicy())
		},
	}
}
