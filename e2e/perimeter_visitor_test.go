package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// visitor is a browser at an address of loopback of its own, which follows
// nothing by itself.
type visitor struct {
	h      *house
	client *http.Client
	jar    *cookiejar.Jar
	from   string
}

// visitor makes one that nobody knows, from an address that nobody came from.
func (h *house) visitor() *visitor {
	h.mu.Lock()
	h.last++
	from := fmt.Sprintf("127.7.%d.%d", h.last/250, h.last%250+1)
	h.mu.Unlock()
	return h.visitorFrom(from)
}

func (h *house) visitorFrom(from string) *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		// All of Berth's hosts are at one address; a provider is where it says.
		if host, _, _ := net.SplitHostPort(address); strings.HasSuffix(host, "localhost") {
			address = h.address
		}
		return dialer.DialContext(ctx, "tcp", address)
	}}
	v := &visitor{h: h, jar: jar, from: from, client: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return v
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

func (r *reply) to() string { return r.Header.Get("Location") }

// do sends a request, whose body is JSON where there is one.
func (v *visitor) do(method, address string, body any, lines ...string) *reply {
	v.h.t.Helper()
	r, err := v.try(method, address, body, lines...)
	require.NoError(v.h.t, err)
	return r
}

func (v *visitor) try(method, address string, body any, lines ...string) (*reply, error) {
	r, err := v.send(method, address, body, lines...)
	if err == nil {
		_, _ = v.h.saw.Write(answerOf(r))
	}
	return r, err
}

// send is try whose answer is not looked through for secrets.
func (v *visitor) send(method, address string, body any, lines ...string) (*reply, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(v.h.t.Context(), method, address, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	return v.sent(request)
}

// sent sends a request as it is.
func (v *visitor) sent(request *http.Request) (*reply, error) {
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &reply{response, string(raw)}, nil
}

// answerOf writes an answer down, but for the cookies of whoever it is for.
func answerOf(r *reply) []byte {
	var b bytes.Buffer
	head := r.Header.Clone()
	head.Del("Set-Cookie")
	_ = head.Write(&b)
	b.WriteString(r.body)
	return b.Bytes()
}

// browse goes to a page and on to where it is led, and gives where it ends.
func (v *visitor) browse(address string) (at *url.URL, last *reply) {
	v.h.t.Helper()
	at, err := url.Parse(address)
	require.NoError(v.h.t, err)
	for range 12 {
		last = v.do("GET", at.String(), nil, "Accept: text/html", "Sec-Fetch-Mode: navigate")
		if last.to() == "" || last.StatusCode < 300 || last.StatusCode >= 400 {
			return at, last
		}
		at, err = at.Parse(last.to())
		require.NoError(v.h.t, err)
	}
	require.Fail(v.h.t, "led on and on", at.String())
	return nil, nil
}

// passwordSignIn asks for a session.
func (v *visitor) passwordSignIn(name, password string, lines ...string) *reply {
	v.h.t.Helper()
	return v.do("POST", v.h.baseURL()+"/api/session", map[string]any{"username": name, "password": password}, lines...)
}

func (v *visitor) signIn(name, password string) {
	v.h.t.Helper()
	r := v.passwordSignIn(name, password)
	require.Equal(v.h.t, http.StatusOK, r.StatusCode, r.body)
	v.h.keep(v.value(v.h.baseURL(), "berth"))
}

// appURL is where an app is.
func (h *house) appURL(app, path string) string {
	return strings.Replace(h.baseURL(), "//localhost", "//"+app+".localhost", 1) + path
}

// enters goes to the guarded app's page, by way of the base host, and must come there.
func (v *visitor) enters(path string) {
	v.h.t.Helper()
	const app = guardedApp
	at, r := v.browse(v.h.appURL(app, path))
	require.Equal(v.h.t, http.StatusOK, r.StatusCode, "%s: %s", at, r.body)
	require.Equal(v.h.t, v.h.appURL(app, path), at.String())
	v.h.keep(v.value(v.h.appURL(app, ""), "berth"))
}

// asks asks the guarded app for a path, as a program does, and gives the status.
func (v *visitor) asks(path string) int {
	v.h.t.Helper()
	const app = guardedApp
	return v.do("GET", v.h.appURL(app, path), nil, "Accept: application/json").StatusCode
}

// known says who the API takes it for; "" for nobody.
func (v *visitor) known() string {
	v.h.t.Helper()
	r := v.do("GET", v.h.baseURL()+"/api/session", nil)
	var session struct{ Person struct{ Username string } }
	_ = json.Unmarshal([]byte(r.body), &session)
	return session.Person.Username
}

// value gives one of its cookies at an address.
func (v *visitor) value(address, name string) string {
	v.h.t.Helper()
	at, err := url.Parse(address)
	require.NoError(v.h.t, err)
	for _, c := range v.jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// plant sets a cookie in it, as a network or a page of a neighbour might.
func (v *visitor) plant(address, name, value string) {
	v.h.t.Helper()
	at, err := url.Parse(address)
	require.NoError(v.h.t, err)
	v.jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// cookie gives what it is known by at an app, as a Cookie header has it.
func (v *visitor) cookie(app string) string { return "berth=" + v.value(v.h.appURL(app, ""), "berth") }

// token makes an API token of whoever it is, which is shown this once.
func (v *visitor) token() string {
	v.h.t.Helper()
	r, err := v.send("POST", v.h.baseURL()+"/api/account/tokens", map[string]any{"name": "a token " + rand.Text(), "scope": "read"})
	require.NoError(v.h.t, err)
	require.Equal(v.h.t, http.StatusCreated, r.StatusCode, r.body)
	var made struct{ Secret string }
	require.NoError(v.h.t, json.Unmarshal([]byte(r.body), &made))
	v.h.keep(made.Secret)
	return made.Secret
}

// newer is a visitor in a browser of its own who signs in by a password.
func (h *house) newer(t *testing.T, name string) *visitor {
	t.Helper()
	v := h.visitor()
	v.signIn(name, passwordOf(name))
	return v
}
