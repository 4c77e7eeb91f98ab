package signin

import (
	"math/rand/v2"
	"slices"
	"time"

	"berth/internal/identity"
)

const (
	// roundEvery is how often is looked what is due, and rereadEvery how often
	// who is signed in at all.
	roundEvery  = 5 * time.Second
	rereadEvery = time.Minute
	// gapMost is between two looks of those that are due at once, where they
	// are few.
	gapMost = 5 * time.Second
	// haltFirst is how long nothing is asked after a look that failed; twice as
	// long each time, up to as long as there is between two looks.
	haltFirst = 30 * time.Second
	// haltMost is the longest that a provider is waited for that asked for it.
	haltMost = time.Hour
)

// schedule says when which identity is to be asked about. It is no more than
// that: who asks tells it how it went. All of its times are given to it.
type schedule struct {
	every  time.Duration // between two looks at one identity
	all    map[string]*look
	apart  map[string]int   // those who are signed in and can't be asked about, by provider
	halted map[string]*halt // providers that fail, by slug
	free   time.Time        // when the next look may begin
	last   time.Time        // when was looked what is due
	read   time.Time        // when was read who is signed in
}

// look is an identity that is to be asked about.
type look struct {
	id       string
	provider string
	synced   time.Time
	due      time.Time
	fails    int // one after the other
}

// halt is a provider that fails.
type halt struct {
	fails int // one after the other
	since time.Time
	until time.Time
	said  string
}

func newSchedule(every time.Duration) schedule {
	return schedule{every: every, all: map[string]*look{}, halted: map[string]*halt{}}
}

// watch takes over who is signed in, and of whom can be asked.
func (s *schedule) watch(living []identity.Living, askable func(identity.Living) bool, now time.Time) {
	s.read = now
	before := s.all
	s.all, s.apart = make(map[string]*look, len(living)), map[string]int{}
	for _, one := range living {
		if !askable(one) {
			s.apart[one.Provider]++
			continue
		}
		it := before[one.ID]
		if it == nil || one.SyncedAt.After(it.synced) {
			it = &look{id: one.ID, provider: one.Provider, synced: one.SyncedAt, due: one.SyncedAt.Add(s.every)}
		}
		s.all[one.ID] = it
	}
}

// take gives what is due now, the longest overdue first: no more than is right
// for how long ago that was asked last. However many are due at once, as after
// a start, they are spread evenly over half of the time between two looks.
func (s *schedule) take(now time.Time) []look {
	if s.last.IsZero() {
		s.last = now.Add(-roundEvery)
	}
	if unused := maxTime(s.last, now.Add(-rereadEvery)); s.free.Before(unused) {
		s.free = unused
	}
	s.last = now
	var due []look
	for _, it := range s.all {
		if !now.Before(it.due) && !s.halts(it.provider, now) {
			due = append(due, *it)
		}
	}
	slices.SortFunc(due, func(a, b look) int { return a.due.Compare(b.due) })
	gap := min(gapMost, s.every/time.Duration(2*max(1, len(s.all))))
	n := 0
	for ; n < len(due) && !s.free.After(now); n++ {
		s.free = s.free.Add(gap)
	}
	return due[:n]
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// halts says whether a provider is not to be asked now.
func (s *schedule) halts(provider string, now time.Time) bool {
	h := s.halted[provider]
	return h != nil && now.Before(h.until)
}

// went takes note that a provider has told of an identity, or that somebody
// else has heard it meanwhile.
func (s *schedule) went(it look, synced time.Time) {
	if known := s.all[it.id]; known != nil {
		*known = look{id: it.id, provider: it.provider, synced: synced, due: synced.Add(s.every)}
	}
}

// heal takes note that a provider answers, and says whether it did not.
func (s *schedule) heal(provider string) (failed bool) {
	_, failed = s.halted[provider]
	delete(s.halted, provider)
	return failed
}

// drop takes out an identity of which nothing can be asked any more.
func (s *schedule) drop(id string) { delete(s.all, id) }

// failed takes note of a look that failed, and says whether it is the first
// after one that went well. Where the provider fails as a whole nobody else is
// asked about there for a while either.
func (s *schedule) failed(it look, f failure, now time.Time) (first bool) {
	wait := min(f.wait, haltMost)
	if known := s.all[it.id]; known != nil {
		known.fails++
		known.due = now.Add(max(wait, s.backOff(known.fails)))
	}
	if !f.wide {
		return it.fails == 0
	}
	h := s.halted[it.provider]
	if h == nil {
		h = &halt{since: now}
		s.halted[it.provider] = h
	}
	if h.fails == 0 || !now.Before(h.until) { // else it was under way as the others were
		h.fails++
	}
	h.said = f.said
	h.until = maxTime(h.until, now.Add(max(wait, s.backOff(h.fails))))
	return h.fails == 1
}

// backOff is how long to wait after so many failures, give or take a quarter.
func (s *schedule) backOff(fails int) time.Duration {
	wait := min(s.every, haltFirst<<min(fails-1, 16))
	return time.Duration(float64(wait) * (0.75 + rand.Float64()/2)) //nolint:gosec // spreads load
}

// overdue says, by provider, for how long the look that is overdue the longest
// has been; 0 where all went in time.
func (s *schedule) overdue(now time.Time) map[string]time.Duration {
	late := map[string]time.Duration{}
	for _, it := range s.all {
		late[it.provider] = max(late[it.provider], now.Sub(it.synced.Add(s.every)), 0)
	}
	return late
}
