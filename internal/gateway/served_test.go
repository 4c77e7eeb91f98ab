package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/sqlite"
)

// servedRig is a gateway of one stage, whose clock a test sets.
type servedRig struct {
	*rig
	db  *sqlite.DB
	now atomic.Int64
}

func newServedRig(t *testing.T) *servedRig {
	t.Helper()
	s := &servedRig{db: database(t, "stage-shop.test")}
	s.now.Store(time.Date(2026, 11, 22, 5, 0, 30, 0, time.UTC).UnixNano())
	s.rig = newRig(t, func(c *Config) { c.DB, c.Clock = s.db, s.clock })
	return s
}

func (s *servedRig) clock() time.Time { return time.Unix(0, s.now.Load()).UTC() }

func (s *servedRig) later(by time.Duration) {
	s.now.Add(int64(by))
	require.NoError(s.t, s.gateway.minutes.roll(s.t.Context()))
}

// served gives the requests of each instance, and their errors, of the last
// day.
func (s *servedRig) served() (requests, failed map[string]int64) {
	s.t.Helper()
	list, err := s.gateway.Served(s.t.Context(), "stage-shop.test", s.clock().Add(-24*time.Hour), s.clock().Add(time.Minute), time.Hour)
	require.NoError(s.t, err)
	requests, failed = map[string]int64{}, map[string]int64{}
	for _, one := range list {
		for _, step := range one.Steps {
			require.NotZero(s.t, step.Requests)
			requests[one.Instance] += step.Requests
			failed[one.Instance] += step.Errors
		}
	}
	return requests, failed
}

// counted waits until instances have counted so many requests: they do once
// the client has its answer.
func (s *servedRig) counted(want int64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var n int64
		for _, m := range s.table.servedMeters() {
			c := m.read()
			n += c.requests()
		}
		return n == want
	}, 5*time.Second, time.Millisecond)
}

func (s *servedRig) metrics() string {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(s.t, registry.Register(s.gateway.Collector()))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

func TestServed_CountsARequestWithTheInstanceThatHadIt(t *testing.T) {
	s := newServedRig(t)
	good := addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "12345") }))
	bad := addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	s.route(routeTo("shop.test", "d1", good, bad))
	for range 10 {
		s.get("http://shop.test/")
	}
	s.counted(10)
	requests, failed := s.served()
	require.Equal(t, map[string]int64{"d1-a": 5, "d1-b": 5}, requests, "the running minute")
	require.Equal(t, map[string]int64{"d1-a": 0, "d1-b": 5}, failed)
	require.Contains(t, s.metrics(), `berth_instance_requests_total{code="2xx",instance="d1-a",project="shop",stage="prod"} 5`+"\n")
	require.Contains(t, s.metrics(), `berth_instance_requests_total{code="5xx",instance="d1-b",project="shop",stage="prod"} 5`+"\n")

	s.later(20 * time.Second) // within the minute, which goes on
	s.get("http://shop.test/")
	s.get("http://shop.test/")
	s.counted(12)
	s.later(time.Minute)
	requests, failed = s.served()
	require.Equal(t, map[string]int64{"d1-a": 6, "d1-b": 6}, requests, "stored in two parts")
	require.EqualValues(t, 6, failed["d1-b"])

	closed := routeTo("shop.test", "d1", good, bad)
	closed.Access = identity.Policy{}
	s.route(closed)
	s.get("http://shop.test/")
	s.later(time.Minute)
	requests, _ = s.served()
	require.EqualValues(t, 12, requests["d1-a"]+requests["d1-b"], "who may not enter gets to no instance")
}

func TestServed_ForgetsWhatIsGoneAndKeepsItsMinutes(t *testing.T) {
	s := newServedRig(t)
	a := addressOf(app(t, func(http.ResponseWriter, *http.Request) {}))
	for n := range 20 {
		s.route(routeTo("shop.test", fmt.Sprintf("d%02d", n), a))
		s.get("http://shop.test/")
		if n > 0 {
			_, err := s.table.Drain(t.Context(), fmt.Sprintf("d%02d", n-1), time.Second, time.Second)
			require.NoError(t, err)
		}
	}
	s.counted(20)
	s.later(time.Minute)
	require.Len(t, s.table.servedMeters(), 20, "their last figures can be read")
	s.later(time.Minute)
	require.Len(t, s.table.servedMeters(), 20, "a last request may be counted yet")
	s.later(time.Minute)
	meters := s.table.servedMeters()
	require.Len(t, meters, 1)
	require.Equal(t, "d19-a", meters[0].instance)
	require.NotContains(t, s.metrics(), `instance="d18-a"`)
	s.later(time.Minute)
	require.Len(t, s.table.servedMeters(), 1, "one that is there stays, asked or not")

	list, err := s.gateway.Served(t.Context(), "stage-shop.test", s.clock().Add(-time.Hour), s.clock(), time.Minute)
	require.NoError(t, err)
	require.Len(t, list, 20)
	require.Equal(t, "d19-a", list[0].Instance, "the newest first")

	s.later(minutesKept)
	requests, _ := s.served()
	require.Empty(t, requests)
	var rows int
	require.NoError(t, s.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM instance_route_minutes").Scan(&rows)
	}))
	require.Zero(t, rows, "kept as long as the route's")
}

func TestServed_TellsOfNoMoreInstancesThanSixtyFour(t *testing.T) {
	s := newServedRig(t)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for n := range 70 {
			r := row{stageID: "stage-shop.test", instance: fmt.Sprintf("i%02d", n), at: s.clock().Truncate(time.Minute), requests: 1}
			if err := addServed(t.Context(), tx, r); err != nil {
				return err
			}
		}
		return nil
	}))
	list, err := s.gateway.Served(t.Context(), "stage-shop.test", s.clock().Add(-time.Hour), s.clock(), time.Minute)
	require.NoError(t, err)
	require.Len(t, list, 64)
	require.Equal(t, "i69", list[0].Instance)
	require.Equal(t, "i06", list[63].Instance)
}

// Beyond those that are told of nothing is read: an hour of a stage that fails
// again and again has thousands.
func TestServed_ReadsNoMoreThanItTellsOf(t *testing.T) {
	s := newServedRig(t)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for n := range 70 {
			for at := range 2 {
				r := row{stageID: "stage-shop.test", instance: fmt.Sprintf("i%02d", n), at: s.clock().Truncate(time.Minute).Add(-time.Duration(at) * time.Minute), requests: 1}
				if err := addServed(t.Context(), tx, r); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	of, err := s.gateway.minutes.servedBetween(t.Context(), "stage-shop.test", s.clock().Add(-time.Hour), s.clock(), time.Minute)
	require.NoError(t, err)
	require.Len(t, of, 64)
	require.NotContains(t, of, "i05")
	require.Len(t, of["i06"].sums, 2)
}

func TestMinutes_EndWhileALongReadGoesOnAndCountOnceInIt(t *testing.T) {
	s := newServedRig(t)
	s.route(routeTo("shop.test", "d1", addressOf(app(t, func(http.ResponseWriter, *http.Request) {}))))
	s.get("http://shop.test/")
	s.counted(1)
	from, to := s.clock().Add(-time.Hour), s.clock().Add(time.Hour)
	m := s.gateway.minutes
	var running, stored int64
	err := m.asOfNow(t.Context(), func() {
		m.eachRunning(s.table.servedMeters(), "stage-shop.test", from, to, func(r row) { running += r.requests })
	}, func(tx *sqlite.Tx) error {
		require.True(t, m.mu.TryLock(), "the minute would wait for the read to be stored")
		m.mu.Unlock()
		s.later(time.Minute)
		return eachServed(t.Context(), tx, "stage-shop.test", []string{"d1-a"}, from, to, func(r row) { stored += r.requests })
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, running)
	require.Zero(t, stored, "counted as running, and stored since")
	requests, _ := s.served()
	require.EqualValues(t, 1, requests["d1-a"])
}

func TestMinutes_AreStoredWhereOldOnesCanNotBeCounted(t *testing.T) {
	s := newServedRig(t)
	s.route(routeTo("shop.test", "d1"))
	s.table.meters["stage-shop.test"].begin().end(http.StatusServiceUnavailable, time.Millisecond, 0, 0)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "ALTER TABLE instance_route_minutes RENAME TO away")
		return err
	}))
	s.now.Add(int64(time.Minute))
	require.ErrorContains(t, s.gateway.minutes.roll(t.Context()), "remove old minutes")

	var rows int
	require.NoError(t, s.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM route_minutes").Scan(&rows)
	}))
	require.Equal(t, 1, rows)
}

// A request is counted after its claim has ended: the instance may be drained,
// and a minute end, in between.
func TestServed_KeepsWhatIsCountedAsItsInstanceGoes(t *testing.T) {
	s := newServedRig(t)
	s.route(routeTo("shop.test", "d1", "127.0.0.1:1"))
	in := s.table.stages["stage-shop.test"].instances[0]
	s.later(time.Minute)
	s.later(time.Minute)
	s.route(routeTo("shop.test", "d2", "127.0.0.1:2"))
	_, err := s.table.Drain(t.Context(), "d1", time.Second, time.Second)
	require.NoError(t, err)
	s.later(time.Minute)
	in.count(http.StatusOK, time.Millisecond, 0, 0)
	s.later(time.Minute)
	requests, _ := s.served()
	require.Equal(t, map[string]int64{"d1-a": 1}, requests)
	s.later(time.Minute)
	require.Len(t, s.table.servedMeters(), 1)
}

// Between the look at the table and the claim the route goes elsewhere with
// its instance, which is let go of without having seen the request.
func TestServed_CountsNothingWithAnInstanceThatWasLetGoOf(t *testing.T) {
	var table *Table
	route := routeTo("x.test", "d1", "127.0.0.1:1")
	table = NewTable(TableConfig{Clock: func() time.Time { // asked in between
		moved := route
		moved.Hostname = "elsewhere.test"
		require.NoError(t, table.Switch(t.Context(), moved))
		return time.Now()
	}})
	require.NoError(t, table.Switch(t.Context(), route))
	now := table.stages["stage-x.test"]
	x := client(quietGateway(t, table), 0)
	x.gate = now.gate
	_, err := x.hold(t.Context(), nil)
	require.ErrorIs(t, err, errNoRoute)
	require.Equal(t, now.instances, table.stages["stage-x.test"].instances, "it goes on at the other address")
	require.Nil(t, x.claim.in)
}

func TestServed_CostsARequestNoMemory(t *testing.T) {
	table := NewTable(TableConfig{})
	require.NoError(t, table.Switch(t.Context(), routeTo("shop.test", "d1", "127.0.0.1:1")))
	in := table.stages["stage-shop.test"].instances[0]
	require.Zero(t, testing.AllocsPerRun(100, func() { in.count(200, time.Millisecond, 1, 1) }))
	require.NoError(t, table.Switch(t.Context(), fixedTo("http://127.0.0.1:1", identity.Public())))
	table.stages["fixed"].instances[0].count(200, time.Millisecond, 1, 1)
	require.Len(t, table.servedMeters(), 1, "the target of a fixed route has the route's meter")
}
