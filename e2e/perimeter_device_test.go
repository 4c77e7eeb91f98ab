package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/selftest"
)

// commandLine is one that nobody signed in, anywhere, and that asks for it.
type commandLine struct {
	*visitor
	codes api.DeviceCode
}

// asksForCode has a command line ask to be signed in, as a machine.
func (h *house) asksForCode(machine string) *commandLine {
	h.t.Helper()
	c := &commandLine{visitor: h.visitor()}
	r := c.form("/api/device/code", url.Values{"client_id": {api.DeviceClient}, "scope": {"deploy"}, "machine": {machine}, "lives": {"3600"}})
	require.Equal(h.t, http.StatusOK, r.StatusCode, r.body)
	require.NoError(h.t, json.Unmarshal([]byte(r.body), &c.codes))
	h.keep(c.codes.DeviceCode)
	return c
}

// form sends a form, whose answer is not looked through for secrets: it gives them.
func (v *visitor) form(path string, fields url.Values) *reply {
	v.h.t.Helper()
	request, err := http.NewRequestWithContext(v.h.t.Context(), http.MethodPost, v.h.baseURL()+path, strings.NewReader(fields.Encode()))
	require.NoError(v.h.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r, err := v.sent(request)
	require.NoError(v.h.t, err)
	return r
}

// polls asks for the token by a code; got is the token, or "".
func (c *commandLine) polls(code string) (r *reply, got string) {
	c.h.t.Helper()
	r = c.form("/api/device/token", url.Values{"client_id": {api.DeviceClient}, "grant_type": {api.GrantDevice}, "device_code": {code}})
	var answer api.DeviceToken
	_ = json.Unmarshal([]byte(r.body), &answer)
	if answer.AccessToken != "" {
		c.h.keep(answer.AccessToken)
	}
	return r, answer.AccessToken
}

// approves approves a code as a visitor.
func (v *visitor) approves(code, scope string, lines ...string) *reply {
	v.h.t.Helper()
	return v.do("POST", v.h.baseURL()+"/api/device/approve", map[string]any{"code": code, "scope": scope, "lives": 600}, lines...)
}

func (h *house) deviceCodes() selftest.Check {
	return selftest.Check{
		Name:     "device-code-without-consent",
		Prevents: "A command line is given a token that nobody approved, or a wider one: by a link, another site, an API token, a code that was used or denied, or whose owner has gone.",
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("lou", "user")
			lou, ana := h.newer(h.t, "lou"), h.newer(h.t, "ana")
			none := func(c *commandLine, code, sent string) {
				r, got := c.polls(code)
				expect(t, r.StatusCode == http.StatusBadRequest && got == "", sent, r)
			}

			c := h.asksForCode("harbour")
			require.NotContains(h.t, c.codes.VerificationURI, "?", "a link that holds the code needs one click of whoever is sent it")
			none(c, c.codes.DeviceCode, "a code that nobody approved")
			none(c, c.codes.UserCode, "the person's half for the device's")
			for _, path := range []string{"/device?user_code=" + c.codes.UserCode, "/device?code=" + c.codes.UserCode, "/device#" + c.codes.UserCode, "/api/device/approve?code=" + c.codes.UserCode} {
				ana.do("GET", h.baseURL()+path, nil, "Accept: text/html", "Sec-Fetch-Mode: navigate")
				none(c, c.codes.DeviceCode, "a link to "+path)
			}
			r := h.visitor().approves(c.codes.UserCode, "read")
			expect(t, r.StatusCode == http.StatusUnauthorized, "nobody's approval", r)
			r = h.visitor().approves(c.codes.UserCode, "read", "Authorization: Bearer "+h.key)
			expect(t, r.StatusCode == http.StatusForbidden, "an API token's approval", r)
			for _, from := range [][]string{{"Origin: https://evil.example"}, {"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Origin: " + h.appURL(publicApp, "")}} {
				r = ana.approves(c.codes.UserCode, "read", from...)
				expect(t, r.StatusCode == http.StatusForbidden, fmt.Sprint("another site's approval: ", from), r)
			}
			for who, v := range map[string]*visitor{"ana": ana, "lou": lou} {
				r = v.approves(c.codes.UserCode, "admin")
				expect(t, r.StatusCode == http.StatusUnprocessableEntity, "a wider scope than was asked for, by "+who, r)
			}
			r = lou.approves(c.codes.UserCode, "deploy")
			expect(t, r.StatusCode == http.StatusUnprocessableEntity, "a wider scope than their role has", r)
			none(c, c.codes.DeviceCode, "a code that nobody could approve")

			c = h.asksForCode("quay")
			r = ana.approves(strings.ToLower(c.codes.UserCode), "read")
			require.Equal(h.t, http.StatusNoContent, r.StatusCode, r.body)
			r = lou.approves(c.codes.UserCode, "read")
			expect(t, r.StatusCode == http.StatusNotFound, "a second approval", r)
			_, got := c.polls(c.codes.DeviceCode)
			require.NotEmpty(h.t, got)
			none(c, c.codes.DeviceCode, "the code again")
			r = h.visitor().do("GET", h.baseURL()+"/api/session", nil, "Authorization: Bearer "+got)
			expect(t, strings.Contains(r.body, `"ana"`) && !strings.Contains(r.body, "lou"), "the token is of who approved", r)
			r = h.visitor().do("POST", h.baseURL()+"/api/projects", map[string]any{"name": "by-device"}, "Authorization: Bearer "+got)
			expect(t, r.StatusCode == http.StatusForbidden, "more than was approved", r)

			c = h.asksForCode("pier")
			r = ana.do("POST", h.baseURL()+"/api/device/deny", map[string]any{"code": c.codes.UserCode})
			require.Equal(h.t, http.StatusNoContent, r.StatusCode, r.body)
			none(c, c.codes.DeviceCode, "a code that was denied")

			c = h.asksForCode("wharf")
			gone := h.newer(h.t, "ana")
			r = gone.approves(c.codes.UserCode, "read")
			require.Equal(h.t, http.StatusNoContent, r.StatusCode, r.body)
			gone.do("DELETE", h.baseURL()+"/api/session", nil)
			none(c, c.codes.DeviceCode, "a code whose owner has signed out since")
		},
	}
}

func (h *house) deviceGuesses() selftest.Check {
	return selftest.Check{
		Name:     "device-code-guessing",
		Prevents: "Somebody finds the code of another's command line by trying, or fills the room for them so that nobody is signed in.",
		Attack: func(_ context.Context, t *selftest.Try) {
			h.person("max", "member")
			v := h.newer(h.t, "max")
			last := &reply{}
			for i := range 20 {
				last = v.do("POST", h.baseURL()+"/api/device", map[string]any{"code": fmt.Sprintf("BCDF-GH%c%c", 'J'+i%4, 'N'+i/4)}, fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i))
				t.Sent()
				if last.StatusCode == http.StatusTooManyRequests {
					break
				}
				expect(t, last.StatusCode == http.StatusNotFound, "a code that is none", last)
			}
			expect(t, last.StatusCode == http.StatusTooManyRequests && last.Header.Get("Retry-After") != "", "one guess after the other", last)
			c := h.asksForCode("slip")
			r := v.approves(c.codes.UserCode, "read")
			expect(t, r.StatusCode == http.StatusTooManyRequests, "the right code, within the wait", r)

			from := h.visitor()
			for i := range 100 {
				r = from.form("/api/device/code", url.Values{"client_id": {api.DeviceClient}, "machine": {fmt.Sprint("flood ", i)}})
				t.Sent()
				if r.StatusCode == http.StatusTooManyRequests {
					break
				}
				var codes api.DeviceCode
				_ = json.Unmarshal([]byte(r.body), &codes)
				h.keep(codes.DeviceCode)
			}
			expect(t, r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") != "", "more and more that wait", r)
			r = h.newer(h.t, "bo").approves(h.asksForCode("dock").codes.UserCode, "read")
			expect(t, r.StatusCode == http.StatusNoContent, "somebody else's, from elsewhere", r)
		},
	}
}
