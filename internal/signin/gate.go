package signin

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"berth/internal/fault"
)

// gate is a door with a limit of its own.
type gate int

const (
	gateBegin  gate = iota + 1 // each costs a row
	gateFinish                 // each may cost requests to a provider
	gateLogout                 // each costs a look at a signature
)

func (g gate) limit() (each time.Duration, burst int) {
	if g == gateLogout {
		return 20 * time.Millisecond, 200 // of an address, about one provider: its own tells of all its people
	}
	return time.Second, 120 // of an address, behind which may be an office
}

const maxGateKeys = 20_000

type gateKey struct {
	gate gate
	key  string
}

type gates struct {
	mu  *sync.Mutex
	all map[gateKey]*rate.Limiter
}

func newGates() gates { return gates{mu: &sync.Mutex{}, all: map[gateKey]*rate.Limiter{}} }

// pass takes one of what a key may; a fault of kind TooOften when it has none.
func (g gates) pass(which gate, key string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := gateKey{which, key}
	limiter := g.all[k]
	if limiter == nil {
		for other := range g.all {
			if len(g.all) < maxGateKeys {
				break
			}
			delete(g.all, other)
		}
		each, burst := which.limit()
		limiter = rate.NewLimiter(rate.Every(each), burst)
		g.all[k] = limiter
	}
	if !limiter.AllowN(now, 1) {
		return fault.Often("too many sign-ins from your network; wait a moment").After(10 * time.Second)
	}
	return nil
}

// sweep forgets what limits nobody any more.
func (g gates) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, limiter := range g.all {
		if limiter.TokensAt(now) >= float64(limiter.Burst()) {
			delete(g.all, k)
		}
	}
}
