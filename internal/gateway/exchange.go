package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// exchange is one request and its answer, from arrival to end.
type exchange struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	started time.Time
	id      string
	host    string
	path    readings
	route   *route
	shard   *meterShard // where its end is counted
	from    origin
	body    body
	upgrade string // the protocol asked for
	grpc    bool
	retried bool // the first attempt got no answer, so kept connections are not to be trusted

	claim  claim
	status int   // what the client was answered; 0 while nothing was
	sent   int64 // bytes of the answer's body
	first  time.Duration

	mu     sync.Mutex // guards what cut needs
	ended  bool
	why    error    // why it was cut
	conn   *conn    // in use, to the app
	cancel func()   // ends the HTTP/2 request in use
	client net.Conn // once it was taken over
	stream bool
}

// statusGone is logged and counted when the client left before its answer.
const statusGone = 499

var (
	errNoRoute    = errors.New("no route")
	errNoInstance = errors.New("no instance")
	errLeft       = errors.New("the client left")
	errOneMoment  = errors.New("the streams' time to end is over")
)

// pass sends the request to an instance of the live release. When one can not
// be reached it goes to another, and when a connection ended before an answer
// it is sent again where that is harmless; see [exchange.again].
func (x *exchange) pass() error {
	var tried []*instance
	for attempt := 1; ; attempt++ {
		in, err := x.hold(tried)
		if err != nil {
			return err
		}
		if x.grpc && !in.becomeStream(&x.claim) {
			in.release(&x.claim)
			return errOneMoment
		}
		if in.upstream.http2 != nil {
			err = x.passHTTP2(in)
		} else {
			err = x.passHTTP1(in)
		}
		in.release(&x.claim)
		if err == nil {
			in.health.answered()
			return nil
		}
		err = x.judge(in, err)
		another, again := x.again(err, attempt)
		if !again {
			return err
		}
		x.retried = true
		if another {
			tried = append(tried, in)
			if len(tried) >= len(x.route.instances) {
				if !errors.As(err, new(*refusedError)) && attempt < attemptsMost {
					tried = tried[:0]
					continue
				}
				return err
			}
		}
	}
}

// hold claims an instance that has not been tried, under the newest table.
func (x *exchange) hold(tried []*instance) (*instance, error) {
	for {
		table := x.g.table.current.Load()
		rt := table.find(x.host, x.path.path)
		if rt == nil {
			return nil, errNoRoute
		}
		x.route = rt
		in := rt.pick(x.g.clock(), tried)
		if in == nil {
			return nil, errNoInstance
		}
		if in.claim(&x.claim) {
			return in, nil
		}
		if x.g.table.current.Load() == table {
			return nil, errNoInstance // drained while the route still points there
		}
	}
}

// refusedError says that no connection could be made: the app has seen nothing.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// unansweredError says that a connection ended before the first byte of an
// answer.
type unansweredError struct {
	error
	reused bool // the connection had been used before
}

func (e *unansweredError) Unwrap() error { return e.error }

// attemptsMost bounds how often a request that may be sent again is sent.
const attemptsMost = 3

// again decides whether a failed request is sent once more, and whether to
// another instance.
//
// A request that the app can not have seen may always be: no connection was
// made. Otherwise it must be one that can be repeated without harm (RFC 9110
// section 9.2.2), and nothing of the answer may have come.
func (x *exchange) again(err error, attempt int) (another, again bool) {
	if x.status != 0 || x.r.Context().Err() != nil {
		return false, false
	}
	if errors.As(err, new(*refusedError)) {
		return true, !x.body.begun.Load()
	}
	if unanswered, ok := errors.AsType[*unansweredError](err); ok && x.body.replayable && attempt < attemptsMost {
		return !unanswered.reused, true
	}
	return false, false
}

// judge notes a failure with the instance, unless it was not its fault, and
// puts the reason in place of its consequence.
func (x *exchange) judge(in *instance, err error) error {
	x.mu.Lock()
	why := x.why
	x.mu.Unlock()
	switch {
	case why != nil:
		return why
	case x.body.failed() != nil:
		return x.body.failed()
	case errors.Is(err, errLeft), x.r.Context().Err() != nil:
		return errLeft
	case errors.Is(err, errOneMoment):
		return err
	}
	if unanswered, ok := errors.AsType[*unansweredError](err); ok && unanswered.reused {
		return err // the app closed a connection that it had kept; that is its right
	}
	if in.health.failed(x.g.clock(), errors.As(err, new(*refusedError))) {
		x.g.log.WarnContext(x.r.Context(), "instance does not answer and is passed over for a while", x.attrs("error", err)...)
	}
	return err
}

// attach makes c what a cut closes; it says false when the request was cut
// already.
func (x *exchange) attach(c *conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn = c
	return x.why == nil
}

// detach undoes attach, and says whether the connection was left alone.
func (x *exchange) detach() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn = nil
	return x.why == nil
}

// cut ends the request from outside.
func (x *exchange) cut(why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || x.why != nil {
		return
	}
	x.why = why
	if x.conn != nil {
		_ = x.conn.Close()
	}
	if x.cancel != nil {
		x.cancel()
	}
	if x.client != nil {
		_ = x.client.Close()
		return
	}
	if x.body.streamed {
		x.leaveBody()
	}
	// Time for an error page, or for what is in the buffers.
	_ = x.control.SetWriteDeadline(time.Now().Add(time.Second))
}

// becomeStream moves the request to the streams' budget.
func (x *exchange) becomeStream() bool {
	x.stream = true
	return x.claim.in.becomeStream(&x.claim)
}

// begin sends the head of the answer to the client. From here on an error can
// only be told by cutting the connection.
func (x *exchange) begin(status int) {
	h := x.w.Header()
	if _, has := h["Content-Type"]; !has {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	h["X-Request-Id"] = []string{x.id}
	if b := &x.body; x.r.ProtoMajor == 1 && (b.chunkedIn || !b.whole.Load() || b.unwanted.Load()) {
		// The connection must not be used again when the rest of the body may
		// stand in it. Nor after a body without a length: a Content-Length
		// beside Transfer-Encoding is how requests are smuggled, and net/http
		// drops it without a word (RFC 9112 section 6.1).
		h["Connection"] = []string{"close"}
	}
	x.mu.Lock()
	x.status = status
	x.mu.Unlock()
	x.first = time.Since(x.started)
	x.extend()
	x.w.WriteHeader(status)
}

// clientStall is how long a client may take to take what it is sent, or to
// send what it announced, without any progress.
const clientStall = time.Minute

// extend gives the client time to take the next part of the answer.
func (x *exchange) extend() {
	_ = x.control.SetWriteDeadline(time.Now().Add(clientStall))
}

// pick chooses the instance with the fewest requests. One that rests is passed
// over while another is left; one whose rest is over gets one request as a
// trial.
func (rt *route) pick(now time.Time, tried []*instance) *instance {
	if len(rt.instances) == 1 && len(tried) == 0 {
		return rt.instances[0]
	}
	var best, resting *instance
	offset := int(rt.meter.turn.Add(1) % uint32(max(len(rt.instances), 1))) //nolint:gosec // at most 32 instances
	for i := range rt.instances {
		in := rt.instances[(i+offset)%len(rt.instances)]
		switch {
		case contains(tried, in):
		case in.health.resting():
			if in.health.trial(now) {
				return in
			}
			if resting == nil || in.load.Load() < resting.load.Load() {
				resting = in
			}
		case best == nil || in.load.Load() < best.load.Load():
			best = in
		}
	}
	if best == nil {
		return resting
	}
	return best
}

func contains[T comparable](list []T, one T) bool {
	for _, l := range list {
		if l == one {
			return true
		}
	}
	return false
}

// starting says that the route waits for its first instance.
func (rt *route) starting() bool { return len(rt.instances) == 0 && rt.Deployment != "" }

// forContext ends the request when its client has left.
func (x *exchange) forContext() (stop func() bool) {
	return context.AfterFunc(x.r.Context(), func() { x.cut(errLeft) })
}
