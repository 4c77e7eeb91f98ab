package containertest

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testExec(t *testing.T) {
	id := s.start(t, container.Spec{Env: map[string]string{"OF_CONTAINER": "yes"}})

	t.Run("GivesTheExitCode", func(t *testing.T) {
		for _, want := range []string{"0", "5", "126", "127"} {
			code, err := s.Exec(t.Context(), id, container.Exec{Command: []string{"/app", "exit", want}})
			require.NoError(t, err)
			if want == "126" { // which of the two can't be told on every engine
				require.Contains(t, []int{126, 127}, code)
				continue
			}
			require.Equal(t, want, strconv.Itoa(code))
		}
	})
	t.Run("OfMissingCommandIs127", func(t *testing.T) {
		for _, command := range []string{"/no-such-command", "no-such-command"} {
			code, err := s.Exec(t.Context(), id, container.Exec{Command: []string{command}})
			require.NoError(t, err)
			require.Equal(t, 127, code)
		}
	})
	t.Run("KeepsTheStreamsApart", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		_, err := s.Exec(t.Context(), id, container.Exec{Command: []string{"/app", "both"}, Stdout: &stdout, Stderr: &stderr})
		require.NoError(t, err)
		require.Equal(t, "to stdout\n", stdout.String())
		require.Equal(t, "to stderr\n", stderr.String())
	})
	t.Run("HasEnvironmentFolderAndUser", func(t *testing.T) {
		require.Equal(t, "yes", s.output(t, id, container.Exec{Command: []string{"/app", "env", "OF_CONTAINER"}}))
		require.Equal(t, "too", s.output(t, id, container.Exec{
			Command: []string{"/app", "env", "OF_EXEC"}, Env: map[string]string{"OF_EXEC": "too"},
		}))
		require.Equal(t, "/proc 1234", s.output(t, id, container.Exec{
			Command: []string{"/app", "where"}, Dir: "/proc", User: "1234",
		}))
	})
	t.Run("ReadsStandardInputToItsEnd", func(t *testing.T) {
		sent := strings.Repeat("all of this\n", 20_000)
		require.Equal(t, sent, s.output(t, id, container.Exec{
			Command: []string{"/app", "copy"}, Stdin: strings.NewReader(sent),
		}))
	})
	t.Run("OnATerminal", func(t *testing.T) { s.testTerminal(t, id) })
	t.Run("EndsWithItsContext", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := s.Exec(ctx, id, container.Exec{Command: []string{"/app", "count"}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("LeavesAnInputThatNobodyReads", func(t *testing.T) {
		input, writer := io.Pipe()
		defer writer.Close()
		code, err := s.Exec(t.Context(), id, container.Exec{Command: []string{"/app", "exit", "4"}, Stdin: input})
		require.NoError(t, err)
		require.Equal(t, 4, code)
	})
	t.Run("InAStoppedContainer", func(t *testing.T) {
		stopped := s.create(t, container.Spec{})
		_, err := s.Exec(t.Context(), stopped, container.Exec{Command: []string{"/app", "exit", "0"}})
		require.ErrorIs(t, err, container.ErrConflict)
		_, err = s.Exec(t.Context(), strings.Repeat("0", 64), container.Exec{Command: []string{"/app"}})
		require.ErrorIs(t, err, container.ErrNotFound)
	})
}

// testTerminal types into a program on a terminal, and resizes that.
func (s *suite) testTerminal(t *testing.T, id string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	input, typed := io.Pipe()
	shown, output := io.Pipe()
	resize := make(chan container.Size)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Exec(ctx, id, container.Exec{
			Command: []string{"/app", "terminal"}, TTY: true, Stdin: input, Stdout: output, Resize: resize,
		})
		_ = output.Close()
		ended <- err
	}()
	screen := make(chan string)
	go func() {
		defer close(screen)
		buffer := make([]byte, 1024)
		for {
			n, err := shown.Read(buffer)
			if n > 0 {
				screen <- string(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	// Each size is asked for until the program sees it: an engine may refuse
	// one while the program is starting.
	for _, size := range []struct {
		container.Size
		want string
	}{{container.Size{Columns: 101, Rows: 37}, "101 columns, 37 rows"}, {container.Size{Columns: 60, Rows: 20}, "60 columns, 20 rows"}} {
		var all strings.Builder
		for !strings.Contains(all.String(), size.want) {
			resize <- size.Size
			resize <- size.Size // the one before has been passed on
			_, err := typed.Write([]byte("look\n"))
			require.NoError(t, err)
			for !strings.Contains(all.String(), "rows\r\n") {
				select {
				case part := <-screen:
					all.WriteString(part)
				case <-ctx.Done():
					t.Fatalf("the terminal shows %q", all.String())
				}
			}
			if !strings.Contains(all.String(), size.want) {
				all.Reset()
			}
		}
		require.Contains(t, all.String(), "look", "what is typed is shown")
	}
	_, err := typed.Write([]byte{4}) // end of input, as a terminal has it
	require.NoError(t, err)
	for range screen { // until the program has ended
	}
	require.NoError(t, <-ended)
}

// output runs a command and gives what it wrote.
func (s *suite) output(t *testing.T, id string, x container.Exec) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	x.Stdout, x.Stderr = &stdout, &stderr
	code, err := s.Exec(t.Context(), id, x)
	require.NoError(t, err)
	require.Equal(t, 0, code, stdout.String()+stderr.String())
	return stdout.String()
}
