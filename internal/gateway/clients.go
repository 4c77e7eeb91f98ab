package gateway

import (
	linked "container/list"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// clients bounds the connections of clients. A connection too many is answered
// with 503 and closed, unless an unused one can go in its place; so that
// nobody keeps others out by holding connections, a network has a share. The
// server's ConnState tells which are unused.
type clients struct {
	most    int            // connections at one time; 0 for any number
	share   int            // of one network's
	proxies []netip.Prefix // that have no share: many people come by them

	mu       sync.Mutex
	open     map[*clientConn]struct{}
	networks map[string]int
	unused   linked.List // of *clientConn, the longest unused first

	overLimit, overShare, gaveWay atomic.Int64
}

// networkShare is the part of all connections that one network may hold: a
// fourth.
const networkShare = 4

func newClients(most int, proxies []netip.Prefix) *clients {
	return &clients{
		most: most, share: max(most/networkShare, 1), proxies: proxies,
		open: map[*clientConn]struct{}{}, networks: map[string]int{},
	}
}

// clientConn is one connection of a client's. It stays a TCP connection to
// net/http, which sends files by it.
type clientConn struct {
	*net.TCPConn

	of      *clients
	network string
	unused  *linked.Element // guarded by of.mu; nil while it is in use
}

// bounded is a listener that takes the connections that there is room for.
type bounded struct {
	net.Listener

	clients *clients
}

func (l bounded) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if taken := l.clients.take(tcp); taken != nil {
			return taken, nil
		}
		turnAway(tcp)
	}
}

// take counts a connection in; it gives nil when there is no room for it.
func (c *clients) take(conn *net.TCPConn) *clientConn {
	address, _ := hopAddress(conn.RemoteAddr().String())
	taken := &clientConn{TCPConn: conn, of: c, network: network(address.String())}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.most <= 0:
	case c.networks[taken.network] >= c.share && !trusts(c.proxies, address):
		c.overShare.Add(1)
		return nil
	case len(c.open) >= c.most && !c.giveWay():
		c.overLimit.Add(1)
		return nil
	}
	c.open[taken] = struct{}{}
	c.networks[taken.network]++
	return taken
}

// giveWay closes the connection that is unused the longest. c.mu is held.
func (c *clients) giveWay() bool {
	first := c.unused.Front()
	if first == nil {
		return false
	}
	leaving, _ := first.Value.(*clientConn)
	c.forget(leaving)
	c.gaveWay.Add(1)
	_ = leaving.TCPConn.Close()
	return true
}

// forget takes a connection out of the count, once. c.mu is held.
func (c *clients) forget(k *clientConn) {
	if _, there := c.open[k]; !there {
		return
	}
	delete(c.open, k)
	if c.networks[k.network]--; c.networks[k.network] == 0 {
		delete(c.networks, k.network)
	}
	c.use(k)
}

// use notes that a connection is in use. c.mu is held.
func (c *clients) use(k *clientConn) {
	if k.unused != nil {
		c.unused.Remove(k.unused)
		k.unused = nil
	}
}

// state follows a connection's use; it is the server's ConnState.
func (c *clients) state(conn net.Conn, s http.ConnState) {
	k, ok := conn.(*clientConn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.use(k)
	if _, there := c.open[k]; there && s == http.StateIdle {
		k.unused = c.unused.PushBack(k)
	}
}

// held counts the connections.
func (c *clients) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Close ends the connection; its place is free.
func (k *clientConn) Close() error {
	k.of.mu.Lock()
	k.of.forget(k)
	k.of.mu.Unlock()
	return k.TCPConn.Close()
}

// turnAway says that there is no room, in the words of HTTP/1.1, and closes.
// What fits a new connection's buffer is written without waiting.
func turnAway(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	_ = conn.Close()
}

// bare gives the connection that the kernel knows, for what it does best.
func bare(c net.Conn) net.Conn {
	if k, ok := c.(*clientConn); ok {
		return k.TCPConn
	}
	return c
}
