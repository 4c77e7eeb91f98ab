package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// smallBody is how many bytes of a body are read before an instance is
// claimed, so that it can be sent at once, and again.
const smallBody = 16 << 10

var (
	errBodyTooLarge = errors.New("the request's body is too large")
	errBodyTooSlow  = errors.New("the request's body came too slowly")
	errBodyBroken   = errors.New("the request's body is broken")
	errBodyUnwanted = errors.New("the rest of the request's body is not wanted")
)

// body is a request's body on its way to the app.
type body struct {
	small      []byte      // all of it, when it is small and its length was known
	streamed   bool        // it is passed on as it comes
	chunkedIn  bool        // its length was not said
	replayable bool        // the whole request may be sent again
	begun      atomic.Bool // some of a streamed body may have been read
	whole      atomic.Bool // the client has sent all of it
	unwanted   atomic.Bool // nobody reads the rest
	expects    bool        // the client waits for 100 (Continue)
	limit      int64
	read       atomic.Int64
	problem    atomic.Pointer[error]
}

// idempotent says that a request may be repeated (RFC 9110 section 9.2.2).
// Idempotency-Key is how a client says so for any method.
func idempotent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil
}

// takeBody looks at the request's body, and reads it when it is small.
func (x *exchange) takeBody() error {
	b, r := &x.body, x.r
	if b.limit = x.route.MaxBodyBytes; b.limit <= 0 {
		b.limit = x.g.maxBody
	}
	switch {
	case b.whole.Load(): // there is none
		b.replayable = idempotent(r)
		return nil
	case r.ContentLength > b.limit:
		return errBodyTooLarge
	case r.Header["Expect"] != nil || r.ContentLength < 0 || r.ContentLength > smallBody || x.grpc:
		b.streamed = true
		b.chunkedIn = r.ContentLength < 0
		b.expects = r.Header["Expect"] != nil
		return nil
	}
	_ = x.control.SetReadDeadline(time.Now().Add(x.g.stall))
	b.small = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, b.small); err != nil {
		return b.fail(err)
	}
	b.read.Store(r.ContentLength)
	b.whole.Store(true)
	_ = x.control.SetReadDeadline(time.Time{})
	b.replayable = idempotent(r)
	return nil
}

// readPart reads a part of a streamed body, within the limits of size and time.
func (x *exchange) readPart(p []byte) (int, error) {
	b := &x.body
	late := time.Now().Add(x.g.stall)
	if !x.grpc { // whose streams may be silent for as long as they like
		_ = x.control.SetReadDeadline(late)
	}
	if b.unwanted.Load() { // looked at after setting the deadline: see leaveBody
		return 0, errBodyUnwanted
	}
	n, err := x.r.Body.Read(p)
	if x.r.ProtoMajor != 1 && !x.grpc && !b.unwanted.Load() {
		// In HTTP/2 a deadline also ends a body that nobody reads at the
		// moment. In HTTP/1.1 net/http has taken it away at the body's end.
		_ = x.control.SetReadDeadline(time.Time{})
	}
	if b.read.Add(int64(n)) > b.limit {
		return 0, b.fail(errBodyTooLarge)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.whole.Store(true)
	case b.unwanted.Load() && time.Now().Before(late):
		return n, errBodyUnwanted
	default:
		err = b.fail(err)
	}
	return n, err
}

// leaveBody wakes who reads a streamed body; no read begins after it.
//
// In HTTP/1.1 net/http takes the deadline that does it for the end of the
// client: it cancels the request's context (see [exchange.left]), and that of
// every later request on the connection. So it may only be done while the
// answer has not begun, or has with "Connection: close" (see [exchange.begin]).
func (x *exchange) leaveBody() {
	x.body.unwanted.Store(true)
	if x.body.whole.Load() {
		return
	}
	_ = x.control.SetReadDeadline(time.Unix(1, 0))
}

// fail keeps the first thing that went wrong with the body on the client's side.
func (b *body) fail(err error) error {
	switch {
	case errors.Is(err, errBodyTooLarge):
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errBodyTooSlow
	default:
		err = errors.Join(errBodyBroken, err)
	}
	b.problem.CompareAndSwap(nil, &err)
	return err
}

// failed gives what went wrong on the client's side.
func (b *body) failed() error {
	if p := b.problem.Load(); p != nil {
		return *p
	}
	return nil
}
