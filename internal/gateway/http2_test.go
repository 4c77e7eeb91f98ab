package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"berth/internal/deploy"
)

// h2cApp starts a backend that speaks HTTP/2 without TLS only.
func h2cApp(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return addressOf(s)
}

func h2cRoute(host, deployment string, addresses ...string) deploy.Route {
	r := routeTo(host, deployment, addresses...)
	r.Protocol = deploy.H2C
	return r
}

// grpcApp starts a gRPC server with the health service.
func grpcApp(t *testing.T) (*grpchealth.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s, h := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	var group sync.WaitGroup
	group.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); group.Wait() })
	return h, l.Addr().String()
}

// grpcHandler is the health service, for a server that speaks HTTP/2.
func grpcHandler(t *testing.T) http.Handler {
	t.Helper()
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, grpchealth.NewServer())
	t.Cleanup(s.Stop)
	return s
}

func (r *rig) dialGRPC(host string) grpc_health_v1.HealthClient {
	r.t.Helper()
	c, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", r.address)
		}))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	return grpc_health_v1.NewHealthClient(c)
}

func TestGateway_PassesGRPC(t *testing.T) {
	r := newRig(t)
	server, address := grpcApp(t)
	server.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING)
	r.route(h2cRoute("grpc.localhost", "d1", address))
	client := r.dialGRPC("grpc.localhost")

	answer, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	require.NoError(t, err)
	assert.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.GetStatus())

	_, err = client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "unknown"})
	assert.Equal(t, codes.NotFound, status.Code(err), err)
	assert.Equal(t, "unknown service", status.Convert(err).Message())

	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	require.NoError(t, err)
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{1, 2, 1} {
		server.SetServingStatus("shop", want)
		got, err := watch.Recv()
		require.NoError(t, err)
		assert.Equal(t, want, got.GetStatus())
	}

	cut, err := r.table.Drain(t.Context(), "d1", 0, 20*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, 1, cut)
	_, err = watch.Recv()
	require.Error(t, err)
	_, err = client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	assert.Equal(t, codes.Unavailable, status.Code(err), err)
	_, err = r.dialGRPC("nowhere.localhost").Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	assert.Equal(t, codes.NotFound, status.Code(err), err)
}

func TestGateway_LosesNoGRPCCallOverSwaps(t *testing.T) {
	r := newRig(t)
	_, address := grpcApp(t)
	r.route(h2cRoute("grpc.localhost", "d0", address))
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 {
		client := r.dialGRPC("grpc.localhost")
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.Check(context.WithoutCancel(ctx), &grpc_health_v1.HealthCheckRequest{}); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	for i := range 20 {
		_, next := grpcApp(t)
		r.route(h2cRoute("grpc.localhost", fmt.Sprintf("d%d", i+1), next))
		cut, err := r.table.Drain(t.Context(), fmt.Sprintf("d%d", i), 10*time.Second, 10*time.Second)
		require.NoError(t, err)
		require.Zero(t, cut)
	}
	cancel()
	group.Wait()
}

func TestGateway_PassesHTTP1ToAnAppThatSpeaksHTTP2(t *testing.T) {
	r := newRig(t)
	r.route(h2cRoute("h2.localhost", "d1", h2cApp(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hints" {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Set("Trailer", "X-Sum")
		echo(w, req)
		w.Header().Set("X-Sum", "7")
	})))
	var hints int
	trace := func(q *http.Request) {
		q.Trailer = http.Header{"X-Client": {"t"}}
		q.Header.Set("X-Berth-User", "forged")
		*q = *q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
		}))
	}
	res, text := r.send(http.MethodPost, "http://h2.localhost/hints?a=b%20c", io.MultiReader(strings.NewReader("streamed")), trace)
	got := decode(t, text)
	assert.Equal(t, "/hints?a=b%20c", got.URI)
	assert.Equal(t, "streamed", got.Body)
	assert.Equal(t, "t", got.Trailer.Get("X-Client"))
	assert.Equal(t, "h2.localhost", got.Header.Get("Host"))
	assert.Equal(t, "127.0.0.1", got.Header.Get("X-Forwarded-For"))
	assert.Empty(t, got.Header.Get("X-Berth-User"))
	assert.Equal(t, "7", res.Trailer.Get("X-Sum"))
	assert.Equal(t, 1, hints)

	_, text = r.send(http.MethodPut, "http://h2.localhost//a%2Fb", strings.NewReader("small"))
	got = decode(t, text)
	assert.Equal(t, "//a%2Fb", got.URI)
	assert.Equal(t, "small", got.Body)
}

func TestGateway_EndsAnHTTP2RequestThatIsNotAnsweredInTime(t *testing.T) {
	r := newRig(t)
	left := make(chan struct{})
	route := h2cRoute("h2.localhost", "d1", h2cApp(t, func(_ http.ResponseWriter, req *http.Request) {
		<-req.Context().Done()
		close(left)
	}))
	route.RequestTimeout = 30 * time.Millisecond
	r.route(route)
	res, _ := r.get("http://h2.localhost/")
	assert.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	<-left
}

func TestGateway_PassesAnHTTP2AnswerThatComesBeforeTheBodyWasTaken(t *testing.T) {
	r := newRig(t)
	r.route(h2cRoute("h2.localhost", "d1", h2cApp(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "not you")
	})))
	c, err := net.Dial("tcp", r.address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h2.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, res.StatusCode)
	assert.Equal(t, "not you", string(text))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = c.Read(make([]byte, 1))
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection must end")
}
