package identity

import (
	"net/netip"
	"sync"
	"time"

	"berth/internal/network"
)

// The limits of guessing. A pair of account and address is strict and backs
// off: five tries, then twice as long a wait each time. An address that tries
// many accounts, and an account that is tried from many addresses, drain a
// bucket that fills again.
//
// Nobody at another address can lock a person out at will: the pair that
// waits is the guesser's own, and an address the person has a session from
// passes by the account's bucket. Somebody under attack who comes from a new address waits seconds.
const (
	pairTries   = 5
	pairFirst   = 5 * time.Second
	pairLongest = 15 * time.Minute
	pairForgets = time.Hour // after the last failure

	bucketTries = 30
	bucketFills = 10 * time.Second // one more try

	maxLimited = 20_000 // keys of each sort that are remembered
)

// limits counts failures. All of it is in memory and bounded: a restart
// forgets, which costs a guesser more than it gives.
type limits struct {
	mu        sync.Mutex
	pairs     map[pair]backoff
	accounts  map[string]bucket
	addresses map[string]bucket
}

type pair struct{ account, address string }

// backoff is the failures in a row of one pair.
type backoff struct {
	failures int
	last     time.Time
	until    time.Time // no try before
}

// bucket is full of tries at first; level is how many of them are gone.
type bucket struct {
	level float64
	at    time.Time
}

func newLimits() *limits {
	return &limits{pairs: map[pair]backoff{}, accounts: map[string]bucket{}, addresses: map[string]bucket{}}
}

// attempt is a try that was allowed. It counts as a failure from the start,
// so that a thousand at once are not all allowed before the first has failed.
type attempt struct {
	limits  *limits
	pair    pair
	account bool // whether the account's bucket was charged
}

// begin asks for a try. It gives how long to wait instead, when that is above
// zero; then nothing is counted, and the wait grows no longer by asking.
func (l *limits) begin(account, address string, known bool, now time.Time) (attempt, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()

	key := pair{account, address}
	back := l.pairs[key]
	if now.Sub(back.last) >= pairForgets {
		back = backoff{}
	}
	ofAccount := l.accounts[account].drained(now)
	ofAddress := l.addresses[address].drained(now)

	wait := max(back.until.Sub(now), ofAddress.wait())
	if !known {
		wait = max(wait, ofAccount.wait())
	}
	if wait > 0 {
		return attempt{}, wait
	}

	back.failures++
	back.last = now
	if over := back.failures - pairTries; over >= 0 {
		back.until = now.Add(min(pairFirst<<min(over, 16), pairLongest))
	}
	put(l.pairs, key, back)
	ofAddress.level++
	put(l.addresses, address, ofAddress)
	if !known {
		ofAccount.level++
		put(l.accounts, account, ofAccount)
	}
	return attempt{l, key, !known}, 0
}

// succeed forgets the pair's failures and gives back what the try cost.
func (a attempt) succeed() {
	a.limits.mu.Lock()
	defer a.limits.mu.Unlock()
	delete(a.limits.pairs, a.pair)
	a.refund()
}

// undo takes back a try that could not be made.
func (a attempt) undo() {
	a.limits.mu.Lock()
	defer a.limits.mu.Unlock()
	if back, ok := a.limits.pairs[a.pair]; ok {
		back.failures--
		back.until = time.Time{}
		a.limits.pairs[a.pair] = back
	}
	a.refund()
}

func (a attempt) refund() {
	giveBack(a.limits.addresses, a.pair.address)
	if a.account {
		giveBack(a.limits.accounts, a.pair.account)
	}
}

func giveBack(buckets map[string]bucket, key string) {
	if b, ok := buckets[key]; ok {
		b.level = max(0, b.level-1)
		buckets[key] = b
	}
}

// sweep forgets what no longer limits anybody.
func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, back := range l.pairs {
		if now.Sub(back.last) >= pairForgets {
			delete(l.pairs, key)
		}
	}
	for key, b := range l.accounts {
		if b.drained(now).level == 0 {
			delete(l.accounts, key)
		}
	}
	for key, b := range l.addresses {
		if b.drained(now).level == 0 {
			delete(l.addresses, key)
		}
	}
}

// drained is the bucket as it is now.
func (b bucket) drained(now time.Time) bucket {
	gone := max(0, now.Sub(b.at)) // a clock that was set back forgives nothing
	return bucket{level: max(0, b.level-float64(gone)/float64(bucketFills)), at: now}
}

// wait is how long until there is room for one more.
func (b bucket) wait() time.Duration {
	over := b.level + 1 - bucketTries
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(bucketFills))
}

// put remembers, and forgets any other when there is no more room: to push
// somebody out takes as many tries as there are places, each of them limited.
func put[K comparable, V any](m map[K]V, key K, value V) {
	if _, ok := m[key]; !ok && len(m) >= maxLimited {
		for other := range m {
			delete(m, other)
			break
		}
	}
	m[key] = value
}

// Host is the address without its port.
func (o Origin) Host() string {
	if with, err := netip.ParseAddrPort(o.Address); err == nil {
		return with.Addr().Unmap().WithZone("").String()
	}
	if addr, err := netip.ParseAddr(o.Address); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return shortened(o.Address, 64)
}

// Network is what counts as one address.
func (o Origin) Network() string { return network.Name(o.Host()) }
