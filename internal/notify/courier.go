package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/outgoing"
	"berth/internal/secret"
)

const (
	httpTimeout = 15 * time.Second
	mailTimeout = 30 * time.Second
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 4 << 10
)

// message is a notice on its way.
type message struct {
	Notice
	id   string    // of the delivery
	link string    // to the dashboard's page
	at   time.Time // of this attempt
}

// sealed is what a channel's slot holds.
type sealed struct {
	Address string `json:"address"`
	// Key is what a webhook is signed with; empty for all other services.
	Key string `json:"key,omitempty"`
}

// sendError says why a message was not taken. Its text shows no secret.
type sendError struct {
	text  string
	final bool          // the same again would not go better
	after time.Duration // what the other side asked to wait; 0 when it did not
}

// courier brings messages to services. It follows no redirects, asks no proxy
// and reads little of what is answered.
type courier struct {
	base            *url.URL
	roots           *x509.CertPool
	inside, outside *http.Client
}

func newCourier(base *url.URL, roots *x509.CertPool) *courier {
	return &courier{base: base, roots: roots, inside: newClient(true, roots), outside: newClient(false, roots)}
}

func newClient(inside bool, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: httpTimeout,
		// A redirect would take the tokens elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: outgoing.NewDialer(inside).DialContext, ForceAttemptHTTP2: true,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: httpTimeout, ResponseHeaderTimeout: httpTimeout, IdleConnTimeout: time.Minute,
			MaxIdleConns: 8, MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
	}
}

// send brings a message to a channel; nil when it was taken.
func (c *courier) send(ctx context.Context, ch Channel, s sealed, m message) *sendError {
	a, err := parseAddress(ch.Service, secret.New(s.Address), ch.inside)
	if err != nil {
		return &sendError{text: "the address is not one that can be sent to any more: " + fault.Message(err), final: true}
	}
	m.link = c.base.JoinPath(m.Path).String()
	client := c.outside
	if ch.inside {
		client = c.inside
	}
	switch ch.Service {
	case Email:
		return c.mail(ctx, a, ch.inside, m)
	case Slack:
		return post(ctx, client, a, slackCall(a, m))
	case Discord:
		return post(ctx, client, a, discordCall(a, m))
	case Matrix:
		return sendMatrix(ctx, client, a, m)
	case Ntfy:
		return post(ctx, client, a, ntfyCall(a, m))
	case Teams:
		return post(ctx, client, a, teamsCall(a, m))
	case Webhook:
		return post(ctx, client, a, webhookCall(a, s.Key, m))
	}
	return &sendError{text: "Berth knows no service " + strconv.Quote(string(ch.Service)), final: true}
}

// call is a request before it is made.
type call struct {
	method string // POST when empty
	url    url.URL
	header http.Header
	body   any // becomes JSON; []byte is sent as it is
}

// post makes a call, of which only the verdict matters.
func post(ctx context.Context, client *http.Client, a address, c call) *sendError {
	_, err := do(ctx, client, a, c)
	return err
}

// do makes a call and gives the beginning of what was answered.
func do(ctx context.Context, client *http.Client, a address, c call) ([]byte, *sendError) {
	request, err := c.request(ctx)
	if err != nil {
		return nil, &sendError{text: "the message can't be written as a request", final: true}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, &sendError{text: a.trouble(err)}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode < 300 {
		return answer, nil // it was taken, whatever became of the rest of the answer
	}
	if err != nil {
		answer = nil
	}
	return nil, a.refused(response, answer)
}

func (c call) request(ctx context.Context) (*http.Request, error) {
	body, ready := c.body.([]byte)
	if !ready && c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			return nil, err
		}
	}
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		request.Header = c.header
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	request.Header.Set("User-Agent", "Berth")
	return request, nil
}

// refused says what an answer of 300 and above means.
func (a address) refused(response *http.Response, answer []byte) *sendError {
	e := &sendError{
		text:  a.scrub(fmt.Sprintf("%s answered %d %s", response.Request.URL.Host, response.StatusCode, http.StatusText(response.StatusCode))),
		final: isFinal(response.StatusCode),
		after: retryAfter(response.Header),
	}
	if response.StatusCode < 400 {
		e.text += ": it sends on to another address, which is not followed; give that one"
		return e
	}
	if said := a.scrub(a.reason(answer)); said != "" {
		e.text += ": " + said
	}
	return e
}

// isFinal says of a status whether the same request would be refused again.
// 404 is not one: proxies answer it for an app that is just being restarted.
func isFinal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return status >= 300 && status < 400
}

// retryAfter reads RFC 9110, section 10.2.3, in its form of seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(h.Get("Retry-After"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, longestRetry.Seconds()) * float64(time.Second))
}

// reason finds what a service says of a refusal where its documentation says
// that it does. A stranger's webhook gets no word in.
func (a address) reason(answer []byte) string {
	var said struct {
		Message string `json:"message"` // Discord
		Error   any    `json:"error"`   // Matrix, ntfy; Teams nests one
	}
	switch a.service {
	case Slack:
		return string(answer) // "invalid_token", "no_service"
	case Discord, Matrix, Ntfy, Teams:
		if json.Unmarshal(answer, &said) != nil {
			return ""
		}
		switch e := said.Error.(type) {
		case string:
			return e
		case map[string]any:
			text, _ := e["message"].(string)
			return text
		}
		return said.Message
	case Email, Webhook:
	}
	return ""
}

// trouble says why nothing was answered. The errors of net/http hold the URL:
// only what is inside of them is told.
func (a address) trouble(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "Berth was stopped meanwhile"
	case errors.Is(err, outgoing.ErrForbiddenPlace):
		_, text, _ := strings.Cut(err.Error(), ": ") // "dial tcp 10.0.0.1:80: "
		return a.scrub(text)
	}
	return a.scrub(err.Error())
}
