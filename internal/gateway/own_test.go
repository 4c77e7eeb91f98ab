package gateway

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/cookie"
)

var apiToken = "berth_" + strings.Repeat("a", 43)

func TestOwn_KeepsBerthsCookiesFromApps(t *testing.T) {
	o := &own{cookies: cookie.For(&url.URL{Scheme: "https", Host: "berth.test"})}
	for line, want := range map[string]string{
		"a=b; c=d": "a=b; c=d", "__Host-berth=x": "", "a=b; __Host-berth=x;c=d": "a=b; c=d", "__HOST-Berth-bind=x; a=b": "a=b",
		`a="x; __Host-berth=y; z"`: `a="x; z"`, "berth=x": "berth=x", " __Host-berth = x": "", "__Host-berth": "",
	} {
		assert.Equal(t, want, strings.Join(o.withoutCookies([]string{line}), "|"), line)
	}
	assert.Equal(t, []string{"a=b"}, o.withoutCookies([]string{"__Host-berth=x", "a=b"}))
}

func TestOwn_LetsNoAppSetBerthsCookies(t *testing.T) {
	o := &own{cookies: cookie.For(&url.URL{Scheme: "https", Host: "berth.test"})}
	h := http.Header{"Set-Cookie": {
		"__Host-berth=x; Path=/; Secure", "__host-BERTH=x", " __Host-berth-bind=x", "=__Host-berth=x", "__Host-berth", "kept=__Host-berth=x", "other",
	}}
	o.keepCookies(h)
	require.Equal(t, []string{"kept=__Host-berth=x", "other"}, h["Set-Cookie"])
	h = http.Header{"Set-Cookie": {"__Host-berth=x"}}
	o.keepCookies(h)
	require.NotContains(t, h, "Set-Cookie")
}

func TestOwn_KeepsAPITokensFromApps(t *testing.T) {
	for _, line := range []string{
		"Bearer " + apiToken, "bearer   " + apiToken + " ", "Bearer\t" + apiToken, "Token " + apiToken, apiToken, "Bearer " + apiToken + ", Bearer x",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+apiToken)), "basic " + base64.StdEncoding.EncodeToString([]byte(apiToken+":")),
	} {
		assert.Empty(t, withoutTokens([]string{line}), line)
		assert.Equal(t, []string{"Bearer mine"}, withoutTokens([]string{line, "Bearer mine"}))
	}
	for _, line := range []string{"Bearer x", "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:secret")), "Basic ???", ""} {
		assert.Equal(t, []string{line}, withoutTokens([]string{line}))
	}
}

func TestServe_PassesNothingOfBerthsEitherWay(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			got := make(chan *http.Request, 1)
			r := newRig(t)
			route := routeTo
			serve := func(h http.HandlerFunc) string { return addressOf(app(t, h)) }
			if protocol == "h2c" {
				route, serve = h2cRoute, func(h http.HandlerFunc) string { return h2cApp(t, h) }
			}
			r.route(route("app.test", "d", serve(func(w http.ResponseWriter, q *http.Request) {
				w.Header()["Set-Cookie"] = []string{"berth=stolen", "app=1"}
				w.Header()["Link"] = []string{"</x>; rel=preload"}
				w.WriteHeader(http.StatusEarlyHints)
				got <- q
			})))
			res, _ := r.get("http://app.test/", func(q *http.Request) {
				q.Header.Set("Cookie", "berth=secret; app=2; berth-bind=secret")
				q.Header.Set("Authorization", "Bearer "+apiToken)
				q.Header.Set("Remote_User", "root")
			})
			q := <-got
			assert.Equal(t, "app=2", q.Header.Get("Cookie"))
			assert.Empty(t, q.Header.Get("Authorization"))
			assert.NotContains(t, q.Header, "Remote_user")
			assert.Equal(t, []string{"app=1"}, res.Header["Set-Cookie"])
		})
	}
}

// statusIn gives the status of a raw answer.
func statusIn(t *testing.T, answer string) int {
	t.Helper()
	line, _, _ := strings.Cut(answer, "\r\n")
	parts := strings.Split(line, " ")
	require.GreaterOrEqual(t, len(parts), 2, answer)
	status, err := strconv.Atoi(parts[1])
	require.NoError(t, err)
	return status
}

func TestServe_PassesNothingUnderItsOwnPathToAnApp(t *testing.T) {
	reached := false
	r := newRig(t)
	r.route(routeTo("app.test", "d", addressOf(app(t, func(http.ResponseWriter, *http.Request) { reached = true }))))
	for target, status := range map[string]int{
		"/.berth": 404, "/.berth/": 404, "/.berth/x/y": 404, "/.BERTH/x": 404, "/%2eberth/x": 404, "/.b%65rth": 404, "/.berth//x": 404,
		"//.berth/x": 400, "/.berth%2Fx": 400, "/.berth;a/x": 400, "/%5C.berth/x": 400, "/.berth%5Cx": 400, "/x/../.berth": 400, "/;/.berth": 400,
	} {
		answer := r.raw("GET " + target + " HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		assert.Equal(t, status, statusIn(t, answer), target)
	}
	assert.False(t, reached)
	for _, target := range []string{"/.berths", "/x/.berth/y", "/.bert"} {
		answer := r.raw("GET " + target + " HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		assert.Equal(t, http.StatusOK, statusIn(t, answer), target)
	}
}
