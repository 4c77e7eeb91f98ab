package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/identity"
)

// byForm posts a form as a command line does, and reads the answer.
func (s *server) byForm(path string, form url.Values, into any) reply {
	s.t.Helper()
	answer := s.do(nobody, http.MethodPost, path, form.Encode(), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	require.Equal(s.t, "no-store", answer.Header.Get("Cache-Control"))
	require.NoError(s.t, json.Unmarshal([]byte(answer.body), into), answer.body)
	return answer
}

func codeForm() url.Values {
	return url.Values{"client_id": {"berth"}, "machine": {"laptop"}, "scope": {"admin"}, "lives": {"3600"}}
}

func tokenForm(code string) url.Values {
	return url.Values{"client_id": {"berth"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {code}}
}

func TestDevice_IsSignedInAsRFC8628HasIt(t *testing.T) {
	s := newServer(t)
	var asked api.DeviceCode
	answer := s.byForm("/api/device/code", codeForm(), &asked)
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.Regexp(t, `/device$`, asked.VerificationURI, "and no code in it")
	require.NotContains(t, answer.body, "verification_uri_complete")
	require.Equal(t, int64(600), asked.ExpiresIn)
	require.Positive(t, asked.Interval)

	var given api.DeviceToken
	poll := func() (int, string) {
		given = api.DeviceToken{}
		answer := s.byForm("/api/device/token", tokenForm(asked.DeviceCode), &given)
		return answer.StatusCode, given.Error
	}
	status, why := poll()
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "authorization_pending", why)
	_, why = poll()
	require.Equal(t, "slow_down", why)

	code := `{"code":"` + strings.ToLower(asked.UserCode) + `"`
	shown := s.do(member, "POST", "/api/device", code+`}`)
	require.Equal(t, http.StatusOK, shown.StatusCode, shown.body)
	for _, part := range []string{`"machine":"laptop"`, `"scope":"admin"`, `"same_network":true`, `"lives":3600`} {
		require.Contains(t, shown.body, part)
	}
	require.Equal(t, http.StatusForbidden, s.do(memberAdmin, "POST", "/api/device/approve", code+`,"scope":"read","lives":600}`).StatusCode, "a token")
	require.Equal(t, http.StatusForbidden, s.do(onMachine, "POST", "/api/device/approve", code+`,"scope":"read","lives":600}`).StatusCode, "no person")
	crossed := s.do(member, "POST", "/api/device/approve", code+`,"scope":"read","lives":600}`, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	require.Equal(t, http.StatusForbidden, crossed.StatusCode, "another site's page")
	approved := s.do(member, "POST", "/api/device/approve", code+`,"scope":"deploy","lives":600}`)
	require.Equal(t, http.StatusNoContent, approved.StatusCode, approved.body)

	status, _ = poll()
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "Bearer", given.TokenType)
	require.Equal(t, "deploy", string(given.Scope))
	require.Equal(t, member, given.Username)
	require.InDelta(t, 600, given.ExpiresIn, 5)
	who := s.do(nobody, "GET", "/api/session", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+given.AccessToken) })
	require.Contains(t, who.body, `"username":"bo"`)
	_, why = poll()
	require.Equal(t, "expired_token", why)
}

func TestDevice_IsDeniedAndRefused(t *testing.T) {
	s := newServer(t)
	var asked api.DeviceCode
	s.byForm("/api/device/code", codeForm(), &asked)
	require.Equal(t, http.StatusNoContent, s.do(member, "POST", "/api/device/deny", `{"code":"`+asked.UserCode+`"}`).StatusCode)
	var given api.DeviceToken
	s.byForm("/api/device/token", tokenForm(asked.DeviceCode), &given)
	require.Equal(t, "access_denied", given.Error)
	require.Empty(t, given.AccessToken)

	for name, wrong := range map[string]struct {
		path   string
		change map[string]string
		code   string
	}{
		"another client":   {"/api/device/code", map[string]string{"client_id": "eve"}, "invalid_client"},
		"no machine":       {"/api/device/code", map[string]string{"machine": ""}, "invalid_request"},
		"no such scope":    {"/api/device/code", map[string]string{"scope": "all"}, "invalid_scope"},
		"no number":        {"/api/device/code", map[string]string{"lives": "long"}, "invalid_request"},
		"too long":         {"/api/device/code", map[string]string{"machine": strings.Repeat("a", 5000)}, "invalid_request"},
		"another grant":    {"/api/device/token", map[string]string{"grant_type": "password"}, "unsupported_grant_type"},
		"no code":          {"/api/device/token", map[string]string{"device_code": ""}, "invalid_request"},
		"unknown code":     {"/api/device/token", map[string]string{"device_code": "x"}, "expired_token"},
		"no grant":         {"/api/device/token", map[string]string{"grant_type": ""}, "invalid_request"},
		"client by itself": {"/api/device/token", map[string]string{"client_id": ""}, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			form := codeForm()
			if strings.HasSuffix(wrong.path, "token") {
				form = tokenForm("x")
			}
			for k, v := range wrong.change {
				form.Set(k, v)
			}
			var refused api.OAuthError
			require.Equal(t, http.StatusBadRequest, s.byForm(wrong.path, form, &refused).StatusCode)
			require.Equal(t, wrong.code, refused.Error)
		})
	}
}

func TestDevice_TakesNoParameterTwice(t *testing.T) {
	s := newServer(t)
	for path, form := range map[string]url.Values{"/api/device/code": codeForm(), "/api/device/token": tokenForm("x")} {
		form.Add("client_id", "berth")
		var refused api.OAuthError
		require.Equal(t, http.StatusBadRequest, s.byForm(path, form, &refused).StatusCode)
		require.Equal(t, "invalid_request", refused.Error)
	}
}

func TestDevice_IsToldWhyItsTokenCouldNotBeMade(t *testing.T) {
	s := newServer(t)
	var asked api.DeviceCode
	s.byForm("/api/device/code", codeForm(), &asked)
	approved := s.do(member, "POST", "/api/device/approve", `{"code":"`+asked.UserCode+`","scope":"read","lives":600}`)
	require.Equal(t, http.StatusNoContent, approved.StatusCode, approved.body)
	for range 100 {
		s.token(member, identity.ScopeRead)
	}
	var refused api.OAuthError
	s.byForm("/api/device/token", tokenForm(asked.DeviceCode), &refused)
	require.Equal(t, "invalid_grant", refused.Error)
	require.Contains(t, refused.Description, "100 API tokens")
}

func TestDevice_ManyOfOneNetworkAreTurnedAway(t *testing.T) {
	s := newServer(t)
	var asked api.DeviceCode
	for range 20 {
		require.Equal(t, http.StatusOK, s.byForm("/api/device/code", codeForm(), &asked).StatusCode)
	}
	var problem api.Problem
	full := s.byForm("/api/device/code", codeForm(), &problem)
	require.Equal(t, http.StatusTooManyRequests, full.StatusCode)
	require.NotEmpty(t, full.Header.Get("Retry-After"))
	found, err := s.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"token.approved", "token.denied", "token.created"}}, 10)
	require.NoError(t, err)
	for _, e := range found {
		require.NotContains(t, string(e.Data), "laptop", "strangers write nothing down")
	}
}
