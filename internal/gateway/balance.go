package gateway

import (
	"slices"
	"sync/atomic"
	"time"
)

// pick chooses the instance with the fewest requests. One that rests is passed
// over while another is left; one whose rest is over gets one request as a
// trial.
func (r *route) pick(now time.Time, tried []*instance) *instance {
	if len(r.instances) == 1 && len(tried) == 0 {
		return r.instances[0]
	}
	var best, resting *instance
	offset := int(r.meter.turn.Add(1) % uint32(max(len(r.instances), 1))) //nolint:gosec // at most 32 instances
	for i := range r.instances {
		in := r.instances[(i+offset)%len(r.instances)]
		switch {
		case slices.Contains(tried, in):
		case in.health.resting():
			if in.health.trial(now) {
				return in
			}
			if resting == nil || in.load.Load() < resting.load.Load() {
				resting = in
			}
		case best == nil || in.load.Load() < best.load.Load():
			best = in
		}
	}
	if best == nil {
		return resting
	}
	return best
}

// Passing over an instance that does not answer.
const (
	restAfter = 3 // failures in a row; a failed dial is enough alone
	restFirst = time.Second
	restMost  = 15 * time.Second
)

// health is how an instance answered of late. An instance that failed rests:
// it gets requests only when no other is left, and after its rest one at a
// time until one is answered.
type health struct {
	failures atomic.Int32
	restsTo  atomic.Int64 // Unix nanoseconds; 0 when it does not rest
}

// resting says that others go first.
func (h *health) resting() bool { return h.restsTo.Load() != 0 }

// trial says, once, that a rest is over. The one asking is the trial; the
// others wait for another rest.
func (h *health) trial(now time.Time) bool {
	to := h.restsTo.Load()
	return to != 0 && now.UnixNano() >= to && h.restsTo.CompareAndSwap(to, now.Add(restFirst).UnixNano())
}

// answered ends a rest.
func (h *health) answered() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
		h.restsTo.Store(0)
	}
}

// failed counts a failure; it says whether a rest began that others have not
// begun already.
func (h *health) failed(now time.Time, refused bool) bool {
	n := h.failures.Add(1)
	if refused && n < restAfter {
		h.failures.CompareAndSwap(n, restAfter)
		n = restAfter
	}
	if n < restAfter {
		return false
	}
	rest := min(restFirst<<min(n-restAfter, 10), restMost)
	return h.restsTo.Swap(now.Add(rest).UnixNano()) == 0
}
