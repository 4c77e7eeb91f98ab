package containertest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testLogs(t *testing.T) {
	ended := s.start(t, container.Spec{Command: []string{"lines", "20"}})
	_, err := s.Wait(t.Context(), ended)
	require.NoError(t, err)

	t.Run("HaveTimeStreamAndText", func(t *testing.T) {
		lines := s.lines(t, ended, container.LogOptions{})
		require.Len(t, lines, 40)
		count := map[string]int{}
		last := map[string]time.Time{}
		for _, line := range lines { // the streams are apart: their order is each its own
			count[line.Stream]++
			require.Equal(t, fmt.Sprintf("%s %d", line.Stream, count[line.Stream]), line.Text)
			require.WithinDuration(t, time.Now(), line.At, time.Minute)
			require.False(t, line.At.Before(last[line.Stream]), "the times go back: %v", lines)
			last[line.Stream] = line.At
		}
		require.Equal(t, map[string]int{"stdout": 20, "stderr": 20}, count)
	})
	t.Run("Tail", func(t *testing.T) {
		lines := s.lines(t, ended, container.LogOptions{Tail: 3})
		require.Len(t, lines, 3)
		require.Contains(t, []string{"stdout 20", "stderr 20"}, lines[2].Text)
	})
	t.Run("Since", func(t *testing.T) {
		all := s.lines(t, ended, container.LogOptions{})
		since := all[25].At
		want := slices.DeleteFunc(all, func(l container.LogLine) bool { return l.At.Before(since) })
		require.Equal(t, want, s.lines(t, ended, container.LogOptions{Since: since}))
		require.Empty(t, s.lines(t, ended, container.LogOptions{Since: time.Now().Add(time.Minute)}))
	})
	t.Run("FollowOfAnEndedOneEnds", func(t *testing.T) {
		require.Len(t, s.lines(t, ended, container.LogOptions{Follow: true}), 40)
	})
	t.Run("FollowEndsWithTheContainer", func(t *testing.T) {
		id := s.start(t, container.Spec{Command: []string{"lines", "20"}})
		lines := s.lines(t, id, container.LogOptions{Follow: true})
		require.Len(t, lines, 40)
	})
	t.Run("FollowGivesLinesAsTheyCome", func(t *testing.T) {
		id, address := s.serve(t, container.Spec{})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		said := 0
		for line, err := range s.Logs(ctx, id, container.LogOptions{Follow: true}) {
			require.NoError(t, err)
			if said > 0 {
				require.Equal(t, fmt.Sprintf("number %d", said), line.Text)
			}
			if said++; said > 3 {
				break
			}
			get(t, address, "/say", url.Values{"line": {fmt.Sprintf("number %d", said)}})
		}
		require.NoError(t, ctx.Err())
		require.Equal(t, 4, said)
	})
	t.Run("FollowEndsWithItsContext", func(t *testing.T) {
		id := s.start(t, container.Spec{Command: []string{"count"}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, err := range s.Logs(ctx, id, container.LogOptions{Follow: true}) {
			require.NoError(t, err)
			cancel()
		}
	})
	t.Run("LongLinesComeWhole", func(t *testing.T) {
		id := s.start(t, container.Spec{Command: []string{"long"}})
		_, err := s.Wait(t.Context(), id)
		require.NoError(t, err)
		var text strings.Builder
		for _, line := range s.lines(t, id, container.LogOptions{}) {
			text.WriteString(line.Text)
		}
		require.Equal(t, strings.Repeat("x", 40<<10), text.String())
	})
	t.Run("OfWhatIsNotThere", func(t *testing.T) {
		for _, err := range s.Logs(t.Context(), strings.Repeat("0", 64), container.LogOptions{}) {
			require.ErrorIs(t, err, container.ErrNotFound)
		}
	})
}

// lines reads a log to its end.
func (s *suite) lines(t *testing.T, id string, o container.LogOptions) []container.LogLine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var lines []container.LogLine
	for line, err := range s.Logs(ctx, id, o) {
		require.NoError(t, err)
		lines = append(lines, line)
	}
	require.NoError(t, ctx.Err(), "the log did not end")
	return lines
}

// awaitLine waits until a container has written a line.
func (s *suite) awaitLine(t *testing.T, id, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for line, err := range s.Logs(ctx, id, container.LogOptions{Follow: true}) {
		require.NoError(t, err)
		if line.Text == text {
			return
		}
	}
	t.Fatalf("the line %q did not come", text)
}
