package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// halfClosed is how long one side of a tunnel may go on after the other ended.
const halfClosed = 10 * time.Second

// tunnel follows an app's 101 (Switching Protocols): from then on bytes are
// passed both ways as they come. It counts as a stream until both sides have
// ended. There is no limit on its silence; that a client is gone is found by
// TCP keep-alive.
func (x *exchange) tunnel(c *conn, a answer) error {
	h := x.w.Header()
	if x.upgrade == "" || !strings.EqualFold(a.upgrade, x.upgrade) {
		clear(h)
		return badAnswer("a change of protocol that was not asked for")
	}
	if !x.becomeStream() {
		clear(h)
		return errOneMoment
	}
	client, buffered, err := x.control.Hijack()
	if err != nil {
		return fmt.Errorf("take the connection over: %w", err)
	}
	defer func() { _ = client.Close() }()
	x.status = http.StatusSwitchingProtocols
	x.first = time.Since(x.started)
	x.mu.Lock()
	x.client = client
	cut := x.why != nil
	x.mu.Unlock()
	if cut {
		return x.why
	}
	_ = c.SetDeadline(time.Time{})
	_ = client.SetDeadline(time.Time{})

	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", a.upgrade)
	h.Set("X-Request-Id", x.id)
	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if err := buffered.Flush(); err != nil {
		return errors.Join(errLeft, err)
	}
	x.carry(client, buffered.Reader, c)
	return nil
}

// carry copies both ways until both ends.
func (x *exchange) carry(client net.Conn, fromClient *bufio.Reader, c *conn) {
	up := make(chan int64, 1)
	go func() { up <- relay(c.Conn, fromClient, client) }()
	down := make(chan int64, 1)
	go func() { down <- relay(client, c.in, c.Conn) }()

	var rest <-chan time.Time
	for range 2 {
		select {
		case n := <-up:
			x.body.read.Add(n)
			up = nil
		case n := <-down:
			x.sent += n
			down = nil
		case <-rest:
			_ = client.Close()
			_ = c.Close()
			if up != nil {
				x.body.read.Add(<-up)
			}
			if down != nil {
				x.sent += <-down
			}
			return
		}
		timer := time.NewTimer(halfClosed)
		defer timer.Stop()
		rest = timer.C
	}
}

// relay copies what is in buffered and then what comes from src, and passes
// the end on. Between two TCP connections the kernel does the copying.
func relay(dst net.Conn, buffered *bufio.Reader, src net.Conn) (n int64) {
	if waiting := buffered.Buffered(); waiting > 0 {
		n, _ = io.CopyN(dst, buffered, int64(waiting))
	}
	copied, err := io.Copy(bare(dst), bare(src))
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
	} else {
		_ = dst.Close()
		_ = src.Close()
	}
	return n + copied
}
