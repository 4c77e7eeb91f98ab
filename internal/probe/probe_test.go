package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/probe"
)

func TestHTTP_TakesTheStatusAskedForAndNoOther(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/host":
			if r.Host != "shop.example" {
				w.WriteHeader(http.StatusMisdirectedRequest)
			}
		case "/away":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/slow":
			<-r.Context().Done()
		}
	}))
	t.Cleanup(app.Close)
	for _, c := range []struct {
		path   string
		status int
		fails  string
	}{
		{"/", 0, ""},
		{"/host", 0, ""},
		{"/away", 0, "GET /away answered 302, expected 200 to 299"},
		{"/away", 302, ""},
		{"/teapot", 418, ""},
		{"/teapot", 200, "GET /teapot answered 418, expected 200"},
		{"/slow", 0, "GET /slow: no answer in time"},
	} {
		within := time.Minute
		if c.path == "/slow" {
			within = 50 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		err := probe.New().HTTP(ctx, probe.Request{
			Address: app.Listener.Addr().String(), Host: "shop.example", Path: c.path, Status: c.status,
		})
		cancel()
		if c.fails == "" {
			require.NoError(t, err, c.path)
		} else {
			require.EqualError(t, err, c.fails)
		}
	}
}

func TestHTTP_SpeaksHTTP2WithoutTLSWhenTold(t *testing.T) {
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	app.Config.Protocols = &both
	app.Start()
	t.Cleanup(app.Close)
	r := probe.Request{Address: app.Listener.Addr().String(), Path: "/", H2C: true}
	require.NoError(t, probe.New().HTTP(t.Context(), r))
	r.H2C = false
	require.Error(t, probe.New().HTTP(t.Context(), r))
}

func TestTCP_DoesNotBelieveAProxyThatHangsUp(t *testing.T) {
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serve(conn)
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return l.Addr().String()
	}
	quiet := listen(func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
	greets := listen(func(c net.Conn) { _, _ = c.Write([]byte("220 hello\r\n")); c.Close() })
	hangsUp := listen(func(c net.Conn) { c.Close() })

	c := probe.New()
	require.NoError(t, c.TCP(t.Context(), quiet))
	require.NoError(t, c.TCP(t.Context(), greets))
	require.ErrorContains(t, c.TCP(t.Context(), hangsUp), "nothing listens")
	require.EqualError(t, c.TCP(t.Context(), "127.0.0.1:1"), "connection refused")
}
