package selftest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Try is one check under way.
type Try struct {
	Target
	over     func() error // why the check is over before its end
	sent     int
	unmade   string // why something could not be sent, or got no answer that says anything
	problems []string
	partly   []string
}

// problemsMost is how many problems of one check are told.
const problemsMost = 10

// Broken notes that something that was sent went through. Nothing that comes
// after the end of a check counts.
func (t *Try) Broken(sent, got string) {
	if t.over() == nil && len(t.problems) < problemsMost {
		t.problems = append(t.problems, fmt.Sprintf("sent %q, got %q", shortened(sent, 300), shortened(got, 300)))
	}
}

// noAnswer notes that something got none. It is no problem of the server's when
// it could not be sent, or there was no room for it.
func (t *Try) noAnswer(sent string) {
	if t.unmade == "" {
		t.Broken(sent, "no answer")
	}
}

// Partly notes that some of a check could not be made.
func (t *Try) Partly(why string) {
	if !slices.Contains(t.partly, why) {
		t.partly = append(t.partly, why)
	}
}

// Sent notes that a message went out by another way than Send.
func (t *Try) Sent() { t.sent++ }

// Note gives what the server answered to whoever watches.
func (t *Try) Note(answer []byte) {
	if t.Saw != nil {
		t.Saw(answer)
	}
}

func shortened(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Answer is one answer of the server.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a *Answer) String() string {
	return fmt.Sprintf("%d %s %s", a.Status, a.Header.Get("Location"), shortened(a.Body, 200))
}

// How long is waited for an answer, and how much of it is read.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 2 * time.Second  // also what a request costs that waits for more of itself
	guessTimeout  = 30 * time.Second // a password is slow to check on purpose
	answerMost    = 1 << 20
	answersMost   = 8 // on one connection
)

// dial connects to the base host, wherever the request is for. alpn is what
// TLS is to agree on.
func (t *Try) dial(ctx context.Context, alpn string) (net.Conn, error) {
	host, port := t.Base.Hostname(), t.Base.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[t.Base.Scheme]
		if port == "" {
			port = "80"
		}
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	if t.Base.Scheme != "https" {
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	return (&tls.Dialer{NetDialer: &dialer, Config: &tls.Config{ServerName: host, NextProtos: []string{alpn}, RootCAs: t.Roots, MinVersion: tls.VersionTLS12}}).
		DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

// Send writes a message to a connection of its own, to the byte, and reads
// the answers until the connection ends or nothing comes any more. No answer
// at all is none. When the server, or a proxy before it, says that there is no
// room, it waits and sends again, three times at most; then the check is given up.
func (t *Try) Send(ctx context.Context, message string) []Answer {
	if t.unmade != "" {
		return nil
	}
	for range sendMost {
		answers := t.send(ctx, message)
		if len(answers) == 0 || !noRoom(answers[0].Status) {
			return answers
		}
		if !pause(ctx, roomWait) {
			return nil
		}
	}
	t.unmade = "answered with 429 or 503 again and again: send more slowly"
	return nil
}

const (
	sendMost = 3
	roomWait = 2 * time.Second
)

func noRoom(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// pause waits; it says false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// paced waits until one more may be sent.
func (t *Try) paced(ctx context.Context) error {
	if t.Pace == nil {
		return ctx.Err()
	}
	return t.Pace.Wait(ctx)
}

// connect is dial at the target's pace. It gives nil, and notes why, when there
// is no connection.
func (t *Try) connect(ctx context.Context, alpn string) net.Conn {
	if t.paced(ctx) != nil {
		return nil
	}
	c, err := t.dial(ctx, alpn)
	if err != nil {
		t.unmade = "no connection: " + err.Error()
		return nil
	}
	t.sent++
	return c
}

// send is Send, once.
func (t *Try) send(ctx context.Context, message string) []Answer {
	return t.sendWithin(ctx, message, answerTimeout)
}

// sendWithin is send with another time to wait for an answer.
func (t *Try) sendWithin(ctx context.Context, message string, wait time.Duration) []Answer {
	c := t.connect(ctx, "http/1.1")
	if c == nil {
		return nil
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	_ = c.SetWriteDeadline(time.Now().Add(dialTimeout))
	if _, err := io.WriteString(c, message); err != nil && !closedOnUs(err) {
		t.unmade = err.Error()
		return nil
	}
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(io.LimitReader(c, answerMost), &raw))
	defer func() { t.Note(raw.Bytes()) }()
	var answers []Answer
	method, _, _ := strings.Cut(message, " ")
	for len(answers) < answersMost {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			break
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		answers = append(answers, Answer{res.StatusCode, res.Header, string(body)})
		method = http.MethodGet
	}
	return answers
}

// closedOnUs says that the server closed the connection, which is one way to refuse.
func closedOnUs(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// request writes a request, with more lines in its head.
func request(method, host, target string, lines ...string) string {
	lines = append([]string{method + " " + target + " HTTP/1.1", "Host: " + host}, lines...)
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Accept: ") }) {
		lines = append(lines, "Accept: application/json")
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Connection: ") }) {
		lines = append(lines, "Connection: close")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// Ask sends one request and gives its answer; nil when there is none.
func (t *Try) Ask(ctx context.Context, method, host, target string, lines ...string) *Answer {
	answers := t.Send(ctx, request(method, host, target, lines...))
	if len(answers) == 0 {
		return nil
	}
	return &answers[0]
}

// base is the base host as a Host header has it; on gives an app's.
func (t *Try) base() string { return t.Base.Host }

func (t *Try) on(hostname string) string {
	if port := t.Base.Port(); port != "" {
		return hostname + ":" + port
	}
	return hostname
}

// refuses says that an answer lets nobody to an app: Berth refused, asks for
// signing in, or there was no answer.
func (t *Try) refuses(a *Answer) bool {
	if a == nil {
		return true
	}
	if a.Header.Get("X-App-Report") != "" || a.Header.Get("X-App-Version") != "" {
		return false
	}
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusExpectationFailed,
		http.StatusMisdirectedRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return true
	case http.StatusNotFound: // Berth's own: no such app
		return strings.Contains(a.Body, "request_id")
	case http.StatusFound, http.StatusSeeOther:
		to, err := url.Parse(a.Header.Get("Location"))
		return err == nil && to.Host == t.Base.Host && (to.Path == "/auth/enter" || to.Path == "/sign-in")
	}
	return false
}

// refused is refuses for each answer on a connection.
func (t *Try) refused(message string, answers []Answer) {
	for i := range answers {
		if !t.refuses(&answers[i]) {
			t.Broken(message, answers[i].String())
		}
	}
}

// reported gives what an app was sent; it says false when it was sent nothing.
func (t *Try) reported(a *Answer) (string, bool) {
	if a == nil || a.Header.Get("X-App-Report") == "" {
		return "", false
	}
	return a.Body, true
}

// mark is a text that stands nowhere else.
func mark() string { return "smuggled-" + strings.ToLower(rand.Text()[:12]) }
