package gateway

import (
	linked "container/list"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	networks "berth/internal/network"
)

// clients bounds the connections of clients, and their requests under way: as
// many as connections, since one of HTTP/2 brings hundreds. A connection too
// many is answered with 503 and closed, unless an unused one can go in its
// place, and a request too many with 503. So that nobody keeps others out, a
// network has a share of both. The server's ConnState tells which connections
// are unused.
type clients struct {
	most    int            // connections at one time, and requests
	share   int            // of one network's
	proxies []netip.Prefix // that have no share: many people come by them

	requests *busyCrowd

	mu     sync.Mutex
	conns  crowd
	unused linked.List // of *clientConn, the longest unused first

	gaveWay                   atomic.Int64
	connsRefused, reqsRefused refusals
}

// networkShare is the part of all that one network may hold: a fourth.
const networkShare = 4

var (
	errLimit = errors.New("clients hold as many as there may be")
	errShare = errors.New("the client's network holds its share")
)

// refusals counts how often there was no room, and why.
type refusals struct{ limit, share atomic.Int64 }

func (r *refusals) add(err error) {
	if errors.Is(err, errShare) {
		r.share.Add(1)
	} else {
		r.limit.Add(1)
	}
}

func newClients(most int, proxies []netip.Prefix) *clients {
	return &clients{
		most: most, share: max(most/networkShare, 1), proxies: proxies,
		requests: newBusyCrowd(), conns: crowd{networks: map[netip.Prefix]int{}},
	}
}

// full says why one more connection of a network is too many; nil where it is
// not. c.mu is held.
func (c *clients) full(network netip.Prefix, address netip.Addr) error {
	switch {
	case c.conns.networks[network] >= c.shareOf(address):
		return errShare
	case c.conns.all >= c.most:
		return errLimit
	}
	return nil
}

// shareOf is how much the network of an address may hold.
func (c *clients) shareOf(address netip.Addr) int {
	if trusts(c.proxies, address) {
		return math.MaxInt
	}
	return c.share
}

// enter counts a request in, by its client's address, until it leaves. It fails
// with errLimit or errShare when there is no room for it.
func (c *clients) enter(address string) (place, error) {
	client, _ := netip.ParseAddr(address)
	client = client.Unmap().WithZone("")
	taken, err := c.requests.enter(networks.Of(client), c.shareOf(client), c.most)
	if err != nil {
		c.reqsRefused.add(err)
	}
	return taken, err
}

// clientConn is one connection of a client's. It stays a TCP connection to
// net/http, which sends files by it.
type clientConn struct {
	*net.TCPConn

	of      *clients
	network netip.Prefix

	// Guarded by of.mu.
	unused *linked.Element // nil while it is in use
	gone   bool            // out of the count
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
	taken := &clientConn{TCPConn: conn, of: c, network: networks.Of(address)}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.full(taken.network, address)
	if errors.Is(err, errLimit) && c.giveWay() {
		err = nil
	}
	if err != nil {
		c.connsRefused.add(err)
		return nil
	}
	c.conns.add(taken.network)
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
	if k.gone {
		return
	}
	k.gone = true
	c.conns.remove(k.network)
	c.use(k)
}

// use notes that a connection is in use. c.mu is held.
func (c *clients) use(k *clientConn) {
	if k.unused != nil {
		c.unused.Remove(k.unused)
		k.unused = nil
	}
}

// state follows a connection's use; it is the server's ConnState. One that has
// not brought the head of its first request yet is unused too: whoever opens
// connections and says nothing keeps nobody out.
func (c *clients) state(conn net.Conn, s http.ConnState) {
	k, ok := conn.(*clientConn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.use(k)
	if !k.gone && (s == http.StateIdle || s == http.StateNew) {
		k.unused = c.unused.PushBack(k)
	}
}

// held counts the connections.
func (c *clients) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns.all
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
