package gateway

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echo answers with the request's head as JSON.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := maps.Clone(r.Header)
	h["Host"] = []string{r.Host}
	_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.RequestURI, "header": h, "body": string(body), "trailer": r.Trailer})
}

type echoed struct {
	Method, URI, Body string
	Header, Trailer   http.Header
}

func decode(t *testing.T, text string) (e echoed) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &e), text)
	return e
}

func TestGateway_PassesRequestAndAnswerAsTheyAre(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("X-Answer", "yes")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		echo(w, req)
	}))))

	res, text := r.send(http.MethodPost, "http://SHOP.localhost.:99/a%20b/c?q=1;2&x=%zz", strings.NewReader("hello"), func(q *http.Request) {
		q.Header["X-Many"] = []string{"1", "2"}
	})
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	assert.Equal(t, "yes", res.Header.Get("X-Answer"))
	assert.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
	got := decode(t, text)
	assert.Equal(t, "POST", got.Method)
	assert.Equal(t, "/a%20b/c?q=1;2&x=%zz", got.URI)
	assert.Equal(t, "hello", got.Body)
	assert.Equal(t, []string{"1", "2"}, got.Header["X-Many"])
	assert.Equal(t, "SHOP.localhost.:99", got.Header.Get("Host"))
	assert.Equal(t, "5", got.Header.Get("Content-Length"))
}

func TestGateway_SaysWhereRequestsComeFromAndDropsWhatClientsSay(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))

	res, text := r.get("http://shop.localhost/", func(q *http.Request) {
		for _, name := range []string{
			"X-Berth-User", "x_berth_user", "X.Berth.Email", "x-bErTh_groups", "X-Forwarded-For", "X_Forwarded_For",
			"X-Forwarded-User", "Forwarded", "X-Real-Ip", "x_real_ip", "x_request_id",
		} {
			q.Header[name] = []string{"forged"}
		}
		q.Header.Set("X-Secret-Hop", "dropped")
		q.Header.Set("Connection", "X-Secret-Hop, X-Forwarded-For")
		q.Header.Set("Keep-Alive", "timeout=5")
		q.Header.Set("Proxy-Authorization", "x")
		q.Header.Set("X-Request-Id", "client-id.0001")
		q.Header.Set("Authorization", "Bearer stays")
		q.Header.Set("Te", "trailers, deflate")
	})
	got := decode(t, text)
	assert.NotContains(t, text, "forged")
	assert.NotContains(t, text, "dropped")
	assert.Equal(t, "127.0.0.1", got.Header.Get("X-Forwarded-For"))
	assert.Equal(t, "127.0.0.1", got.Header.Get("X-Real-Ip"))
	assert.Equal(t, "http", got.Header.Get("X-Forwarded-Proto"))
	assert.Equal(t, "shop.localhost", got.Header.Get("X-Forwarded-Host"))
	assert.Equal(t, `for=127.0.0.1;host="shop.localhost";proto=http`, got.Header.Get("Forwarded"))
	assert.Equal(t, "client-id.0001", got.Header.Get("X-Request-Id"))
	assert.Equal(t, "client-id.0001", res.Header.Get("X-Request-Id"))
	assert.Equal(t, "Bearer stays", got.Header.Get("Authorization"))
	assert.Equal(t, "trailers", got.Header.Get("Te"))
	for _, name := range []string{"Keep-Alive", "Proxy-Authorization", "Connection"} {
		assert.Empty(t, got.Header[name], name)
	}

	res, _ = r.get("http://shop.localhost/", func(q *http.Request) { q.Header.Set("X-Request-Id", "no\"t;good") })
	assert.Regexp(t, "^[0-9a-f]{32}$", res.Header.Get("X-Request-Id"))
}

func TestGateway_GivesBerthsOwnHostsToBase(t *testing.T) {
	r := newRig(t)
	_, text := r.get("http://LOCALHOST:8080/api")
	assert.Equal(t, "base", text)
}

func TestGateway_StreamsBodiesBothWaysInBoundedMemory(t *testing.T) {
	const length = 64 << 20
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(length))
			_, _ = io.CopyN(w, rand.Reader, length)
			return
		}
		sum := sha256.New()
		n, err := io.Copy(sum, req.Body)
		_, _ = fmt.Fprintf(w, "%d %v %x", n, err, sum.Sum(nil))
	}))))

	for _, known := range []bool{true, false} {
		sum := sha256.New()
		res, text := r.send(http.MethodPost, "http://shop.localhost/up", io.TeeReader(io.LimitReader(rand.Reader, length), sum), func(q *http.Request) {
			if known {
				q.ContentLength = length
			}
		})
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, fmt.Sprintf("%d <nil> %x", length, sum.Sum(nil)), text, "%v %v", res.Header, r.log)
	}
	res, err := r.client.Get("http://shop.localhost/down")
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.EqualValues(t, length, n)
}

func TestGateway_PassesTrailersBothWays(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "text")
		body, _ := io.ReadAll(req.Body)
		w.Header().Set("X-Sum", req.Trailer.Get("X-Client-Sum")+" of "+string(body)+fmt.Sprint(req.Trailer["X-Berth-User"]))
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	}))))

	res, text := r.send(http.MethodPost, "http://shop.localhost/", io.MultiReader(strings.NewReader("body")), func(q *http.Request) {
		q.Trailer = http.Header{"X-Client-Sum": {"7"}, "X-Berth-User": {"forged"}}
	})
	assert.Equal(t, "text", text)
	assert.Equal(t, "7 of body[]", res.Trailer.Get("X-Sum"))
	assert.Equal(t, "unannounced", res.Trailer.Get("X-Late"))
}

func TestGateway_KeepsTrailersThatBelongToTheHeadFromApps(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = json.NewEncoder(w).Encode(req.Trailer)
	}))))
	said := r.raw("POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
		"4\r\nbody\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\nHost: evil.test\r\nAuthorization: Basic Zm9vOmJhcg==\r\n\r\n")
	assert.Contains(t, said, `{"X-Sum":["7"]}`)
}

func TestGateway_PassesInformationalAnswers(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</b.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "done")
	}))))

	var hints []string
	res, text := r.get("http://shop.localhost/", func(q *http.Request) {
		*q = *q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, h.Get("Link")))
				return nil
			},
		}))
	})
	assert.Equal(t, "done", text)
	assert.Equal(t, []string{"103</a.css>; rel=preload", "103</b.css>; rel=preload"}, hints)
	assert.Empty(t, res.Header.Get("Link"))
}

func TestGateway_HoldsABodyBackUntilTheAppWantsIt(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(req.Body)
		_, _ = fmt.Fprint(w, len(body))
	}))))

	refused := r.raw("POST /no HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	assert.True(t, strings.HasPrefix(refused, "HTTP/1.1 403 "), refused)
	assert.NotContains(t, refused, "100 Continue")

	c, err := net.Dial("tcp", r.address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /yes HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, _ = in.ReadString('\n')
	_, _ = io.WriteString(c, "hello")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	text, _ := io.ReadAll(res.Body)
	assert.Equal(t, "5", string(text))
}

func TestGateway_FlushesEventsAsTheyCome(t *testing.T) {
	r := newRig(t)
	next := make(chan struct{})
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
	}))))
	res, err := r.client.Get("http://shop.localhost/")
	require.NoError(t, err) // the head came although no event has
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- struct{}{}
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("data: %d\n", i), line)
		_, _ = in.ReadString('\n')
	}
}

func TestGateway_AnswersWhileTheBodyIsStillComing(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		in := bufio.NewReader(req.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			w.(http.Flusher).Flush()
		}
	}))))
	up, send := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.localhost/", up)
	go func() { _, _ = io.WriteString(send, "first\n") }()
	res, err := r.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewReader(res.Body)
	for _, text := range []string{"first", "second", "third"} {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "echo "+text+"\n", line)
		if text != "third" {
			_, _ = io.WriteString(send, map[string]string{"first": "second\n", "second": "third\n"}[text])
		}
	}
	_ = send.Close()
	_, err = in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestGateway_PassesAnAnswerThatComesBeforeTheBodyWasTaken(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "not you")
	}))))
	body, endless := io.Pipe()
	go func() {
		for {
			if _, err := endless.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	}()
	res, text := r.send(http.MethodPost, "http://shop.localhost/", body)
	_ = body.Close()
	assert.Equal(t, http.StatusForbidden, res.StatusCode)
	assert.Equal(t, "not you", text)
}

func TestGateway_TunnelsWebSockets(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, func(w http.ResponseWriter, req *http.Request) {
		c, err := websocket.Accept(w, req, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, text, err := c.Read(req.Context())
			if err != nil {
				return
			}
			_ = c.Write(req.Context(), kind, append([]byte("echo "), text...))
		}
	}))))
	c, res, err := websocket.Dial(t.Context(), "ws://shop.localhost/", &websocket.DialOptions{HTTPClient: r.client})
	require.NoError(t, err)
	assert.NotEmpty(t, res.Header.Get("X-Request-Id"))
	for range 3 {
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, bytes.Repeat([]byte("x"), 9000)))
		_, text, err := c.Read(t.Context())
		require.NoError(t, err)
		require.Len(t, text, 9005)
	}
	require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
	require.Eventually(t, func() bool { return r.busy() == 0 }, 20*time.Second, 5*time.Millisecond)
}

func TestGateway_DoesNotPassAnUpgradeToHTTP2On(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))
	answer := r.raw("GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 200 "), answer)
	assert.NotContains(t, answer, "h2c")
	assert.NotContains(t, answer, "HTTP2")
}

// busy counts what is being served.
func (r *rig) busy() (n int) {
	for _, in := range r.table.all() {
		requests, streams, _ := in.busy()
		n += requests + streams
	}
	return n
}

func TestGateway_TakesHTTP2WithoutTLS(t *testing.T) {
	r := newRig(t)
	r.route(routeTo("shop.localhost", "d1", addressOf(app(t, echo))))
	r.useHTTP2()
	for _, body := range []io.Reader{nil, strings.NewReader("small"), io.MultiReader(strings.NewReader("streamed"))} {
		res, text := r.send(http.MethodPost, "http://shop.localhost/x?y=z", body)
		require.Equal(t, 2, res.ProtoMajor)
		got := decode(t, text)
		require.Equal(t, "/x?y=z", got.URI)
		require.Contains(t, []string{"", "small", "streamed"}, got.Body)
	}
}
