package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// The bounds of a command that a person runs in an instance.
const (
	execIdle  = 30 * time.Minute // without a byte in either direction
	execMost  = 8 * time.Hour
	execGrace = 2 * time.Second // to end by itself, once it must
	// maxExecArgs and maxExecBytes bound the command.
	maxExecArgs  = 256
	maxExecBytes = 32 << 10
	maxExecShown = 200 // bytes of the command in the event
)

// Shell is what is run when no command is named.
const Shell = "sh"

// Why a command was ended, for a person.
var (
	errExecIdle    = fmt.Errorf("nothing was typed or shown for %s", spell(execIdle))
	errExecSession = errors.New("the session ended")
	errExecMost    = fmt.Errorf("it ran for %s", spell(execMost))
)

func spell(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// ExecExit is how a command in an instance ended.
type ExecExit struct {
	Code   int    `json:"code"`
	Detail string `json:"detail,omitempty"` // why, where the code alone does not tell
}

// execData is the data of the events exec.started and exec.ended. What was
// typed and shown is nobody else's.
type execData struct {
	Command string  `json:"command"`
	TTY     bool    `json:"tty,omitempty"`
	Ordinal int     `json:"ordinal"`
	Seconds float64 `json:"seconds,omitempty"`
	Code    *int    `json:"code,omitempty"` // nil when it was cut off
	Why     string  `json:"why,omitempty"`
}

// Exec runs a command in an instance's container for actor and waits for its
// end; without a command, a [Shell]. Its start and its end are events.
//
// It ends when ctx does, after 30 minutes of silence, and after 8 hours: a
// terminal is sent Ctrl-C and Ctrl-D, every other command loses its input. A
// command that stays in spite of these goes on until its container ends,
// because engines can end none.
//
// x.Stdin, where there is one, must be an io.Closer; it is closed.
func (s *Service) Exec(ctx context.Context, actor, id string, x container.Exec) (ExecExit, error) {
	i, err := s.execTarget(ctx, id, &x)
	if err != nil {
		return ExecExit{}, err
	}
	started := s.clock()
	data := execData{Command: commandShown(strings.Join(x.Command, " ")), TTY: x.TTY, Ordinal: i.Ordinal}
	if err := s.emitExec(ctx, eventExecStarted, actor, i, data); err != nil {
		return ExecExit{}, err
	}
	defer s.execs.begin(i.Project, i.Stage)()
	exit, err := s.runExec(ctx, i, x)
	data.Seconds = s.clock().Sub(started).Round(time.Millisecond).Seconds()
	data.Why = exit.Detail
	if err == nil {
		data.Code = &exit.Code
	} else {
		data.Why = fault.Message(err)
	}
	return exit, errors.Join(err, s.emitExec(context.WithoutCancel(ctx), eventExecEnded, actor, i, data))
}

// ExecTarget says whether a command can be run in an instance now.
func (s *Service) ExecTarget(ctx context.Context, id string) error {
	_, err := s.execTarget(ctx, id, &container.Exec{})
	return err
}

func (s *Service) execTarget(ctx context.Context, id string, x *container.Exec) (Instance, error) {
	bytes := 0
	for _, arg := range x.Command {
		bytes += len(arg)
		if strings.ContainsRune(arg, 0) {
			return Instance{}, fault.InvalidFields([]fault.Field{{Name: "command", Message: "holds a NUL"}})
		}
	}
	if len(x.Command) > maxExecArgs || bytes > maxExecBytes || (len(x.Command) > 0 && x.Command[0] == "") {
		return Instance{}, fault.InvalidFields([]fault.Field{{Name: "command", Message: fmt.Sprintf("must have 1 to %d words of %d bytes together", maxExecArgs, maxExecBytes)}})
	}
	if len(x.Command) == 0 {
		x.Command = []string{Shell}
	}
	if x.TTY {
		x.Env = map[string]string{"TERM": "xterm-256color"}
	}
	i, err := s.Instance(ctx, id)
	if err != nil {
		return i, err
	}
	c, err := s.inspect(ctx, i)
	if err != nil {
		return i, wordEngine(err)
	}
	if c.State != container.StateRunning {
		return i, fault.Conflict("the instance does not run")
	}
	return i, nil
}

func (s *Service) emitExec(ctx context.Context, kind event.Kind, actor string, i Instance, data execData) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{
			Kind: kind, Actor: actor, Project: i.Project, Stage: i.Stage, Deployment: i.Deployment, Instance: i.ID,
		}, data)
	})
}

func (s *Service) runExec(ctx context.Context, i Instance, x container.Exec) (ExecExit, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	most := time.AfterFunc(execMost, func() { end(errExecMost) })
	defer most.Stop()
	idle := time.AfterFunc(execIdle, func() { end(errExecIdle) })
	defer idle.Stop()
	touch := func() { idle.Reset(execIdle) }

	// What the command is cut off by, once it had its time to end by itself.
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	typed, shown := counted{touch: touch}, counted{touch: touch}
	var helpers sync.WaitGroup
	if x.Stdin != nil {
		in := x.Stdin
		hidden, keyboard := io.Pipe()
		x.Stdin = hidden // which the engine closes at the command's end
		helpers.Go(func() {
			_, _ = io.Copy(io.MultiWriter(&typed, keyboard), in)
			if ctx.Err() != nil && x.TTY {
				_, _ = io.WriteString(keyboard, "\x03") // and Ctrl-D, with the end of the input
			}
			_ = keyboard.Close()
		})
		closer, _ := in.(io.Closer)
		shut := func() {
			if closer != nil {
				_ = closer.Close()
			}
		}
		hangUp := context.AfterFunc(ctx, shut)
		defer func() {
			hangUp()
			shut()
			_ = hidden.Close()
			helpers.Wait()
		}()
	}
	late := context.AfterFunc(ctx, func() { time.AfterFunc(execGrace, cut) })
	defer late()
	x.Stdout, x.Stderr = shown.over(x.Stdout), shown.over(x.Stderr)

	code, err := s.runtime.Exec(working, i.Container, x)
	if why := context.Cause(ctx); why != nil {
		if errors.Is(why, context.Canceled) {
			why = errExecSession
		}
		return ExecExit{Code: code, Detail: why.Error()}, fault.Conflict("the command was ended: %s", why).Because(err)
	}
	if err != nil {
		return ExecExit{}, wordEngine(err)
	}
	exit := ExecExit{Code: code}
	if code == 127 && typed.n.Load() == 0 {
		exit.Detail = fmt.Sprintf("the image has no %q", x.Command[0])
	}
	return exit, nil
}

// counted counts the bytes of a direction, and says that there were some.
type counted struct {
	n     atomic.Int64
	touch func()
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	c.touch()
	return len(p), nil
}

func (c *counted) over(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return io.MultiWriter(c, w)
}

func commandShown(text string) string {
	if len(text) > maxExecShown {
		return strings.ToValidUTF8(text[:maxExecShown], "") + "…"
	}
	return text
}
