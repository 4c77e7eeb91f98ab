package webhook

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"berth/internal/network"
)

// How often an address may try tokens that are none: ten, and one more every
// five seconds. A token that is right is not held up by it.
const (
	guessEvery   = 5 * time.Second
	guessBurst   = 10
	maxAddresses = 10_000
)

// limits bounds what comes by one webhook, and guesses at tokens by one
// address. All of it is in memory.
type limits struct {
	mu        sync.Mutex
	each      rate.Limit
	webhooks  map[string]*rate.Limiter
	addresses map[string]*rate.Limiter
}

func newLimits(each rate.Limit) *limits {
	return &limits{each: each, webhooks: map[string]*rate.Limiter{}, addresses: map[string]*rate.Limiter{}}
}

// delivery says how long a webhook must wait before it may bring one more; 0
// lets it through.
func (l *limits) delivery(id string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.webhooks[id]
	if one == nil {
		one = rate.NewLimiter(l.each, int(10*l.each))
		l.webhooks[id] = one
	}
	return wait(one, now)
}

// guess says how long an address must wait before it may try another token.
func (l *limits) guess(address string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := network.Name(address)
	one := l.addresses[key]
	if one == nil {
		if len(l.addresses) >= maxAddresses {
			for other := range l.addresses { // any: to push one out takes as many guesses as there are places
				delete(l.addresses, other)
				break
			}
		}
		one = rate.NewLimiter(rate.Every(guessEvery), guessBurst)
		l.addresses[key] = one
	}
	return wait(one, now)
}

func (l *limits) forget(id string) {
	l.mu.Lock()
	delete(l.webhooks, id)
	l.mu.Unlock()
}

// sweep forgets addresses that have all their tries again.
func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, one := range l.addresses {
		if one.TokensAt(now) >= guessBurst {
			delete(l.addresses, key)
		}
	}
}

func wait(one *rate.Limiter, now time.Time) time.Duration {
	r := one.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}
