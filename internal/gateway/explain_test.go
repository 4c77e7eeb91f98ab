package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

func TestSight_IsWhereTheGatewayGoesAndWhatItTells(t *testing.T) {
	d := newDoor(t)
	ana := d.signIn("ana", identity.RoleMember)
	policy := identity.SignedIn()
	policy.Audience = "shop"
	var got http.Header
	var path string
	d.routeFor("app.test", policy, func(_ http.ResponseWriter, q *http.Request) { got, path = q.Header, q.URL.EscapedPath() })
	res, _ := d.get("http://app.test/a%20b?c=d", with("Cookie", d.cookieFor(ana, "app.test")))
	require.Equal(t, http.StatusOK, res.StatusCode)

	u, err := url.Parse("https://App.Test.:8443/a%20b?c=d")
	require.NoError(t, err)
	sight, err := d.gateway.Sight("gEt", u)
	require.NoError(t, err)
	require.Equal(t, path, sight.Path)
	require.Equal(t, "/a b", sight.Visit.Path)
	require.Equal(t, "gEt", sight.Visit.Method, "as it comes")
	told := 0
	for _, h := range d.gateway.Tells(sight, &ana) {
		require.Len(t, got[h.Name], 1, h.Name)
		if !h.PerRequest {
			require.Equal(t, got.Get(h.Name), h.Value)
		}
		told++
	}
	for name := range got {
		if strings.HasPrefix(name, "X-Berth-") {
			told--
		}
	}
	require.Zero(t, told, "no more and no less than an app gets")
	require.Empty(t, d.gateway.Tells(sight, nil))

	for _, wrong := range []string{"https://app.test/.berth/ticket", "https://app.test/a/%2e%2e/b", "https:///x", "https://other.test/"} {
		u, err := url.Parse(wrong)
		require.NoError(t, err)
		_, err = d.gateway.Sight("GET", u)
		require.Error(t, err, wrong)
	}
}
