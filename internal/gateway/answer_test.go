package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadAnswer_RefusesWhatCanBeReadInTwoWays(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n",
	} {
		_, err := readAnswer(bufio.NewReader(strings.NewReader(head)), http.MethodGet, http.Header{})
		require.ErrorIs(t, err, errBadAnswer, head)
	}
	for part, want := range map[string]error{"": io.EOF, "HTTP/1.1 2": io.ErrUnexpectedEOF, "HTTP/1.1 200 OK\r\nA: b\r\n": io.ErrUnexpectedEOF} {
		_, err := readAnswer(bufio.NewReader(strings.NewReader(part)), http.MethodGet, http.Header{})
		assert.Equal(t, want, err, part)
	}
}

func TestReadAnswer_KeepsFieldsOfTheConnectionToItself(t *testing.T) {
	h := http.Header{}
	a, err := readAnswer(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"+
		"Proxy-Authenticate: x\r\nX-Long: "+strings.Repeat("y", 9000)+"\r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\n")), http.MethodGet, h)
	require.NoError(t, err)
	assert.True(t, a.close)
	assert.EqualValues(t, 3, a.length)
	assert.Equal(t, []string{"a", "b"}, h["Set-Cookie"])
	assert.Len(t, h.Get("X-Long"), 9000)
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Connection"} {
		assert.Empty(t, h[name], name)
	}
}

// FuzzReadAnswer holds our reader to net/http's: what we take, it takes, and
// reads the same.
func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nto the end", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close, X\r\nX: 1\r\nETag: \"a\"\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 00\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		h := http.Header{}
		ours := bufio.NewReader(bytes.NewReader(wire))
		a, err := readAnswer(ours, method, h)
		if err != nil || a.status < 200 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), &http.Request{Method: method})
		require.NoError(t, err)
		defer func() { _ = theirs.Body.Close() }()
		require.Equal(t, theirs.StatusCode, a.status)
		for name, values := range h {
			if name != "Content-Length" {
				require.Equal(t, theirs.Header[name], values, name)
			}
		}
		if a.status == http.StatusNotModified || a.status == http.StatusNoContent || head {
			return // no body, whatever its length says
		}
		body, errOurs := io.ReadAll(a.body(ours))
		want, errTheirs := io.ReadAll(theirs.Body)
		if a.chunked && errOurs == nil {
			if errOurs = readTrailers(ours, func(string, string) {}); errOurs != nil {
				return // a trailer that net/http is more forgiving about
			}
		}
		require.Equal(t, errTheirs == nil, errOurs == nil, "%v, %v", errOurs, errTheirs)
		require.Equal(t, want, body)
	})
}
