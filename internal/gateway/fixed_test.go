package gateway

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"berth/internal/deploy"
	"berth/internal/identity"
)

// fixedTo makes a route at nas.test that no stage makes, to a server.
func fixedTo(target string, policy identity.Policy) deploy.Route {
	r := deploy.Route{
		StageID: "fixed", Hostname: "nas.test", PathPrefix: "/", RequestTimeout: 10 * time.Second, Access: policy,
		Fixed: &deploy.Fixed{Name: "nas", Target: target},
	}
	if target == "" {
		return r
	}
	u, _ := url.Parse(target)
	e := deploy.Endpoint{Instance: r.StageID, Address: u.Host, Guarded: true}
	if u.Scheme == "https" {
		e.TLSName = u.Hostname()
	}
	r.Instances = []deploy.Endpoint{e}
	return r
}

// trust has the table trust a server's certificate.
func (r *rig) trust(s *httptest.Server) {
	r.table.edge.roots = x509.NewCertPool()
	r.table.edge.roots.AddCert(s.Certificate())
}

// speaking gives a server that speaks one protocol alone.
func speaking(t *testing.T, protocol string, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	switch protocol {
	case "http", "https":
		s.Config.Protocols.SetHTTP1(true)
	case "h2c":
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	case "h2":
		s.Config.Protocols.SetHTTP2(true)
		s.EnableHTTP2 = true
	}
	if s.EnableHTTP2 || protocol == "https" {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func TestFixed_GoesTheWayOfAnApp(t *testing.T) {
	for name, protocol := range map[string]deploy.Protocol{"http": deploy.HTTP1, "https": deploy.HTTP1, "h2c": deploy.H2C, "h2": deploy.H2C} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			var got *http.Request
			target := speaking(t, name, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				got = q
				w.Header().Set("Location", "//elsewhere.test/")
				if to := q.URL.Query().Get("to"); to != "" {
					w.Header().Set("Location", to)
				}
				w.WriteHeader(http.StatusSeeOther)
			}))
			if target.TLS != nil {
				d.trust(target)
			}
			route := fixedTo(target.URL, identity.SignedIn())
			route.Protocol = protocol
			d.route(route)
			ana := d.cookieFor(d.signIn("ana", identity.RoleMember), "nas.test")

			res, _ := d.get("http://nas.test/x")
			require.Equal(t, http.StatusUnauthorized, res.StatusCode)
			require.Nil(t, got, "it has seen nothing")

			ask := func(path string) *http.Response {
				res, _ := d.get("http://nas.test"+path, with("Cookie", ana), with("X_Berth_User", "root"), with("Cdn-Loop", "other"))
				require.Equal(t, http.StatusSeeOther, res.StatusCode)
				return res
			}
			ask("/a%2Fb?c=d")
			require.Equal(t, "/a%2Fb?c=d", got.RequestURI)
			require.Equal(t, "nas.test", got.Host)
			require.Equal(t, protocol == deploy.H2C, got.ProtoMajor == 2)
			require.Equal(t, target.TLS != nil, got.TLS != nil)
			require.Equal(t, []string{"ana"}, got.Header["X-Berth-User"])
			require.Equal(t, "nas", got.Header.Get("X-Berth-Context"))
			require.NotContains(t, got.Header, "X_berth_user")
			require.NotContains(t, got.Header.Get("Cookie"), "berth")
			require.Equal(t, []string{"other", d.gateway.loopMark}, got.Header["Cdn-Loop"])
			require.Equal(t, target.URL+"/in", ask("/?to="+url.QueryEscape(target.URL+"/in")).Header.Get("Location"), "as it said: it was asked by the public name")

			route.Fixed.Host = strings.SplitN(target.URL, "://", 2)[1]
			d.route(route)
			require.Equal(t, "http://nas.test/in?x=y", ask("/?to="+url.QueryEscape(target.URL+"/in?x=y")).Header.Get("Location"))
			require.Equal(t, route.Fixed.Host, got.Host)
			require.Equal(t, "nas.test", got.Header.Get("X-Forwarded-Host"))
			require.Equal(t, target.URL+"0/", ask("/?to="+url.QueryEscape(target.URL+"0/")).Header.Get("Location"), "another port is another server")

			require.NotZero(t, sum(t, d, "berth_gateway_requests_total", "route", "nas"))
		})
	}
}

func TestFixed_PassesGRPC(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "http", true: "https"}[secure], func(t *testing.T) {
			r := newRig(t)
			target := speaking(t, map[bool]string{false: "h2c", true: "h2"}[secure], grpcHandler(t))
			if secure {
				r.trust(target)
			}
			route := fixedTo(target.URL, identity.Public())
			route.Protocol = deploy.H2C
			r.route(route)
			client := r.dialGRPC("nas.test")
			answer, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			require.NoError(t, err)
			require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.GetStatus())
			_, err = client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "unknown"})
			require.Equal(t, codes.NotFound, status.Code(err), err)

			watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			require.NoError(t, err)
			_, err = watch.Recv()
			require.NoError(t, err)
			require.NoError(t, r.table.Remove(t.Context(), route.StageID))
			_, err = watch.Recv()
			require.Error(t, err, "cut")
		})
	}
}

func TestFixed_SpeaksHTTP2OnlyToWhatDoes(t *testing.T) {
	for _, name := range []string{"http", "https"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var seen atomic.Int32
			target := speaking(t, name, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
				if q.Method != "PRI" { // what HTTP/2 begins with
					seen.Add(1)
				}
			}))
			if target.TLS != nil {
				r.trust(target)
				target.TLS.NextProtos = nil // as a server that knows no choice
			}
			route := fixedTo(target.URL, identity.Public())
			route.Protocol = deploy.H2C
			r.route(route)
			started := time.Now()
			res, _ := r.get("http://nas.test/")
			require.Equal(t, http.StatusBadGateway, res.StatusCode)
			require.Less(t, time.Since(started), dialTimeout)
			// What the library says of plain HTTP hangs on whether it has read the answer yet.
			require.Regexp(t, map[string]string{"http": "HTTP/1.1 header|conn could not be established", "https": errNoHTTP2.Error()}[name], r.log.String())
			require.Zero(t, seen.Load())
		})
	}
}

// sum adds up the figures of a name whose label is a value.
func sum(t *testing.T, d *door, name, label, value string) (total float64) {
	t.Helper()
	all := prometheus.NewRegistry()
	require.NoError(t, all.Register(d.gateway.Collector()))
	families, err := all.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					total += m.GetCounter().GetValue()
				}
			}
		}
	}
	return total
}

func TestFixed_PassesWebSocketsOverTLS(t *testing.T) {
	r := newRig(t)
	target := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		c, err := websocket.Accept(w, q, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		kind, text, err := c.Read(q.Context())
		if err == nil {
			_ = c.Write(q.Context(), kind, append(text, text...))
		}
		_, _, _ = c.Read(q.Context())
	}))
	t.Cleanup(target.Close)
	r.trust(target)
	r.route(fixedTo(target.URL, identity.Public()))
	c, _, err := websocket.Dial(t.Context(), "ws://nas.test/", &websocket.DialOptions{HTTPClient: r.client})
	require.NoError(t, err)
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte("ab")))
	_, text, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "abab", string(text))
	require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
}

func TestFixed_TrustsNoCertificateThatNobodyVouchesFor(t *testing.T) {
	r := newRig(t)
	var seen atomic.Int32
	target := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(target.Close)
	r.route(fixedTo(target.URL, identity.Public()))
	res, text := r.get("http://nas.test/")
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	require.NotContains(t, text, "x509", "a visitor is not told what is behind")
	require.Contains(t, r.log.String(), "x509")

	r.trust(target)
	route := fixedTo(target.URL, identity.Public())
	route.Instances[0].TLSName = "other.test"
	r.route(route)
	res, _ = r.get("http://nas.test/")
	require.Equal(t, http.StatusBadGateway, res.StatusCode, "of another name")
	require.Zero(t, seen.Load())
}

func TestFixed_LeadsNobodyToCredentialsOrBackToBerth(t *testing.T) {
	for _, protocol := range []deploy.Protocol{deploy.HTTP1, deploy.H2C} {
		t.Run(string(protocol), func(t *testing.T) { leadsNobodyToCredentialsOrBack(t, protocol) })
	}
}

func leadsNobodyToCredentialsOrBack(t *testing.T, protocol deploy.Protocol) {
	t.Helper()
	r := newRig(t)
	own := netip.MustParseAddrPort(r.address)
	r.table.edge.own = func(at netip.AddrPort) bool { return at == own }
	for _, target := range []string{
		"http://169.254.169.254", "http://" + r.address, "http://localhost:" + strings.SplitN(r.address, ":", 2)[1],
		"http://[::ffff:169.254.169.254]", "http://0.0.0.0:" + strings.SplitN(r.address, ":", 2)[1],
	} {
		route := fixedTo(target, identity.Public())
		route.Protocol = protocol
		if _, _, err := net.SplitHostPort(route.Instances[0].Address); err != nil {
			route.Instances[0].Address += ":80"
		}
		r.route(route)
		started := time.Now()
		res, _ := r.get("http://nas.test/")
		require.Equal(t, http.StatusBadGateway, res.StatusCode, target)
		require.Less(t, time.Since(started), dialTimeout, target)
	}
	require.Equal(t, 5, strings.Count(r.log.String(), `"status":502`))
	require.Equal(t, 10, strings.Count(r.log.String(), "is an address that Berth does not connect to"), "said where the target fails, and where the request does")
}

func TestFixed_EndsWhatGoesRoundByAnotherProxy(t *testing.T) {
	r := newRig(t)
	var passed atomic.Int32
	back := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.address})
	other := app(t, func(w http.ResponseWriter, q *http.Request) {
		passed.Add(1)
		back.ServeHTTP(w, q)
	})
	r.route(fixedTo(other.URL, identity.Public()))
	res, _ := r.get("http://nas.test/")
	require.Equal(t, http.StatusLoopDetected, res.StatusCode)
	require.EqualValues(t, 1, passed.Load())
}

func TestFixed_CutsWhatGoesOnWhenItIsRemovedOrLeadsElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*door, deploy.Route)
		stay string
	}{
		"removed": {end: func(d *door, r deploy.Route) { _ = d.table.Remove(d.t.Context(), r.StageID) }},
		"elsewhere": {end: func(d *door, _ deploy.Route) {
			d.route(fixedTo(app(d.t, func(http.ResponseWriter, *http.Request) {}).URL, identity.SignedIn()))
		}, stay: "long"},
		"another policy": {end: func(d *door, r deploy.Route) {
			r.Access = allow(identity.Who{Administrators: true})
			d.route(r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			route := fixedTo(app(t, stream).URL, identity.SignedIn())
			d.route(route)
			open := d.streams("nas.test", d.cookieFor(d.signIn("ana", identity.RoleMember), "nas.test"))
			c.end(d, route)
			stays := map[string]<-chan struct{}{}
			if c.stay != "" {
				stays[c.stay] = open[c.stay]
				delete(open, c.stay)
			}
			ends(t, open)
			goesOn(t, stays)
		})
	}
}

func TestFixed_OfAnotherProxyServesNothingAndKnowsWhoMayEnter(t *testing.T) {
	d := newDoor(t)
	d.route(fixedTo("", identity.SignedIn()))
	res, _ := d.get("http://nas.test/")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	res, text := d.get("http://nas.test/", with("Cookie", d.cookieFor(d.signIn("ana", identity.RoleMember), "nas.test")))
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Contains(t, text, "Another server answers")
	_, serves := d.gateway.Serves("NAS.test.")
	require.True(t, serves, "sign-ins come back there")
}
