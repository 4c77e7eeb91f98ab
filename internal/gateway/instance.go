package gateway

import (
	"errors"
	"sync"
	"sync/atomic"

	"berth/internal/deploy"
)

// instance is one running copy of an app, as requests see it: who is being
// served, how it has answered of late, and the connections to it.
type instance struct {
	deploy.Endpoint
	deployment string
	protocol   deploy.Protocol
	upstream   upstream
	health     health
	tally      *tally // its deployment's
	meter      *meter // its own; nil of a fixed route's target

	load atomic.Int64 // claims held; what the balancer looks at

	mu        sync.Mutex
	closed    bool                // no more claims
	noStreams bool                // the streams' budget is over: no request may become one
	claims    map[*claim]struct{} // what is being served
	streams   int                 // of which are streams
	changed   chan struct{}       // closed at each change while a drain watches
}

// claim is one request's hold on an instance. While it is held the instance
// is not done draining.
type claim struct {
	in      *instance
	stage   string       // its route's
	reenter func(*route) // asks whether it may go on when the policy has changed; without in.mu
	cut     func(error)  // ends the request; called at most once, without in.mu
	stream  bool
}

func newInstance(e deploy.Endpoint, deployment string, p deploy.Protocol, to upstream, t *tally, m *meter) *instance {
	return &instance{Endpoint: e, deployment: deployment, protocol: p, upstream: to, tally: t, meter: m, claims: map[*claim]struct{}{}}
}

var (
	errClosed = errors.New("the instance takes no requests any more")
	errBusy   = errors.New("the instance serves as many requests as it may")
)

// claim holds the instance for a request. It fails with errClosed when the
// instance is closed, and then the request must look for its route again, and
// with errBusy when most are served.
func (in *instance) claim(c *claim, most int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed:
		return errClosed
	case len(in.claims) >= most:
		return errBusy
	}
	c.in, c.stream = in, false
	in.claims[c] = struct{}{}
	in.load.Add(1)
	return nil
}

// release ends a claim.
func (in *instance) release(c *claim) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, held := in.claims[c]; !held {
		return
	}
	delete(in.claims, c)
	if c.stream {
		in.streams--
	}
	in.load.Add(-1)
	in.notify()
}

// becomeStream moves a claim to the streams' budget; it says false when that
// is over.
func (in *instance) becomeStream(c *claim) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.noStreams {
		return false
	}
	if !c.stream {
		c.stream = true
		in.streams++
		in.notify()
	}
	return true
}

// scheme is what the instance's address begins with.
func (in *instance) scheme() string {
	if in.TLSName != "" {
		return "https"
	}
	return "http"
}

// close refuses claims from now on, and closes the connections not in use.
func (in *instance) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.upstream.close()
}

func (in *instance) open() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.closed
}

// idle says that the instance is closed and serves nothing.
func (in *instance) idle() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed && len(in.claims) == 0
}

// notify wakes a drain. in.mu is held.
func (in *instance) notify() {
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
}

// busy counts what is being served, and gives a channel that is closed at the
// next change.
func (in *instance) busy() (requests, streams int, changed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.changed == nil {
		in.changed = make(chan struct{})
	}
	return len(in.claims) - in.streams, in.streams, in.changed
}

// reenter has what is served for a stage decided anew, under its route as it
// is now.
func (in *instance) reenter(now *route) {
	in.mu.Lock()
	var served []*claim
	for c := range in.claims {
		if c.stage == now.StageID {
			served = append(served, c)
		}
	}
	in.mu.Unlock()
	for _, c := range served {
		c.reenter(now)
	}
}

// cutClaims ends what is left of one sort and says how many that were.
func (in *instance) cutClaims(streams bool, why error) int {
	in.mu.Lock()
	var left []*claim
	for c := range in.claims {
		if c.stream == streams {
			left = append(left, c)
		}
	}
	if streams {
		in.noStreams = true
	}
	in.mu.Unlock()
	for _, c := range left {
		c.cut(why)
	}
	return len(left)
}
