package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
)

// withCanary gives a route with a canary for a share of the clients.
func withCanary(r deploy.Route, share int, deployment string, addresses ...string) deploy.Route {
	c := routeTo(r.Hostname, deployment, addresses...)
	c.Share = share
	r.Canary = &c
	return r
}

// client is a request of client number n, which asks nothing yet.
func client(g *Gateway, n int) *exchange {
	req := httptest.NewRequest(http.MethodGet, "http://x.test/", http.NoBody)
	req.Header.Set("User-Agent", fmt.Sprintf("browser/%d", n%7))
	x := &exchange{g: g, r: req, host: "x.test", path: readings{path: "/"}}
	x.from.address = fmt.Sprintf("203.0.%d.%d", n/250, n%250)
	x.claim.cut = func(error) {}
	return x
}

func quietGateway(tb testing.TB, table *Table) *Gateway {
	tb.Helper()
	g, err := New(Config{Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase})
	require.NoError(tb, err)
	return g
}

func TestCanary_HasItsShareOfTheClients(t *testing.T) {
	table := NewTable(TableConfig{})
	g := quietGateway(t, table)
	main := routeTo("x.test", "d1", "127.0.0.1:1")
	const clients = 20_000
	for _, share := range []int{1, 10, 50, 99} {
		require.NoError(t, table.Switch(t.Context(), withCanary(main, share, "d2", "127.0.0.1:2")))
		of := 0
		for n := range clients {
			if find(table.current.Load().hosts["x.test"], "/", false).forClient(client(g, n)).Deployment == "d2" {
				of++
			}
		}
		require.InDelta(t, share, float64(of)*100/clients, 1.5, "per cent of the clients")
	}
}

// Clients stay with the release that they had, request after request, while
// the route is switched under them: instances come and go, and the canary
// ends for everybody at once.
func TestCanary_ClientsDoNotFlap(t *testing.T) {
	table := NewTable(TableConfig{Clock: hesitant})
	g := quietGateway(t, table)
	point := func(instances int) {
		addresses := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}[:instances]
		main := routeTo("x.test", "d1", addresses...)
		require.NoError(t, table.Switch(context.Background(), withCanary(main, 30, "d2", addresses...)))
	}
	point(1)
	const clients, enough = 50, 20_000
	var done atomic.Bool
	var requests, onCanary atomic.Int64
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			first := map[int]string{}
			for !done.Load() {
				n := worker*clients + rand.IntN(clients)
				x := client(g, n)
				in, err := x.hold(context.Background(), nil)
				if !assert.NoError(t, err) { //nolint:testifylint // not the test's own goroutine
					return
				}
				in.release(&x.claim)
				if was, ok := first[n]; !ok {
					first[n] = in.deployment
					if in.deployment == "d2" {
						onCanary.Add(1)
					}
				} else if !assert.Equal(t, was, in.deployment, "client %d changed its release", n) {
					return
				}
				requests.Add(1)
			}
		})
	}
	switches := 0
	for ; !t.Failed() && (switches < 2000 || requests.Load() < enough); switches++ {
		point(1 + switches%3)
	}
	done.Store(true)
	group.Wait()
	t.Logf("%d requests of %d clients, %d of them on the canary, during %d switches: none changed its release",
		requests.Load(), 8*clients, onCanary.Load(), switches)
	require.Positive(t, onCanary.Load())

	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d2", "127.0.0.1:1")))
	for n := range clients {
		x := client(g, n)
		in, err := x.hold(context.Background(), nil)
		require.NoError(t, err)
		require.Equal(t, "d2", in.deployment, "then all have it")
		in.release(&x.claim)
	}
}

func TestCanary_KeepsItsConnectionsWhenItGetsEverybody(t *testing.T) {
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), withCanary(routeTo("x.test", "d1", "127.0.0.1:1"), 10, "d2", "127.0.0.1:2")))
	before := find(table.current.Load().hosts["x.test"], "/", false)
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d2", "127.0.0.1:2")))
	after := find(table.current.Load().hosts["x.test"], "/", false)
	require.Same(t, before.canary.instances[0], after.instances[0])
	require.True(t, after.instances[0].open())
	require.False(t, before.instances[0].open())
}

func TestCanary_ThatCanNotBeReachedCostsNoRequest(t *testing.T) {
	r := newRig(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	good := app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "old") })
	r.route(withCanary(routeTo("shop.localhost", "d1", addressOf(good)), 99, "d2", addressOf(dead)))
	for n := range 40 {
		res, body := r.get("http://shop.localhost/", func(q *http.Request) { q.Header.Set("User-Agent", strconv.Itoa(n)) })
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "old", body)
	}
	require.Positive(t, r.table.Answers("d2").Errors, "it is counted all the same")
	require.Zero(t, r.table.Answers("d1").Errors)
	r.route(withCanary(routeTo("shop.localhost", "d1", addressOf(good)), 99, "d2"))
	_, body := r.get("http://shop.localhost/")
	require.Equal(t, "old", body, "one without instances, too")
}

func TestCanary_IsCheckedLikeARoute(t *testing.T) {
	table := NewTable(TableConfig{})
	main := routeTo("x.test", "d1", "127.0.0.1:1")
	for _, bad := range []deploy.Route{
		withCanary(main, 0, "d2", "127.0.0.1:2"),
		withCanary(main, 100, "d2", "127.0.0.1:2"),
		withCanary(main, 10, "d1", "127.0.0.1:2"),
		withCanary(main, 10, "d2", "nowhere"),
		withCanary(main, 10, ""),
	} {
		require.Equal(t, fault.BadInput, fault.KindOf(table.Switch(t.Context(), bad)))
	}
}

func TestTally_CountsWhatADeploymentAnswersAndWhatItDoesNot(t *testing.T) {
	r := newRig(t)
	s := app(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		case "/breaks":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	r.route(routeTo("shop.localhost", "d1", addressOf(s)))
	for _, path := range []string{"/", "/missing", "/bad"} {
		r.get("http://shop.localhost" + path)
	}
	res, err := r.client.Post("http://shop.localhost/breaks", "", nil) // which the client sends once
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	require.Error(t, err)
	s.Close()
	r.get("http://shop.localhost/gone")
	require.Eventually(t, func() bool { return r.table.Answers("d1").Requests() == 5 }, 20*time.Second, time.Millisecond, "%+v", r.table.Answers("d1"))
	require.Equal(t, int64(3), r.table.Answers("d1").Errors, "a 500, an answer that broke off, and a 502 of the gateway's own")

	r.route(routeTo("shop.localhost", "d2"))
	r.get("http://shop.localhost/")
	require.Equal(t, int64(1), r.table.Answers("d2").Errors, "a release without instances answers nothing well")
	require.Zero(t, r.table.Answers("unknown").Requests())
}

func TestLately_LooksBackAFewMinutes(t *testing.T) {
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1", "127.0.0.1:1")))
	counted := find(table.current.Load().hosts["x.test"], "/", false).tally
	for minute := range 8 {
		counted.add(minute == 0, time.Millisecond)
		table.remember()
	}
	counted.add(false, time.Millisecond)
	require.Equal(t, int64(9), table.Answers("d1").Requests())
	require.Equal(t, int64(5), table.Lately("d1").Requests(), "this minute, and the four before")
	require.Zero(t, table.Lately("d1").Errors)
	require.Equal(t, time.Millisecond, table.Lately("d1").Within(.95))

	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d2", "127.0.0.1:2")))
	table.remember()
	require.Empty(t, table.tallies["d1"], "what serves nothing is forgotten")
	require.NotNil(t, table.tallies["d2"])
}

func TestMaintenance_AnswersInsteadOfTheApp(t *testing.T) {
	r := newRig(t)
	asked := atomic.Int64{}
	s := app(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	route := routeTo("shop.localhost", "d1", addressOf(s))
	route.Maintenance = &deploy.Maintenance{Message: "Back at <noon>.", RetryAfter: deploy.Duration(90 * time.Second)}
	r.route(route)
	res, body := r.get("http://shop.localhost/", func(q *http.Request) { q.Header.Set("Accept", "text/html") })
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "90", res.Header.Get("Retry-After"))
	require.Contains(t, body, "Back at &lt;noon&gt;.")
	res, body = r.send(http.MethodPost, "http://shop.localhost/api", nil)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	var problem struct{ Title, Detail string }
	require.NoError(t, json.Unmarshal([]byte(body), &problem))
	require.Equal(t, "Maintenance", problem.Title)
	require.Equal(t, "Back at <noon>.", problem.Detail)
	require.Zero(t, asked.Load())
	require.Zero(t, r.table.Answers("d1").Requests(), "it is no fault of the release")

	route.Maintenance = nil
	r.route(route)
	r.get("http://shop.localhost/")
	require.Equal(t, int64(1), asked.Load())
}

// Back and forth between two releases whose instances stay: what a guard does.
// Clients that do not ask again must not notice.
func TestTable_FlipsBackUnderLoadLoseNoRequest(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Clock = hesitant })
	answering := func(text string) string {
		return addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			if rand.IntN(4) == 0 {
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			}
			_, _ = io.WriteString(w, text)
		}))
	}
	routes := []deploy.Route{
		routeTo("shop.localhost", "d1", answering("ok")),
		routeTo("shop.localhost", "d2", answering("ok")),
	}
	r.route(routes[0])
	var done atomic.Bool
	var requests atomic.Int64
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for !done.Load() {
				method := []string{http.MethodGet, http.MethodPost}[i%2]
				req, _ := http.NewRequestWithContext(context.Background(), method, "http://shop.localhost/", http.NoBody)
				req.GetBody = nil
				res, err := r.client.Transport.RoundTrip(req)
				if !assert.NoError(t, err) { //nolint:testifylint // not the test's own goroutine
					return
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if !assert.NoError(t, err) || !assert.Equal(t, "ok", string(text)) { //nolint:testifylint // not the test's own goroutine
					return
				}
				requests.Add(1)
			}
		})
	}
	for n := 1; n <= 200 && !t.Failed(); n++ {
		served := requests.Load()
		require.Eventually(t, func() bool { return t.Failed() || requests.Load() >= served+10 }, 10*time.Second, time.Millisecond)
		r.route(routes[n%2])
		if n%3 == 0 { // what was left is drained before the way goes back, or it is not
			cut, err := r.table.Drain(t.Context(), routes[(n+1)%2].Deployment, 10*time.Second, time.Second)
			require.NoError(t, err)
			require.Zero(t, cut)
		}
	}
	done.Store(true)
	group.Wait()
	t.Logf("%d requests during 200 flips", requests.Load())
}
