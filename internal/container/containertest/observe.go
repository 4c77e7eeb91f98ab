package containertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testEvents(t *testing.T) {
	t.Run("TellALifeInOrder", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		labels := map[string]string{label: s.run, "watched": "yes"}
		stream := s.Events(ctx, labels)
		// All this happens before the loop: the call is what counts.
		s.start(t, container.Spec{Command: []string{"exit", "0"}, Labels: map[string]string{"watched": "no"}})
		id := s.start(t, container.Spec{Command: []string{"exit", "7"}, Labels: map[string]string{"watched": "yes"}})
		_, err := s.Wait(ctx, id)
		require.NoError(t, err)
		require.NoError(t, s.Remove(ctx, id))

		var actions []container.EventAction
		for event, err := range stream {
			require.NoError(t, err)
			require.Equal(t, id, event.Container)
			require.Equal(t, s.run, event.Labels[label])
			require.Equal(t, "yes", event.Labels["watched"])
			require.WithinDuration(t, time.Now(), event.At, time.Minute)
			actions = append(actions, event.Action)
			if event.Action == container.EventDied {
				require.Equal(t, 7, event.ExitCode)
			}
			if event.Action == container.EventRemoved {
				break
			}
		}
		require.NoError(t, ctx.Err(), "they ended at %v", actions)
		require.Equal(t, []container.EventAction{container.EventStarted, container.EventDied, container.EventRemoved}, actions)
	})
	t.Run("ComeAsTheyHappen", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		id := s.create(t, container.Spec{Labels: map[string]string{"watched": "live"}})
		started := make(chan error, 1)
		var starting sync.WaitGroup
		defer starting.Wait()
		stream := s.Events(ctx, map[string]string{label: s.run, "watched": "live"})
		starting.Go(func() { started <- s.Start(ctx, id) })
		var actions []container.EventAction
		for event, err := range stream {
			require.NoError(t, err)
			actions = append(actions, event.Action)
			if event.Action != container.EventStarted {
				break
			}
			require.NoError(t, <-started)
			require.NoError(t, s.Stop(ctx, id, 5*time.Second))
		}
		require.Equal(t, []container.EventAction{container.EventStarted, container.EventDied}, actions)
	})
	t.Run("EndWithTheirContext", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for event, err := range s.Events(ctx, map[string]string{label: "nobody's"}) {
			t.Fatalf("%v, %v", event, err)
		}
		require.Error(t, ctx.Err())
	})
}

func (s *suite) testStats(t *testing.T) {
	id, address := s.serve(t, container.Spec{Memory: 256 << 20})
	if s.lacks(container.LacksStats) {
		_, err := s.Stats(t.Context(), id)
		require.ErrorIs(t, err, container.ErrUnsupported)
		return
	}
	first, err := s.Stats(t.Context(), id)
	require.NoError(t, err)
	require.Zero(t, first.CPU)
	require.Positive(t, first.Memory)
	require.Less(t, first.Memory, int64(256<<20))
	require.GreaterOrEqual(t, first.Processes, 1)
	require.WithinDuration(t, time.Now(), first.At, time.Minute)
	if !s.lacks(container.LacksLimits) {
		require.Equal(t, int64(256<<20), first.MemoryLimit)
	}
	get(t, address, "/burn", nil)
	second, err := s.Stats(t.Context(), id)
	require.NoError(t, err)
	require.InDelta(t, 0.5, second.CPU*second.At.Sub(first.At).Seconds(), 0.3, "seconds of CPU time")
	require.Positive(t, second.NetworkIn)
	require.Positive(t, second.NetworkOut)
	require.GreaterOrEqual(t, second.NetworkIn, first.NetworkIn)

	unlimited, _ := s.serve(t, container.Spec{})
	reading, err := s.Stats(t.Context(), unlimited)
	require.NoError(t, err)
	require.Zero(t, reading.MemoryLimit)

	require.NoError(t, s.Stop(t.Context(), id, 5*time.Second))
	_, err = s.Stats(t.Context(), id)
	require.ErrorIs(t, err, container.ErrConflict)
	_, err = s.Stats(t.Context(), strings.Repeat("0", 64))
	require.ErrorIs(t, err, container.ErrNotFound)
}
