package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a connection to an app is chosen, so that an app that closes its unused
// connections never costs a request:
//
// An app may close a connection it kept at any moment, also the one in which a
// request is under way to it. What the gateway then sees, an end before the
// first byte of an answer, is what it would see of an app that took the
// request, acted on it and crashed. RFC 9110 section 9.2.2 lets a proxy repeat
// a request then only when repeating does no harm. So:
//
//   - A request that may be repeated, and whose body (if it has one) is held
//     in memory, takes a kept connection. The connection is looked at first
//     (one recv with MSG_PEEK), which finds nearly all that were closed; when it
//     ends before an answer all the same, the request is sent again on a new
//     one.
//   - Every other request (POST and PATCH, and bodies too long to hold) takes
//     a new connection, which no app closes for having been unused. It costs a
//     connect on this machine; the connection is kept for others afterwards,
//     and the one unused for longest is closed for it, so that the app sees no
//     more connections than requests.
//   - A connection is kept for four seconds.
//
// No idle time is short enough to make a kept connection safe for a POST: an
// app that was busy for long sees its timer before it sees the request.

// readBuffer is what one read of an answer's or a request's body takes.
const readBuffer = 32 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }}

const (
	// answerIdle is how long an app may be silent within an answer that is
	// not a stream.
	answerIdle = 10 * time.Minute
	// continueWait is how long a body is held back for the app's 100
	// (Continue) (RFC 9110 section 10.1.1).
	continueWait = time.Second
	// informationMost bounds the 1xx answers before the final one.
	informationMost = 16
)

// passHTTP1 sends the request over one connection, and passes the answer on.
func (x *exchange) passHTTP1(ctx context.Context, in *instance) error {
	pool := in.upstream.http1
	var c *conn
	if x.body.replayable && !x.retried {
		c = pool.take()
	} else {
		pool.replace()
	}
	if c == nil {
		var err error
		if c, err = pool.dial(ctx); err != nil {
			return &refusedError{err}
		}
	}
	keep, err := false, errLeft
	if x.attach(c) {
		stop := x.cutWith(ctx)
		keep, err = x.roundTrip(c)
		stop()
	}
	if x.detach() && keep && err == nil {
		pool.put(c)
	} else {
		c.retire()
	}
	return err
}

// roundTrip does one round trip over c; keep says whether c can serve another.
func (x *exchange) roundTrip(c *conn) (keep bool, err error) {
	x.writeRequest(c.out)
	if x.body.streamed {
		return x.roundTripStreamed(c)
	}
	_, _ = c.out.Write(x.body.small)
	_ = c.SetDeadline(time.Now().Add(x.route.RequestTimeout))
	if err := c.out.Flush(); err != nil {
		return false, &unansweredError{err, c.reused}
	}
	return x.readFinal(c, nil)
}

// writeRequest writes the request's head. Errors stay in out until it is flushed.
func (x *exchange) writeRequest(out *bufio.Writer) {
	r := x.r
	_, _ = out.WriteString(r.Method)
	_ = out.WriteByte(' ')
	_, _ = out.WriteString(x.route.targetPath(r.URL))
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		_ = out.WriteByte('?')
		_, _ = out.WriteString(r.URL.RawQuery)
	}
	_, _ = out.WriteString(" HTTP/1.1\r\n")
	writeField(out, "Host", x.hostSent())
	x.eachForwarded(func(name string, values []string) {
		for _, v := range values {
			writeField(out, name, v)
		}
	})
	x.eachSet(func(name, value string) { writeField(out, name, value) })
	if hasToken(r.Header["Te"], "trailers") {
		writeField(out, "TE", "trailers")
	}
	switch {
	case x.body.chunkedIn:
		writeField(out, "Transfer-Encoding", "chunked")
		if names := x.trailerNames(); names != "" {
			writeField(out, "Trailer", names)
		}
	case r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		var digits [20]byte
		_, _ = out.WriteString("Content-Length: ")
		_, _ = out.Write(strconv.AppendInt(digits[:0], max(r.ContentLength, 0), 10))
		_, _ = out.WriteString("\r\n")
	}
	if x.body.expects {
		writeField(out, "Expect", "100-continue")
	}
	if x.upgrade != "" {
		writeField(out, "Connection", "Upgrade")
		writeField(out, "Upgrade", x.upgrade)
	}
	_, _ = out.WriteString("\r\n")
}

// eachForwarded calls f with each field that the app gets as the client sent
// it. Where the policy counts methods, none of them makes another method of
// the one that was decided on.
func (x *exchange) eachForwarded(f func(name string, values []string)) {
	if !x.route.gate.ByMethod() {
		x.g.own.eachForwarded(x.r.Header, f)
		return
	}
	x.g.own.eachForwarded(x.r.Header, func(name string, values []string) {
		if !overrides(name) {
			f(name, values)
		}
	})
}

// eachSet calls f with each field that the gateway sets itself.
func (x *exchange) eachSet(f func(name, value string)) {
	f("X-Forwarded-For", x.from.address)
	f("X-Forwarded-Host", x.r.Host)
	f("X-Forwarded-Proto", x.from.proto)
	f("X-Real-IP", x.from.address)
	f("Forwarded", x.from.forwarded(x.r.Host))
	f("X-Request-Id", x.id)
	x.tell(f)
	if x.route.StripPrefix && x.route.PathPrefix != "/" {
		f("X-Forwarded-Prefix", x.route.PathPrefix)
	}
	if x.route.Fixed != nil {
		f(loopHeader, x.g.loopMark)
	}
}

func (x *exchange) trailerNames() string {
	var names []string
	for name := range x.r.Trailer {
		if x.g.own.mayTrail(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// readFinal reads answers up to the final one and passes all of them on. onHead
// is told the status of each as soon as it is known.
func (x *exchange) readFinal(c *conn, onHead func(status int)) (keep bool, err error) {
	h := x.w.Header()
	c.budget = answerHeadMost
	var a answer
	for range informationMost {
		if a, err = readAnswer(c.in, x.r.Method, h); err != nil {
			clear(h)
			if errors.Is(err, errBadAnswer) || errors.Is(err, errHeadTooLarge) || isTimeout(err) {
				return false, err
			}
			return false, &unansweredError{err, c.reused}
		}
		x.g.own.keepCookies(h)
		if onHead != nil {
			onHead(a.status)
		}
		if a.status >= 200 || a.status == http.StatusSwitchingProtocols {
			break
		}
		if a.status != http.StatusContinue && x.r.ProtoAtLeast(1, 1) {
			x.w.WriteHeader(a.status)
		}
		clear(h)
	}
	c.budget = -1
	switch {
	case a.status == http.StatusSwitchingProtocols:
		return false, x.tunnel(c, a)
	case a.status < 200:
		clear(h)
		return false, badAnswer("more than 16 informational answers")
	case a.status == http.StatusRequestTimeout && c.reused && a.close && x.body.replayable:
		// Not about this request: the app gave up waiting for it and said so
		// when it was already under way (RFC 9110 section 15.5.9).
		clear(h)
		return false, &unansweredError{badAnswer("408 on a kept connection"), true}
	}
	return x.answerWith(c, a)
}

// answerWith passes the final answer on.
func (x *exchange) answerWith(c *conn, a answer) (keep bool, err error) {
	h := x.w.Header()
	x.comeHome(h)
	if strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") && !x.becomeStream() {
		clear(h)
		return false, errOneMoment
	}
	if a.trailers != nil {
		h["Trailer"] = a.trailers
	}
	x.begin(a.status)
	if a.length != 0 {
		if err := x.copyBody(c, a); err != nil {
			return false, err
		}
	}
	if a.chunked {
		c.budget = answerHeadMost
		err := readTrailers(c.in, func(name, value string) {
			if name == "Set-Cookie" {
				return
			}
			if !slices.Contains(a.trailers, name) {
				name = http.TrailerPrefix + name
			}
			h[name] = append(h[name], value)
		})
		if err != nil {
			return false, err
		}
		c.budget = -1
	}
	return !a.close && c.in.Buffered() == 0, nil
}

// copyBody passes a body on. When its length is not known, what came is not
// held back while more is waited for.
func (x *exchange) copyBody(c *conn, a answer) error {
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	from := a.body(c.in)
	if x.stream {
		_ = c.SetReadDeadline(time.Time{})
	}
	held := a.length < 0 || x.stream // whether what is held back must go before waiting for more
	for {
		if c.in.Buffered() == 0 { // so that reading may wait
			if !x.stream {
				_ = c.SetReadDeadline(time.Now().Add(answerIdle))
			}
			if held {
				if err := x.flush(); err != nil {
					return err
				}
			}
		}
		n, readErr := from.Read(*buffer)
		if n > 0 {
			if err := x.write((*buffer)[:n], false); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return readErr
		}
	}
}

// roundTripStreamed does a round trip whose body is passed on while the answer may
// already come.
func (x *exchange) roundTripStreamed(c *conn) (keep bool, err error) {
	if x.r.ProtoMajor == 1 {
		_ = x.control.EnableFullDuplex()
	}
	x.body.begun.Store(true)
	_ = c.SetDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(x.route.RequestTimeout))
	if err := c.out.Flush(); err != nil {
		return false, &unansweredError{err, c.reused}
	}
	s := &sending{x: x, c: c, proceed: make(chan bool, 1), over: make(chan struct{}), done: make(chan struct{})}
	if !x.body.expects {
		s.proceed <- true
	}
	go s.run()
	defer func() { keep = s.end() && keep }()
	return x.readFinal(c, s.answered)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
