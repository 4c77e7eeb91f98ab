// Package gateway is the data plane: it takes every request that comes in,
// finds the route for its host and path, claims an instance of the release
// that is live, passes the request through, and counts what happened.
//
// Start with [Table], which says where requests go and is what package deploy
// switches, and [Gateway.ServeHTTP], the way of one request.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth/internal/sqlite"
)

// Config is what a [Gateway] is made of.
type Config struct {
	Table *Table
	// Base answers for Berth's own hosts, which IsBase names. The host it is
	// given is lower case and has neither port nor trailing dot.
	Base   http.Handler
	IsBase func(host string) bool
	// AccessLog is the share of requests that are logged, none when zero.
	AccessLog AccessLogMode
	// MaxBodyBytes bounds a request's body where its route does not; 1 GiB
	// when zero.
	MaxBodyBytes int64
	// ShutdownTimeout is what requests get to end when Serve ends, and
	// StreamShutdownTimeout what streams get; 30 s and 5 s when zero.
	ShutdownTimeout       time.Duration
	StreamShutdownTimeout time.Duration
	DB                    *sqlite.DB // keeps the minutes of the charts
	Log                   *slog.Logger
	Clock                 func() time.Time // time.Now when nil
}

// AccessLogMode is the share of requests that are logged, from 0 to 1.
type AccessLogMode float64

// The ends of the scale.
const (
	AccessLogOff AccessLogMode = 0
	AccessLogOn  AccessLogMode = 1
)

// Gateway passes requests through.
type Gateway struct {
	Config
}

// New checks c.
func New(c Config) (*Gateway, error) {
	if c.Table == nil || c.Base == nil || c.IsBase == nil {
		return nil, errors.New("gateway: Table, Base and IsBase are needed")
	}
	return &Gateway{c}, nil
}

// ServeHTTP takes one request from its arrival to its end.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, ok := normalHost(r.Host)
	if !ok {
		http.Error(w, "bad host", http.StatusBadRequest)
		return
	}
	if g.IsBase(host) {
		g.Base.ServeHTTP(w, r)
		return
	}
	for {
		at := g.Table.current.Load()
		rt := at.find(host, r.URL.Path)
		if rt == nil {
			http.Error(w, "no such app", http.StatusNotFound)
			return
		}
		ctx, cancel := context.WithCancelCause(r.Context())
		c := &claim{cut: cancel}
		if len(rt.instances) == 0 || !rt.instances[0].claim(c) {
			cancel(nil)
			if g.Table.current.Load() != at {
				continue
			}
			http.Error(w, "unavailable", http.StatusServiceUnavailable)
			return
		}
		defer cancel(nil)
		defer c.in.release(c)
		proxy := httputil.ReverseProxy{Transport: c.in.upstream.transport, Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: c.in.Address})
			p.Out.Host = p.In.Host
			p.SetXForwarded()
		}}
		proxy.ServeHTTP(w, r.WithContext(ctx))
		return
	}
}

// Serve takes connections from l until ctx ends.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err := s.Shutdown(ending)
		<-ended
		return err
	}
}

// Run keeps the minutes until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Minute is what passed through a stage's route within one minute.
type Minute struct {
	At       time.Time `json:"at"`
	Requests int64     `json:"requests"`
	Errors   int64     `json:"errors"` // answers of 500 and above
	BytesIn  int64     `json:"bytes_in"`
	BytesOut int64     `json:"bytes_out"`
	P50      float64   `json:"p50_ms"` // milliseconds
	P95      float64   `json:"p95_ms"`
	P99      float64   `json:"p99_ms"`
}

// Series gives a stage's minutes.
func (g *Gateway) Series(_ context.Context, _ string, _, _ time.Time) ([]Minute, error) {
	return nil, nil
}

// Collector gives the figures to Prometheus.
func (g *Gateway) Collector() prometheus.Collector {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_gateway_up"})
}
