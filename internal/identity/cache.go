package identity

import (
	"sync"
	"sync/atomic"
	"time"
)

// How many proofs are kept. A session takes about 1 KB, and one place for the
// base host and one for each app's host that it has come to.
const (
	maxSessionsCached = 300_000
	maxCached         = 10_000 // of each other sort
)

// cached is a proof that was checked against the store.
type cached struct {
	subject Subject
	expires time.Time     // never, when zero
	seen    *atomic.Int64 // Unix milliseconds; one for all entries of a session
	notes   atomic.Value  // see [Guest.Note]
}

func newCached() *cached { return &cached{seen: &atomic.Int64{}} }

// cache keeps checked proofs by a digest of what was shown. A revocation
// empties it at once, also of what is just being read from the store: see
// [cache.put].
type cache struct {
	most int

	mu      sync.RWMutex
	entries map[digest]*cached
	people  map[string]map[digest]*cached // the same, by whose they are
	epoch   uint64                        // counts the revocations
}

func newCache(most int) *cache {
	return &cache{most: most, entries: map[digest]*cached{}, people: map[string]map[digest]*cached{}}
}

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
	if len(c.entries) >= c.most {
		for other := range c.entries { // any: it is read again when it is asked for
			c.delete(other)
			break
		}
	}
	whose := entry.subject.Person.ID
	if c.people[whose] == nil {
		c.people[whose] = map[digest]*cached{}
	}
	c.share(entry)
	c.people[whose][key] = entry
	c.entries[key] = entry
}

// share has all entries of a session know when it was used on any host. c.mu
// is held.
func (c *cache) share(entry *cached) {
	id := entry.subject.SessionID
	if id == "" {
		return
	}
	for _, other := range c.people[entry.subject.Person.ID] {
		if other.subject.SessionID == id {
			other.seen.Store(max(other.seen.Load(), entry.seen.Load()))
			entry.seen = other.seen
			return
		}
	}
}

// holds says that an entry is what is kept.
func (c *cache) holds(key digest, entry *cached) bool {
	now, _ := c.get(key)
	return now == entry
}

// drop empties the cache of those of a person's entries that gone chooses.
func (c *cache) drop(personID string, gone func(*Subject) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for key, entry := range c.people[personID] {
		if gone(&entry.subject) {
			c.delete(key)
		}
	}
}

// clear empties the cache.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	clear(c.entries)
	clear(c.people)
}

// confirm lets those of a person's entries that chosen chooses count until a
// later time. Nothing is revoked by it: what stands on an entry goes on.
func (c *cache) confirm(personID string, chosen func(*Subject) bool, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, entry := range c.people[personID] {
		if !chosen(&entry.subject) {
			continue
		}
		// Another entry, as those who have this one read it without a lock.
		next := &cached{subject: entry.subject, expires: entry.expires, seen: entry.seen}
		next.subject.SyncedUntil = until
		c.people[personID][key], c.entries[key] = next, next
	}
}

// remove empties the cache of one entry that has run out by itself.
func (c *cache) remove(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delete(key)
}

// delete takes an entry out. c.mu is held.
func (c *cache) delete(key digest) {
	entry := c.entries[key]
	if entry == nil {
		return
	}
	whose := entry.subject.Person.ID
	delete(c.entries, key)
	if delete(c.people[whose], key); len(c.people[whose]) == 0 {
		delete(c.people, whose)
	}
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
