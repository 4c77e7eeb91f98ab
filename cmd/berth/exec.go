package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/coder/websocket"
	"golang.org/x/term"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/fault"
)

type execCommand struct {
	stageName
	Instance string   `help:"The instance, by its id or number; the first that is ready when absent."`
	TTY      *bool    `name:"tty" short:"t" negatable:"" help:"With a terminal; by itself when this command runs in one."`
	Command  []string `arg:"" optional:"" passthrough:"" help:"What to run, after --; a shell when absent."`
}

// Run runs a command in an instance. Its exit code is the command's.
func (cmd *execCommand) Run(ctx context.Context, c *client, p *process) error {
	instance, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	command := cmd.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	in, out := terminalOf(p.stdin), terminalOf(p.stdout)
	start := api.ExecStart{Command: command, TTY: in != nil && out != nil}
	if cmd.TTY != nil {
		start.TTY = *cmd.TTY
	}
	if start.TTY && out != nil {
		start.Columns, start.Rows = sizeOf(out)
	}
	conn, err := c.socketTo(ctx, pathf("/api/instances/%s/exec", instance.ID), api.ExecProtocol)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	if err := writeJSON(ctx, conn, start); err != nil {
		return err
	}
	if start.TTY && in != nil {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("set the terminal to raw: %w", err)
		}
		defer func() { _ = term.Restore(int(in.Fd()), state) }()
		if out != nil {
			stop := followSize(ctx, conn, out)
			defer stop()
		}
	}
	// It ends with the process: a read of the terminal can't be ended.
	go sendInput(ctx, conn, p.stdin)
	return receive(ctx, conn, p)
}

// find gives the instance that was named, or the first that is ready.
func (cmd *execCommand) find(ctx context.Context, c *client) (deploy.Instance, error) {
	var s deploy.StageStatus
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return deploy.Instance{}, err
	}
	for _, n := range s.Instances {
		if cmd.Instance == n.ID || cmd.Instance == strconv.Itoa(n.Ordinal) || (cmd.Instance == "" && n.State == deploy.InstanceReady) {
			return n, nil
		}
	}
	if cmd.Instance == "" {
		return deploy.Instance{}, fault.NotFound("%s has no instance that is ready", cmd.stageName)
	}
	return deploy.Instance{}, fault.NotFound("%s has no such instance running", cmd.stageName)
}

// receive shows what the command says until it ends.
func receive(ctx context.Context, conn *websocket.Conn, p *process) error {
	for {
		kind, raw, err := conn.Read(ctx)
		if err != nil {
			return fault.Unavailable("the connection ended before the command did").Because(err)
		}
		if kind == websocket.MessageText {
			var end api.ExecEnd
			if err := json.Unmarshal(raw, &end); err != nil {
				return fmt.Errorf("read how the command ended: %w", err)
			}
			return ended(end)
		}
		if len(raw) == 0 {
			continue
		}
		to := p.stdout
		if raw[0] == api.ExecStderr {
			to = p.stderr
		}
		if _, err := to.Write(raw[1:]); err != nil {
			return fmt.Errorf("write the command's output: %w", err)
		}
	}
}

// exitCodeError is a command's own exit code, which is passed on. What was
// wrong, the command has said itself, unless there is a detail.
type exitCodeError struct {
	code   int
	detail string
}

func (e *exitCodeError) Error() string {
	return cmp.Or(e.detail, "it ended with code "+strconv.Itoa(e.code))
}

func (e *exitCodeError) Is(target error) bool { return target == errSaid && e.detail == "" }

func ended(end api.ExecEnd) error {
	switch {
	case end.Error != "":
		kind := fault.Internal
		for k := fault.Internal; k <= fault.NotNow; k++ {
			if k.String() == end.Kind {
				kind = k
			}
		}
		return &fault.Error{Kind: kind, Message: end.Error}
	case end.Code != 0:
		return &exitCodeError{end.Code, end.Detail}
	}
	return nil
}

// sendInput sends what is typed or piped, and then that there is no more.
func sendInput(ctx context.Context, conn *websocket.Conn, from io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && conn.Write(ctx, websocket.MessageBinary, buffer[:n]) != nil {
			return
		}
		if err != nil {
			_ = writeJSON(ctx, conn, api.ExecControl{EOF: true})
			return
		}
	}
}

// followSize sends the terminal's size whenever it changes.
func followSize(ctx context.Context, conn *websocket.Conn, out *os.File) (stop func()) {
	changes, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changes, syscall.SIGWINCH)
	go func() {
		defer close(done)
		for range changes {
			columns, rows := sizeOf(out)
			_ = writeJSON(ctx, conn, api.ExecControl{Columns: columns, Rows: rows})
		}
	}()
	return func() {
		signal.Stop(changes)
		close(changes)
		<-done
	}
}

func sizeOf(out *os.File) (columns, rows uint) {
	w, h, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return 80, 24
	}
	return uint(max(w, 1)), uint(max(h, 1))
}

// terminalOf gives a stream's file when it is a terminal.
func terminalOf(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

func writeJSON(ctx context.Context, conn *websocket.Conn, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, raw)
}

// socketTo opens a WebSocket. What the server refuses comes back as the fault
// it says it is.
func (c *client) socketTo(ctx context.Context, path, protocol string) (*websocket.Conn, error) {
	header := http.Header{"User-Agent": {"berth/" + version()}}
	if !c.token.Empty() {
		header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	conn, response, err := websocket.Dial(ctx, c.base.String()+path, &websocket.DialOptions{ //nolint:bodyclose // read below, or the connection's
		HTTPClient: c.http, HTTPHeader: header, Subprotocols: []string{protocol},
	})
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		return nil, c.refusal(response)
	}
	return nil, c.unreachable(err)
}
