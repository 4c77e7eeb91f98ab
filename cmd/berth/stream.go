package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/internal/fault"
)

// message is one server-sent event.
type message struct {
	id, event, data string
}

// maxMessage bounds one line of a stream.
const maxMessage = 1 << 20

// stream reads server-sent events until the server ends the stream, the loop
// is left, or ctx ends.
func (c *client) stream(ctx context.Context, path string) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		response, err := c.send(ctx, http.MethodGet, path, nil, "text/event-stream")
		if err != nil {
			yield(message{}, err)
			return
		}
		defer response.Body.Close()
		if err := readMessages(response.Body, func(m message) bool { return yield(m, nil) }); err != nil && ctx.Err() == nil {
			yield(message{}, err)
		}
	}
}

// readMessages reads the event stream format of the HTML standard, section
// 9.2.6, as far as Berth writes it.
func readMessages(r io.Reader, take func(message) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxMessage)
	var m message
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			m.data = strings.Join(data, "\n")
			if len(data) > 0 && !take(m) {
				return nil
			}
			m, data = message{}, nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			data = append(data, value)
		}
	}
	return lines.Err()
}

// How long a follower goes on asking a server that does not answer, and how
// long it waits in between.
const (
	patience  = time.Minute
	retryWait = time.Second
)

// follow reads /api/events after an id. It goes on where it was when the
// connection breaks: a server that restarts loses nothing. Pings are given
// too, one with each connection and one every 15 seconds. It ends with an
// error once nobody has answered for a minute.
func (c *client) follow(ctx context.Context, query url.Values, after string) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		heard := time.Now()
		for ctx.Err() == nil {
			if after != "" {
				query.Set("after", after)
			}
			var broken error
			for m, err := range c.stream(ctx, "/api/events?"+query.Encode()) {
				if err != nil {
					broken = err
					break
				}
				heard = time.Now()
				if m.id != "" {
					after = m.id
				}
				if !yield(m, nil) {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			if kind := fault.KindOf(broken); broken != nil && kind != fault.NotNow && kind != fault.Internal {
				yield(message{}, broken)
				return
			}
			if time.Since(heard) > patience {
				yield(message{}, cmpError(broken, fmt.Errorf("%s ended the stream", c.where())))
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(retryWait):
			}
		}
	}
}

func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
