package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// reportOn has a server answer every request with the bytes of it as they
// came, but for the addresses that mean something to the tests: what a gateway
// sends an app is then seen before anything has read it.
func reportOn(server *http.Server) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", server.Addr)
	if err != nil {
		return err
	}
	known := server.Handler
	r := &reports{}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, heardKey{}, c) }
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		switch request.URL.Path {
		case "/health", "/ws", "/events":
			known.ServeHTTP(w, request)
		case "/seen":
			fmt.Fprintln(w, r.seen(request.URL.RawQuery))
		default:
			r.answer(w, request)
		}
	})
	return server.Serve(heardListener{l})
}

// reports remembers what was asked for.
type reports struct {
	mu    sync.Mutex
	asked []string
}

// reportsMost bounds that.
const reportsMost = 20_000

func (r *reports) answer(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	if len(r.asked) < reportsMost {
		r.asked = append(r.asked, request.RequestURI)
	}
	r.mu.Unlock()
	_, _ = io.Copy(io.Discard, request.Body)
	w.Header().Set("X-App-Version", version)
	w.Header().Set("X-App-Report", "yes")
	w.Header().Set("Content-Type", "text/plain")
	for _, line := range request.URL.Query()["set_cookie"] {
		w.Header().Add("Set-Cookie", line)
	}
	if c, ok := request.Context().Value(heardKey{}).(*heardConn); ok {
		_, _ = w.Write(c.take()) //nolint:gosec // a test says what it wants said, in plain text
	}
}

// seen says how many requests there were for /name.
func (r *reports) seen(name string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, uri := range r.asked {
		if strings.HasPrefix(uri, "/"+name) {
			n++
		}
	}
	return n
}

type heardKey struct{}

type heardListener struct{ net.Listener }

func (l heardListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &heardConn{Conn: c}, err
}

// heardConn keeps what is read from it.
type heardConn struct {
	net.Conn
	mu    sync.Mutex
	heard bytes.Buffer
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard.Len() < 1<<20 {
		c.heard.Write(p[:n])
	}
	return n, err
}

// take gives what was read since it was asked last.
func (c *heardConn) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := bytes.Clone(c.heard.Bytes())
	c.heard.Reset()
	return taken
}
