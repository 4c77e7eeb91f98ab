package identity

import (
	"sync"
	"time"
)

const (
	maxDevices          = 1000
	maxDevicesOfNetwork = 20
)

// devices are the command lines that wait to be signed in. They are in memory
// alone: strangers begin them, who are to write nothing into the database, they
// live for minutes, and a restart costs whoever waits one more try.
type devices struct {
	mu        sync.Mutex
	all       map[digest]*device // by the device's half
	byPerson  map[digest]digest  // the device's half by the person's, until it is used
	ofNetwork map[string]int
}

type device struct {
	DeviceRequest
	person   digest
	network  string
	interval time.Duration
	polled   time.Time
	decided  bool
	approved *approval // nil, once it is decided, where it was denied
}

// approval is who approved a device, and what it gets.
type approval struct {
	subject Subject
	scope   Scope
	lives   time.Duration
}

func newDevices() *devices {
	return &devices{all: map[digest]*device{}, byPerson: map[digest]digest{}, ofNetwork: map[string]int{}}
}

// add keeps a request; it says false when there is no room.
func (d *devices) add(key, person digest, one *device, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := func() bool { return len(d.all) >= maxDevices || d.ofNetwork[one.network] >= maxDevicesOfNetwork }
	if full() {
		d.expire(now)
	}
	if _, taken := d.byPerson[person]; taken || full() {
		return false
	}
	one.person = person
	d.all[key], d.byPerson[person] = one, key
	d.ofNetwork[one.network]++
	return true
}

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

// redeem takes the request of a device's half when it was approved, and says
// otherwise how it stands.
func (d *devices) redeem(key digest, now time.Time) (*device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.all[key]
	switch {
	case one == nil:
		return nil, ErrDeviceExpired
	case !now.Before(one.ExpiresAt):
		d.forget(key)
		return nil, ErrDeviceExpired
	case one.decided:
		d.forget(key)
		if one.approved == nil {
			return nil, ErrDeviceDenied
		}
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

// sweep forgets those that are too old.
func (d *devices) sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
}

func (d *devices) expire(now time.Time) {
	for key, one := range d.all {
		if !now.Before(one.ExpiresAt) {
			d.forget(key)
		}
	}
}

func (d *devices) forget(key digest) {
	one := d.all[key]
	delete(d.all, key)
	if d.byPerson[one.person] == key {
		delete(d.byPerson, one.person)
	}
	if d.ofNetwork[one.network]--; d.ofNetwork[one.network] <= 0 {
		delete(d.ofNetwork, one.network)
	}
}
