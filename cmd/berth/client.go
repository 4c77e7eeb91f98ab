package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/secret"
)

// maxAnswer bounds what one answer may hold.
const maxAnswer = 64 << 20

// client talks to one server.
type client struct {
	base   *url.URL
	socket string // set when it talks to the server on this machine
	token  secret.Text
	http   *http.Client
}

// where names the server for a person.
func (c *client) where() string {
	if c.socket != "" {
		return c.socket
	}
	return c.base.String()
}

// call sends body, when not nil, as JSON and reads the answer into into, when
// not nil. What the server refuses comes back as the fault it says it is.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		reader = bytes.NewReader(raw)
	}
	response, err := c.send(ctx, method, path, reader, "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.where(), err)
	}
	if into == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s answered something that is not Berth's: %w", c.where(), err)
	}
	return nil
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// send sends JSON, or nothing: see sendAs.
func (c *client) send(ctx context.Context, method, path string, body io.Reader, accept string) (*http.Response, error) {
	return c.sendAs(ctx, method, path, body, "application/json", accept)
}

// sendAs sends a request and gives a successful answer, whose body the caller
// closes.
func (c *client) sendAs(ctx context.Context, method, path string, body io.Reader, kind, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "berth/"+version())
	if body != nil {
		request.Header.Set("Content-Type", kind)
	}
	if !c.token.Empty() {
		request.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.unreachable(err)
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		return nil, c.refusal(response)
	}
	return response, nil
}

func (c *client) unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if c.socket != "" {
		return fault.Unavailable("no server answers at %s: is \"berth serve\" running with that data folder? (%v)", c.socket, err).Because(err)
	}
	return fault.Unavailable("%s can not be reached: %v", c.base, err).Because(err)
}

// refusal turns a problem (RFC 9457) back into the fault it was made from.
func (c *client) refusal(response *http.Response) error {
	var problem struct {
		Title, Detail, Code string
		Errors              []struct{ Location, Message string }
		Unmeant             bool
	}
	raw, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if json.Unmarshal(raw, &problem) != nil || problem.Code == "" {
		return &fault.Error{Kind: kindOfStatus(response.StatusCode), Message: fmt.Sprintf("%s answered %s", c.where(), response.Status)}
	}
	f := &fault.Error{Kind: fault.Internal, Message: problem.Detail, Unmeant: problem.Unmeant}
	for k := fault.Internal; k <= fault.NotProved; k++ {
		if k.String() == problem.Code {
			f.Kind = k
		}
	}
	for _, e := range problem.Errors {
		f.Fields = append(f.Fields, fault.Field{Name: strings.TrimPrefix(e.Location, "body."), Message: e.Message})
	}
	if f.Kind == fault.Unauthenticated && c.socket == "" {
		f.Message += "; \"berth login " + c.base.String() + "\" signs you in"
	}
	return f
}

// kindOfStatus is for answers that do not come from Berth itself, but from
// something in between.
func kindOfStatus(status int) fault.Kind {
	switch status {
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Denied
	case http.StatusNotFound:
		return fault.Missing
	case http.StatusConflict:
		return fault.Clash
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case http.StatusTooManyRequests:
		return fault.TooOften
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fault.NotNow
	}
	return fault.Internal
}

// page is a list as the API gives it.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// all reads a list to its end, or up to most items when most is above 0.
func all[T any](ctx context.Context, c *client, path string, most int) ([]T, error) {
	items := []T{}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	limit, cursor := 200, ""
	if most > 0 {
		limit = min(limit, most)
	}
	for {
		var p page[T]
		query := url.Values{"limit": {strconv.Itoa(limit)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.get(ctx, path+separator+query.Encode(), &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if most > 0 && len(items) >= most {
			return items[:most], nil
		}
		if p.Next == "" {
			return items, nil
		}
		cursor = p.Next
	}
}

// pathf builds a path, escaping each argument.
func pathf(format string, args ...string) string {
	escaped := make([]any, len(args))
	for i, a := range args {
		escaped[i] = url.PathEscape(a)
	}
	return fmt.Sprintf(format, escaped...)
}
