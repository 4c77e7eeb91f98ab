package gateway

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// crowd counts connections. Its owner guards it.
type crowd struct {
	all      int
	networks map[netip.Prefix]int
}

func (k *crowd) add(network netip.Prefix) {
	k.all++
	k.networks[network]++
}

func (k *crowd) remove(network netip.Prefix) {
	k.all--
	if k.networks[network]--; k.networks[network] == 0 {
		delete(k.networks, network)
	}
}

// busyCrowd counts requests, of which there are far more: whoever enters takes
// a lock, once, and leaves without one. So a network is forgotten not when its
// last request leaves but when there are many that have none.
type busyCrowd struct {
	all atomic.Int64

	mu       sync.Mutex
	networks map[netip.Prefix]*atomic.Int64
	sweepAt  int // as many networks as are swept at
}

// sweepLeast is how many networks are remembered without looking whether they
// still hold anything.
const sweepLeast = 1024

func newBusyCrowd() *busyCrowd {
	return &busyCrowd{networks: map[netip.Prefix]*atomic.Int64{}, sweepAt: sweepLeast}
}

// enter counts one in, where its network holds less than share and all hold
// less than most. What it gives takes it out again.
func (k *busyCrowd) enter(network netip.Prefix, share, most int) (place, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	of := k.networks[network]
	if of == nil {
		of = k.remember(network)
	}
	switch {
	case of.Load() >= int64(share):
		return place{}, errShare
	case k.all.Load() >= int64(most):
		return place{}, errLimit
	}
	of.Add(1)
	k.all.Add(1)
	return place{k, of}, nil
}

// remember makes room for a network. k.mu is held, so that none that is swept
// is entered by.
func (k *busyCrowd) remember(network netip.Prefix) *atomic.Int64 {
	if len(k.networks) >= k.sweepAt {
		for other, of := range k.networks {
			if of.Load() == 0 {
				delete(k.networks, other)
			}
		}
		k.sweepAt = max(2*len(k.networks), sweepLeast)
	}
	of := &atomic.Int64{}
	k.networks[network] = of
	return of
}

// place is the room of one request.
type place struct {
	all *busyCrowd
	of  *atomic.Int64
}

func (p place) leave() {
	p.of.Add(-1)
	p.all.all.Add(-1)
}
