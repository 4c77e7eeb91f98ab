package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
)

// shell gives a server whose one instance runs, and whose commands write what
// they read until their input ends; and the path that runs one.
func (s *server) shell() (path string) {
	s.engine.exec = func(x container.Exec) (int, error) {
		_, err := io.Copy(x.Stdout, x.Stdin)
		return 7, err
	}
	return "/api/instances/" + s.instance() + "/exec"
}

// dial opens the WebSocket; where it is refused, conn is nil.
func (s *server) dial(path string, change ...func(*http.Request)) (conn *websocket.Conn, status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	require.NoError(s.t, err)
	for _, f := range change {
		f(r)
	}
	conn, answer, err := websocket.Dial(s.t.Context(), s.URL+path, &websocket.DialOptions{HTTPHeader: r.Header, Subprotocols: []string{api.ExecProtocol}})
	if err != nil {
		require.NotNil(s.t, answer, "%v", err)
		return nil, answer.StatusCode
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn, answer.StatusCode
}

func say(t *testing.T, conn *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	require.NoError(t, conn.Write(t.Context(), kind, []byte(text)))
}

// hear reads output until the last message.
func hear(t *testing.T, conn *websocket.Conn) (out string, last api.ExecEnd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var read bytes.Buffer
	for {
		kind, raw, err := conn.Read(ctx)
		require.NoError(t, err)
		if kind == websocket.MessageText {
			require.NoError(t, json.Unmarshal(raw, &last))
			return read.String(), last
		}
		require.Equal(t, api.ExecStdout, raw[0])
		read.Write(raw[1:])
	}
}

func from(origin string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Origin", origin) }
}

// execs gives how many commands run, and how many were begun.
func (s *server) execs() (figures []float64) {
	metrics := prometheus.NewPedanticRegistry()
	require.NoError(s.t, metrics.Register(s.deploy.Collector()))
	families, err := metrics.Gather()
	require.NoError(s.t, err)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "berth_execs_") {
			continue
		}
		for _, m := range f.GetMetric() {
			figures = append(figures, m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	return figures
}

func TestExec_IsForPagesOfBerthsOwn(t *testing.T) {
	s := newServer(t)
	path := s.shell()
	cookie := s.as(admin)
	for name, c := range map[string]struct {
		who    []func(*http.Request)
		status int
	}{
		"its own page":                         {[]func(*http.Request){cookie, from(s.URL)}, http.StatusSwitchingProtocols},
		"another page":                         {[]func(*http.Request){cookie, from("https://evil.example")}, http.StatusForbidden},
		"an app's page on the same machine":    {[]func(*http.Request){cookie, from("http://shop.localhost")}, http.StatusForbidden},
		"a page without an origin":             {[]func(*http.Request){cookie, from("null")}, http.StatusForbidden},
		"a cookie that says not where from":    {[]func(*http.Request){cookie}, http.StatusForbidden},
		"a token, which no page sends unasked": {[]func(*http.Request){s.as("ana:admin")}, http.StatusSwitchingProtocols},
		"a token that may only deploy":         {[]func(*http.Request){s.as("ana:deploy")}, http.StatusForbidden},
		"a member":                             {[]func(*http.Request){s.as(member), from(s.URL)}, http.StatusForbidden},
		"nobody":                               {[]func(*http.Request){from(s.URL)}, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			_, status := s.dial(path, c.who...)
			require.Equal(t, c.status, status)
		})
	}
}

func TestExec_PassesInputOutputAndTheExitCode(t *testing.T) {
	s := newServer(t)
	path := s.shell()
	conn, _ := s.dial(path, s.as("ana:admin"))
	say(t, conn, websocket.MessageText, `{"command": ["cat"]}`)
	say(t, conn, websocket.MessageBinary, "hello\n")
	say(t, conn, websocket.MessageText, `{"eof": true}`)
	out, last := hear(t, conn)
	require.Equal(t, "hello\n", out)
	require.Equal(t, 7, last.Code)
	require.Empty(t, last.Error)

	conn, _ = s.dial(path, s.as("ana:admin"))
	say(t, conn, websocket.MessageText, `no JSON`)
	_, last = hear(t, conn)
	require.Contains(t, last.Error, "the first message must be a JSON object")

	conn, _ = s.dial(path, s.as("ana:admin"))
	say(t, conn, websocket.MessageText, `{"command": ["`+strings.Repeat("x", 33<<10)+`"]}`)
	_, last = hear(t, conn)
	require.Contains(t, last.Error, "command")
}

// TestExec_EndsWithWhatItCameWith has each thing that lets a person in taken
// away while their command runs.
func TestExec_EndsWithWhatItCameWith(t *testing.T) {
	disabled, lower := true, identity.RoleMember
	for name, away := range map[string]func(*server) error{
		"the person is disabled": func(s *server) error {
			_, err := s.identity.UpdatePerson(s.t.Context(), "ana", "eve", 1, identity.PersonEdit{Disabled: &disabled})
			return err
		},
		"the person is no administrator any more": func(s *server) error {
			_, err := s.identity.UpdatePerson(s.t.Context(), "ana", "eve", 1, identity.PersonEdit{Role: &lower})
			return err
		},
		"the person is removed": func(s *server) error { return s.identity.RemovePerson(s.t.Context(), "ana", "eve") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			path := s.shell()
			_, err := s.identity.CreatePerson(t.Context(), "ana", identity.Person{Username: "eve", Role: identity.RoleAdministrator}, secret.New(password))
			require.NoError(t, err)
			conn, _ := s.dial(path, s.as("eve"), from(s.URL))
			require.NotNil(t, conn)
			say(t, conn, websocket.MessageText, `{}`)
			say(t, conn, websocket.MessageBinary, "here")
			_, first, err := conn.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, "here", string(first[1:]), "it runs")
			require.Equal(t, []float64{1, 1}, s.execs())

			require.NoError(t, away(s))
			_, last := hear(t, conn)
			require.Equal(t, "the command was ended: the session ended", last.Error)
			require.Eventually(t, func() bool {
				list, err := s.events.Since(t.Context(), 0, event.Filter{}, 1000)
				require.NoError(t, err)
				for _, e := range list {
					if e.Kind == "exec.ended" {
						require.Equal(t, "eve", e.Actor)
						return strings.Contains(string(e.Data), "the session ended")
					}
				}
				return false
			}, 10*time.Second, 5*time.Millisecond)
			require.Eventually(t, func() bool { return slices.Equal([]float64{0, 1}, s.execs()) }, 10*time.Second, 5*time.Millisecond)
		})
	}
}
