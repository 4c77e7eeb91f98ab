package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

// newWatched starts an app whose connections tell their states.
func newWatched(t *testing.T, states chan<- http.ConnState) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	s.Start()
	t.Cleanup(s.Close)
	return addressOf(s)
}

// hasty is an app that closes the connections it keeps as badly as it can:
// after a random short time, often at the very moment a request arrives, or
// without reading it. It never closes a connection before the first request
// on it has been answered, and counts each request that it has read as a whole.
type hasty struct {
	listener net.Listener
	group    sync.WaitGroup
	served   atomic.Int64
	dropped  atomic.Int64 // connections closed with a request under way
}

func newHasty(t *testing.T) *hasty {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hasty{listener: l}
	h.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.group.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		h.group.Wait()
	})
	return h
}

func (h *hasty) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for n := 0; ; n++ {
		if n > 0 {
			switch rand.IntN(4) {
			case 0: // at once, or after a short while
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
				return
			case 1: // when a request arrives: it is there, unread
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if _, err := in.Peek(1); err == nil {
					h.dropped.Add(1)
				}
				return
			case 2: // when it has read the head
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if _, err := http.ReadRequest(in); err == nil {
					h.dropped.Add(1)
				}
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(20)) * time.Millisecond))
		}
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_ = c.SetReadDeadline(time.Time{})
		length, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		h.served.Add(1)
		text := strconv.FormatInt(length, 10)
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
			return
		}
	}
}

// TestGateway_NeverFailsForAnAppThatClosesItsConnections is the keep-alive
// race: no answer but 200, and no POST that the app saw twice.
func TestGateway_NeverFailsForAnAppThatClosesItsConnections(t *testing.T) {
	r := newRig(t)
	h := newHasty(t)
	r.route(routeTo("shop.localhost", "d1", h.listener.Addr().String()))
	const workers, each = 8, 250
	var posts, others atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := range each {
				length := rand.IntN(2000)
				if i%20 == 0 {
					length = 100_000 // too long to be held
				}
				text := strings.Repeat("x", length)
				var body io.Reader = strings.NewReader(text)
				method := []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodPost}[(i+worker)%4]
				switch {
				case method == http.MethodGet:
					length, body = 0, nil
				case i%3 == 0:
					body = io.MultiReader(body) // chunked
				}
				req, _ := http.NewRequestWithContext(context.Background(), method, "http://shop.localhost/", body)
				req.GetBody = nil
				res, err := r.client.Transport.RoundTrip(req)
				if !assert.NoError(t, err) { //nolint:testifylint // not the test's own goroutine
					return
				}
				answer, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				//nolint:testifylint // not the test's own goroutine
				if !assert.NoError(t, err) || !assert.Equal(t, "200 OK", res.Status, method) || !assert.Equal(t, strconv.Itoa(length), string(answer)) {
					return
				}
				if method == http.MethodPost {
					posts.Add(1)
				} else {
					others.Add(1)
				}
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // connections must fall idle
			}
		})
	}
	group.Wait()
	t.Logf("%d POST, %d others, %d dropped by the app with a request under way", posts.Load(), others.Load(), h.dropped.Load())
	require.EqualValues(t, workers*each, posts.Load()+others.Load())
	require.Equal(t, posts.Load()+others.Load(), h.served.Load(), "no request may be served twice here")
	require.Positive(t, h.dropped.Load(), "the app must have been nasty")
}

func TestGateway_DoesNotRepeatARequestThatMayHaveBeenDone(t *testing.T) {
	r := newRig(t)
	var seen atomic.Int64
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(http.ResponseWriter, *http.Request) {
		seen.Add(1)
		panic(http.ErrAbortHandler)
	}))))
	res, _ := r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader("buy"))
	assert.Equal(t, http.StatusBadGateway, res.StatusCode)
	assert.EqualValues(t, 1, seen.Load())

	seen.Store(0)
	res, _ = r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader("buy"), func(q *http.Request) {
		q.Header.Set("Idempotency-Key", "1")
	})
	assert.Equal(t, http.StatusBadGateway, res.StatusCode)
	assert.EqualValues(t, attemptsMost, seen.Load())
}

func TestGateway_SendsAGetAgainAfterA408OnAKeptConnection(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	group.Go(func() {
		for first := true; ; first = false {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			if _, err := http.ReadRequest(in); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				if first {
					_, _ = in.Peek(1)
					_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				}
			}
			_ = c.Close()
		}
	})
	r.route(routeTo("shop.localhost", "d1", l.Addr().String()))
	for range 2 {
		res, text := r.get("http://shop.localhost/")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "ok", text)
	}
}

func TestGateway_BoundsTrailers(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	written := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
		n := 0
		for line := "X-Trailer: " + strings.Repeat("y", 1000) + "\r\n"; err == nil; n++ { // until nobody reads it
			_, err = io.WriteString(c, line)
		}
		written <- n
	}()
	t.Cleanup(func() { _ = l.Close() })
	r.route(routeTo("shop.localhost", "d1", l.Addr().String()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.localhost/", http.NoBody)
	require.NoError(t, err)
	res, err := r.client.Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	require.Error(t, err, "an answer that never ended was called whole")
	require.Positive(t, <-written)
}

func TestGateway_PassesAnInstanceOverThatDoesNotAnswerAndTriesItAgain(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r := newRig(t, func(c *Config) { c.Clock = func() time.Time { return time.Unix(0, now.Load()) } })
	away := needs.Address(t)
	named := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }
	}
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, named("here"))), away))

	for range 20 {
		res, text := r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader("x"))
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "here", text)
	}
	require.Contains(t, r.log.String(), "passed over")

	l, err := net.Listen("tcp", away)
	require.NoError(t, err)
	back := &http.Server{Handler: named("back")}
	var group sync.WaitGroup
	group.Go(func() { _ = back.Serve(l) })
	defer group.Wait()
	defer func() { _ = back.Close() }()
	now.Add(int64(time.Minute))
	seen := map[string]int{}
	for range 20 {
		_, text := r.get("http://shop.localhost/")
		seen[text]++
	}
	assert.GreaterOrEqual(t, seen["back"], 5, seen)
	assert.GreaterOrEqual(t, seen["here"], 5, seen)
}

func TestGateway_TellsWhenNoInstanceCanBeReached(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", needs.Address(t)))
	for range 5 {
		res, _ := r.get("http://shop.localhost/")
		require.Equal(t, http.StatusBadGateway, res.StatusCode)
	}
}
