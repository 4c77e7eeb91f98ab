package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"berth/internal/deploy"
)

const (
	dialTimeout = 5 * time.Second
	// idleLimit is how long a connection is kept unused. It is under the five
	// seconds after which Node closes its own.
	idleLimit = 4 * time.Second
	// idleMost is how many unused connections an instance may have.
	idleMost = 256
	// answerHeadMost bounds the bytes of an answer's head, 1xx included, and
	// those of its trailers.
	answerHeadMost = 256 << 10
)

var errHeadTooLarge = errors.New("the app's answer has more than 256 KiB of headers")

// conn is a connection to an app that speaks HTTP/1.1.
type conn struct {
	net.Conn
	raw    syscall.RawConn
	in     *bufio.Reader
	out    *bufio.Writer
	budget int       // bytes that may still be read while in an answer's head or trailers; -1: any
	reused bool      // it has served a request before
	idleAt time.Time // since when it is unused

	look func(fd uintptr) // made once: looks whether something can be read
	seen error
}

// A connection's buffers outlive it: a POST makes a new one.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriter(nil) }}
)

// retire closes c for good. Nobody else may be using it.
func (c *conn) retire() {
	_ = c.Close()
	c.in.Reset(nil)
	c.out.Reset(nil)
	readers.Put(c.in)
	writers.Put(c.out)
	c.in, c.out = nil, nil
}

// Read is how in fills itself.
func (c *conn) Read(p []byte) (int, error) {
	if c.budget == 0 {
		return 0, errHeadTooLarge
	}
	n, err := c.Conn.Read(p)
	if c.budget > 0 {
		c.budget = max(c.budget-n, 0)
	}
	return n, err
}

var errNotQuiet = errors.New("something came on an unused connection")

// quiet says whether an unused connection can be used again: the app has
// neither closed it (an end or a reset would be there to read) nor said
// anything unasked for.
func (c *conn) quiet() bool {
	if c.in.Buffered() > 0 {
		return false
	}
	return c.raw.Control(c.look) == nil && errors.Is(c.seen, syscall.EAGAIN)
}

// pool keeps the unused HTTP/1.1 connections to one instance, and makes new ones.
type pool struct {
	address string
	dialer  *net.Dialer
	tls     *tls.Config // nil: none is spoken

	mu     sync.Mutex
	unused []*conn // the last used at the end
	closed bool
	sweep  *time.Timer // runs while there are unused ones
}

func newPool(to deploy.Endpoint, by *edge) *pool {
	return &pool{address: to.Address, dialer: by.dialer(to), tls: by.tlsTo(to, "http/1.1")}
}

// take gives the connection that was used last and is still quiet; nil when
// there is none.
func (p *pool) take() *conn {
	for {
		p.mu.Lock()
		n := len(p.unused)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.unused[n-1]
		p.unused[n-1] = nil
		p.unused = p.unused[:n-1]
		p.mu.Unlock()
		if c.quiet() {
			return c
		}
		c.retire()
	}
}

// dial makes a connection.
func (p *pool) dial(ctx context.Context) (*conn, error) {
	nc, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, budget: -1}
	if c.raw, err = nc.(*net.TCPConn).SyscallConn(); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	if p.tls != nil {
		secured, err := secure(ctx, nc, p.tls)
		if err != nil {
			return nil, err
		}
		c.Conn = tlsConn{secured}
	}
	c.in, c.out = readers.Get().(*bufio.Reader), writers.Get().(*bufio.Writer)
	c.in.Reset(c)
	c.out.Reset(c.Conn)
	c.look = func(fd uintptr) {
		var b [1]byte
		if _, _, c.seen = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); c.seen == nil {
			c.seen = errNotQuiet
		}
	}
	return c, nil
}

// replace closes the connection that was unused for longest, to make room for
// a new one, so that an app sees no more connections than requests at one time.
func (p *pool) replace() {
	p.mu.Lock()
	var c *conn
	if len(p.unused) > 0 {
		c = p.unused[0]
		p.unused = p.unused[:copy(p.unused, p.unused[1:])]
	}
	p.mu.Unlock()
	if c != nil {
		c.retire()
	}
}

// put keeps a connection for the next request.
func (p *pool) put(c *conn) {
	c.reused = true
	c.idleAt = time.Now()
	p.mu.Lock()
	if p.closed || len(p.unused) >= idleMost {
		p.mu.Unlock()
		c.retire()
		return
	}
	p.unused = append(p.unused, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleLimit, p.clean)
	}
	p.mu.Unlock()
}

// clean closes what has been unused for too long, and comes again while
// something is left.
func (p *pool) clean() {
	p.mu.Lock()
	now, old := time.Now(), 0
	for old < len(p.unused) && now.Sub(p.unused[old].idleAt) >= idleLimit {
		old++
	}
	gone := append([]*conn(nil), p.unused[:old]...)
	left := copy(p.unused, p.unused[old:])
	clear(p.unused[left:])
	p.unused = p.unused[:left]
	switch {
	case p.closed:
	case left == 0:
		p.sweep = nil
	default:
		p.sweep = time.AfterFunc(idleLimit-now.Sub(p.unused[0].idleAt), p.clean)
	}
	p.mu.Unlock()
	for _, c := range gone {
		c.retire()
	}
}

// close closes the unused connections, and those in use once they are put.
func (p *pool) close() {
	p.mu.Lock()
	gone := p.unused
	p.unused, p.closed = nil, true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	for _, c := range gone {
		c.retire()
	}
}
