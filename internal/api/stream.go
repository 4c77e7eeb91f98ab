package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/fault"
)

const (
	pingEvery    = 15 * time.Second // so that a dead connection is noticed on both sides
	writeTimeout = 10 * time.Second // for one write to a client that does not read
	// Streams that may be open at one time.
	maxStreamsPerPerson = 32
	maxStreams          = 1024
)

// Ping is sent first, so that the headers go out at once, and then every 15
// seconds.
type Ping struct {
	At time.Time `json:"at"`
}

// message is one sort of server-sent event, as the OpenAPI document shows it.
// An empty name stands for every name that is not another message's.
type message struct {
	name string
	data any
}

// opened is a stream whose request was found good: it writes until its end.
type opened func(context.Context, *feed) error

// stream makes a line of the table of a handler that answers with
// server-sent events (WHATWG HTML section 9.2). What the handler itself
// returns as an error is a problem like everywhere; once opened runs, the
// stream only ends.
func stream[I any](a *API, pattern string, r rule, id, summary string, messages []message, handle func(context.Context, *I) (opened, error)) route {
	line := on(a, pattern, r, id, summary, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		c := callerOf(ctx)
		run, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		leave, err := a.streams.enter(c.subject.Person.ID)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			defer leave()
			held, release := a.identity.Hold(ctx, c.who())
			defer release()
			_, w := humago.Unwrap(h)
			a.serve(held, newFeed(w), run)
		}}, nil
	})
	plain := line.register
	line.register = func(h huma.API, o huma.Operation) {
		o.Responses = map[string]*huma.Response{"200": {
			Description: "Server-sent events",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: messagesSchema(h, messages)}},
		}}
		o.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests}
		plain(h, o)
	}
	return line
}

func (a *API) serve(ctx context.Context, f *feed, run opened) {
	f.w.Header().Set("Content-Type", "text/event-stream")
	f.w.WriteHeader(http.StatusOK)
	if err := run(ctx, f); err != nil && ctx.Err() == nil && !errors.Is(err, errGone) {
		a.log.WarnContext(ctx, "stream ended early", "error", err)
	}
}

func messagesSchema(h huma.API, messages []message) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{}}
	for _, m := range messages {
		name := &huma.Schema{Type: huma.TypeString, Description: "What happened, such as deployment.state"}
		if m.name != "" {
			name = &huma.Schema{Type: huma.TypeString, Enum: []any{m.name}}
		}
		s.Items.OneOf = append(s.Items.OneOf, &huma.Schema{
			Type: huma.TypeObject,
			Properties: map[string]*huma.Schema{
				"id":    {Type: huma.TypeInteger, Format: "int64"},
				"event": name,
				"data":  h.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(m.data), true, ""),
			},
			Required: []string{"event", "data"},
		})
	}
	return s
}

// errGone says that the one who listened is away: nobody's trouble.
var errGone = errors.New("the listener is gone")

// feed writes server-sent events, each whole.
type feed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
}

func newFeed(w http.ResponseWriter) *feed {
	return &feed{w: w, control: http.NewResponseController(w)}
}

// send writes one event; an id below 0 is left out. It goes out with the next
// flush.
func (f *feed) send(id int64, name string, data any) error {
	f.buffer.Reset()
	if id >= 0 {
		fmt.Fprintf(&f.buffer, "id: %d\n", id)
	}
	fmt.Fprintf(&f.buffer, "event: %s\ndata: ", name)
	e := json.NewEncoder(&f.buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil { // JSON holds no line end but the last, so it is one data line
		return fmt.Errorf("encode %s: %w", name, err)
	}
	f.buffer.WriteByte('\n')
	_ = f.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a writer without deadlines waits
	if _, err := f.w.Write(f.buffer.Bytes()); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

func (f *feed) flush() error {
	if err := f.control.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	// HTTP/2 ends a stream at its deadline, also one that waits.
	_ = f.control.SetWriteDeadline(time.Time{})
	return nil
}

// pump sends what source gives until it ends, ctx ends or the API stops. It
// ends between two events.
func pump[T any](ctx context.Context, a *API, f *feed, source func(context.Context) iter.Seq2[T, error], emit func(T) error, ping func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	items := make(chan T, 256)
	var broken error
	go func() {
		defer close(items)
		defer func() { // not a request's goroutine, so nobody else would
			if v := recover(); v != nil {
				broken = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		for item, err := range source(ctx) {
			if err != nil {
				broken = err
				return
			}
			select {
			case items <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range items { // until the goroutine has ended
		}
	}()

	if err := errors.Join(ping(), f.flush()); err != nil {
		return err
	}
	pings := time.NewTicker(pingEvery)
	defer pings.Stop()
	for {
		var err error
		select {
		case item, more := <-items:
			if !more {
				return errors.Join(broken, f.flush())
			}
			if err = emit(item); err == nil && len(items) > 0 {
				continue // flushed with the last one at hand
			}
		case <-pings.C:
			err = ping()
		case <-a.stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err := errors.Join(err, f.flush()); err != nil {
			return err
		}
	}
}

// streams counts what is open, for each person and in all.
type streams struct {
	mu     sync.Mutex
	person map[string]int
	all    int
}

func (s *streams) enter(person string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.person[person] >= maxStreamsPerPerson:
		return nil, fault.Often("%d live streams are open for you already: close a tab", maxStreamsPerPerson)
	case s.all >= maxStreams:
		return nil, fault.Unavailable("%d live streams are open already", maxStreams)
	}
	s.person[person]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.person[person]--; s.person[person] == 0 {
			delete(s.person, person)
		}
	}, nil
}
