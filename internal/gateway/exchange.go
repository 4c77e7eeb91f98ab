package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"berth/internal/identity"
)

// exchange is one request and its answer, from arrival to end.
type exchange struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	method  string // as it came
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

	asked    *dialect // by which another proxy asks, of a request of its client's
	decision decision // on who may enter
	refused  *refusal // nil where nobody was

	gate    *identity.Gate // that let it in, or would now
	on      identity.On    // where
	visitor visitor        // whom it let in
	watched identity.Watch
	expiry  expiry

	claim  claim
	status int   // what the client was answered; 0 while nothing was
	sent   int64 // bytes of the answer's body
	first  time.Duration

	mu     sync.Mutex // guards what cut and reenter need; gate, on and visitor too
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
	errAtWork     = errors.New("the stage is in maintenance")
	errNoInstance = errors.New("no instance")
	errLeft       = errors.New("the client left")
	errOneMoment  = errors.New("the streams' time to end is over")
)

// pass sends the request to an instance of the live release. When one can not
// be reached it goes to another, and when a connection ended before an answer
// it is sent again where that is harmless; see [exchange.again].
func (x *exchange) pass(ctx context.Context) error {
	var (
		tried  []*instance
		failed *instance
		last   error
	)
	for attempt := 1; ; attempt++ {
		in, err := x.hold(ctx, tried)
		if errors.Is(err, errNoInstance) && errors.As(last, new(*unansweredError)) {
			tried = nil // there is no other, so the same once more
			in, err = x.hold(ctx, nil)
		}
		switch {
		case err != nil && last != nil:
			return last
		case err != nil:
			return err
		}
		if failed != nil && failed.deployment != in.deployment {
			failed.tally.add(true, time.Since(x.started)) // another one's answer does not make it well
		}
		err = x.passTo(ctx, in)
		if err == nil {
			in.health.answered()
			return nil
		}
		last = x.judge(ctx, in, err)
		another, again := x.again(ctx, last, attempt)
		if !again {
			return last
		}
		x.retried, failed = true, in
		if another {
			tried = append(tried, in)
		}
	}
}

// passTo sends the request to an instance that is claimed, and releases it.
func (x *exchange) passTo(ctx context.Context, in *instance) error {
	defer in.release(&x.claim)
	switch {
	case x.grpc && !in.becomeStream(&x.claim):
		return errOneMoment
	case in.upstream.http2 != nil:
		return x.passHTTP2(ctx, in)
	default:
		return x.passHTTP1(ctx, in)
	}
}

// hold claims an instance that has not been tried, under the newest table.
func (x *exchange) hold(ctx context.Context, tried []*instance) (*instance, error) {
	for {
		table := x.g.table.current.Load()
		rt, same := table.route(x.host, x.path)
		switch {
		case !same:
			return nil, errBadTarget
		case rt == nil:
			return nil, errNoRoute
		}
		if rt.gate != x.enteredBy() {
			if err := x.enter(ctx, rt); err != nil {
				return nil, err // the policy has changed since
			}
		}
		now := x.g.table.clock()
		x.route = rt.forClient(x)
		in := x.route.pick(now, tried)
		if in == nil && x.route != rt {
			x.route = rt // rather the release before than none
			in = rt.pick(now, tried)
		}
		if in == nil {
			return nil, errNoInstance
		}
		x.claim.stage = rt.StageID
		had := x.claim.in
		switch err := in.claim(&x.claim, x.g.most); {
		case err == nil && x.g.table.current.Load() == table:
			return in, nil
		case err == nil:
			// Whoever put another table there may have asked those with a claim
			// before this one was made: nobody would ask this one.
			in.release(&x.claim)
			x.claim.in = had // this one sees nothing of it
			continue
		case errors.Is(err, errBusy):
			x.route.meter.refused.Add(1)
			return nil, err
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
func (x *exchange) again(ctx context.Context, err error, attempt int) (another, again bool) {
	if x.status != 0 || x.left(ctx) {
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
func (x *exchange) judge(ctx context.Context, in *instance, err error) error {
	x.mu.Lock()
	why := x.why
	x.mu.Unlock()
	failed := x.body.failed()
	switch {
	case why != nil && !errors.Is(why, errLeft):
		return why
	case failed != nil: // before the client's leaving, which net/http takes it for
		return failed
	case why != nil:
		return why
	case errors.Is(err, errLeft), x.left(ctx):
		return errLeft
	case errors.Is(err, errOneMoment):
		return err
	}
	if unanswered, ok := errors.AsType[*unansweredError](err); ok && unanswered.reused {
		return err // the app closed a connection that it had kept; that is its right
	}
	if in.health.failed(x.g.table.clock(), errors.As(err, new(*refusedError))) {
		x.g.log.WarnContext(ctx, "instance does not answer and is passed over for a while", x.attrs("error", err)...)
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

// cutWith ends the request when its client has left.
func (x *exchange) cutWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if x.left(ctx) {
			x.cut(errLeft)
		}
	})
}

// left says whether the client has left. That ctx ended does not prove it once
// the rest of the body is not wanted: see [exchange.leaveBody].
func (x *exchange) left(ctx context.Context) bool {
	return ctx.Err() != nil && !x.body.unwanted.Load()
}
