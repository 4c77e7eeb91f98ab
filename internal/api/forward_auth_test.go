package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/identity"
)

func TestProxyExample_IsForTheHostThatIsAskedFor(t *testing.T) {
	s := newServer(t)
	require.NoError(t, s.table.Switch(t.Context(), deploy.Route{StageID: "1", Project: "shop", Stage: "prod", Hostname: "shop.localhost", Access: identity.SignedIn()}))
	for _, proxy := range []string{"nginx", "caddy", "traefik", "envoy"} {
		got := s.do(member, "GET", "/api/access/forward-auth/"+proxy+"?host=SHOP.localhost:443&app=127.0.0.1:3000", "")
		require.Equal(t, http.StatusOK, got.StatusCode, got.body)
		var e api.ProxyExample
		got.decode(t, &e)
		require.True(t, e.Known)
		require.Empty(t, e.Trusted)
		require.Contains(t, e.Text, "shop.localhost")
		require.Contains(t, e.Text, "/api/authz/"+proxy)
		require.NotContains(t, e.Text, "example.com")
		require.NotContains(t, e.Text, "9000")
		require.Contains(t, e.Text, "3000")
	}
	var e api.ProxyExample
	s.do(member, "GET", "/api/access/forward-auth/envoy?host=other.example&app=[::1]:3000", "").decode(t, &e)
	require.False(t, e.Known)
	require.Contains(t, e.Text, "{address: ::1, port_value: 3000}")

	for name, query := range map[string]url.Values{
		"no host":             {},
		"a host that is none": {"host": {"a;b"}},
		"a line in the host":  {"host": {"a.test\nb"}},
		"an app's name":       {"host": {"a.test"}, "app": {"app:3000"}},
		"no port":             {"host": {"a.test"}, "app": {"127.0.0.1"}},
		"port none":           {"host": {"a.test"}, "app": {"127.0.0.1:0"}},
		"a zone":              {"host": {"a.test"}, "app": {"[fe80::1%a; b]:80"}},
	} {
		got := s.do(member, "GET", "/api/access/forward-auth/nginx?"+query.Encode(), "")
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, "%s: %s", name, got.body)
	}
	require.Equal(t, http.StatusUnprocessableEntity, s.do(member, "GET", "/api/access/forward-auth/apache?host=a.test", "").StatusCode)
	require.Equal(t, http.StatusUnauthorized, s.do(nobody, "GET", "/api/access/forward-auth/nginx?host=a.test", "").StatusCode)
}
