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
	shard      *watchShard // nil when it is not watched
	next, prev *Watch
}

// Watch calls cut when the proof that a guest came with ends: the session
// ended or expired, the token removed, the person disabled, removed, or known
// in another way. It says false when it has ended already, or may have: then
// ask who comes again. cut must not block, and not call [Service.Unwatch].
func (s *Service) Watch(w *Watch, g Guest, cut func()) bool {
	w.guest, w.cut = g, cut
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
	all.cut(func(g Guest) bool { return gone(g.Subject()) })
}

// expire cuts those whose proof has run out by itself.
func (all *watches) expire(now time.Time, idle time.Duration) {
	all.cut(func(g Guest) bool {
		e := g.entry
		return !e.expires.IsZero() && !now.Before(e.expires) ||
			e.subject.Via == ViaSession && now.Sub(time.UnixMilli(e.seen.Load())) >= idle
	})
}

func (all *watches) cut(gone func(Guest) bool) {
	for i := range all.shards {
		shard := &all.shards[i]
		var cuts []func()
		shard.mu.Lock()
		for w := shard.first; w != nil; w = w.next {
			if gone(w.guest) {
				cuts = append(cuts, w.cut)
			}
		}
		shard.mu.Unlock()
		for _, f := range cuts {
			f()
		}
	}
}
