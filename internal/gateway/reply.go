package gateway

import (
	"errors"
	"time"
)

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
	if x.r.ProtoMajor == 1 { // in HTTP/2 a head does not wait
		x.extend()
	}
	x.w.WriteHeader(status)
}

// clientStall is how long a client may take to take what it is sent, or to
// send what it announced, without any progress.
const clientStall = time.Minute

// extend gives the client time to take the next part of the answer.
func (x *exchange) extend() {
	_ = x.control.SetWriteDeadline(time.Now().Add(x.g.stall))
}

// relax takes the time limit away until there is more to send: in HTTP/2 it
// would end a stream that is silent.
func (x *exchange) relax() {
	if x.r.ProtoMajor != 1 {
		_ = x.control.SetWriteDeadline(time.Time{})
	}
}

// flush sends what has been written.
func (x *exchange) flush() error {
	if err := x.control.Flush(); err != nil {
		return errors.Join(errLeft, err)
	}
	return nil
}

// write sends a part of the answer's body, and all that came before it when
// the next part may be long in coming.
func (x *exchange) write(p []byte, now bool) error {
	x.extend()
	defer x.relax()
	if _, err := x.w.Write(p); err != nil {
		return errors.Join(errLeft, err)
	}
	x.sent += int64(len(p))
	if now {
		return x.flush()
	}
	return nil
}
