package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// load is constant traffic from clients that do not retry. net/http's client
// sends a request again by itself when a kept-alive connection breaks, which
// would hide just what is looked for, so these clients own their connections.
type load struct {
	address string
	host    string
	stop    context.CancelFunc
	done    sync.WaitGroup

	requests atomic.Int64
	seen     atomic.Int64 // the newest version that anybody was answered by

	mu       sync.Mutex
	byKind   map[string]int
	failures []string
	failed   int
}

// client makes one request after another on a connection of its own.
type client struct {
	load *load
	conn net.Conn
	r    *bufio.Reader
}

// startLoad starts the clients. Versions are whole numbers that only grow.
func startLoad(ctx context.Context, address, host string) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{address: address, host: host, stop: stop, byKind: map[string]int{}}
	for kind, what := range map[string]struct {
		clients int
		once    func(*client, context.Context) (string, error)
	}{
		"get":       {4, (*client).get},
		"post":      {2, (*client).post},
		"chunked":   {1, (*client).chunked},
		"slow":      {3, (*client).slow},
		"websocket": {2, (*client).websocket},
		"events":    {2, (*client).events},
	} {
		l.mu.Lock()
		l.byKind[kind] = 0
		l.mu.Unlock()
		for range what.clients {
			l.done.Go(func() {
				c := &client{load: l}
				defer c.close()
				for ctx.Err() == nil {
					l.one(ctx, kind, c, what.once)
				}
			})
		}
	}
	return l
}

// end stops the clients after the requests they are in.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

func (l *load) one(ctx context.Context, kind string, c *client, once func(*client, context.Context) (string, error)) {
	newest := l.seen.Load()
	version, err := once(c, context.WithoutCancel(ctx))
	l.requests.Add(1)
	if err == nil {
		var number int64
		number, err = strconv.ParseInt(version, 10, 64)
		if err == nil && number < newest {
			err = fmt.Errorf("version %d answered a request that began after version %d had answered", number, newest)
		}
		for now := l.seen.Load(); now < number && !l.seen.CompareAndSwap(now, number); now = l.seen.Load() {
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byKind[kind]++
	if err != nil {
		c.close()
		l.failed++
		if len(l.failures) < 20 {
			l.failures = append(l.failures, kind+": "+err.Error())
		}
	}
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// send writes one request and reads the answer's headers.
func (c *client) send(ctx context.Context, method, path string, body io.Reader, length int64) (*http.Response, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.load.address)
		if err != nil {
			return nil, err
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.load.host+path, body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = length
	if err := request.Write(c.conn); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	response, err := http.ReadResponse(c.r, request)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return response, nil
}

// whole makes a request, reads the whole answer and holds it against want.
func (c *client) whole(ctx context.Context, method, path string, body io.Reader, length int64, want string) (string, error) {
	response, err := c.send(ctx, method, path, body, length)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("read body: %w", err)
	}
	if response.Close {
		c.close()
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %.200q", response.Status, got)
	}
	version := response.Header.Get("X-App-Version")
	if string(got) != version+" "+want+"\n" {
		return "", fmt.Errorf("wrong body %.80q", got)
	}
	return version, nil
}

func (c *client) get(ctx context.Context) (string, error) {
	return c.whole(ctx, http.MethodGet, "/", nil, 0, "")
}

func (c *client) slow(ctx context.Context) (string, error) {
	return c.whole(ctx, http.MethodGet, "/slow?ms=2000", nil, 0, "slow")
}

func (c *client) post(ctx context.Context) (string, error) {
	body, sum := randomBody(64 << 10)
	return c.whole(ctx, http.MethodPost, "/echo", bytes.NewReader(body), int64(len(body)), sum)
}

// chunked uploads 256 KiB of unstated length, in pieces over some time.
func (c *client) chunked(ctx context.Context) (string, error) {
	body, sum := randomBody(256 << 10)
	return c.whole(ctx, http.MethodPost, "/echo", &trickle{body}, -1, sum)
}

// trickle gives 16 KiB at a time, 20 ms apart.
type trickle struct{ left []byte }

func (t *trickle) Read(p []byte) (int, error) {
	if len(t.left) == 0 {
		return 0, io.EOF
	}
	time.Sleep(20 * time.Millisecond)
	n := copy(p, t.left[:min(len(t.left), 16<<10)])
	t.left = t.left[n:]
	return n, nil
}

func randomBody(size int) (body []byte, sum string) {
	body = make([]byte, size)
	_, _ = rand.Read(body)
	hash := sha256.Sum256(body)
	return body, hex.EncodeToString(hash[:])
}

// events reads ten ticks of an event stream, about a second.
func (c *client) events(ctx context.Context) (string, error) {
	response, err := c.send(ctx, http.MethodGet, "/events?n=10", nil, 0)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("read stream: %w", err)
	}
	if n := strings.Count(string(got), "data: "); n != 10 {
		return "", fmt.Errorf("%d events of 10", n)
	}
	if response.Close {
		c.close()
	}
	return response.Header.Get("X-App-Version"), nil
}

// websocket exchanges ten messages over about a second.
func (c *client) websocket(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, "ws://"+c.load.address+"/ws", &websocket.DialOptions{Host: c.load.host})
	if err != nil {
		return "", fmt.Errorf("dial: %w", err)
	}
	defer ws.CloseNow()
	for i := range 10 {
		said := strconv.Itoa(i)
		if err := ws.Write(ctx, websocket.MessageText, []byte(said)); err != nil {
			return "", fmt.Errorf("message %d: write: %w", i, err)
		}
		_, heard, err := ws.Read(ctx)
		if err != nil {
			return "", fmt.Errorf("message %d: read: %w", i, err)
		}
		if string(heard) != said {
			return "", fmt.Errorf("message %d came back as %q", i, heard)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return response.Header.Get("X-App-Version"), ws.Close(websocket.StatusNormalClosure, "")
}
