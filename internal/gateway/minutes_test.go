package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/sqlite"
)

// database opens a new one that has the stages.
func database(t *testing.T, stages ...string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO projects (id, name, image, created_at, updated_at) VALUES ('p', 'shop', 'shop', 0, 0)`); err != nil {
			return err
		}
		for _, id := range stages {
			if _, err := tx.ExecContext(t.Context(), `
				INSERT INTO stages (id, project_id, name, hostname, spec, created_at, updated_at)
				VALUES (?, 'p', ?, ?, '{}', 0, 0)`, id, id, id); err != nil {
				return err
			}
		}
		return nil
	}))
	return db
}

func TestSeries_HasEachMinuteOnceAndTheRunningOne(t *testing.T) {
	start := time.Date(2026, 11, 22, 5, 0, 30, 0, time.UTC)
	var now atomic.Int64
	now.Store(start.UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()).UTC() }
	db := database(t, "stage-x.test")
	open := func() (*Gateway, *meter) {
		table := NewTable(TableConfig{})
		require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1")))
		require.NoError(t, table.Switch(t.Context(), routeTo("removed.test", "d1")))
		g, err := New(Config{Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase, DB: db, Clock: clock})
		require.NoError(t, err)
		table.meters["stage-removed.test"].begin().end(200, time.Millisecond, 0, 0)
		return g, table.meters["stage-x.test"]
	}
	count := func(m *meter, n, status int, took time.Duration) {
		for range n {
			m.begin().end(status, took, 10, 100)
		}
	}
	g, m := open()
	count(m, 90, 200, 4*time.Millisecond)
	count(m, 9, 200, 40*time.Millisecond)
	count(m, 1, 502, 4*time.Second)
	minute := start.Truncate(time.Minute)

	check := func(g *Gateway, requests ...int64) []Minute {
		t.Helper()
		series, err := g.Series(t.Context(), "stage-x.test", start, minute.Add(time.Duration(len(requests))*time.Minute), time.Minute)
		require.NoError(t, err)
		require.Len(t, series, len(requests))
		for i, want := range requests {
			assert.Equal(t, minute.Add(time.Duration(i)*time.Minute), series[i].At)
			assert.Equal(t, want, series[i].Requests, i)
		}
		return series
	}
	check(g, 100)
	now.Add(int64(time.Minute))
	require.NoError(t, g.minutes.roll(t.Context()))
	first := check(g, 100, 0)[0]
	assert.EqualValues(t, 1, first.Errors)
	assert.EqualValues(t, 1000, first.BytesIn)
	assert.EqualValues(t, 10000, first.BytesOut)
	assert.InDelta(t, 4, first.P50, 1)
	assert.InDelta(t, 40, first.P95, 15)
	assert.InDelta(t, 40, first.P99, 15)

	count(m, 3, 200, time.Millisecond)
	check(g, 100, 3, 0)
	ending, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, g.Run(ending), "stores the minute that is running")

	g, m = open() // within the same minute
	count(m, 4, 200, time.Millisecond)
	check(g, 100, 7, 0)
	now.Add(int64(time.Minute))
	require.NoError(t, g.minutes.roll(t.Context()))
	check(g, 100, 7, 0)

	now.Add(int64(minutesKept - 90*time.Second))
	require.NoError(t, g.minutes.roll(t.Context()))
	check(g, 0, 7, 0)
	series, err := g.Series(t.Context(), "nobody", start, start.Add(365*24*time.Hour), time.Minute)
	require.NoError(t, err)
	require.Len(t, series, seriesMost)
}

func TestSeries_InStepsHasThePercentilesOfAllOfThem(t *testing.T) {
	start := time.Date(2026, 11, 22, 5, 10, 30, 0, time.UTC)
	now := start
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1")))
	g, err := New(Config{
		Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase,
		DB: database(t, "stage-x.test"), Clock: func() time.Time { return now },
	})
	require.NoError(t, err)
	minute := func(n, status int, took, until time.Duration) {
		for range n {
			table.meters["stage-x.test"].begin().end(status, took, 1, 2)
		}
		now = now.Add(until)
		if until > 0 {
			require.NoError(t, g.minutes.roll(t.Context()))
		}
	}
	minute(98, 200, 4*time.Millisecond, time.Minute)
	minute(2, 500, 4*time.Second, time.Hour) // of 100, 2 % are slow: the mean of both minutes' would be 2 s
	minute(5, 200, 4*time.Second, 0)

	series, err := g.Series(t.Context(), "stage-x.test", start.Add(-13*24*time.Hour), now, time.Hour)
	require.NoError(t, err)
	require.Len(t, series, 13*24+2)
	last := len(series) - 2
	require.Zero(t, series[last-1].Requests)
	hour := series[last]
	require.Equal(t, start.Truncate(time.Hour), hour.At)
	require.EqualValues(t, 100, hour.Requests)
	require.EqualValues(t, 2, hour.Errors)
	require.EqualValues(t, 100, hour.BytesIn)
	require.EqualValues(t, 200, hour.BytesOut)
	require.InDelta(t, 4, hour.P50, 1)
	require.InDelta(t, 4, hour.P95, 1)
	require.InDelta(t, 4000, hour.P99, 1500)
	require.EqualValues(t, 5, series[last+1].Requests, "the running minute counts to its step")
}

func TestMinutes_ForgetAStageThatIsGone(t *testing.T) {
	table := NewTable(TableConfig{})
	g, err := New(Config{Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase})
	require.NoError(t, err)
	require.NoError(t, table.Switch(t.Context(), routeTo("x.test", "d1")))
	require.NoError(t, table.Remove(t.Context(), "stage-x.test"))
	require.NoError(t, g.minutes.roll(t.Context()))
	require.Len(t, table.allMeters(), 1, "only the one for what has no route")
}

func TestHistogram_EstimatesPercentiles(t *testing.T) {
	var h histogram
	assert.Zero(t, h.percentile(.5))
	for i := range 1000 {
		h[bucket(time.Duration(i)*time.Millisecond)]++
	}
	assert.InDelta(t, 500, h.percentile(.5), 5)
	assert.InDelta(t, 950, h.percentile(.95), 15)
	assert.InDelta(t, 990, h.percentile(.99), 15)
	var long histogram
	long[bucket(time.Hour)]++
	assert.InDelta(t, 60000, long.percentile(.5), 0)
	for i, bound := range bounds {
		assert.Equal(t, i, bucket(bound))
		assert.Equal(t, i+1, bucket(bound+1))
	}
}

func TestCollector_CountsByProjectStageAndClass(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = fmt.Fprint(w, "12345")
	}))))
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(r.gateway.Collector()))
	for range 3 {
		r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader("four"))
	}
	r.get("http://shop.localhost/broken")
	r.get("http://nowhere.localhost/")

	require.Eventually(t, func() bool {
		return r.table.unrouted.read().inFlight == 0 && r.table.meters["stage-shop.localhost"].read().inFlight == 0
	}, 20*time.Second, time.Millisecond)
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := answer.Body.String()
	for _, line := range []string{
		`berth_gateway_requests_total{code="2xx",project="shop",route="",stage="prod"} 3`,
		`berth_gateway_requests_total{code="5xx",project="shop",route="",stage="prod"} 1`,
		`berth_gateway_requests_total{code="4xx",project="",route="",stage=""} 1`,
		`berth_gateway_requests_in_flight{project="shop",route="",stage="prod"} 0`,
		`berth_gateway_body_bytes_total{direction="in",project="shop",route="",stage="prod"} 12`,
		`berth_gateway_body_bytes_total{direction="out",project="shop",route="",stage="prod"} 20`,
		`berth_gateway_request_duration_seconds_count{project="shop",route="",stage="prod"} 4`,
		`berth_gateway_request_duration_seconds_bucket{project="shop",route="",stage="prod",le="60"} 4`,
	} {
		assert.Contains(t, text, line+"\n")
	}
}

func TestSeries_OfAFixedRouteIsKeptAsLongAsTheRoute(t *testing.T) {
	db := database(t)
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO fixed_routes (id, name, hostname, path_prefix, spec, created_at, updated_at, version)
			VALUES ('fixed', 'nas', 'nas.test', '/', '{}', 0, 0, 1)`)
		return err
	}))
	start := time.Date(2026, 11, 22, 5, 0, 30, 0, time.UTC)
	open := func() (*Gateway, *meter) {
		table := NewTable(TableConfig{})
		require.NoError(t, table.Switch(t.Context(), fixedTo("http://127.0.0.1:1", identity.Public())))
		g, err := New(Config{Table: table, Base: http.NotFoundHandler(), IsBase: func(string) bool { return false }, BaseURL: localBase, DB: db, Clock: func() time.Time { return start }})
		require.NoError(t, err)
		return g, table.meters["fixed"]
	}
	requests := func(g *Gateway) int64 {
		series, err := g.Series(t.Context(), "fixed", start, start.Add(time.Minute), time.Minute)
		require.NoError(t, err)
		return series[0].Requests
	}
	for range 2 { // a restart within the minute
		g, m := open()
		m.begin().end(200, time.Millisecond, 0, 0)
		require.NoError(t, g.minutes.roll(t.Context()))
	}
	g, _ := open()
	require.EqualValues(t, 2, requests(g))
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `DELETE FROM fixed_routes`)
		return err
	}))
	require.Zero(t, requests(g))
}
