package identity

import (
	"sync"
	"time"
)

const (
	maxTickets           = 20_000
	maxTicketsOfASession = 50
)

// tickets are those that were given and not taken. They are in memory alone: a
// restart costs whoever is on the way one more redirect.
type tickets struct {
	mu        sync.Mutex
	all       map[digest]ticket
	ofSession map[string]int
}

type ticket struct {
	Passage
	session, person string
	expires         time.Time
}

func newTickets() *tickets { return &tickets{all: map[digest]ticket{}, ofSession: map[string]int{}} }

// add keeps a ticket; it says false when there is no room.
func (t *tickets) add(key digest, one ticket, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= maxTickets || t.ofSession[one.session] >= maxTicketsOfASession {
		t.expire(now)
	}
	if len(t.all) >= maxTickets || t.ofSession[one.session] >= maxTicketsOfASession {
		return false
	}
	one.expires = now.Add(ticketLives)
	t.all[key] = one
	t.ofSession[one.session]++
	return true
}

// take hands a ticket over, which is gone then.
func (t *tickets) take(key digest, now time.Time) (one ticket, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok = t.all[key]
	t.forget(key)
	return one, ok && now.Before(one.expires)
}

// sweep forgets those that are too old.
func (t *tickets) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
}

func (t *tickets) expire(now time.Time) {
	for key, one := range t.all {
		if !now.Before(one.expires) {
			t.forget(key)
		}
	}
}

func (t *tickets) forget(key digest) {
	one, ok := t.all[key]
	if !ok {
		return
	}
	delete(t.all, key)
	if t.ofSession[one.session]--; t.ofSession[one.session] <= 0 {
		delete(t.ofSession, one.session)
	}
}
