package containertest

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testLife(t *testing.T) {
	t.Run("AddressAfterRestart", s.testRestart)
	t.Run("WithItsPortTaken", s.testTakenPort)
	t.Run("Wait", s.testWait)
	t.Run("Stop", s.testStop)
	t.Run("Remove", s.testRemove)
	t.Run("List", s.testList)
	t.Run("CrashedIsRestarted", s.testCrash)
	t.Run("WhatIsNotThere", func(t *testing.T) {
		missing := strings.Repeat("0", 64)
		_, err := s.Inspect(t.Context(), missing)
		require.ErrorIs(t, err, container.ErrNotFound)
		require.ErrorIs(t, s.Start(t.Context(), missing), container.ErrNotFound)
		require.ErrorIs(t, s.Stop(t.Context(), missing, time.Second), container.ErrNotFound)
		_, err = s.Wait(t.Context(), missing)
		require.ErrorIs(t, err, container.ErrNotFound)
	})
}

func (s *suite) testRestart(t *testing.T) {
	id, address := s.serve(t, container.Spec{})
	require.NoError(t, s.Start(t.Context(), id), "it runs already")
	require.NoError(t, s.Stop(t.Context(), id, 5*time.Second))
	c, err := s.Inspect(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, c.Address, "a stopped container has no address")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, http.NoBody)
	require.NoError(t, err)
	if answer, err := http.DefaultClient.Do(request); err == nil {
		require.NoError(t, answer.Body.Close())
		t.Fatal("it answers after it was stopped")
	}
	require.NoError(t, s.Start(t.Context(), id))
	require.Contains(t, get(t, s.address(t, id), "/", nil), "hello")
}

// testTakenPort has another program take the port while the container is
// stopped: it either gets another port, or the caller is told to make it anew.
func (s *suite) testTakenPort(t *testing.T) {
	id, taken := s.serve(t, container.Spec{})
	require.NoError(t, s.Stop(t.Context(), id, 5*time.Second))
	var listener net.Listener
	await(t, "the port is free", func() bool {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", taken)
		return err == nil
	})
	defer listener.Close()
	if err := s.Start(t.Context(), id); err != nil {
		require.ErrorIs(t, err, container.ErrConflict)
		return
	}
	c, err := s.Inspect(t.Context(), id)
	require.NoError(t, err)
	require.NotEqual(t, taken, c.Address)
	require.Contains(t, get(t, s.address(t, id), "/", nil), "hello")
}

func (s *suite) testWait(t *testing.T) {
	for _, code := range []int{0, 3} {
		id := s.start(t, container.Spec{Command: []string{"exit", strconv.Itoa(code)}})
		got, err := s.Wait(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, code, got)
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, container.StateExited, c.State)
		require.Equal(t, got, c.ExitCode)
		require.False(t, c.OOMKilled)
		require.WithinDuration(t, time.Now(), c.Finished, time.Minute)
	}
	t.Run("WhileItRuns", func(t *testing.T) {
		id, _ := s.serve(t, container.Spec{})
		var waiting sync.WaitGroup
		var code int
		var err error
		waiting.Go(func() { code, err = s.Wait(t.Context(), id) })
		require.NoError(t, s.Stop(t.Context(), id, 5*time.Second))
		waiting.Wait()
		require.NoError(t, err)
		require.Equal(t, 0, code)
	})
	t.Run("EndsWithItsContext", func(t *testing.T) {
		id := s.start(t, container.Spec{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Wait(ctx, id)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func (s *suite) testStop(t *testing.T) {
	t.Run("LetsAProcessFinish", func(t *testing.T) {
		id, _ := s.serve(t, container.Spec{})
		require.NoError(t, s.Stop(t.Context(), id, 20*time.Second))
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, container.StateExited, c.State)
		require.Equal(t, 0, c.ExitCode)
		require.NoError(t, s.Stop(t.Context(), id, time.Second), "it is stopped already")
	})
	t.Run("KillsAtTheDeadline", func(t *testing.T) {
		id := s.start(t, container.Spec{Command: []string{"stubborn"}})
		s.awaitLine(t, id, "ready")
		begun := time.Now()
		require.NoError(t, s.Stop(t.Context(), id, 1500*time.Millisecond))
		took := time.Since(begun)
		require.GreaterOrEqual(t, took, 1500*time.Millisecond)
		require.Less(t, took, 10*time.Second)
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, container.StateExited, c.State)
		require.Equal(t, 137, c.ExitCode)
	})
	t.Run("OfOneNeverStarted", func(t *testing.T) {
		require.NoError(t, s.Stop(t.Context(), s.create(t, container.Spec{}), time.Second))
	})
	t.Run("KeepsOneThatRestartsStopped", func(t *testing.T) {
		id, _ := s.serve(t, container.Spec{Restart: container.RestartAlways})
		require.NoError(t, s.Stop(t.Context(), id, 5*time.Second))
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, container.StateExited, c.State)
	})
}

func (s *suite) testRemove(t *testing.T) {
	t.Run("KillsAtOnce", func(t *testing.T) {
		id := s.start(t, container.Spec{Command: []string{"stubborn"}})
		s.awaitLine(t, id, "ready")
		begun := time.Now()
		require.NoError(t, s.Remove(t.Context(), id))
		require.Less(t, time.Since(begun), 8*time.Second)
		_, err := s.Inspect(t.Context(), id)
		require.ErrorIs(t, err, container.ErrNotFound)
		require.NoError(t, s.Remove(t.Context(), id), "it is gone already")
	})
	t.Run("ByTwoAtOnce", func(t *testing.T) {
		id := s.start(t, container.Spec{})
		var removing sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			removing.Go(func() { errs[i] = s.Remove(t.Context(), id) })
		}
		removing.Wait()
		require.NoError(t, errs[0])
		require.NoError(t, errs[1])
		_, err := s.Inspect(t.Context(), id)
		require.ErrorIs(t, err, container.ErrNotFound)
	})
}

func (s *suite) testList(t *testing.T) {
	shop, address := s.serve(t, container.Spec{Labels: map[string]string{"project": "shop", "stage": "dev"}})
	blog := s.create(t, container.Spec{Labels: map[string]string{"project": "blog", "stage": "dev"}})
	for _, c := range []struct {
		labels map[string]string
		want   []string
	}{
		{nil, []string{shop, blog}},
		{map[string]string{"stage": "dev"}, []string{shop, blog}},
		{map[string]string{"project": ""}, []string{shop, blog}},
		{map[string]string{"project": "shop"}, []string{shop}},
		{map[string]string{"project": "blog", "stage": "dev"}, []string{blog}},
		{map[string]string{"project": "blog", "stage": "prod"}, nil},
		{map[string]string{"project": "sho"}, nil},
	} {
		labels := map[string]string{label: s.run}
		maps.Copy(labels, c.labels)
		listed, err := s.List(t.Context(), labels)
		require.NoError(t, err)
		var ids []string
		for _, l := range listed {
			ids = append(ids, l.ID)
		}
		slices.Sort(ids)
		slices.Sort(c.want)
		require.Equal(t, c.want, ids, "%v", c.labels)
	}
	listed, err := s.List(t.Context(), map[string]string{label: s.run, "project": "shop"})
	require.NoError(t, err)
	inspected, err := s.Inspect(t.Context(), shop)
	require.NoError(t, err)
	require.Equal(t, inspected.Name, listed[0].Name)
	require.Equal(t, inspected.Image, listed[0].Image)
	require.Equal(t, inspected.Labels, listed[0].Labels)
	require.Equal(t, container.StateRunning, listed[0].State)
	require.Contains(t, []string{"", address}, listed[0].Address)
	listed, err = s.List(t.Context(), map[string]string{label: s.run, "project": "blog"})
	require.NoError(t, err)
	require.Equal(t, container.StateCreated, listed[0].State)
}

func (s *suite) testCrash(t *testing.T) {
	id := s.start(t, container.Spec{Command: []string{"exit", "3"}, Restart: container.RestartOnFailure})
	await(t, "it was restarted twice", func() bool {
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		return c.Restarts >= 2
	})
	once := s.start(t, container.Spec{Command: []string{"exit", "0"}, Restart: container.RestartOnFailure})
	code, err := s.Wait(t.Context(), once)
	require.NoError(t, err)
	require.Equal(t, 0, code)
	require.Equal(t, container.StateExited, s.state(t, once))
}
