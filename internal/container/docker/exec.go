package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"berth/internal/container"
)

// notFoundCode is what shells give for a command that isn't there.
const notFoundCode = 127

// Exec runs a command in a running container.
func (e *Engine) Exec(ctx context.Context, id string, x container.Exec) (int, error) {
	code, err := e.exec(ctx, id, x)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, wrap(err, "run %s in container %s", strings.Join(x.Command, " "), id)
	}
	return code, nil
}

func (e *Engine) exec(ctx context.Context, id string, x container.Exec) (int, error) {
	made, err := e.api.ExecCreate(ctx, id, client.ExecCreateOptions{
		Cmd: x.Command, Env: environment(x.Env), User: x.User, WorkingDir: x.Dir, TTY: x.TTY,
		AttachStdin: x.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return 0, err
	}
	attached, err := e.api.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: x.TTY})
	if err != nil {
		if isMissingCommand(err) {
			return notFoundCode, nil
		}
		return 0, err
	}
	ended := context.AfterFunc(ctx, attached.Close) // the connection does not know ctx
	defer ended()

	var helpers sync.WaitGroup
	ctx, done := context.WithCancel(ctx)
	if x.Stdin != nil {
		helpers.Go(func() { feed(attached.HijackedResponse, x) })
	}
	if x.TTY && x.Resize != nil {
		helpers.Go(func() { e.resize(ctx, made.ID, x.Resize) })
	}
	err = deliver(attached.Reader, x)
	attached.Close()
	done()
	if closer, ok := x.Stdin.(io.Closer); ok {
		_ = closer.Close()
	}
	helpers.Wait()
	if err != nil {
		return 0, err
	}
	return e.exitCode(context.WithoutCancel(ctx), made.ID)
}

// feed copies the input and then tells the command that there is no more. On a
// terminal a person does that with a key; Docker, told otherwise, would show
// nothing any more.
func feed(attached client.HijackedResponse, x container.Exec) {
	_, _ = io.Copy(attached.Conn, x.Stdin)
	if x.TTY {
		_, _ = attached.Conn.Write([]byte{endOfTransmission})
		return
	}
	_ = attached.CloseWrite()
}

const endOfTransmission = 4 // Ctrl-D

// deliver copies the output until the command ends.
func deliver(from io.Reader, x container.Exec) error {
	stdout, stderr := orDiscard(x.Stdout), orDiscard(x.Stderr)
	if x.TTY {
		_, err := io.Copy(stdout, from)
		return err
	}
	reader := frames{from: from}
	for {
		f, err := reader.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		to := stdout
		if f.stream == frameStderr {
			to = stderr
		}
		if _, err := to.Write(f.payload); err != nil {
			return err
		}
	}
}

// resize follows the terminal's size. The engine refuses it while the command
// is starting, so that it is asked again for a while, and after its end.
func (e *Engine) resize(ctx context.Context, exec string, sizes <-chan container.Size) {
	const tries, between = 20, 50 * time.Millisecond
	var size container.Size
	var again <-chan time.Time
	for left := 0; ; {
		select {
		case <-ctx.Done():
			return
		case next, more := <-sizes:
			if !more {
				return
			}
			size, left = next, tries
		case <-again:
		}
		again = nil
		_, err := e.api.ExecResize(ctx, exec, client.ExecResizeOptions{Height: size.Rows, Width: size.Columns})
		if left--; err != nil && left > 0 {
			again = time.After(between)
		}
	}
}

// exitCode asks how the command ended. The output's end comes a moment before
// the engine has noted it.
func (e *Engine) exitCode(ctx context.Context, exec string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for wait := time.Millisecond; ; wait *= 2 {
		said, err := e.api.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		if err != nil {
			return 0, fmt.Errorf("ask for the exit code: %w", err)
		}
		if !said.Running {
			if said.PID == 0 && said.ExitCode == 126 {
				return notFoundCode, nil // Docker's code for a command it could not start
			}
			return said.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("ask for the exit code: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// isMissingCommand says whether the engine found no such command.
func isMissingCommand(err error) bool {
	text := err.Error()
	return strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory")
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
