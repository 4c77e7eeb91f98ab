// Package probe asks, from the host, whether a program answers at an address.
//
// Start with [Client.HTTP] and [Client.TCP]; each asks once. When to ask again
// is the caller's to decide. [Listen] takes a port that was asked itself.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// listenWait is how long a TCP probe waits to see whether the connection that
// was accepted is closed at once.
const listenWait = 20 * time.Millisecond

// Client asks. Its methods may be called from many goroutines; it keeps no
// connection between two calls.
type Client struct {
	dialer net.Dialer
	http1  *http.Transport
	h2c    *http.Transport
}

// New makes a Client.
func New() *Client {
	c := &Client{}
	c.http1 = c.transport(false)
	c.h2c = c.transport(true)
	return c
}

func (c *Client) transport(h2c bool) *http.Transport {
	var p http.Protocols
	p.SetHTTP1(!h2c)
	p.SetUnencryptedHTTP2(h2c)
	return &http.Transport{
		DialContext:            c.dialer.DialContext,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		Protocols:              &p,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Request is one HTTP probe.
type Request struct {
	Address string // "host:port"
	Host    string // of the Host header
	Path    string // with its query, if any
	Status  int    // the one expected; 0 takes 200 to 299
	H2C     bool   // HTTP/2 without TLS
}

// HTTP asks once, until ctx ends. Redirects are not followed: they are an
// answer as any other. The error says, for a person, what came instead of
// what was expected.
func (c *Client) HTTP(ctx context.Context, r Request) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Address+r.Path, nil)
	if err != nil {
		return fmt.Errorf("probe %s: %w", r.Path, err)
	}
	req.Host = r.Host
	req.Header.Set("User-Agent", "Berth-Probe")
	via := c.http1
	if r.H2C {
		via = c.h2c
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("GET %s: %w", r.Path, plain(err))
	}
	_ = resp.Body.Close()
	switch {
	case r.Status != 0 && resp.StatusCode != r.Status:
		return fmt.Errorf("GET %s answered %d, expected %d", r.Path, resp.StatusCode, r.Status)
	case r.Status == 0 && (resp.StatusCode < 200 || resp.StatusCode > 299):
		return fmt.Errorf("GET %s answered %d, expected 200 to 299", r.Path, resp.StatusCode)
	}
	return nil
}

// TCP connects once, until ctx ends. A connection that is accepted and closed
// at once does not count: an engine's port proxy does that when nothing
// listens behind it.
func (c *Client) TCP(ctx context.Context, address string) error {
	conn, err := c.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return plain(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(listenWait)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection was closed at once: nothing listens at that port")
	}
	return nil
}

// plain leaves out what a person can't act on: addresses and the names of
// system calls.
func plain(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed without an answer")
	case errors.As(err, &op) && op.Op == "dial":
		return errors.New("connection refused")
	}
	return err
}
