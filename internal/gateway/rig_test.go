package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
)

var localBase = &url.URL{Scheme: "http", Host: "localhost"}

// rig is a gateway that listens, and a client that sends every host to it.
type rig struct {
	t       testing.TB
	table   *Table
	gateway *Gateway
	address string
	client  *http.Client
	log     *logBuffer
	stop    func() error // ends Serve; may be called more than once
}

func newRig(tb testing.TB, edit ...func(*Config)) *rig {
	tb.Helper()
	r := &rig{t: tb, log: &logBuffer{}}
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	c := Config{
		Log:     log,
		Base:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "base") }),
		IsBase:  func(host string) bool { return host == "localhost" },
		BaseURL: localBase,
	}
	for _, e := range edit {
		e(&c)
	}
	r.table = NewTable(TableConfig{Log: log, Clock: c.Clock})
	c.Table = r.table
	var err error
	r.gateway, err = New(c)
	require.NoError(tb, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	r.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.gateway.Serve(ctx, l) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", r.address)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 100,
	}
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(r.log)
		}
		transport.CloseIdleConnections()
		_ = r.stop()
		for _, in := range r.table.all() {
			in.close()
		}
	})
	return r
}

// app starts a backend.
func app(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

// addressOf gives a backend's address.
func addressOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// routeTo makes a route of stage "id" at host, one instance an address.
func routeTo(host, deployment string, addresses ...string) deploy.Route {
	r := deploy.Route{
		StageID: "stage-" + host, Project: "shop", Stage: "prod", Hostname: host, PathPrefix: "/",
		Protocol: deploy.HTTP1, RequestTimeout: 10 * time.Second, Deployment: deployment, Access: identity.Public(),
	}
	for i, a := range addresses {
		r.Instances = append(r.Instances, deploy.Endpoint{Instance: deployment + "-" + string(rune('a'+i)), Container: "c", Address: a})
	}
	return r
}

func (r *rig) route(route deploy.Route) {
	r.t.Helper()
	require.NoError(r.t, r.table.Switch(context.Background(), route))
}

// get asks for a URL and reads the answer.
func (r *rig) get(target string, edit ...func(*http.Request)) (*http.Response, string) {
	r.t.Helper()
	return r.send(http.MethodGet, target, nil, edit...)
}

func (r *rig) send(method, target string, body io.Reader, edit ...func(*http.Request)) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	require.NoError(r.t, err)
	for _, e := range edit {
		e(req)
	}
	res, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res, string(text)
}

// useHTTP2 makes the client speak HTTP/2 without TLS.
func (r *rig) useHTTP2() {
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", r.address)
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	r.t.Cleanup(transport.CloseIdleConnections)
	r.client.Transport = transport
}

// raw sends bytes as they are and reads what comes until the connection ends.
func (r *rig) raw(request string) string {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	require.NoError(r.t, err)
	defer func() { _ = c.Close() }()
	require.NoError(r.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, request)
	require.NoError(r.t, err)
	answer, err := io.ReadAll(c)
	require.NoError(r.t, err)
	return string(answer)
}

type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
