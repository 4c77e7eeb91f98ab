package deploy

import (
	"sync"
	"time"
)

// restarts counts, for each instance that ended, how often in a row.
type restarts struct {
	mu   sync.Mutex
	seen map[string]restart
}

type restart struct {
	failures int
	at       time.Time // of the last start
}

// due says when an instance that ended may be started.
func (r *restarts) due(id string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.seen[id]
	if !ok {
		return time.Time{}
	}
	return v.at.Add(restartDelay(v.failures))
}

// started counts a start. What ran long before it, as ran says, counts anew.
func (r *restarts) started(id string, now time.Time, ran time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]restart{}
	}
	v := r.seen[id]
	if ran >= steady {
		v.failures = 0
	}
	v.failures, v.at = v.failures+1, now
	r.seen[id] = v
	for other, o := range r.seen {
		if now.Sub(o.at) > 10*longestWait {
			delete(r.seen, other)
		}
	}
}
