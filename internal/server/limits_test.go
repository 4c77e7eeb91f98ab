package server

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/deploy"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/needs"
	"berth/internal/settings"
)

// newServer builds a Server, which does not run, with settings of the test's
// choice.
func newServer(t *testing.T, environ ...string) *Server {
	t.Helper()
	s, err := start(t, environ)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	return s
}

// startFails gives the error of a server that can not be made.
func startFails(t *testing.T, environ ...string) error {
	t.Helper()
	_, err := start(t, environ)
	require.Error(t, err)
	return err
}

func start(t *testing.T, environ []string) (*Server, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	set, err := settings.Load(append(environ, "BERTH_LISTEN="+needs.Address(t), "BERTH_ENGINE=unix:///nowhere/engine.sock"), dir)
	require.NoError(t, err)
	return New(t.Context(), Config{Settings: set, Version: "test", Log: slog.New(slog.DiscardHandler), PasswordCost: bcrypt.MinCost})
}

func TestMaxBody_OfNothingIsNoLimit(t *testing.T) {
	const large = 2 << 30 // more than the default takes
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.ContentLength) // and reads none of it
	}))
	t.Cleanup(app.Close)
	for set, want := range map[string]int{"": http.StatusRequestEntityTooLarge, "0": http.StatusOK, "3GiB": http.StatusOK, "1MiB": http.StatusRequestEntityTooLarge} {
		t.Run("BERTH_MAX_BODY="+set, func(t *testing.T) {
			s := newServer(t, "BERTH_MAX_BODY="+set)
			table := gateway.NewTable(gateway.TableConfig{Clock: time.Now, Log: s.log})
			g, err := s.newGateway(table)
			require.NoError(t, err)
			require.NoError(t, table.Switch(t.Context(), deploy.Route{
				Access:  identity.Public(),
				StageID: "1", Project: "shop", Stage: "prod", Hostname: "shop.localhost", PathPrefix: "/", Deployment: "1",
				Instances: []deploy.Endpoint{{Instance: "1", Container: "1", Address: strings.TrimPrefix(app.URL, "http://")}},
			}))
			front := httptest.NewServer(g)
			t.Cleanup(front.Close)
			conn, err := net.Dial("tcp", front.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))

			fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", large)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)

			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, want, answer.StatusCode)
		})
	}
}

func TestShutdownTimeout_OfNothingIsNoTime(t *testing.T) {
	require.Equal(t, time.Nanosecond, orNone(0), "0 is the parts' own default")
	require.Equal(t, time.Minute, orNone(time.Minute))
}
