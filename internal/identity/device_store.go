package identity

import (
	"sync"
	"time"
)

const (
	maxDevices          = 1000
	maxDevicesOfNetwork = 20
	maxDevicesOfSite    = 60

	// deviceIdle is how long after its time to poll one is taken to poll no more.
	deviceIdle = 30 * time.Second
)

// devices are the command lines that wait to be signed in. They are in memory
// alone: strangers begin them, who are to write nothing into the database, they
// live for minutes, and a restart costs whoever waits one more try.
type devices struct {
	mu        sync.Mutex
	all       map[digest]*device // by the device's half
	byPerson  map[digest]digest  // the device's half by the person's, until it is used
	ofNetwork map[string]int
	ofSite    map[string]int
}

type device struct {
	DeviceRequest
	key, person   digest // its two halves
	network, site string
	interval      time.Duration
	polled        time.Time
	decided       bool
	approved      *approval // nil, once it is decided, where it was denied
	redeeming     bool      // its token is being made
}

// approval is who approved a device, and what it gets.
type approval struct {
	subject Subject
	scope   Scope
	lives   time.Duration
}

func newDevices() *devices {
	return &devices{all: map[digest]*device{}, byPerson: map[digest]digest{}, ofNetwork: map[string]int{}, ofSite: map[string]int{}}
}

// add keeps a request; it says false when there is no room.
func (d *devices) add(one *device, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.byPerson[one.person]; taken || !d.makeRoom(one, now) {
		return false
	}
	d.all[one.key], d.byPerson[one.person] = one, one.key
	d.ofNetwork[one.network]++
	d.ofSite[one.site]++
	return true
}

// makeRoom has one more fit. Where its own network or site has its share, one
// that nobody comes for any more goes for it. Where all is full, one of the
// site that has most goes: who fills it up must not lock everybody out.
func (d *devices) makeRoom(one *device, now time.Time) bool {
	fits := func() bool {
		return len(d.all) < maxDevices && d.ofNetwork[one.network] < maxDevicesOfNetwork && d.ofSite[one.site] < maxDevicesOfSite
	}
	if fits() {
		return true
	}
	d.expire(now)
	if d.ofNetwork[one.network] >= maxDevicesOfNetwork {
		d.dropOldest(func(other *device) bool { return other.network == one.network && other.idle(now) })
	}
	if d.ofSite[one.site] >= maxDevicesOfSite {
		d.dropOldest(func(other *device) bool { return other.site == one.site && other.idle(now) })
	}
	if len(d.all) >= maxDevices {
		d.dropOldest(d.ofFullestSite())
	}
	return fits()
}

// idle says whether nobody seems to wait at the machine any more.
func (o *device) idle(now time.Time) bool {
	last := o.polled
	if last.IsZero() {
		last = o.AskedAt
	}
	return now.Sub(last) > o.interval+deviceIdle
}

// ofFullestSite tells the requests of the site that most wait of, or of the
// sites.
func (d *devices) ofFullestSite() func(*device) bool {
	waiting, most := map[string]int{}, 0
	for _, one := range d.all {
		if d.waits(one) {
			waiting[one.site]++
			most = max(most, waiting[one.site])
		}
	}
	return func(one *device) bool { return waiting[one.site] == most }
}

// dropOldest forgets the oldest of some requests that nobody has decided.
func (d *devices) dropOldest(of func(*device) bool) {
	var oldest *device
	for _, one := range d.all {
		if d.waits(one) && of(one) && (oldest == nil || one.AskedAt.Before(oldest.AskedAt)) {
			oldest = one
		}
	}
	if oldest != nil {
		d.forget(oldest)
	}
}

// waits says whether a request's code is unused.
func (d *devices) waits(one *device) bool { return d.byPerson[one.person] == one.key }

// knows says whether a person's half is one that waits.
func (d *devices) knows(person digest, now time.Time) bool {
	_, ok := d.waiting(person, now)
	return ok
}

// waiting gives who waits with a person's half.
func (d *devices) waiting(person digest, now time.Time) (DeviceRequest, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.of(person, now)
	if one == nil {
		return DeviceRequest{}, false
	}
	return one.DeviceRequest, true
}

func (d *devices) of(person digest, now time.Time) *device {
	key, ok := d.byPerson[person]
	if one := d.all[key]; ok && now.Before(one.ExpiresAt) {
		return one
	}
	return nil
}

// take uses a person's half up.
func (d *devices) take(person digest, now time.Time) (*device, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.of(person, now)
	delete(d.byPerson, person)
	return one, one != nil
}

// decide lets the device know: nil denies.
func (d *devices) decide(one *device, a *approval) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one.decided, one.approved = true, a
}

// giveBack has a person's half count again that was taken for a decision which
// came to nothing.
func (d *devices) giveBack(one *device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[one.key] == one {
		d.byPerson[one.person] = one.key
	}
}

// redeem gives the request of a device's half when it was approved, to one
// caller at a time, who says by redeemed how it ended; otherwise how it stands.
func (d *devices) redeem(key digest, now time.Time) (*device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.all[key]
	switch {
	case one == nil:
		return nil, ErrDeviceExpired
	case !now.Before(one.ExpiresAt):
		d.forget(one)
		return nil, ErrDeviceExpired
	case one.decided && one.approved == nil:
		d.forget(one)
		return nil, ErrDeviceDenied
	case one.decided && !one.redeeming:
		one.redeeming = true
		return one, nil
	}
	soon := now.Sub(one.polled) < one.interval
	one.polled = now
	if soon {
		one.interval += deviceSlower
		return nil, ErrDeviceSlowDown
	}
	return nil, ErrDevicePending
}

// redeemed ends what redeem began: a request that got its answer is used up,
// and another is there for the next poll.
func (d *devices) redeemed(one *device, answered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one.redeeming = false
	if answered {
		d.forget(one)
	}
}

// sweep forgets those that are too old.
func (d *devices) sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
}

func (d *devices) expire(now time.Time) {
	for _, one := range d.all {
		if !now.Before(one.ExpiresAt) {
			d.forget(one)
		}
	}
}

func (d *devices) forget(one *device) {
	if d.all[one.key] != one {
		return
	}
	delete(d.all, one.key)
	if d.waits(one) {
		delete(d.byPerson, one.person)
	}
	fewer(d.ofNetwork, one.network)
	fewer(d.ofSite, one.site)
}

func fewer(counts map[string]int, of string) {
	if counts[of]--; counts[of] <= 0 {
		delete(counts, of)
	}
}
