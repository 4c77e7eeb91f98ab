package gateway

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"berth/internal/deploy"
)

// meter counts what passes through one route, or what one instance answers.
// Its counters only grow.
//
// They are kept in shards that are padded to cache lines of their own, and
// each request picks one at random, so that cores do not wait for each other.
type meter struct {
	stageID, project, stage string
	name                    string // of a fixed route
	instance                string // its id, where it is one's
	gone                    bool   // the instance was, at the end of the last minute without a request

	turn    atomic.Uint32 // where the balancer begins
	refused atomic.Int64  // for want of room on an instance
	shards  []meterShard
}

type meterShard struct {
	begun   atomic.Int64
	ended   atomic.Int64
	classes [6]atomic.Int64 // by the status's first digit; 0 is not used
	in, out atomic.Int64    // bytes of bodies
	took    atomic.Int64    // nanoseconds, of all that latency counts
	latency [buckets]atomic.Int64
	entered [decisions]atomic.Int64
	_       [64]byte
}

// shardCount is a power of two that is not under the number of cores, up to 16.
var shardCount = func() int {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < 16 {
		n *= 2
	}
	return n
}()

func newMeter(r deploy.Route) *meter {
	m := &meter{stageID: r.StageID, project: r.Project, stage: r.Stage, shards: make([]meterShard, shardCount)}
	if r.Fixed != nil {
		m.name = r.Fixed.Name
	}
	return m
}

// isOf says that the meter has a route's names.
func (m *meter) isOf(r deploy.Route) bool {
	return m.project == r.Project && m.stage == r.Stage && (r.Fixed == nil || m.name == r.Fixed.Name)
}

// begin counts a request in flight, and gives the shard that end must get.
func (m *meter) begin() *meterShard {
	s := &m.shards[int(rand.Uint32())&(len(m.shards)-1)] //nolint:gosec // spreads load
	s.begun.Add(1)
	return s
}

// end counts a request's answer. took is the time to its end, or of a stream
// to its beginning.
func (s *meterShard) end(status int, took time.Duration, in, out int64) {
	s.ended.Add(1)
	s.classes[min(max(status/100, 1), 5)].Add(1)
	s.latency[bucket(took)].Add(1)
	s.took.Add(int64(took))
	if in > 0 {
		s.in.Add(in)
	}
	if out > 0 {
		s.out.Add(out)
	}
}

// decided counts how a visit was decided. A shard that is not there counts
// nothing.
func (s *meterShard) decided(d decision) {
	if s != nil {
		s.entered[d].Add(1)
	}
}

// counts is what a meter has counted at one moment.
type counts struct {
	inFlight int64
	classes  [6]int64
	in, out  int64
	took     time.Duration
	latency  histogram
	entered  [decisions]int64
}

func (c counts) requests() (n int64) {
	for _, class := range c.classes {
		n += class
	}
	return n
}

func (m *meter) read() (c counts) {
	for i := range m.shards {
		s := &m.shards[i]
		ended := s.ended.Load() // before begun, so that the difference is never under 0
		c.inFlight += s.begun.Load() - ended
		for class := range c.classes {
			c.classes[class] += s.classes[class].Load()
		}
		c.in += s.in.Load()
		c.out += s.out.Load()
		c.took += time.Duration(s.took.Load())
		for b := range c.latency {
			c.latency[b] += s.latency[b].Load()
		}
		for d := range c.entered {
			c.entered[d] += s.entered[d].Load()
		}
	}
	return c
}

// since gives what was counted after before.
func (c counts) since(before counts) counts {
	for i := range c.classes {
		c.classes[i] -= before.classes[i]
	}
	c.in -= before.in
	c.out -= before.out
	c.took -= before.took
	c.latency = c.latency.since(before.latency)
	return c
}
