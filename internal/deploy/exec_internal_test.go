package deploy

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/fault"
)

// shellEngine is an engine whose only command reads until its input ends.
type shellEngine struct {
	container.Runtime
	stubborn bool // it goes on without input
	read     bytes.Buffer
}

func (e *shellEngine) Exec(ctx context.Context, _ string, x container.Exec) (int, error) {
	if _, err := io.Copy(io.MultiWriter(&e.read, x.Stdout), x.Stdin); err != nil {
		return 0, err
	}
	if e.stubborn {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 0, nil
}

func TestExec_EndsInSilenceAndWhenItsTimeIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		typed    time.Duration // between two keys; none is pressed when 0
		tty      bool
		stubborn bool
		gone     time.Duration // when the session ends
		after    time.Duration
		why      error
		read     string // what the command gets at last
	}{
		"nobody types":                      {after: execIdle, why: errExecIdle},
		"nobody types on a terminal":        {tty: true, after: execIdle, why: errExecIdle, read: "\x03"},
		"it does not end by itself":         {stubborn: true, after: execIdle + execGrace, why: errExecIdle},
		"somebody types for too long":       {typed: 29 * time.Minute, after: execMost, why: errExecMost, read: "."},
		"the session ends":                  {gone: time.Minute, after: time.Minute, why: errExecSession},
		"the session ends, and it does not": {gone: time.Minute, stubborn: true, after: time.Minute + execGrace, why: errExecSession},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &shellEngine{stubborn: c.stubborn}
				s := &Service{runtime: engine}
				ctx, end := context.WithCancel(t.Context())
				defer end()
				if c.gone > 0 {
					time.AfterFunc(c.gone, end)
				}
				input, keyboard := io.Pipe()
				if c.typed > 0 {
					go func() {
						for err := error(nil); err == nil; _, err = io.WriteString(keyboard, ".") {
							time.Sleep(c.typed)
						}
					}()
				}
				defer keyboard.Close()
				began := time.Now()
				exit, err := s.runExec(ctx, Instance{}, container.Exec{Command: []string{Shell}, TTY: c.tty, Stdin: input, Stdout: io.Discard})
				require.Equal(t, c.after, time.Since(began))
				require.Equal(t, fault.Clash, fault.KindOf(err))
				require.ErrorContains(t, err, c.why.Error())
				require.Equal(t, c.why.Error(), exit.Detail)
				require.Contains(t, engine.read.String(), c.read)
				time.Sleep(c.typed) // for the last key, which nobody takes
			})
		})
	}
}
