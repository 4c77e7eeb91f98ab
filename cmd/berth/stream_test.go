package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/secret"
)

// serve answers with each script in turn, and notes what was asked for.
func serve(t *testing.T, scripts ...string) (*client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", "text/event-stream")
		if n := len(asked); n <= len(scripts) {
			fmt.Fprint(w, scripts[n-1])
		}
	}))
	t.Cleanup(server.Close)
	c, err := connectRemote(server.URL, secret.Text{})
	require.NoError(t, err)
	return c, &asked
}

func TestFollow_GoesOnWhereItWasWhenTheConnectionBreaks(t *testing.T) {
	c, asked := serve(t,
		"event: ping\ndata: {}\n\nid: 1\nevent: a\ndata: one\n\nid: 2\nevent: b\ndata: two\ndata: more\n\nid: 3\nevent: c\ndata: cut o",
		"id: 3\nevent: c\ndata: three\n\n")

	var got []string
	for m, err := range c.follow(t.Context(), url.Values{"project": {"shop"}}, "0") {
		require.NoError(t, err)
		got = append(got, m.event+" "+m.data)
		if m.id == "3" {
			break
		}
	}

	require.Equal(t, []string{"ping {}", "a one", "b two\nmore", "c three"}, got)
	require.Equal(t, []string{"/api/events?after=0&project=shop", "/api/events?after=2&project=shop"}, *asked)
}

func TestEvents_FollowBeginsWhereTheEarlierOnesEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/activity" { // without steps, the newest first; 6 came since the stream began
			fmt.Fprint(w, `{"items":[{"id":6,"kind":"stage.updated"},{"id":2,"kind":"stage.created"}]}`)
			return
		}
		if asked = append(asked, r.URL.RequestURI()); len(asked) > 1 {
			cancel()
			return
		}
		fmt.Fprint(w, "id: 5\nevent: ping\ndata: {}\n\nid: 6\nevent: stage.updated\ndata: "+`{"id":6,"kind":"stage.updated"}`+"\n\n")
	}))
	t.Cleanup(server.Close)

	s := runCommand(ctx, "", nil, "--url", server.URL, "--token", "x", "--json", "events", "shop", "-f")

	require.Equal(t, []string{"/api/events?project=shop", "/api/events?after=6&project=shop"}, asked, "no step from before is asked for")
	require.Equal(t, 1, strings.Count(s.out, `"id":2,`), s.out)
	require.Equal(t, 1, strings.Count(s.out, `"id":6,`), s.out)
	require.Less(t, strings.Index(s.out, `"id":2,`), strings.Index(s.out, `"id":6,`), s.out)
}

func TestWaitFor_TellsWhyAReleaseDidNotGoLive(t *testing.T) {
	events := strings.Join([]string{
		`{"id":1,"kind":"deployment.step","data":{"name":"probe","state":"running"}}`,
		`{"id":2,"kind":"deployment.log","data":{"step":"probe","stream":"stderr","text":"no database\u001b[2J"}}`,
		`{"id":3,"kind":"deployment.step","data":{"name":"probe","state":"failed","detail":"never ready"}}`,
		`{"id":4,"kind":"deployment.state","data":{"state":"failed"}}`,
	}, "\n\ndata: ")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/events":
			fmt.Fprintf(w, "data: %s\n\n", events)
		case "/api/deployments/d1":
			fmt.Fprint(w, `{"id":"d1","project":"shop","stage":"prod","reference":"1.0","state":"failed","failed_step":"probe","error":"it never answered"}`)
		default:
			fmt.Fprint(w, `{"id":"d1","project":"shop","stage":"prod","reference":"1.0","state":"waiting"}`)
		}
	}))
	t.Cleanup(server.Close)

	s := runCommand(t.Context(), "", nil, "--url", server.URL, "--token", "x", "deploy", "shop", "prod", "1.0", "--wait")

	require.Equal(t, exitNotLive, s.code)
	require.Empty(t, s.out)
	require.Contains(t, s.err, "Failed step: probe")
	require.Contains(t, s.err, "Reason: it never answered")
	require.Contains(t, s.err, "  | no database [2J", "an app's escape codes do not reach the terminal")

	s = runCommand(t.Context(), "", nil, "--json", "--url", server.URL, "--token", "x", "deploy", "shop", "prod", "1.0", "--wait")
	require.Equal(t, exitNotLive, s.code)
	require.Contains(t, s.out, `"failed_step": "probe"`)
}

func TestWaitFor_SaysHowLongItTookAndThatTheEngineWasAway(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const ping = "event: ping\ndata: {}\n\n"
		switch r.URL.Path {
		case "/api/events":
			fmt.Fprint(w, ping+ping+`data: {"id":1,"kind":"deployment.state","at":"2026-05-04T10:00:02.5Z","data":{"state":"live"}}`+"\n\n")
		case "/api/system":
			fmt.Fprint(w, `{"engine_error":"nothing listens at the socket"}`)
		case "/api/deployments/d1": // what is old is still being stopped
			fmt.Fprint(w, `{"id":"d1","project":"shop","stage":"prod","reference":"1.0","state":"live","created_at":"2026-05-04T10:00:00Z"}`)
		default:
			fmt.Fprint(w, `{"id":"d1","project":"shop","stage":"prod","reference":"1.0","state":"waiting"}`)
		}
	}))
	t.Cleanup(server.Close)

	s := runCommand(t.Context(), "", nil, "--url", server.URL, "--token", "x", "deploy", "shop", "prod", "1.0", "--wait")

	require.Zero(t, s.code, s.err)
	require.Equal(t, "1.0 is live in shop/prod after 2.5s.\n", s.out)
	require.Equal(t, 1, strings.Count(s.err, "waits for the container engine: nothing listens at the socket"), s.err)
}

func TestWaitFor_WaitsForTheGuardAndTheCommandAfterTheSwitch(t *testing.T) {
	step := func(name, state string) string {
		return fmt.Sprintf(`data: {"kind":"deployment.step","data":{"name":%q,"state":%q}}`+"\n\n", name, state)
	}
	state := func(state string) string {
		return fmt.Sprintf(`data: {"kind":"deployment.state","data":{"state":%q}}`+"\n\n", state)
	}
	at := func(state, steps string) string {
		return fmt.Sprintf(`{"id":"d1","project":"shop","stage":"prod","reference":"1.0","state":%q,"steps":[%s]}`, state, steps)
	}
	const (
		watched = `{"name":"guard","state":"running"}`
		runs    = `{"name":"guard","state":"done"},{"name":"after_switch","state":"running"}`
		did     = `{"name":"guard","state":"done"},{"name":"after_switch","state":"done"}`
	)
	for name, test := range map[string]struct {
		events string
		states []string // what it is at each look
		code   int
	}{
		"taken back by the command": {
			state("live") + step("guard", "running") + step("guard", "done") + step("after_switch", "running") + step("after_switch", "failed") + state("reverted"),
			[]string{at("live", watched), at("live", runs), at("reverted", "")},
			exitNotLive,
		},
		"taken back by the guard": {state("live") + step("guard", "failed") + state("reverted"), []string{at("live", watched), at("reverted", "")}, exitNotLive},
		"all went well": {
			state("live") + step("after_switch", "running") + step("after_switch", "done"),
			[]string{at("live", runs), at("live", did)},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			looks := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/api/events":
					fmt.Fprint(w, test.events)
				case "/api/deployments/d1":
					fmt.Fprint(w, test.states[min(looks, len(test.states)-1)])
					looks++
				default:
					fmt.Fprint(w, at("waiting", ""))
				}
			}))
			t.Cleanup(server.Close)

			s := runCommand(t.Context(), "", nil, "--url", server.URL, "--token", "x", "deploy", "shop", "prod", "1.0", "--wait")

			require.Equal(t, test.code, s.code, s.err)
			require.Equal(t, len(test.states)+1, looks, "and once more for the end")
		})
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add("id: 1\nevent: a\ndata: b\n\n")
	f.Add(":\n\n\r\ndata\ndata:\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readMessages(strings.NewReader(s), func(m message) bool {
			require.NotContains(t, m.id+m.event, "\n")
			return true
		})
	})
}

func FuzzSetPath(f *testing.F) {
	f.Add(`{"probe":{"path":"/"}}`, "probe.path", "/up")
	f.Add(`{"env":{}}`, "env.A.B", "x")
	f.Add(`{"tags":1}`, "tags.kind", "x")
	f.Fuzz(func(t *testing.T, raw, path, value string) {
		changed, err := setPath([]byte(raw), path, value)
		if err != nil {
			return
		}
		_, err = setPath(changed, path, nil)
		require.NoError(t, err)
	})
}
