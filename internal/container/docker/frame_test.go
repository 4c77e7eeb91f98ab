package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func frameOf(stream byte, payload string) []byte {
	header := []byte{stream, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(header[4:], uint32(len(payload)))
	return append(header, payload...)
}

func TestLogLine_TakesTheEnginesTimeOff(t *testing.T) {
	for _, c := range []struct{ payload, text string }{
		{"2026-11-22T05:12:26.123456789Z hello world\n", "hello world"},
		{"2026-11-22T05:12:26Z  indented \n", " indented "},
		{"2026-11-22T07:12:26+02:00 \n", ""},
		{"2026-11-22T05:12:26Z 2020-01-01T00:00:00Z said by the app\n", "2020-01-01T00:00:00Z said by the app"},
		{"no time\n", "no time"},
		{"", ""},
	} {
		line := logLine(frame{frameStderr, []byte(c.payload)})
		require.Equal(t, c.text, line.Text, c.payload)
		require.Equal(t, "stderr", line.Stream)
		if strings.HasPrefix(c.payload, "2026") {
			require.Equal(t, time.Date(2026, 11, 22, 5, 12, 26, 0, time.UTC), line.At.Truncate(time.Second))
		}
	}
}

func TestFrames_EndInsideAFrameIsAnError(t *testing.T) {
	whole := frameOf(frameStdout, "hello")
	for cut := 1; cut < len(whole); cut++ {
		reader := frames{from: bytes.NewReader(whole[:cut])}
		_, err := reader.next()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestFrames_PassOnWhatTheEngineSays(t *testing.T) {
	reader := frames{from: bytes.NewReader(frameOf(frameError, "the disk is full"))}
	_, err := reader.next()
	require.EqualError(t, err, "the disk is full")
}

func FuzzFrames(f *testing.F) {
	f.Add(frameOf(frameStdout, "2026-11-22T05:12:26.123456789Z hello\n"))
	f.Add(append(frameOf(frameStdout, ""), frameOf(frameStderr, "x")...))
	f.Add(frameOf(frameError, "broken"))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{9, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := frames{from: bytes.NewReader(stream)}
		read := 0
		for {
			got, err := reader.next()
			if err != nil {
				if errors.Is(err, io.EOF) && read != len(stream) {
					t.Fatalf("ended after %d of %d bytes", read, len(stream))
				}
				return
			}
			read += len(reader.header) + len(got.payload)
			if line := logLine(got); strings.HasSuffix(line.Text, "\n") && !bytes.HasSuffix(got.payload, []byte("\n\n")) {
				t.Fatalf("the line end stayed in %q", line.Text)
			}
		}
	})
}
