package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

// statusOf gives the status of a raw answer.
func statusOf(answer string) string {
	_, rest, _ := strings.Cut(answer, " ")
	status, _, _ := strings.Cut(rest, " ")
	return status
}

// Symfony, Django and Werkzeug take "post" for POST.
func TestEnter_DecidesOnAMethodHoweverAnAppReadsItsCase(t *testing.T) {
	d := newDoor(t, trustLoopback)
	reached := 0
	d.routeFor("app.test", identity.Policy{Rules: []identity.Rule{
		{Methods: []string{"POST", "DELETE"}, Allow: identity.Who{Administrators: true}},
		{Allow: identity.Who{Public: true}},
	}}, func(http.ResponseWriter, *http.Request) { reached++ })
	d.routeFor("plain.test", identity.Public(), func(_ http.ResponseWriter, q *http.Request) {
		reached++
		assert.Equal(t, "post", q.Method, "it is passed on as it came")
	})
	for _, c := range []struct{ host, method, status string }{
		{"app.test", "POST", "401"},
		{"app.test", "post", "400"},
		{"app.test", "Post", "400"},
		{"app.test", "dELETE", "400"},
		{"app.test", "get", "200"}, // to the same rule
		{"app.test", "GET", "200"},
		{"plain.test", "post", "200"}, // the policy counts no methods
	} {
		reached = 0
		got := d.raw(c.method + " /x HTTP/1.1\r\nHost: " + c.host + "\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
		assert.Equal(t, c.status, statusOf(got), c.method)
		assert.Equal(t, c.status == "200", reached == 1, c.method)
		if c.status == "400" {
			assert.Contains(t, got, "method of this request")
		}
		for _, by := range plainDialects {
			asked := d.ask(by, c.method, "http://"+c.host+"/x")
			assert.Equal(t, c.status, statusOf("HTTP/1.1 "+asked.Status), "%s asks about %s", by, c.method)
		}
	}
}

// A NAS, or ASP.NET, reads /Admin as /admin.
func TestRoutes_OfOneHostAreNotEnteredByAnotherSpelling(t *testing.T) {
	d := newDoor(t, trustLoopback)
	reached := ""
	target := app(t, func(_ http.ResponseWriter, q *http.Request) { reached = q.URL.Path })
	d.route(routeTo("nas.test", "d1", addressOf(target)))
	inner := routeTo("nas.test", "d2", addressOf(target))
	inner.StageID, inner.PathPrefix, inner.Access = "inner", "/disk/admin", allow(identity.Who{Administrators: true})
	d.route(inner)
	alone := routeTo("one.test", "d3", addressOf(target))
	d.route(alone)

	for _, c := range []struct{ host, path, status string }{
		{"nas.test", "/disk/admin/x", "401"},
		{"nas.test", "/disk/Admin/x", "400"},
		{"nas.test", "/DISK/ADMIN", "400"},
		{"nas.test", "/d%C4%B1sk/admin", "400"},      // a dotless i is an I in capitals
		{"nas.test", "/di%C5%BFk/admin/x", "400"},    // a long s is an s
		{"nas.test", "/dis%E2%84%AA/admin/x", "400"}, // the Kelvin sign is a k, of three bytes
		{"nas.test", "/x;/../disk/Admin", "400"},     // for its dots
		{"nas.test", "//Disk/admin/x", "400"},        // merged, and in other letters
		{"nas.test", "/disk/administrator/x", "200"}, // another name
		{"nas.test", "/Disk/x", "200"},               // the letters of both go to one route
		{"one.test", "/disk/Admin/x", "200"},         // a host of one route has none to confuse
		{"one.test", "/dis%E2%84%AA/admin/x", "200"},
	} {
		reached = ""
		got := d.raw("GET " + c.path + " HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n")
		assert.Equal(t, c.status, statusOf(got), c.path)
		assert.Equal(t, c.status == "200", reached != "", c.path)
		asked := d.ask(caddy, "GET", "http://"+c.host+c.path)
		assert.Equal(t, c.status, statusOf("HTTP/1.1 "+asked.Status), c.path)
	}
	u, err := url.Parse("http://nas.test/disk/Admin/x")
	require.NoError(t, err)
	_, err = d.gateway.Sight("GET", u)
	require.ErrorContains(t, err, "lead to different routes")
}
