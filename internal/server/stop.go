package server

import "time"

// requestsWait is what requests get of a stop's time at the least, or half of
// that time when it is shorter than twice this.
const requestsWait = 5 * time.Second

// window is the one time that a stop has: deployments that run and requests
// under way end in it together, side by side, or are left and cut at its end.
type window struct {
	total time.Duration
	ends  time.Time
}

// open begins it. Nobody asks for what is left before.
func (w *window) open() { w.ends = time.Now().Add(w.total) }

// left is what remains of it, never below 0.
func (w *window) left() time.Duration { return max(time.Until(w.ends), 0) }

// await waits until deployments have ended, or until requests need what is
// left: as long as deployments run, requests are still taken.
func (w *window) await(deployments *crew) {
	needed := time.NewTimer(w.left() - min(requestsWait, w.total/2))
	defer needed.Stop()
	select {
	case <-deployments.ended():
	case <-needed.C:
	}
}
