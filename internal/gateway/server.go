package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of the side that faces clients.
const (
	headTime        = 10 * time.Second // from the first byte of a request to the end of its head
	clientIdle      = 2 * time.Minute  // between requests on one connection
	requestHeadMost = 64 << 10         // bytes
	streamsPerConn  = 250              // HTTP/2 requests at one time on one connection
)

// Serve takes connections from l, speaking HTTP/1.1 and HTTP/2 without TLS,
// until ctx ends. Then it takes no more, lets requests end within their time
// and streams within theirs, cuts what is left, and returns when all of it has
// ended. Streams of Base end by their own means. Connections over
// Config.MaxConnections are turned away.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headTime,
		IdleTimeout:       clientIdle,
		MaxHeaderBytes:    requestHeadMost,
		Protocols:         new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsPerConn, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second,
			WriteByteTimeout: clientStall,
		},
		ErrorLog:    slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnState:   g.clients.state,
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)

	ended := make(chan error, 1)
	go func() { ended <- s.Serve(bounded{l, g.clients}) }()
	select {
	case err := <-ended:
		return fmt.Errorf("take connections: %w", err)
	case <-ctx.Done():
	}
	err := g.end(context.WithoutCancel(ctx), s)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// errEnding ends what is left when Berth stops.
var errEnding = errors.New("Berth is stopping") //nolint:staticcheck // a name

// end brings the server to its end.
func (g *Gateway) end(ctx context.Context, s *http.Server) error {
	requests := g.requests()
	over := make(chan struct{})
	cut := make(chan int, 1)
	go func() { cut <- g.cutLate(requests, min(g.streams, requests), over) }()

	ending, cancel := context.WithTimeout(ctx, requests+cutGrace)
	defer cancel()
	err := s.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		// Those to Base, which cutLate does not know. It is what was announced,
		// and whoever is slow enough can have it so: it is no failure of ours.
		g.log.WarnContext(ctx, "requests to Berth itself were cut")
		err = s.Close()
	}
	g.awaitTunnels(ending)
	close(over)
	if n := <-cut; n > 0 {
		g.log.WarnContext(ctx, "requests and streams were cut", "cut", n)
	}
	return err
}

// cutLate cuts requests and streams when their time is over, until over is closed.
func (g *Gateway) cutLate(requestsGet, streamsGet time.Duration, over <-chan struct{}) (cut int) {
	streams, requests := time.NewTimer(streamsGet), time.NewTimer(requestsGet)
	defer streams.Stop()
	defer requests.Stop()
	for {
		select {
		case <-streams.C:
			for _, in := range g.table.all() {
				cut += in.cutClaims(true, errEnding)
			}
		case <-requests.C:
			for _, in := range g.table.all() {
				cut += in.cutClaims(false, errEnding)
			}
		case <-over:
			return cut
		}
	}
}

// awaitTunnels waits for the connections that were taken over, which the
// server does not know any more.
func (g *Gateway) awaitTunnels(ctx context.Context) {
	for _, in := range g.table.all() {
		for {
			requests, streams, changed := in.busy()
			if requests+streams == 0 {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}
