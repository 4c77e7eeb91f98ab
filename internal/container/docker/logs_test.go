package docker

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func TestLogLines_PutTogetherWhatTheEngineCut(t *testing.T) {
	const at, later = "2026-11-22T05:12:26Z ", "2026-11-22T05:12:27Z "
	var stream bytes.Buffer
	for _, f := range [][]byte{
		frameOf(frameStdout, at+"whole\n"),
		frameOf(frameStdout, at+"cut h"),
		frameOf(frameStderr, at+"between\n"),
		frameOf(frameStdout, later+"ere\n"),
		frameOf(frameStdout, at+strings.Repeat("x", maxLogLine)),
		frameOf(frameStdout, at+"the rest\n"),
		frameOf(frameStdout, at+"at the end"),
	} {
		stream.Write(f)
	}
	lines := logLines{frames: frames{from: &stream}}
	var got []string
	for {
		line, err := lines.next()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		require.Equal(t, 26, line.At.Second(), "the time is that of its beginning")
		got = append(got, line.Stream+" "+line.Text)
	}
	require.Equal(t, []string{
		"stdout whole", "stderr between", "stdout cut here", "stdout " + strings.Repeat("x", maxLogLine), "stdout the rest", "stdout at the end",
	}, got)
	_, err := lines.next()
	require.ErrorIs(t, err, io.EOF, "and that is all")
}

func TestNewest_GivesTheLastLinesAndTheError(t *testing.T) {
	broken := errors.New("broken")
	for most, want := range map[int][]string{1: {"6"}, 3: {"4", "5", "6"}, 7: {"0", "1", "2", "3", "4", "5", "6"}, 9: {"0", "1", "2", "3", "4", "5", "6"}} {
		var got []string
		var last error
		for line, err := range newest(most, func(yield func(container.LogLine, error) bool) {
			for n := range 7 {
				if !yield(container.LogLine{Text: strconv.Itoa(n)}, nil) {
					return
				}
			}
			yield(container.LogLine{}, broken)
		}) {
			if last = err; err == nil {
				got = append(got, line.Text)
			}
		}
		require.Equal(t, want, got)
		require.ErrorIs(t, last, broken)
	}
}
