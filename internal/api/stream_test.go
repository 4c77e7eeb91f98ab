package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// sent is one server-sent event as a browser reads it.
type sent struct {
	id   int64
	name string
	data string
}

// listener reads a stream.
type listener struct {
	*http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (s *server) listen(path string, change ...func(*http.Request)) *listener {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	require.NoError(s.t, err)
	for _, f := range change {
		f(r)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		cancel()
		require.NoError(s.t, err)
	}
	l := &listener{Response: answer, lines: bufio.NewScanner(answer.Body), cancel: cancel}
	s.t.Cleanup(l.cut)
	return l
}

func (l *listener) cut() {
	l.cancel()
	_ = l.Body.Close()
}

// next gives the next whole event; false when the stream has ended.
func (l *listener) next() (e sent, ok bool) {
	for l.lines.Scan() {
		line := l.lines.Text()
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return e, true
		case field == "id":
			e.id, _ = strconv.ParseInt(value, 10, 64)
		case field == "event":
			e.name = value
		case field == "data":
			e.data = value
		}
	}
	return sent{}, false
}

// happen writes an event as a domain package would.
func (s *server) happen(kind event.Kind, deployment string, data any) {
	s.t.Helper()
	require.NoError(s.t, s.db.Write(s.t.Context(), func(tx *sqlite.Tx) error {
		return s.events.Append(s.t.Context(), tx, event.Event{Kind: kind, Project: "shop", Stage: "prod", Deployment: deployment}, data)
	}))
}

func lastEventID(id int64) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Last-Event-ID", strconv.FormatInt(id, 10)) }
}

func TestEvents_BeginWithAPingThatCanBeResumedFrom(t *testing.T) {
	s := newServer(t)
	l := s.listen("/api/events", s.as(member))
	require.Equal(t, "text/event-stream", l.Header.Get("Content-Type"))
	require.Equal(t, "no-store", l.Header.Get("Cache-Control"))
	ping, ok := l.next()
	require.True(t, ok)
	require.Equal(t, "ping", ping.name)
	l.cut()

	s.happen("project.updated", "", map[string]string{"while": "nobody listened"})
	again := s.listen("/api/events", s.as(member), lastEventID(ping.id))
	_, _ = again.next()
	missed, ok := again.next()
	require.True(t, ok)
	require.Equal(t, "project.updated", missed.name)
	require.Contains(t, missed.data, "nobody listened")
}

func TestEvents_LoseAndDoubleNothingOverForcedCuts(t *testing.T) {
	s := newServer(t)
	const lines = 1500
	as := s.as(member)
	first, err := s.events.Last(t.Context())
	require.NoError(t, err)

	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range lines {
			s.happen(event.DeploymentLog, "d1", map[string]string{"text": fmt.Sprintf("line %d", i)})
		}
	})

	var got []string
	seen, cuts := first, 0
	for len(got) < lines {
		l := s.listen("/api/events?deployment=d1", as, lastEventID(seen))
		for until := len(got) + 37 + 101*(cuts%5); len(got) < until && len(got) < lines; {
			e, ok := l.next()
			if !ok {
				break
			}
			if e.name == "ping" {
				continue
			}
			require.Greater(t, e.id, seen, "doubled or out of order")
			seen = e.id
			var one event.Event
			require.NoError(t, json.Unmarshal([]byte(e.data), &one))
			require.Equal(t, e.id, one.ID)
			got = append(got, string(one.Data))
		}
		if cuts%2 == 0 {
			l.cut()
		} else {
			s.CloseClientConnections()
		}
		cuts++
	}
	writing.Wait()
	require.Greater(t, cuts, 5)
	for i, data := range got {
		require.JSONEq(t, fmt.Sprintf(`{"text":"line %d"}`, i), data)
	}
}

func TestEvents_EndAtOnceWithTheSession(t *testing.T) {
	s := newServer(t)
	ends := map[string]func(){
		"a sign-out": nil,
		"a person who is disabled": func() {
			off := true
			p, err := s.identity.Person(t.Context(), "bo")
			require.NoError(t, err)
			_, err = s.identity.UpdatePerson(t.Context(), "ana", "bo", p.Version, identity.PersonEdit{Disabled: &off})
			require.NoError(t, err)
		},
	}
	for _, name := range []string{"a sign-out", "a person who is disabled"} {
		t.Run(name, func(t *testing.T) {
			as := s.as(member)
			l := s.listen("/api/events", as)
			_, ok := l.next()
			require.True(t, ok)
			began := time.Now()
			if end := ends[name]; end != nil {
				end()
			} else {
				require.Equal(t, http.StatusNoContent, s.do(nobody, "DELETE", "/api/session", "", as).StatusCode)
			}
			for ok {
				_, ok = l.next()
			}
			require.Less(t, time.Since(began), 10*time.Second, "at once, and not with the next sign of life, which is due after 15 s")
			require.Equal(t, http.StatusUnauthorized, s.do(nobody, "GET", "/api/events", "", as).StatusCode)
		})
	}
}

func TestEvents_AreForAdministratorsWhereTheySpeakOfPeople(t *testing.T) {
	s := newServer(t)
	for who, sees := range map[string]bool{admin: true, adminAdmin: true, adminRead: false, member: false, memberAdmin: false} {
		l := s.listen("/api/events?after=0", s.as(who))
		s.happen("project.updated", "", map[string]string{"last": who})
		people := false
		for {
			e, ok := l.next()
			require.True(t, ok)
			for _, private := range []string{"person.", "signin.", "token.", "session.", "registry_account."} {
				people = people || strings.HasPrefix(e.name, private)
			}
			if strings.Contains(e.data, `"last":"`+who+`"`) {
				break
			}
		}
		require.Equal(t, sees, people, who)
		l.cut()
	}
}

// Whoever runs apps hears of what becomes of them, and of nothing else.
func TestEvents_TellMembersOfTheirApps(t *testing.T) {
	s := newServer(t)
	tells := map[event.Kind]bool{
		"stage.paused": true, "stage.missed": true, "maintenance.begun": true, "deployment.warning": true, "job.failed": true, "job.missed": true,
		"volume.restored": true, "source.failing": true,
		"exec.started": false, "route.created": false, "access.changed": false, "secret.shown": false, "channel.created": false, "administrators.changed": false,
		"yet.unheard_of": false,
	}
	l := s.listen("/api/events?after=0", s.as(member))
	for kind := range tells {
		s.happen(kind, "", map[string]string{})
	}
	s.happen("project.updated", "", map[string]string{"last": "yes"})
	heard := map[event.Kind]bool{}
	for {
		e, ok := l.next()
		require.True(t, ok)
		if strings.Contains(e.data, `"last":"yes"`) {
			break
		}
		heard[event.Kind(e.name)] = true
	}
	for kind, told := range tells {
		require.Equal(t, told, heard[kind], kind)
	}
}

func TestEvents_AreBoundedForEachPerson(t *testing.T) {
	s := newServer(t)
	as := s.as(member)
	var open []*listener
	for range 32 {
		l := s.listen("/api/events", as)
		require.Equal(t, http.StatusOK, l.StatusCode)
		open = append(open, l)
	}
	more := s.do(nobody, "GET", "/api/events", "", as)
	require.Equal(t, http.StatusTooManyRequests, more.StatusCode)
	require.NotEmpty(t, more.Header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, s.listen("/api/events", s.as(admin)).StatusCode, "another person has room")

	open[0].cut()
	require.Eventually(t, func() bool {
		l := s.listen("/api/events", as)
		defer l.cut()
		return l.StatusCode == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond)
}

func TestEvents_EndAtAnEventWhenBerthStops(t *testing.T) {
	s := newServer(t)
	l := s.listen("/api/events?after=0", s.as(admin))
	_, ok := l.next()
	require.True(t, ok)
	s.api.EndStreams()
	for ok {
		var e sent
		if e, ok = l.next(); ok && e.name != "ping" {
			require.True(t, json.Valid([]byte(e.data)), e.data)
		}
	}
	require.NoError(t, l.lines.Err(), "the stream ended, it was not cut")
}

// instance writes the rows of a running instance, as a deployment leaves them.
func (s *server) instance() (id string) {
	s.t.Helper()
	ctx, now := s.t.Context(), sqlite.Millis(time.Now())
	d, err := s.deploy.Stage(ctx, "shop", "prod")
	require.NoError(s.t, err)
	var server string
	require.NoError(s.t, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT value FROM deploy_marks WHERE name = 'server'").Scan(&server); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO deployments (id, stage_id, generation, reference, kind, trigger, state, created_at)
			VALUES ('d1', ?, 1, 'shop:1', 'deploy', 'api', 'live', ?)`, d.ID, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO instances (id, deployment_id, ordinal, container_id, state, created_at, updated_at)
			VALUES ('i1', 'd1', 0, 'c1', 'ready', ?, ?)`, now, now)
		return err
	}))
	s.engine.container = container.Container{
		ID: "c1", State: container.StateRunning,
		Labels: map[string]string{"berth.server": server, "berth.deployment": "d1", "berth.instance": "i1"},
	}
	return "i1"
}

func TestInstanceLogs_AreStreamedToTheirEnd(t *testing.T) {
	s := newServer(t)
	id := s.instance()
	s.engine.logs = func(yield func(container.LogLine, error) bool) {
		for i := range 3 {
			if !yield(container.LogLine{At: time.Unix(int64(i), 0).UTC(), Stream: "stdout", Text: fmt.Sprintf("line %d", i)}, nil) {
				return
			}
		}
	}
	l := s.listen("/api/instances/"+id+"/logs?tail=10", s.as(member))
	var names []string
	for e, ok := l.next(); ok; e, ok = l.next() {
		names = append(names, e.name)
		if e.name == "line" {
			require.Contains(t, e.data, `"stream":"stdout"`)
		}
	}
	require.Equal(t, []string{"ping", "line", "line", "line", "end"}, names)
	require.Contains(t, s.do(member, "GET", "/api/instances/"+id, "").body, `"state":"ready"`)
	require.Contains(t, s.do(member, "GET", "/api/instances/"+id+"/stats", "").body, `"memory":1048576`)
}

func TestLogDownload_IsCutWithTheToken(t *testing.T) {
	s := newServer(t)
	id := s.instance()
	s.engine.logs = func(yield func(container.LogLine, error) bool) {
		for yield(container.LogLine{Stream: "stdout", Text: strings.Repeat("a long one ", 10_000)}, nil) {
			time.Sleep(time.Millisecond) // as reading a long one takes
		}
	}
	p, err := s.identity.Person(t.Context(), "bo")
	require.NoError(t, err)
	bo := identity.Subject{Person: p, Via: identity.ViaSession}
	text, token, err := s.identity.CreateToken(t.Context(), bo, "logs", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/instances/"+id+"/logs/download", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+text.Reveal())
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	_, err = io.CopyN(io.Discard, answer.Body, 1<<20)
	require.NoError(t, err)
	require.NoError(t, s.identity.RemoveToken(t.Context(), bo, p.ID, token.ID))
	_, err = io.Copy(io.Discard, answer.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut, so that it is not taken for the whole")
}

func TestInstanceLogs_EndWithTheToken(t *testing.T) {
	s := newServer(t)
	id := s.instance()
	left := make(chan struct{})
	s.engine.logs = func(func(container.LogLine, error) bool) {}
	s.engine.coming = func(yield func(container.LogLine, error) bool) {
		defer close(left)
		for yield(container.LogLine{Stream: "stdout", Text: "on and on"}, nil) {
			time.Sleep(time.Millisecond) // as an app would
		}
	}
	p, err := s.identity.Person(t.Context(), "bo")
	require.NoError(t, err)
	bo := identity.Subject{Person: p, Via: identity.ViaSession}
	text, token, err := s.identity.CreateToken(t.Context(), bo, "logs", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	l := s.listen("/api/instances/"+id+"/logs?follow=true", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text.Reveal()) })
	line, ok := l.next()
	for ok && line.name != "line" {
		line, ok = l.next()
	}
	require.True(t, ok)

	require.NoError(t, s.identity.RemoveToken(t.Context(), bo, bo.Person.ID, token.ID))
	for ok {
		_, ok = l.next()
	}
	<-left // the engine is not listened to any more
}
