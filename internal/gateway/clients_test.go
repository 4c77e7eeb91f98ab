package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"berth/internal/network"
)

// caller is a client's connection that comes from an address of its own.
type caller struct {
	net.Conn

	t  *testing.T
	in *bufio.Reader
}

// dialFrom opens a connection from an address of 127.0.0.0/8.
func (r *rig) dialFrom(t *testing.T, address string) *caller {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := d.DialContext(t.Context(), "tcp", r.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return &caller{Conn: c, t: t, in: bufio.NewReader(c)}
}

// ask sends a request on the connection and gives the status, 0 where the
// connection ended without one.
func (c *caller) ask() int {
	c.t.Helper()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(c.t, err)
	return res.StatusCode
}

// held waits until so many connections are counted.
func (r *rig) held(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return r.gateway.clients.held() == n }, 10*time.Second, time.Millisecond)
}

// unused waits until so many of them are known to be.
func (r *rig) unused(t *testing.T, n int) {
	t.Helper()
	c := r.gateway.clients
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.unused.Len() == n
	}, 10*time.Second, time.Millisecond)
}

func TestClients_OneAddressGetsAFourth(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 16 })
	r.route(routeTo("a.example", "1", addressOf(app(t, func(http.ResponseWriter, *http.Request) {}))))
	greedy := make([]*caller, 4)
	for i := range greedy {
		greedy[i] = r.dialFrom(t, "127.1.1.1")
		require.Equal(t, http.StatusOK, greedy[i].ask())
	}
	require.Zero(t, r.dialFrom(t, "127.1.1.1").refused(t), "a fifth connection of one address")
	require.Equal(t, http.StatusOK, r.dialFrom(t, "127.1.1.2").ask(), "another address")
	require.NoError(t, greedy[0].Close())
	r.held(t, 4)
	require.Equal(t, http.StatusOK, r.dialFrom(t, "127.1.1.1").ask(), "once one was closed")
	require.InDelta(t, 1.0, r.figure(t, "berth_gateway_connections_refused_total", "share"), 0)
	require.InDelta(t, 0.0, r.figure(t, "berth_gateway_connections_refused_total", "limit"), 0)
}

// refused reads the answer to a connection that was turned away: it comes
// without a request. It gives 0 when it is as it should be.
func (c *caller) refused(t *testing.T) int {
	t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	_, err = c.in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	return 0
}

func TestClients_TrustedProxyHasNoShare(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.MaxConnections, c.TrustProxy = 16, []netip.Prefix{netip.MustParsePrefix("127.2.0.0/16")}
	})
	r.route(routeTo("a.example", "1", addressOf(app(t, func(http.ResponseWriter, *http.Request) {}))))
	for range 16 {
		require.Equal(t, http.StatusOK, r.dialFrom(t, "127.2.0.1").ask())
	}
}

func TestClients_UnusedGiveWayAndBusyStay(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 4 })
	hold, begun := make(chan struct{}), make(chan struct{}, 4)
	r.route(routeTo("a.example", "1", addressOf(app(t, func(_ http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Wait") == "" {
			return
		}
		begun <- struct{}{}
		<-hold
	}))))
	busy := make([]*caller, 3)
	for i := range busy {
		busy[i] = r.dialFrom(t, "127.3.0."+string(rune('1'+i)))
		_, err := io.WriteString(busy[i], "GET / HTTP/1.1\r\nHost: a.example\r\nWait: yes\r\n\r\n")
		require.NoError(t, err)
		<-begun
	}
	idle := r.dialFrom(t, "127.3.0.8")
	require.Equal(t, http.StatusOK, idle.ask())
	r.unused(t, 1)

	fresh := r.dialFrom(t, "127.3.0.9")
	_, err := io.WriteString(fresh, "GET / HTTP/1.1\r\nHost: a.example\r\nWait: yes\r\n\r\n")
	require.NoError(t, err)
	<-begun
	_, err = idle.in.ReadByte()
	require.ErrorIs(t, err, io.EOF, "the unused one was closed for it")
	require.Zero(t, r.dialFrom(t, "127.3.0.10").refused(t), "nothing can give way now")

	close(hold)
	for _, c := range append(busy, fresh) {
		res, err := http.ReadResponse(c.in, nil)
		require.NoError(t, err, "one in use was cut")
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
}

func TestClients_SilentGiveWayToWhoAsks(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 4 })
	r.route(routeTo("a.example", "1", addressOf(app(t, func(http.ResponseWriter, *http.Request) {}))))
	silent := make([]*caller, 4)
	for i := range silent {
		silent[i] = r.dialFrom(t, "127.5.0."+string(rune('1'+i)))
		r.unused(t, i+1)
	}
	_, err := io.WriteString(silent[0], "GET / HTTP/1.1\r\nHost: ") // that is not a head yet
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.dialFrom(t, "127.5.0.9").ask())
	_, err = silent[0].in.ReadByte()
	require.Error(t, err, "the first of them was closed for it")
	require.Equal(t, http.StatusOK, silent[3].ask(), "the last was not")
}

func TestClients_ATunnelHoldsItsPlaceUntilItEnds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 4 })
	r.route(routeTo("a.example", "1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		c, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, in)
	}))))
	tunnel := r.dialFrom(t, "127.4.0.1")
	_, err := io.WriteString(tunnel, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(tunnel.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	_, err = io.WriteString(tunnel, "hello\n")
	require.NoError(t, err)
	line, err := tunnel.in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
	require.Equal(t, 1, r.gateway.clients.held())
	require.NoError(t, tunnel.Close())
	r.held(t, 0)
}

func TestRequests_OverWhatAnInstanceMayServeAreRefused(t *testing.T) {
	h := &held{make(chan struct{}, 4), make(chan struct{})}
	r := newRig(t, func(c *Config) { c.MaxRequests = 2 })
	r.route(routeTo("a.example", "1", addressOf(app(t, h.ServeHTTP)), addressOf(app(t, h.ServeHTTP))))
	free := routeTo("b.example", "2", addressOf(app(t, func(http.ResponseWriter, *http.Request) {})))
	free.Stage = "other"
	r.route(free)
	r.client.Timeout = 10 * time.Second
	ended := r.wait(h, 4, func(int, *http.Request) {}) // two on each instance
	res, body := r.get("http://a.example/")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "2", res.Header.Get("Retry-After"))
	require.Contains(t, body, "as many requests as it may")
	res, _ = r.get("http://b.example/")
	require.Equal(t, http.StatusOK, res.StatusCode, "another stage is not concerned")
	close(h.hold)
	require.Equal(t, []int{200, 200, 200, 200}, ended())
	res, _ = r.get("http://a.example/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.InDelta(t, 1.0, r.figure(t, "berth_gateway_requests_refused_total", "shop"), 0)
}

// held is an app whose requests wait until it is told, and say when they began.
type held struct{ begun, hold chan struct{} }

func (h *held) ServeHTTP(http.ResponseWriter, *http.Request) {
	h.begun <- struct{}{}
	<-h.hold
}

// wait begins n requests, each as edit makes it, and waits until all of them
// are held. Once hold is closed, ended gives their statuses.
func (r *rig) wait(h *held, n int, edit func(int, *http.Request)) (ended func() []int) {
	answers := make(chan int, n)
	for i := range n {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://a.example/", nil)
		edit(i, req)
		go func() {
			res, err := r.client.Do(req)
			if err != nil {
				answers <- 0
				return
			}
			_ = res.Body.Close()
			answers <- res.StatusCode
		}()
	}
	for range n {
		<-h.begun
	}
	return func() (statuses []int) {
		for range n {
			statuses = append(statuses, <-answers)
		}
		return statuses
	}
}

func TestRequests_OneNetworkGetsAFourthHoweverItSendsThem(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 16 })
	h := &held{make(chan struct{}, 4), make(chan struct{})}
	r.route(routeTo("a.example", "1", addressOf(app(t, h.ServeHTTP))))
	r.useHTTP2()
	ended := r.wait(h, 4, func(int, *http.Request) {}) // on one connection
	for _, url := range []string{"http://a.example/", "http://localhost/"} {
		res, body := r.get(url)
		require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, url)
		require.Equal(t, "5", res.Header.Get("Retry-After"))
		require.Contains(t, body, "one network")
	}
	other := r.dialFrom(t, "127.6.0.1")
	_, err := io.WriteString(other, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(other.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "another network")
	close(h.hold)
	require.Equal(t, []int{200, 200, 200, 200}, ended())
	res, _ = r.get("http://localhost/")
	require.Equal(t, http.StatusOK, res.StatusCode, "once they are over")
	require.InDelta(t, 2.0, r.figure(t, "berth_gateway_clients_refused_total", "share"), 0)
}

func TestRequests_AreNoMoreThanConnectionsMayBe(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.MaxConnections, c.TrustProxy = 16, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	h := &held{make(chan struct{}, 16), make(chan struct{})}
	r.route(routeTo("a.example", "1", addressOf(app(t, h.ServeHTTP))))
	r.useHTTP2()
	from := func(address string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set("X-Forwarded-For", address) }
	}
	// A proxy in front brings the requests of five clients.
	ended := r.wait(h, 15, func(i int, q *http.Request) { from("192.0.2." + string(rune('1'+i/4)))(q) })
	res, body := r.get("http://a.example/", from("192.0.2.1"))
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, body, "one network", "one of them has its share")
	last := r.wait(h, 1, func(_ int, q *http.Request) { from("192.0.2.5")(q) })
	res, body = r.get("http://a.example/", from("192.0.2.6"))
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, body, "This server answers as many", "there is no more room")
	close(h.hold)
	require.NotContains(t, append(ended(), last()...), 503)
	require.InDelta(t, 1.0, r.figure(t, "berth_gateway_clients_refused_total", "limit"), 0)
	require.InDelta(t, 1.0, r.figure(t, "berth_gateway_clients_refused_total", "share"), 0)
	c := r.gateway.clients
	require.Eventually(t, func() bool {
		c.requests.mu.Lock()
		defer c.requests.mu.Unlock()
		for _, of := range c.requests.networks {
			if of.Load() != 0 {
				return false
			}
		}
		return c.requests.all.Load() == 0
	}, 10*time.Second, time.Millisecond)
}

// figure reads a figure of the gateway's by one of its labels.
func (r *rig) figure(t *testing.T, name, label string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(r.gateway.Collector()))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	require.Fail(t, "no such figure", "%s of %s", name, label)
	return 0
}

func TestRequests_ForgetNetworksThatHoldNothing(t *testing.T) {
	c := newClients(100_000, nil)
	first, err := c.enter("203.0.113.1")
	require.NoError(t, err)
	for i := range 20 * sweepLeast {
		place, err := c.enter(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
		require.NoError(t, err)
		place.leave()
		require.LessOrEqual(t, len(c.requests.networks), sweepLeast)
	}
	require.EqualValues(t, 1, c.requests.networks[network.Of(netip.MustParseAddr("203.0.113.1"))].Load(), "one that holds something was forgotten")
	first.leave()
	require.Zero(t, c.requests.all.Load())
}

func TestRequests_AreAsManyAsMayBeWhenManyComeAtOnce(t *testing.T) {
	c := newClients(8, nil) // 2 of each network
	for range 200 {
		var places sync.Map
		var each sync.WaitGroup
		for i := range 32 {
			each.Go(func() {
				if place, err := c.enter(fmt.Sprintf("192.0.2.%d", i%8)); err == nil {
					places.Store(i, place)
				}
			})
		}
		each.Wait()
		taken := 0
		places.Range(func(_, each any) bool {
			taken++
			each.(place).leave() //nolint:forcetypeassert // stored above
			return true
		})
		require.Equal(t, 8, taken)
		require.Zero(t, c.requests.all.Load())
	}
}
