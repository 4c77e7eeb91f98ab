package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

// ExecProtocol is the WebSocket subprotocol of a command in an instance.
//
// The client's first message is text, an [ExecStart]. After it, binary
// messages are the command's input, and text ones are an [ExecControl]. The
// server's binary messages are output: their first byte is 1 for standard
// output and 2 for standard error. Its last message is text, an [ExecEnd].
const ExecProtocol = "berth.exec.v1"

// The first byte of output.
const (
	ExecStdout byte = 1
	ExecStderr byte = 2
)

// ExecStart says what is to be run.
type ExecStart struct {
	Command []string `json:"command,omitempty" doc:"Program and arguments; a shell when absent"`
	TTY     bool     `json:"tty,omitempty" doc:"With a terminal"`
	Columns uint     `json:"columns,omitempty"`
	Rows    uint     `json:"rows,omitempty"`
}

// ExecControl is what a client says beside the input.
type ExecControl struct {
	Columns uint `json:"columns,omitempty" doc:"The terminal's new size"`
	Rows    uint `json:"rows,omitempty"`
	EOF     bool `json:"eof,omitempty" doc:"There is no more input"`
}

// ExecEnd says how it ended: with an exit code, or by an error.
type ExecEnd struct {
	deploy.ExecExit
	Error string `json:"error,omitempty" doc:"Why there is no exit code"`
	Kind  string `json:"kind,omitempty" doc:"What sort of error, as a problem's code"`
}

const (
	maxExecMessage = 64 << 10
	maxTerminal    = 1000 // columns or rows
	execStartWait  = 10 * time.Second
)

type execInput struct {
	ID string `path:"id" maxLength:"64"`
	// A browser always sends it with a WebSocket.
	Origin string `header:"Origin"`
}

// exec makes the line of the table of the WebSocket that runs a command.
func exec(a *API, pattern string, r rule, id, summary string) route {
	line := on(a, pattern, r, id, summary, a.startExec)
	plain := line.register
	line.register = func(h huma.API, o huma.Operation) {
		o.Description = "A WebSocket of the subprotocol " + ExecProtocol + ". The first message is text: " +
			"{\"command\": […], \"tty\": true, \"columns\": 80, \"rows\": 24}, all optional. Then binary messages are input, and text ones " +
			"{\"columns\": …, \"rows\": …} or {\"eof\": true}. Binary messages from Berth are output, after a byte that is 1 for standard " +
			"output and 2 for standard error; the last message is text: {\"code\": 0, \"detail\": …}, or {\"error\": …, \"kind\": …}."
		o.Responses = map[string]*huma.Response{"101": {Description: "The WebSocket"}}
		o.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests}
		plain(h, o)
	}
	return line
}

func (a *API) startExec(ctx context.Context, in *execInput) (*huma.StreamResponse, error) {
	c := callerOf(ctx)
	if err := a.deploy.ExecTarget(ctx, in.ID); err != nil {
		return nil, err
	}
	// A cookie goes along from every page; what a page of Berth's own sends
	// says where it comes from, and websocket.Accept compares that.
	if in.Origin == "" && c.subject.Via == identity.ViaSession {
		return nil, fault.Forbidden("this request does not say which page it comes from")
	}
	leave, err := a.streams.enter(c.subject.Person.ID)
	if err != nil {
		return nil, err
	}
	over, err := a.terminals.begin()
	if err != nil {
		leave()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer over()
		defer leave()
		held, release := a.identity.Hold(context.WithoutCancel(ctx), c.who())
		defer release()
		r, w := humago.Unwrap(h)
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{ExecProtocol}})
		if err != nil {
			return // it has answered
		}
		defer func() { _ = conn.CloseNow() }()
		if conn.Subprotocol() != ExecProtocol {
			_ = conn.Close(websocket.StatusPolicyViolation, "want the subprotocol "+ExecProtocol)
			return
		}
		conn.SetReadLimit(maxExecMessage)
		a.runExec(held, conn, c.actor(), in.ID)
	}}, nil
}

// runExec serves one WebSocket until the command, the person's session or the
// connection ends.
func (a *API) runExec(ctx context.Context, conn *websocket.Conn, actor, id string) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-a.stopping:
			end(errors.New("Berth is stopping")) //nolint:staticcheck // a name
		case <-ctx.Done():
		}
	}()
	start, err := readExecStart(ctx, conn)
	if err != nil {
		finishExec(ctx, conn, ExecEnd{Error: "the first message must be a JSON object with command, tty, columns and rows", Kind: fault.BadInput.String()})
		return
	}
	input, keyboard := io.Pipe()
	sizes := make(chan container.Size, 1)
	if start.Columns > 0 && start.Rows > 0 {
		sizes <- container.Size{Columns: min(start.Columns, maxTerminal), Rows: min(start.Rows, maxTerminal)}
	}
	var reading sync.WaitGroup
	listening, silent := context.WithCancel(context.WithoutCancel(ctx))
	reading.Go(func() {
		_ = listenExec(listening, conn, keyboard, sizes)
		_ = keyboard.CloseWithError(io.EOF)
		if listening.Err() == nil {
			end(errors.New("the connection ended"))
		}
	})
	reading.Go(func() { pingExec(listening, conn, end) })
	out := &execWriter{conn: conn, ctx: context.WithoutCancel(ctx)}
	exit, err := a.deploy.Exec(ctx, actor, id, container.Exec{
		Command: start.Command, TTY: start.TTY, Stdin: input, Resize: sizes,
		Stdout: out.stream(ExecStdout), Stderr: out.stream(ExecStderr),
	})
	last := ExecEnd{ExecExit: exit}
	if err != nil {
		last = ExecEnd{Error: fault.Message(err), Kind: fault.KindOf(err).String()}
		if fault.KindOf(err) == fault.Internal {
			a.log.ErrorContext(ctx, "command in an instance failed", "instance", id, "error", err)
		}
	}
	finishExec(ctx, conn, last)
	silent()
	_ = conn.CloseNow()
	reading.Wait()
}

func readExecStart(ctx context.Context, conn *websocket.Conn) (s ExecStart, err error) {
	ctx, cancel := context.WithTimeout(ctx, execStartWait)
	defer cancel()
	kind, raw, err := conn.Read(ctx)
	if err != nil {
		return s, err
	}
	if kind != websocket.MessageText {
		return s, errors.New("not text")
	}
	return s, json.Unmarshal(raw, &s)
}

// listenExec takes what the client sends until it sends no more, which is an
// error.
func listenExec(ctx context.Context, conn *websocket.Conn, keyboard *io.PipeWriter, sizes chan container.Size) error {
	for {
		kind, raw, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			if _, err := keyboard.Write(raw); err != nil {
				continue // it takes no more input; its size and its end still matter
			}
			continue
		}
		var c ExecControl
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		if c.EOF {
			_ = keyboard.Close()
		}
		if c.Columns > 0 && c.Rows > 0 {
			select { // the newest counts
			case <-sizes:
			default:
			}
			select {
			case sizes <- container.Size{Columns: min(c.Columns, maxTerminal), Rows: min(c.Rows, maxTerminal)}:
			default:
			}
		}
	}
}

// pingExec notices a connection that is dead.
func pingExec(ctx context.Context, conn *websocket.Conn, end context.CancelCauseFunc) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, writeTimeout)
		err := conn.Ping(asking)
		cancel()
		if err != nil && ctx.Err() == nil {
			end(errors.New("the connection ended"))
			return
		}
	}
}

func finishExec(ctx context.Context, conn *websocket.Conn, last ExecEnd) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	raw, err := json.Marshal(last)
	if err != nil {
		return
	}
	if conn.Write(ctx, websocket.MessageText, raw) == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// execWriter sends output as messages.
type execWriter struct {
	conn *websocket.Conn
	ctx  context.Context //nolint:containedctx // io.Writer takes none
}

type execStream struct {
	to   *execWriter
	mark byte
}

func (w *execWriter) stream(mark byte) io.Writer { return execStream{w, mark} }

func (s execStream) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxExecMessage-1)
		ctx, cancel := context.WithTimeout(s.to.ctx, writeTimeout)
		err := s.to.conn.Write(ctx, websocket.MessageBinary, append([]byte{s.mark}, rest[:n]...))
		cancel()
		if err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// terminals counts the WebSockets that are open: no listener waits for what
// was taken off it.
type terminals struct {
	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup
}

func (t *terminals) begin() (over func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fault.Unavailable("Berth is stopping")
	}
	t.open.Add(1)
	return t.open.Done, nil
}

// end lets none begin, and waits for those that are open.
func (t *terminals) end() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.open.Wait()
}
