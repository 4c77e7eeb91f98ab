package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
)

func TestExplainAccess_SaysWhichRuleDecidesAndWhy(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.table.Switch(t.Context(), deploy.Route{
		StageID: "s", Project: "shop", Stage: "prod", Hostname: "app.example.com", PathPrefix: "/shop", StripPrefix: true, Deployment: "d",
		Access: identity.Policy{Rules: []identity.Rule{
			{Paths: []string{"/shop/open"}, Allow: identity.Who{Public: true}},
			{Methods: []string{"PUT"}, Paths: []string{"/shop/put"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/shop/late"}, Allow: identity.Who{SignedIn: true}, Within: identity.Duration(10 * time.Minute)},
			{Networks: []string{"10.0.0.0/8"}, Allow: identity.Who{Administrators: true}, Strength: identity.StrengthSecondFactor},
		}},
	}))
	for _, c := range []struct {
		name, as, body string
		holds, lacks   []string
	}{
		{
			"nobody", member, `{"nobody":true,"url":"https://APP.example.com:8443/shop/open/x?y=z"}`,
			[]string{`"allowed":true,"rule":1`, `"project":"shop","stage":"prod"`, `"path":"/open/x"`, `"headers":[]`},
			[]string{`"as"`},
		},
		{"oneself", member, `{"url":"https://app.example.com/shop/x","address":"10.1.1.1"}`, []string{`"allowed":false,"rule":4,"need":"nothing"`, `"as":"bo"`, `"headers":[]`}, nil},
		{"from elsewhere", admin, `{"url":"https://app.example.com/shop/x","address":"192.0.2.1"}`, []string{`"allowed":false,"rule":0`, "no rule fits the request"}, nil},
		{"with a password", admin, `{"url":"https://app.example.com/shop/x","address":"10.1.1.1"}`, []string{`"allowed":false,"rule":4,"need":"stronger"`}, []string{"X-Berth-User"}},
		{
			"with a second factor", onMachine, `{"as":"ana","url":"https://app.example.com/shop/x","address":"10.1.1.1","strength":"second_factor","method":"POST"}`,
			[]string{`"allowed":true,"rule":4`, `"method":"POST"`, `{"name":"X-Berth-User","value":"ana"}`, `{"name":"X-Berth-Context","value":"shop/prod"}`},
			nil,
		},
		{"long ago, at Berth itself", admin, `{"url":"https://app.example.com/shop/late","provider":"local","age":"30m"}`, []string{`"need":"fresher"`, `"provider":"local"`}, nil},
		{"a minute ago", admin, `{"url":"https://app.example.com/shop/late","age":"1m"}`, []string{`"allowed":true,"rule":3`}, nil},
		{"a method in other letters", onMachine, `{"as":"ana","url":"https://app.example.com/shop/put","method":"Put"}`, []string{`"allowed":false,"rule":0`, `"method":"Put"`, "in capitals"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.do(c.as, "POST", "/api/access/explain", c.body)
			require.Equal(t, 200, got.StatusCode, got.body)
			for _, part := range c.holds {
				require.Contains(t, got.body, part)
			}
			for _, part := range c.lacks {
				require.NotContains(t, got.body, part)
			}
		})
	}
	require.Equal(t, 422, s.do(onMachine, "POST", "/api/access/explain", `{"url":"https://app.example.com/shop/x"}`).StatusCode, "the machine is no person")
	require.Equal(t, 404, s.do(admin, "POST", "/api/access/explain", `{"as":"eve","url":"https://app.example.com/shop/x"}`).StatusCode)
	require.Equal(t, 422, s.do(admin, "POST", "/api/access/explain", `{"url":"https://app.example.com/shop/..%2fx"}`).StatusCode)
	require.Equal(t, 422, s.do(admin, "POST", "/api/access/explain", `{"url":"https://app.example.com/shop/x","provider":"corp"}`).StatusCode, "they cannot sign in there")
	require.Equal(t, 422, s.do(admin, "POST", "/api/access/explain", `{"url":"https://app.example.com/shop/x","age":"-1s"}`).StatusCode)
	require.Equal(t, 404, s.do(admin, "POST", "/api/access/explain", `{"url":"https://app.example.com/other"}`).StatusCode)
}
