package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUser_EntersAnAppAndGetsNothingOfBerths is against the built binary, by
// the way that a browser goes.
func TestUser_EntersAnAppAndGetsNothingOfBerths(t *testing.T) {
	h := newHouse(t)
	h.person("una", "user")
	una := h.visitor()
	una.signIn("una", passwordOf("una"))
	una.enters("/pages")
	require.Equal(t, http.StatusForbidden, una.asks("/admin"))

	apps := una.do("GET", h.baseURL()+"/api/apps", nil)
	require.Equal(t, http.StatusOK, apps.StatusCode)
	require.Contains(t, apps.body, `"name":"`+guardedApp+`"`)
	for _, path := range []string{"/api/projects", "/api/routes", "/api/people", "/api/events", "/api/secrets", "/metrics"} {
		r := una.do("GET", h.baseURL()+path, nil)
		require.Equal(t, http.StatusForbidden, r.StatusCode, path)
	}
	r := una.do("POST", h.baseURL()+"/api/projects", map[string]any{"name": "x", "image": "x"})
	require.Equal(t, http.StatusForbidden, r.StatusCode, r.body)
}
