package gateway

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
)

func TestTable_FindsTheLongestPrefixOnSegmentBoundaries(t *testing.T) {
	table := NewTable(TableConfig{})
	for i, prefix := range []string{"/", "/shop", "/shop/admin", "/sho"} {
		r := routeTo("x.test", "d")
		r.StageID, r.PathPrefix = strconv.Itoa(i), prefix
		require.NoError(t, table.Switch(t.Context(), r))
	}
	at := table.current.Load()
	for path, prefix := range map[string]string{
		"/": "/", "/shop": "/shop", "/shop/": "/shop", "/shopping": "/", "/shop/admin": "/shop/admin",
		"/shop/admins": "/shop", "/sho": "/sho", "/sho/x": "/sho", "/SHOP": "/",
	} {
		assert.Equal(t, prefix, find(at.hosts["x.test"], path, false).PathPrefix, path)
	}
	assert.Nil(t, find(at.hosts["y.test"], "/", false))
}

func TestTable_RefusesARouteThatAnotherStageHas(t *testing.T) {
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1")))
	other := routeTo("X.test.", "d2")
	other.StageID = "other"
	require.Equal(t, fault.Clash, fault.KindOf(table.Switch(t.Context(), other)))
	require.NoError(t, table.Remove(t.Context(), "stage-x.test"))
	require.NoError(t, table.Switch(t.Context(), other))
	for _, bad := range []deploy.Route{
		{StageID: "s", Hostname: "no host"},
		{StageID: "s", Hostname: "a", PathPrefix: "x"},
		{StageID: "s", Hostname: "a", PathPrefix: "/x/"},
		{StageID: "s", Hostname: "a", Instances: []deploy.Endpoint{{Address: "nowhere"}}},
	} {
		require.Equal(t, fault.BadInput, fault.KindOf(table.Switch(t.Context(), bad)), bad)
	}
}

func TestTable_MovesARouteToAnotherHostname(t *testing.T) {
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1")))
	moved := routeTo("y.test", "d1")
	moved.StageID = "stage-x.test"
	require.NoError(t, table.Switch(t.Context(), moved))
	assert.Nil(t, find(table.current.Load().hosts["x.test"], "/", false))
	assert.NotNil(t, find(table.current.Load().hosts["y.test"], "/", false))
}

// hesitant is a clock that takes its time. A request asks for the time between
// looking its route up and claiming an instance, which is where a switch must
// be able to come between.
func hesitant() time.Time {
	if rand.IntN(3) == 0 {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
	} else {
		runtime.Gosched()
	}
	return time.Now()
}

// A request that looked the table up before a switch and claims after it must
// not get the old instance: once Switch and Drain have returned, nobody may
// hold a claim on what served before.
func TestTable_NoClaimReachesADeploymentThatWasSwitchedAway(t *testing.T) {
	const generations = 2000
	table := NewTable(TableConfig{Clock: hesitant})
	g, err := New(Config{Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase})
	require.NoError(t, err)
	var gone [generations]atomic.Bool
	point := func(generation int) {
		r := routeTo("x.test", strconv.Itoa(generation), "127.0.0.1:1", "127.0.0.1:2")
		require.NoError(t, table.Switch(context.Background(), r))
	}
	point(0)

	var done atomic.Bool
	var claims, refused atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for !done.Load() {
				x := &exchange{g: g, r: httptest.NewRequest(http.MethodGet, "/", nil), host: "x.test", path: readings{path: "/"}}
				x.claim.cut = func(error) {}
				before := table.current.Load()
				in, err := x.hold(context.Background(), nil)
				if !assert.NoError(t, err) { //nolint:testifylint // not the test's own goroutine
					return
				}
				generation, _ := strconv.Atoi(in.deployment)
				if !assert.False(t, gone[generation].Load(), "claimed generation %d after it was drained", generation) {
					return
				}
				if x.route != find(before.hosts["x.test"], "/", false) {
					refused.Add(1)
				}
				claims.Add(1)
				in.release(&x.claim)
			}
		})
	}
	for generation := 1; generation < generations && !t.Failed(); generation++ {
		point(generation)
		cut, err := table.Drain(context.Background(), strconv.Itoa(generation-1), time.Minute, time.Minute)
		require.NoError(t, err)
		require.Zero(t, cut)
		gone[generation-1].Store(true)
	}
	done.Store(true)
	group.Wait()
	t.Logf("%d claims, %d of them after a switch came between", claims.Load(), refused.Load())
	require.Positive(t, refused.Load())
}

// The same with real requests: after Switch and Drain the old app is closed at
// once, and must have been asked nothing since Switch returned.
func TestTable_SwapsUnderLoadLoseNoRequest(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Clock = hesitant })
	type release struct {
		gone atomic.Bool
		late atomic.Int64
	}
	start := func() (*release, string, func()) {
		rel := &release{}
		s := app(t, func(w http.ResponseWriter, req *http.Request) {
			if rel.gone.Load() {
				rel.late.Add(1)
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if rand.IntN(4) == 0 {
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // an app that works
			}
			_, _ = io.WriteString(w, "ok")
		})
		return rel, addressOf(s), s.Close
	}
	old, address, stop := start()
	r.route(routeTo("shop.localhost", "d0", address))

	var done atomic.Bool
	var requests atomic.Int64
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for !done.Load() {
				var body io.Reader
				method := http.MethodGet
				switch i % 3 {
				case 1:
					method, body = http.MethodPost, strings.NewReader("known length")
				case 2:
					method, body = http.MethodPost, io.MultiReader(strings.NewReader("chunked"))
				}
				req, _ := http.NewRequestWithContext(context.Background(), method, "http://shop.localhost/", body)
				req.GetBody = nil // the client must not try again
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
	for generation := range 100 {
		next, address, stopNext := start()
		served := requests.Load()
		require.Eventually(t, func() bool { return t.Failed() || requests.Load() >= served+20 }, 10*time.Second, time.Millisecond)
		r.route(routeTo("shop.localhost", fmt.Sprintf("d%d", generation+1), address))
		cut, err := r.table.Drain(t.Context(), fmt.Sprintf("d%d", generation), 10*time.Second, time.Second)
		require.NoError(t, err)
		require.Zero(t, cut)
		old.gone.Store(true)
		stop()
		require.Zero(t, old.late.Load())
		old, stop = next, stopNext
	}
	done.Store(true)
	group.Wait()
	t.Log("requests:", requests.Load())
}

func TestDrain_HasABudgetForRequestsAndOneForStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(TableConfig{})
		require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1", "127.0.0.1:1")))
		in := find(table.current.Load().hosts["x.test"], "/", false).instances[0]
		held := func(stream bool, ends time.Duration) (cut *atomic.Bool) {
			cut = &atomic.Bool{}
			c := &claim{}
			over := make(chan struct{})
			c.cut = func(error) { cut.Store(true); close(over) }
			require.NoError(t, in.claim(c, 10))
			if stream {
				require.True(t, in.becomeStream(c))
			}
			go func() {
				select {
				case <-time.After(ends):
				case <-over:
				}
				in.release(c)
			}()
			return cut
		}
		quick, slow := held(false, time.Second), held(false, time.Hour)
		shortStream, longStream := held(true, 20*time.Second), held(true, time.Hour)

		began := time.Now()
		cut, err := table.Drain(t.Context(), "d1", 10*time.Second, 30*time.Second)
		require.NoError(t, err)
		assert.Equal(t, 30*time.Second, time.Since(began))
		assert.Equal(t, 2, cut)
		assert.False(t, quick.Load())
		assert.True(t, slow.Load())
		assert.False(t, shortStream.Load())
		assert.True(t, longStream.Load())
		assert.ErrorIs(t, in.claim(&claim{}, 10), errClosed)
	})
}

func TestDrain_CutsRequestsAndStreamsThatStay(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
		}
		<-req.Context().Done()
	}))))
	stuck := make(chan *http.Response, 1)
	go func() {
		res, err := r.client.Get("http://shop.localhost/stuck")
		if err != nil {
			res = nil
		}
		stuck <- res
	}()
	events, err := r.client.Get("http://shop.localhost/events")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.busy() == 2 }, 20*time.Second, time.Millisecond)

	cut, err := r.table.Drain(t.Context(), "d1", 50*time.Millisecond, 100*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, 2, cut)
	_, err = io.ReadAll(events.Body)
	require.Error(t, err, "a stream that was cut must not look complete")
	res := <-stuck
	require.NotNil(t, res)
	assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	assert.Equal(t, "1", res.Header.Get("Retry-After"))
	_, err = r.table.Drain(t.Context(), "unknown", 0, 0)
	require.NoError(t, err)
}

func TestSwitch_ClosesIdleConnectionsOfWhatItDisplaced(t *testing.T) {
	r := newRig(t)
	states := make(chan http.ConnState, 100)
	s := app(t, echo)
	s.Config.ConnState = nil
	old := newWatched(t, states)
	r.route(routeTo("shop.localhost", "d1", old))
	r.get("http://shop.localhost/")
	r.route(routeTo("shop.localhost", "d2", addressOf(s)))
	deadline := time.After(20 * time.Second)
	for {
		select {
		case state := <-states:
			if state == http.StateClosed {
				return
			}
		case <-deadline:
			t.Fatal("the connection to the old release stays open")
		}
	}
}
