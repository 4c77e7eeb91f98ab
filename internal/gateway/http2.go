package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/deploy"
)

// newHTTP2 makes the way to an app that speaks HTTP/2. There a server says
// which requests it has not looked at before it closes (GOAWAY), and net/http
// sends those again, so no choice of connections is needed.
func newHTTP2(to deploy.Endpoint, by *edge) *http.Transport {
	dialer, config := by.dialer(to), by.tlsTo(to, "h2")
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, to.Address)
		if err == nil && config != nil {
			c, err = secureHTTP2(ctx, c, config)
		}
		if err != nil {
			return nil, &refusedError{err}
		}
		return c, nil
	}
	t := &http.Transport{
		DialContext:            dial,
		DialTLSContext:         dial,
		DisableCompression:     true,
		IdleConnTimeout:        idleLimit,
		MaxResponseHeaderBytes: answerHeadMost,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	t.Protocols.SetHTTP2(config != nil)
	t.Protocols.SetUnencryptedHTTP2(config == nil)
	return t
}

// secureHTTP2 speaks TLS over a connection, to what speaks HTTP/2 within it.
func secureHTTP2(ctx context.Context, nc net.Conn, config *tls.Config) (net.Conn, error) {
	c, err := secure(ctx, nc, config)
	if err != nil {
		return nil, err
	}
	if c.ConnectionState().NegotiatedProtocol != "h2" { // net/http would go on in HTTP/1.1
		return nil, errors.Join(errNoHTTP2, nc.Close())
	}
	return c, nil
}

var errNoAnswerInTime = errors.New("the app did not answer in time")

// passHTTP2 sends the request over HTTP/2, and passes the answer on.
func (x *exchange) passHTTP2(ofClient context.Context, in *instance) error {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ofClient))
	defer cancel(nil)
	defer x.cutWith(ofClient)()
	x.mu.Lock()
	x.cancel = func() { cancel(x.why) }
	cut := x.why != nil
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.cancel = nil
		x.mu.Unlock()
	}()
	if cut {
		return x.why
	}

	var late *time.Timer
	var answering sync.Mutex // keeps progress from starting late again after the answer
	answered := false
	if !x.grpc { // which has deadlines of its own, and calls that wait for news
		late = time.AfterFunc(x.route.RequestTimeout, func() { cancel(errNoAnswerInTime) })
		defer late.Stop()
	}
	out := x.outgoing(ctx, in, func() {
		answering.Lock()
		defer answering.Unlock()
		if late != nil && !answered && late.Stop() {
			late.Reset(x.route.RequestTimeout)
		}
	})
	if b, ok := out.Body.(*passedBody); ok {
		defer b.leave()
	}
	answer, err := in.upstream.http2.RoundTrip(out)
	answering.Lock()
	answered = true
	if late != nil {
		late.Stop()
	}
	answering.Unlock()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if errors.As(err, new(*refusedError)) {
			return err
		}
		return &unansweredError{err, false}
	}
	defer func() { _ = answer.Body.Close() }()
	return x.answerHTTP2(answer)
}

// outgoing makes the request that the app gets. progress is called as the body goes.
func (x *exchange) outgoing(ctx context.Context, in *instance, progress func()) *http.Request {
	r := x.r
	h := make(http.Header, len(r.Header)+8)
	x.eachForwarded(func(name string, values []string) { h[name] = values })
	x.eachSet(func(name, value string) { h[name] = append(slices.Clip(h[name]), value) }) // others' loop marks stay
	if hasToken(r.Header["Te"], "trailers") {
		h.Set("Te", "trailers")
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = nil // keeps net/http from setting its own
	}
	target := &url.URL{Scheme: in.scheme(), Host: in.Address, RawPath: x.route.targetPath(r.URL), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	target.Path, _ = url.PathUnescape(target.RawPath) // net/http has taken it once
	out := &http.Request{Method: r.Method, URL: target, Proto: "HTTP/2.0", ProtoMajor: 2, Host: x.hostSent(), Header: h}
	switch {
	case x.body.small != nil:
		out.ContentLength = int64(len(x.body.small))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body.small)), nil }
		out.Body, _ = out.GetBody()
	case x.body.streamed:
		if r.ProtoMajor == 1 {
			_ = x.control.EnableFullDuplex()
		}
		out.ContentLength = r.ContentLength
		out.Trailer = http.Header{}
		for name := range r.Trailer {
			if x.g.own.mayTrail(name) {
				out.Trailer[name] = nil
			}
		}
		out.Body = &passedBody{x: x, out: out, progress: progress}
	}
	return out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != http.StatusContinue && x.r.ProtoAtLeast(1, 1) {
				x.inform(code, http.Header(header))
			}
			return nil
		},
	}))
}

// inform passes a 1xx answer on.
func (x *exchange) inform(status int, fields http.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || x.status != 0 {
		return
	}
	h := x.w.Header()
	maps.Copy(h, fields)
	x.g.own.keepCookies(h)
	x.w.WriteHeader(status)
	clear(h)
}

// passedBody is a streamed body on its way into the transport, which reads it
// in another goroutine.
type passedBody struct {
	x        *exchange
	out      *http.Request
	progress func()
	refused  atomic.Bool // the transport wants no more

	mu   sync.Mutex
	left bool
}

// Read reads a part.
func (b *passedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return 0, errBodyUnwanted
	}
	b.x.body.begun.Store(true)
	if b.refused.Load() { // looked at after begun was set: see Close
		return 0, errBodyUnwanted
	}
	n, err := b.x.readPart(p)
	b.progress()
	if errors.Is(err, io.EOF) {
		for name := range b.out.Trailer {
			b.out.Trailer[name] = trailing(b.x.r.Trailer[name])
		}
	}
	return n, err
}

// Close wakes who reads. A body that was not begun stays whole, for another
// instance: the transport closes it too when it could not connect.
func (b *passedBody) Close() error {
	b.refused.Store(true)
	if b.x.body.begun.Load() {
		b.x.leaveBody()
	}
	return nil
}

// leave waits until nobody reads, for good: the client's body must not be
// touched once its handler has returned.
func (b *passedBody) leave() {
	b.x.leaveBody()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// answerHTTP2 passes an answer on.
func (x *exchange) answerHTTP2(answer *http.Response) error {
	h := x.w.Header()
	skip := named(answer.Header["Connection"])
	for name, values := range answer.Header {
		if !hopByHop(name) && !slices.Contains(skip, name) {
			h[name] = values
		}
	}
	x.g.own.keepCookies(h)
	x.comeHome(h)
	if strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") && !x.becomeStream() {
		clear(h)
		return errOneMoment
	}
	var announced []string
	for name := range answer.Trailer {
		announced = append(announced, name)
	}
	if announced != nil {
		h["Trailer"] = announced
		if x.r.ProtoMajor == 1 {
			delete(h, "Content-Length") // there only a chunked body has trailers
		}
	}
	x.begin(answer.StatusCode)
	if answer.ContentLength < 0 && answer.Body != http.NoBody {
		// Not when there is no body: gRPC clients want such an answer in one
		// frame.
		if err := x.flush(); err != nil {
			return err
		}
	}
	if err := x.copyHTTP2(answer); err != nil {
		return err
	}
	for name, values := range answer.Trailer {
		if name == "Set-Cookie" {
			continue
		}
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	return nil
}

func (x *exchange) copyHTTP2(answer *http.Response) error {
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	for {
		n, readErr := answer.Body.Read(*buffer)
		if n > 0 {
			if err := x.write((*buffer)[:n], answer.ContentLength < 0); err != nil {
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
