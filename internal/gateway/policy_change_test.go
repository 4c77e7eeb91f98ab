package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

// The policy changes between the look at the table and the claim: too late for
// the request to look at, too early for the change to find it.
func TestSwitch_DecidesAnewOnWhatWasJustBeingClaimed(t *testing.T) {
	d := newDoor(t)
	reached := false
	route := d.routeFor("app.test", identity.SignedIn(), func(http.ResponseWriter, *http.Request) { reached = true })
	cookie := d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test")
	var once sync.Once
	d.table.clock = func() time.Time { // which is looked at between the two
		once.Do(func() {
			route.Access = allow(identity.Who{Administrators: true})
			assert.NoError(t, d.table.Switch(context.Background(), route))
		})
		return time.Now()
	}
	res, _ := d.get("http://app.test/", with("Cookie", cookie))
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.False(t, reached)
	for _, in := range d.table.all() {
		require.Zero(t, in.load.Load(), "no claim is left")
	}
}

// Streams are opened all the time while the policy changes. Once no more are,
// none of them may be left.
func TestSwitch_LeavesNoStreamOfThoseWhomItShutsOut(t *testing.T) {
	d := newDoor(t)
	route := d.routeFor("app.test", identity.SignedIn(), stream)
	cookie := d.cookieFor(d.signIn("ana", identity.RoleMember), "app.test")
	opened := 0
	for range 10 {
		route.Access = identity.SignedIn()
		d.route(route)
		var (
			opening sync.WaitGroup
			shut    atomic.Bool
			count   atomic.Int64
			mu      sync.Mutex
			open    []*bufio.Reader
			conns   []net.Conn
		)
		for i := range 16 {
			opening.Go(func() {
				for !shut.Load() {
					c, in := d.open(i%2 == 0, cookie)
					if in == nil {
						continue
					}
					count.Add(1)
					mu.Lock()
					open, conns = append(open, in), append(conns, c)
					mu.Unlock()
				}
			})
		}
		require.Eventually(t, func() bool { return count.Load() > 32 }, 20*time.Second, time.Millisecond)
		route.Access = allow(identity.Who{Administrators: true})
		d.route(route)
		shut.Store(true)
		opening.Wait()
		for i, in := range open {
			// Until the end comes, and no moment's silence is taken for a stream.
			require.NoError(t, conns[i].SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err := io.Copy(io.Discard, in)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "a stream went on")
			_ = conns[i].Close()
		}
		opened += len(open)
	}
	t.Logf("%d streams were cut", opened)
}

// open opens a stream, or a tunnel; it gives nothing where it is refused.
func (d *door) open(tunnel bool, cookie string) (net.Conn, *bufio.Reader) {
	c, err := net.Dial("tcp", d.address)
	if !assert.NoError(d.t, err) { //nolint:testifylint // not the test's own goroutine
		return nil, nil
	}
	request := "GET /events HTTP/1.1\r\nHost: app.test\r\nCookie: " + cookie + "\r\n\r\n"
	if tunnel {
		request = "GET /tunnel HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\nCookie: " + cookie + "\r\n\r\n"
	}
	_, _ = io.WriteString(c, request)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "HTTP/1.1 4") {
			assert.NotErrorIs(d.t, err, os.ErrDeadlineExceeded) //nolint:testifylint // nor here
			_ = c.Close()
			return nil, nil
		}
		if strings.Contains(line, "hello") {
			return c, in
		}
	}
}
