package identity

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxCached bounds each cache, about 10 MB in all at the worst.
const maxCached = 10_000

// cached is a proof that was checked against the store.
type cached struct {
	subject Subject
	expires time.Time    // never, when zero
	seen    atomic.Int64 // Unix milliseconds
}

// cache keeps checked proofs by a digest of what was shown. A revocation
// empties it at once, also of what is just being read from the store: see
// [cache.put].
type cache struct {
	mu      sync.RWMutex
	entries map[digest]*cached
	epoch   uint64 // counts the revocations
}

func newCache() *cache { return &cache{entries: map[digest]*cached{}} }

// get gives what is kept, and the epoch to hand to put when nothing is.
func (c *cache) get(key digest) (*cached, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[key], c.epoch
}

// put keeps an entry that was read from the store after epoch was given,
// unless something has been revoked since: the entry may be what was.
func (c *cache) put(key digest, entry *cached, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	if len(c.entries) >= maxCached {
		for other := range c.entries { // any: it is read again when it is asked for
			delete(c.entries, other)
			break
		}
	}
	c.entries[key] = entry
}

// drop empties the cache of the entries that gone chooses.
func (c *cache) drop(gone func(*Subject) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for key, entry := range c.entries {
		if gone(&entry.subject) {
			delete(c.entries, key)
		}
	}
}

// remove empties the cache of one entry that has run out by itself.
func (c *cache) remove(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
}

// seen gathers when sessions and API tokens were used, to write it down in
// batches: a request pays no write.
type seen struct {
	mu       sync.Mutex
	sessions map[string]time.Time
	tokens   map[string]time.Time
}

// seenGrain is how much later a use must be to count as news.
const seenGrain = 30 * time.Second

func newSeen() *seen {
	return &seen{sessions: map[string]time.Time{}, tokens: map[string]time.Time{}}
}

// note marks that entry was used now.
func (s *seen) note(entry *cached, now time.Time) {
	before := entry.seen.Load()
	if now.UnixMilli()-before < seenGrain.Milliseconds() || !entry.seen.CompareAndSwap(before, now.UnixMilli()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch entry.subject.Via {
	case ViaSession:
		s.sessions[entry.subject.SessionID] = now
	case ViaToken:
		s.tokens[entry.subject.TokenID] = now
	case ViaPassword, ViaLocal, ViaJWT:
	}
}

// session gives when a session was used, when that is not written down yet.
func (s *seen) session(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// take hands over what is to be written.
func (s *seen) take() (sessions, tokens map[string]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions, tokens = s.sessions, s.tokens
	s.sessions, s.tokens = map[string]time.Time{}, map[string]time.Time{}
	return sessions, tokens
}
