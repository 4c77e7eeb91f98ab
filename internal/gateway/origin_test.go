package gateway

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func proxies(networks ...string) (list []netip.Prefix) {
	for _, n := range networks {
		list = append(list, netip.MustParsePrefix(n))
	}
	return list
}

func TestOriginOf_BelievesNobodyByDefault(t *testing.T) {
	r := &http.Request{RemoteAddr: "127.0.0.1:5", Host: "app.test", Header: http.Header{
		"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7;host=other.test;proto=https"}, "X-Real-Ip": {"203.0.113.7"},
		"X-Forwarded-Host": {"other.test"}, "X-Forwarded-Proto": {"https"},
	}}
	for _, trusted := range [][]netip.Prefix{nil, proxies("10.0.0.0/8", "::1/128")} {
		o, host, err := originOf(r, trusted)
		require.NoError(t, err)
		require.Equal(t, origin{"127.0.0.1", "http"}, o)
		require.Equal(t, "app.test", host)
	}
	r.TLS = &tls.ConnectionState{}
	o, _, err := originOf(r, nil)
	require.NoError(t, err)
	require.Equal(t, "https", o.proto)
}

func TestOriginOf_TakesTheLastAddressThatIsNoProxy(t *testing.T) {
	trusted := proxies("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32")
	for name, c := range map[string]struct {
		header  http.Header
		address string // "" is refused
		proto   string // http when empty
		host    string // app.test when empty
	}{
		"nothing is said":           {nil, "127.0.0.1", "", ""},
		"one hop":                   {http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7", "", ""},
		"a client that lies":        {http.Header{"X-Forwarded-For": {"10.0.0.1, 198.51.100.1, 203.0.113.7"}}, "203.0.113.7", "", ""},
		"on a line of its own":      {http.Header{"X-Forwarded-For": {"198.51.100.1", "203.0.113.7"}}, "203.0.113.7", "", ""},
		"two proxies":               {http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.7,10.9.9.9"}}, "203.0.113.7", "", ""},
		"all are proxies":           {http.Header{"X-Forwarded-For": {"10.0.0.7, 10.9.9.9"}}, "10.0.0.7", "", ""},
		"IPv6, with a port":         {http.Header{"X-Forwarded-For": {"[2001:db9::7]:443, [2001:db8::1]"}}, "2001:db9::7", "", ""},
		"IPv4 in IPv6":              {http.Header{"X-Forwarded-For": {"::ffff:203.0.113.7, ::ffff:10.0.0.1"}}, "203.0.113.7", "", ""},
		"a lie that is no address":  {http.Header{"X-Forwarded-For": {"<script>, 203.0.113.7"}}, "203.0.113.7", "", ""},
		"a proxy that says nothing": {http.Header{"X-Forwarded-For": {"203.0.113.7, unknown"}}, "", "", ""},
		"an empty one":              {http.Header{"X-Forwarded-For": {""}}, "", "", ""},
		"another spelling":          {http.Header{"X_forwarded_for": {"203.0.113.7"}}, "127.0.0.1", "", ""},

		"proto and host":        {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"shop.test:443"}}, "203.0.113.7", "https", "shop.test:443"},
		"a WebSocket's proto":   {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"wss"}}, "203.0.113.7", "https", "app.test"},
		"the client's host":     {http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.7, 10.0.0.2"}, "X-Forwarded-Host": {"evil.test, shop.test, inner.test"}}, "203.0.113.7", "", "shop.test"},
		"the nearest's host":    {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Host": {"evil.test, shop.test"}}, "203.0.113.7", "", "shop.test"},
		"a proto that is none":  {http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"gopher"}}, "", "", ""},
		"X-Real-IP":             {http.Header{"X-Real-Ip": {"203.0.113.7"}}, "203.0.113.7", "", ""},
		"X-Real-IP comes last":  {http.Header{"X-Real-Ip": {"198.51.100.1"}, "X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7", "", ""},
		"X-Real-IP twice":       {http.Header{"X-Real-Ip": {"198.51.100.1", "203.0.113.7"}}, "", "", ""},
		"X-Real-IP, no address": {http.Header{"X-Real-Ip": {"me"}}, "", "", ""},

		"Forwarded":               {http.Header{"Forwarded": {`for=198.51.100.1, For="203.0.113.7:1";HOST="shop.test";proto=https, for=10.0.0.1;host=inner.test`}}, "203.0.113.7", "https", "shop.test"},
		"Forwarded with IPv6":     {http.Header{"Forwarded": {`for="[2001:db9::7]:80";by="a,b;c\"d"`}}, "2001:db9::7", "", ""},
		"Forwarded hides it":      {http.Header{"Forwarded": {`for=_hidden`}}, "", "", ""},
		"Forwarded without for":   {http.Header{"Forwarded": {`proto=https`}}, "", "", ""},
		"Forwarded twice in one":  {http.Header{"Forwarded": {`for=203.0.113.7;for=198.51.100.1`}}, "", "", ""},
		"Forwarded never ends":    {http.Header{"Forwarded": {`for="203.0.113.7`}}, "", "", ""},
		"both, the same":          {http.Header{"Forwarded": {`for=203.0.113.7;host=evil.test`}, "X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7", "", ""},
		"a Forwarded of a client": {http.Header{"Forwarded": {`for=10.0.0.3`}, "X-Forwarded-For": {"203.0.113.7"}}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, host, err := originOf(&http.Request{RemoteAddr: "127.0.0.1:5", Host: "app.test", Header: c.header}, trusted)
			if c.address == "" {
				require.ErrorIs(t, err, errBadOrigin)
				return
			}
			require.NoError(t, err)
			want := origin{c.address, "http"}
			if c.proto != "" {
				want.proto = c.proto
			}
			assert.Equal(t, want, o)
			if c.host == "" {
				c.host = "app.test"
			}
			assert.Equal(t, c.host, host)
		})
	}
}

func FuzzOriginOf(f *testing.F) {
	f.Add("203.0.113.7", "for=203.0.113.7", "10.0.0.1")
	f.Add("a,,b", `for="[::1]:1";by="\"`, "")
	trusted := proxies("127.0.0.1/32", "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, xff, fwd, spoofed string) {
		h := http.Header{"X-Forwarded-For": {xff + ", 203.0.113.7"}, "Forwarded": {fwd}, "X-Real-Ip": {spoofed}}
		o, _, err := originOf(&http.Request{RemoteAddr: "127.0.0.1:5", Host: "app.test", Header: h}, trusted)
		if err == nil {
			require.Equal(t, "203.0.113.7", o.address, "what the proxy itself wrote, and nothing else")
		}
	})
}

func TestServe_TellsTheAppAndTheLogWhereTheClientIs(t *testing.T) {
	got := make(chan *http.Request, 1)
	r := newRig(t, func(c *Config) {
		c.TrustProxy = proxies("127.0.0.1/32")
		c.AccessLog = AccessLogOn
		c.Base = http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { got <- q })
	})
	r.route(routeTo("app.test", "d", addressOf(app(t, func(_ http.ResponseWriter, q *http.Request) { got <- q }))))
	behind := func(q *http.Request) {
		q.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7")
		q.Header.Set("X-Forwarded-Host", "APP.test:8443")
		q.Header.Set("X-Forwarded-Proto", "https")
	}
	res, _ := r.get("http://inner.test/", behind)
	require.Equal(t, http.StatusOK, res.StatusCode)
	q := <-got
	assert.Equal(t, "203.0.113.7", q.Header.Get("X-Forwarded-For"))
	assert.Equal(t, "203.0.113.7", q.Header.Get("X-Real-IP"))
	assert.Equal(t, "APP.test:8443", q.Header.Get("X-Forwarded-Host"))
	assert.Equal(t, "APP.test:8443", q.Host)
	assert.Equal(t, "https", q.Header.Get("X-Forwarded-Proto"))
	assert.Contains(t, r.log.String(), `"address":"203.0.113.7"`)

	r.get("http://localhost/", func(q *http.Request) { q.Header.Set("X-Forwarded-For", "203.0.113.8") })
	assert.Equal(t, "203.0.113.8:0", (<-got).RemoteAddr, "the base host's limits are for the client")

	res, _ = r.get("http://app.test/", behind, func(q *http.Request) { q.Header.Set("Forwarded", "for=10.0.0.1") })
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	res, _ = r.get("http://localhost/", behind, func(q *http.Request) { q.Header.Set("X-Forwarded-Proto", "x") })
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}
