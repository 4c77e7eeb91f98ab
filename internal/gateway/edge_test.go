package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestGateway_RefusesRequestsShapedLikeSmuggling(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))
	for name, request := range map[string]string{
		"two lengths":            "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"a length with a sign":   "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: +1\r\n\r\nx",
		"an odd coding":          "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two codings":            "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"space before the colon": "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length : 1\r\n\r\nx",
		"two hosts":              "GET / HTTP/1.1\r\nHost: shop.localhost\r\nHost: other\r\n\r\n",
		"no host":                "GET / HTTP/1.1\r\n\r\n",
		"a bad host":             "GET / HTTP/1.1\r\nHost: shop.localhost/x\r\n\r\n",
		"a bad escape":           "GET /%zz HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
		"an ambiguous path":      "GET /a/../b HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
		"a bare LF in a chunk":   "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
		"connect":                "CONNECT shop.localhost:443 HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
	} {
		answer := r.raw(request)
		assert.Regexp(t, `^HTTP/1\.[01] (400|405|501) `, answer, name)
	}

	// Both Content-Length and Transfer-Encoding: the app sees one framing, and
	// what another reader would take for the next request is never read.
	answer := r.raw("POST /first HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"GET /smuggled HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	assert.Contains(t, answer, "/first")
	assert.NotContains(t, answer, "/smuggled")
	assert.Contains(t, answer, "Connection: close")
	assert.NotContains(t, answer, `"Content-Length"`)

	// Nor at the base host.
	for _, first := range []string{
		"POST /first HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		answer = r.raw(first + "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
		assert.Equal(t, 1, strings.Count(answer, "HTTP/1.1 "), answer)
		assert.Contains(t, answer, "Connection: close")
	}
}

func TestGateway_BoundsHeadsAndBodies(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBodyBytes = 1000 })
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))
	for _, chunked := range []bool{false, true} {
		var body io.Reader = strings.NewReader(strings.Repeat("x", 1001))
		if chunked {
			body = io.MultiReader(body)
		}
		res, text := r.send(http.MethodPost, "http://shop.localhost/", body)
		assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
		assert.Contains(t, text, "1000 bytes")
	}
	res, _ := r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader(strings.Repeat("x", 1000)))
	assert.Equal(t, http.StatusOK, res.StatusCode)
	own := routeTo("shop.localhost", "d1", addressOf(app(t, echo)))
	own.MaxBodyBytes = 2000
	r.route(own)
	res, _ = r.send(http.MethodPost, "http://shop.localhost/", strings.NewReader(strings.Repeat("x", 1500)))
	assert.Equal(t, http.StatusOK, res.StatusCode)

	assert.Regexp(t, `^HTTP/1.1 431 `, r.raw("GET / HTTP/1.1\r\nHost: shop.localhost\r\nX: "+strings.Repeat("x", 80<<10)+"\r\n\r\n"))
}

func TestGateway_AnswersInTheAppsStead(t *testing.T) {
	r := newRig(t)
	late := make(chan struct{})
	defer close(late)
	slow := routeTo("slow.localhost", "d1", addressOf(app(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-late:
		case <-req.Context().Done():
		}
	})))
	slow.RequestTimeout = 50 * time.Millisecond
	r.route(slow)
	r.route(routeTo("starting.localhost", "d1"))
	r.route(routeTo("down.localhost", ""))
	r.route(routeTo("broken.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, "this is not HTTP\r\n\r\n")
		_ = c.Close()
	}))))
	r.route(routeTo("heads.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", answerHeadMost+8192))
	}))))

	for host, want := range map[string]struct {
		status     int
		code, text string
		retry      string
	}{
		"nowhere":  {404, "not_found", "No such app", ""},
		"starting": {503, "unavailable", "Starting", "3"},
		"down":     {503, "unavailable", "Unavailable", "30"},
		"slow":     {504, "unavailable", "No answer in time", ""},
		"broken":   {502, "unavailable", "No answer", ""},
		"heads":    {502, "unavailable", "No answer", ""},
	} {
		res, text := r.get("http://" + host + ".localhost/")
		assert.Equal(t, want.status, res.StatusCode, host)
		assert.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
		assert.Equal(t, want.retry, res.Header.Get("Retry-After"))
		var problem struct {
			Title, Code, Detail string
			Status              int
			RequestID           string `json:"request_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &problem))
		assert.Equal(t, want.text, problem.Title)
		assert.Equal(t, want.code, problem.Code)
		assert.Equal(t, want.status, problem.Status)
		assert.Equal(t, res.Header.Get("X-Request-Id"), problem.RequestID)

		res, text = r.get("http://"+host+".localhost/", func(q *http.Request) { q.Header.Set("Accept", "text/html,*/*;q=0.8") })
		assert.Equal(t, want.status, res.StatusCode, host)
		assert.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
		assert.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
		assert.Contains(t, text, "<h1>"+want.text+"</h1>")
		assert.NotContains(t, text, "http", "no external resources")
		assert.Equal(t, host == "starting", res.Header.Get("Refresh") != "", host)
	}
}

func TestGateway_TellsThatAnAnswerIsNotWhole(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the first half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))))
	res, err := r.client.Get("http://shop.localhost/")
	require.NoError(t, err)
	_, err = io.ReadAll(res.Body)
	require.Error(t, err)
}

func TestGateway_EndsTheAppsRequestWhenTheClientLeaves(t *testing.T) {
	r := newRig(t)
	began, left := make(chan struct{}), make(chan struct{})
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(_ http.ResponseWriter, req *http.Request) {
		close(began)
		<-req.Context().Done()
		close(left)
	}))))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://shop.localhost/", nil)
	_, err := r.client.Do(req)
	require.ErrorIs(t, err, context.Canceled)
	<-left
	require.Eventually(t, func() bool { return r.gateway.table.allMeters()[0].read().classes[4] == 1 }, 20*time.Second, time.Millisecond)
}

func TestGateway_LetsStreamsBeSilent(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t)
			r.gateway.stall = 40 * time.Millisecond
			r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for range 3 {
					w.(http.Flusher).Flush()
					time.Sleep(100 * time.Millisecond) // the silence is the test
					_, _ = io.WriteString(w, "data: x\n\n")
				}
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}))))
			if version == "HTTP/2" {
				r.useHTTP2()
			}
			_, text := r.get("http://shop.localhost/")
			require.Equal(t, strings.Repeat("data: x\n\n", 3), text)
		})
	}
}

func TestGateway_EndsARequestWhoseBodyDoesNotCome(t *testing.T) {
	for name, head := range map[string]string{"small": "Content-Length: 100", "large": "Content-Length: 100000", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.gateway.stall = 40 * time.Millisecond
			r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))
			answer := r.raw("POST / HTTP/1.1\r\nHost: shop.localhost\r\n" + head + "\r\n\r\n3\r\n")
			assert.Contains(t, answer, "HTTP/1.1 408 ", name)
			require.Eventually(t, func() bool { return r.busy() == 0 }, 20*time.Second, time.Millisecond)
		})
	}
}

func TestGateway_CutsAClientThatDoesNotTakeItsAnswer(t *testing.T) {
	r := newRig(t)
	r.gateway.stall = 40 * time.Millisecond
	began := make(chan struct{})
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		_, _ = io.CopyN(w, zeros{}, 64<<20)
	}))))
	c, err := net.Dial("tcp", r.address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-began
	require.Eventually(t, func() bool { return r.busy() == 0 }, 20*time.Second, time.Millisecond)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestServe_LetsRequestsFinishAndCutsStreams(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StreamShutdownTimeout = 50 * time.Millisecond })
	began, finish := make(chan struct{}), make(chan struct{})
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			close(began)
			<-finish
			_, _ = io.WriteString(w, "finished")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	}))))
	events, err := r.client.Get("http://shop.localhost/events")
	require.NoError(t, err)
	answer := make(chan string, 1)
	go func() {
		res, err := r.client.Get("http://shop.localhost/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	_, err = io.ReadAll(events.Body)
	require.Error(t, err)
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", r.address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 20*time.Second, 5*time.Millisecond, "no new connections")
	close(finish)
	require.Equal(t, "finished", <-answer)
	require.NoError(t, <-ended)
}

func TestServe_CutsRequestsAfterWhatIsLeftWhenItEnds(t *testing.T) {
	var left atomic.Int64
	left.Store(int64(time.Hour))
	r := newRig(t, func(c *Config) { c.ShutdownTimeout = func() time.Duration { return time.Duration(left.Load()) } })
	began := make(chan struct{})
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(_ http.ResponseWriter, req *http.Request) {
		close(began)
		<-req.Context().Done()
	}))))
	answer := make(chan int, 1)
	go func() {
		res, err := r.client.Get("http://shop.localhost/slow")
		if err != nil {
			answer <- 0
			return
		}
		_ = res.Body.Close()
		answer <- res.StatusCode
	}()
	<-began
	left.Store(int64(20 * time.Millisecond)) // deployments have used up the rest

	require.NoError(t, r.stop())

	require.Equal(t, http.StatusServiceUnavailable, <-answer, "it is not the app's fault")
}

func TestNew_ChecksItsConfig(t *testing.T) {
	_, err := New(Config{})
	require.Error(t, err)
	_, err = New(Config{Table: NewTable(TableConfig{}), Base: http.NotFoundHandler(), IsBase: func(string) bool { return true }, BaseURL: localBase, AccessLog: 2})
	require.Error(t, err)
}

var _ deploy.Router = (*Table)(nil)
