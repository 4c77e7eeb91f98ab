package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// answer is the head of an app's HTTP/1.1 answer, and how its body is framed
// (RFC 9112 section 6.3). Its fields go straight into the header that the
// client gets, without those that are about the connection.
type answer struct {
	status   int
	length   int64 // of the body; -1 when only its end tells
	chunked  bool
	close    bool // the connection serves no further request
	upgrade  string
	trailers []string // announced
}

var errBadAnswer = errors.New("the app's answer is not HTTP/1.1")

func badAnswer(what string) error { return fmt.Errorf("%w: %s", errBadAnswer, what) }

// readAnswer reads a head into h. method is the request's, which decides
// whether there is a body. io.EOF means that not one byte came.
func readAnswer(r *bufio.Reader, method string, h http.Header) (answer, error) {
	a := answer{length: -1}
	line, err := readLine(r)
	if err != nil {
		return a, err
	}
	minor, err := a.readStatus(line)
	if err != nil {
		return a, err
	}
	if a.close, err = a.readFields(r, h, minor); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return a, err
	}
	switch {
	case a.status < 200 || a.status == http.StatusNoContent || a.status == http.StatusNotModified || method == http.MethodHead:
		a.chunked = false
		if a.status < 200 || a.status == http.StatusNoContent {
			delete(h, "Content-Length") // RFC 9110 section 8.6
		}
		a.length = 0
	case a.chunked:
		a.close = a.close || a.length >= 0 // both: whoever else reads this may see another end
		a.length = -1
		delete(h, "Content-Length")
	case a.length < 0:
		a.close = true // its end is the connection's end
	}
	return a, nil
}

// readStatus takes "HTTP/1.1 200 OK"; the reason is not kept.
func (a *answer) readStatus(line []byte) (minor byte, err error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' ||
		line[7] < '0' || line[7] > '1' || len(line) > 12 && line[12] != ' ' {
		return 0, badAnswer("status line")
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, badAnswer("status")
		}
		a.status = a.status*10 + int(c-'0')
	}
	if a.status < 100 {
		return 0, badAnswer("status")
	}
	return line[7], nil
}

// readFields reads field lines to the empty one.
func (a *answer) readFields(r *bufio.Reader, h http.Header, minor byte) (closes bool, err error) {
	var (
		slab    []string
		conn    []string
		codings int
	)
	for {
		line, err := readLine(r)
		if err != nil {
			return false, err
		}
		if len(line) == 0 {
			break
		}
		name, value, err := splitField(line)
		if err != nil {
			return false, err
		}
		switch name {
		case "Content-Length":
			n, err := parseLength(value)
			if err != nil || a.length >= 0 && h["Content-Length"][0] != value { // not "00" beside "0" either, of which others make one
				return false, badAnswer("Content-Length")
			}
			if a.length >= 0 {
				continue // said twice, the same
			}
			a.length = n
		case "Transfer-Encoding":
			if codings++; codings > 1 || minor == '0' || !strings.EqualFold(value, "chunked") {
				return false, badAnswer("Transfer-Encoding")
			}
			a.chunked = true
			continue
		case "Connection":
			conn = append(conn, value)
			continue
		case "Upgrade":
			a.upgrade = value
			continue
		case "Trailer":
			for t := range strings.SplitSeq(value, ",") {
				if t = http.CanonicalHeaderKey(strings.TrimSpace(t)); httpguts.ValidTrailerHeader(t) && !hopByHop(t) {
					a.trailers = append(a.trailers, t)
				}
			}
			continue
		}
		if hopByHop(name) {
			continue
		}
		if before := h[name]; before != nil {
			h[name] = append(before, value)
			continue
		}
		if len(slab) == 0 {
			slab = make([]string, 12)
		}
		slab[0] = value
		h[name], slab = slab[:1:1], slab[1:]
	}
	for _, name := range named(conn) {
		if name != "Content-Length" {
			delete(h, name)
		}
	}
	return minor == '0' || hasToken(conn, "close"), nil
}

// splitField takes "Name: value". Lines that continue the one before
// (RFC 9112 section 5.2) are refused.
func splitField(line []byte) (name, value string, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return "", "", badAnswer("header line")
	}
	name, known := commonFields[string(line[:colon])]
	if !known {
		name = string(line[:colon])
		if !httpguts.ValidHeaderFieldName(name) {
			return "", "", badAnswer("header name")
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	value = string(bytes.Trim(line[colon+1:], " \t"))
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", "", badAnswer("header " + name)
	}
	return name, value, nil
}

// commonFields spares the most frequent names an allocation.
var commonFields = func() map[string]string {
	m := map[string]string{}
	for name := range strings.FieldsSeq(`Accept-Ranges Access-Control-Allow-Origin Age Alt-Svc Cache-Control Connection
		Content-Disposition Content-Encoding Content-Language Content-Length Content-Location Content-Range
		Content-Security-Policy Content-Type Date Etag Expires Keep-Alive Last-Modified Link Location Pragma
		Referrer-Policy Retry-After Server Set-Cookie Strict-Transport-Security Trailer Transfer-Encoding Upgrade
		Vary Via Www-Authenticate X-Content-Type-Options X-Frame-Options X-Powered-By X-Request-Id`) {
		m[name], m[strings.ToLower(name)] = name, name
	}
	m["ETag"], m["WWW-Authenticate"] = "Etag", "Www-Authenticate"
	return m
}()

func parseLength(s string) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, errBadAnswer
	}
	return strconv.ParseInt(s, 10, 64)
}

// readLine gives a line without its end, which may lack its CR (RFC 9112
// section 2.2). It is good until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := readRawLine(r)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// readRawLine gives a line with its end. It is good until the next read.
func readRawLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return line, nil
}

// body gives the reader of the answer's body. It ends with io.EOF where the
// body does, and with another error where the connection did too early.
func (a *answer) body(r *bufio.Reader) io.Reader {
	switch {
	case a.chunked:
		return httputil.NewChunkedReader(r)
	case a.length >= 0:
		return &exactly{r, a.length}
	default:
		return r
	}
}

// exactly reads n bytes, and calls an earlier end unexpected.
type exactly struct {
	r *bufio.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.n {
		p = p[:e.n]
	}
	n, err := e.r.Read(p)
	if e.n -= int64(n); e.n == 0 {
		return n, io.EOF
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// readTrailers reads the fields after the last chunk, and calls f for each. A
// line here ends with CRLF and nothing less: whoever reads a message's end
// elsewhere takes what follows for another message.
func readTrailers(r *bufio.Reader, f func(name, value string)) error {
	for {
		line, err := readRawLine(r)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		line, whole := bytes.CutSuffix(line, []byte("\r\n"))
		switch {
		case !whole:
			return badAnswer("end of a trailer's line")
		case len(line) == 0:
			return nil
		}
		name, value, err := splitField(line)
		if err != nil {
			return err
		}
		if httpguts.ValidTrailerHeader(name) && !hopByHop(name) {
			f(name, value)
		}
	}
}
