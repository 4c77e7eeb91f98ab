package identity

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Watch is a request that ends when the proof its guest came with does. It is
// what [Service.Hold] is for few and long ones, for all requests to apps: it
// asks the store nothing. Its zero value is ready.
type Watch struct {
	guest      Guest
	cut        func()
	again      func()
	asked      time.Time   // until when what was told counted as again was called
	shard      *watchShard // nil when it is not watched
	next, prev *Watch
}

// Watch calls cut when the proof that a guest came with ends: the session
// ended or expired, the token removed, the person disabled, removed, or known
// in another way. It says false when it has ended already, or may have: then
// ask who comes again. It calls again when that is to be decided anew, for
// [Guest.Now]: what their provider told counts no longer, or other providers
// are there. Neither may block, nor call [Service.Unwatch].
func (s *Service) Watch(w *Watch, g Guest, cut, again func()) bool {
	w.guest, w.cut, w.again, w.asked = g, cut, again, time.Time{}
	s.watches.add(w)
	// Looked at after it was added: a revocation in between, which empties the
	// cache first, is seen by one of the two.
	if _, epoch := g.cache.get(g.key); epoch == g.epoch || g.cache.holds(g.key, g.entry) {
		return true
	}
	s.Unwatch(w)
	return false
}

// Unwatch ends a watch. One that was not begun is none.
func (s *Service) Unwatch(w *Watch) { s.watches.remove(w) }

// watches are in shards, so that requests do not wait for each other.
type watches struct{ shards [16]watchShard }

type watchShard struct {
	mu    sync.Mutex
	first *Watch
	_     [64]byte
}

func newWatches() *watches { return &watches{} }

func (all *watches) add(w *Watch) {
	shard := &all.shards[rand.Uint32()%uint32(len(all.shards))] //nolint:gosec // spreads load
	shard.mu.Lock()
	defer shard.mu.Unlock()
	w.shard, w.next, w.prev = shard, shard.first, nil
	if w.next != nil {
		w.next.prev = w
	}
	shard.first = w
}

func (*watches) remove(w *Watch) {
	if w.shard == nil {
		return
	}
	shard := w.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if w.next != nil {
		w.next.prev = w.prev
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		shard.first = w.next
	}
	w.shard, w.next, w.prev = nil, nil, nil
}

// drop cuts those whose subject gone chooses.
func (all *watches) drop(gone func(*Subject) bool) {
	all.call(func(w *Watch) func() { return cutIf(w, gone(w.guest.Subject())) })
}

// expire cuts those whose proof has run out by itself, and has those decided
// anew of whom what their provider told counts no longer: once, until it has
// counted for longer meanwhile.
func (all *watches) expire(now time.Time, idle time.Duration) {
	all.call(func(w *Watch) func() {
		e := w.guest.entry
		return cutIf(w, !e.expires.IsZero() && !now.Before(e.expires) ||
			e.subject.Via == ViaSession && now.Sub(time.UnixMilli(e.seen.Load())) >= idle)
	})
	all.askAgain(func(w *Watch) bool {
		if until := w.guest.entry.subject.SyncedUntil; until.IsZero() || now.Before(until) {
			return false
		}
		until := w.guest.Now().SyncedUntil
		if now.Before(until) || until.Equal(w.asked) {
			return false
		}
		w.asked = until
		return true
	})
}

// askAgain has those decided anew that which chooses.
func (all *watches) askAgain(which func(*Watch) bool) {
	all.call(func(w *Watch) func() {
		if which(w) {
			return w.again
		}
		return nil
	})
}

func cutIf(w *Watch, gone bool) func() {
	if gone {
		return w.cut
	}
	return nil
}

// call calls what choose gives for each watch, without a lock.
func (all *watches) call(choose func(*Watch) func()) {
	for i := range all.shards {
		shard := &all.shards[i]
		var chosen []func()
		shard.mu.Lock()
		for w := shard.first; w != nil; w = w.next {
			if f := choose(w); f != nil {
				chosen = append(chosen, f)
			}
		}
		shard.mu.Unlock()
		for _, f := range chosen {
			f()
		}
	}
}
