package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/secret"
)

// answers is a server that gives one answer after the other: a status and a
// body, or nothing for one that is away. Afterwards it says that nobody has
// decided.
type answers struct {
	list  []string
	times []time.Duration // of each request, since the one before
	last  time.Time
}

// RoundTrip answers.
func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.times, a.last = append(a.times, time.Since(a.last)), time.Now()
	next := `400 {"error":"authorization_pending"}`
	if len(a.list) > 0 {
		next, a.list = a.list[0], a.list[1:]
	}
	if next == "" {
		return nil, errors.New("connection refused")
	}
	status, err := strconv.Atoi(next[:3])
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(next[3:])), Header: http.Header{}}, err
}

// wait waits for a token as "berth login --web" does.
func (a *answers) wait(t *testing.T) (string, error) {
	t.Helper()
	a.last = time.Now()
	c := &client{base: &url.URL{Scheme: "https", Host: "berth.example.com"}, http: &http.Client{Transport: a}}
	given, err := awaitDevice(t.Context(), c, deviceAsked{device: secret.New("x"), lives: 10 * time.Minute, interval: 2 * time.Second})
	return given.AccessToken, err
}

const givesToken = `200 {"access_token":"berth_x"}`

func TestAwaitDevice_GoesOnAfterWhatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := answers{list: []string{"", "502 x", `500 {"code":"internal"}`, "", `400 {"error":"authorization_pending"}`, `429 {"code":"too_many_requests"}`, `400 {"error":"slow_down"}`, givesToken}}
		token, err := a.wait(t)
		require.NoError(t, err)
		require.Equal(t, "berth_x", token)
		var waited []int
		for _, d := range a.times {
			waited = append(waited, int(d/time.Second))
		}
		require.Equal(t, []int{2, 4, 8, 15, 15, 2, 7, 12}, waited, "less often while it is away, and when it says so")
	})
}

func TestAwaitDevice_SaysWhyThereIsNoToken(t *testing.T) {
	for name, one := range map[string]struct {
		list []string
		says string
	}{
		"a lost answer":          {[]string{"", `400 {"error":"expired_token"}`}, "an answer of https://berth.example.com was lost, and with it a token, if the code was approved: remove that under API tokens of your account, https://berth.example.com/account/tokens, and begin again"},
		"lost, and slowed down":  {[]string{"", "429 x", `400 {"error":"expired_token"}`}, "was lost"},
		"an answer between":      {[]string{"", `400 {"error":"authorization_pending"}`, `400 {"error":"expired_token"}`}, "does not know the code any more"},
		"denied":                 {[]string{`400 {"error":"access_denied"}`}, "denied in the browser"},
		"another reason":         {[]string{`400 {"error":"invalid_grant","error_description":"you have 100 API tokens"}`}, "you have 100 API tokens"},
		"nobody":                 {nil, "nobody approved the code in its time"},
		"what does not go again": {[]string{`403 {"code":"forbidden","detail":"no"}`}, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := answers{list: one.list}
				_, err := a.wait(t)
				require.ErrorContains(t, err, one.says)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := answers{list: make([]string, 1000)}
		_, err := a.wait(t)
		require.Equal(t, fault.NotNow, fault.KindOf(err), "away to the end")
	})
}

// askOf asks a server for a code that answers this.
func askOf(t *testing.T, answer string) (deviceAsked, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	defer server.Close()
	c, err := connectRemote(server.URL, secret.Text{})
	require.NoError(t, err)
	return askByDevice(t.Context(), c, "read", time.Hour)
}

func TestAskByDevice_HoldsTheAnswerToWhatBerthGives(t *testing.T) {
	asked, err := askOf(t, `{"device_code":"x","user_code":"WDJB-MJHT","verification_uri":"https://berth.example.com/device","expires_in":9223372036854775807,"interval":-5}`)
	require.NoError(t, err)
	require.Equal(t, time.Hour, asked.lives)
	require.Equal(t, time.Second, asked.interval)
	for _, wrong := range []string{
		`"user_code":"WDJB-MJHT\u001b[2J","verification_uri":"https://berth.example.com/device"`,
		`"user_code":"","verification_uri":"https://berth.example.com/device"`,
		`"user_code":"WDJB-MJHT","verification_uri":"https://berth.example.com\u001b[2J/device"`,
		`"user_code":"WDJB-MJHT","verification_uri":"https://berth.example.com@evil.example/device"`,
		`"user_code":"WDJB-MJHT","verification_uri":"https://berth.example.com/device#x"`,
		`"user_code":"WDJB-MJHT","verification_uri":"https://berth.example.com/device?\u009b2J"`,
		`"user_code":"WDJB-MJHT","verification_uri":"javascript:alert(1)"`,
	} {
		_, err := askOf(t, `{"device_code":"x","expires_in":600,"interval":2,`+wrong+`}`)
		require.ErrorContains(t, err, "not Berth's", wrong)
	}
}

func TestOutput_ProblemMovesNoCursor(t *testing.T) {
	for _, err := range []error{
		fault.Invalid("a\x1b[2Jb"), errors.New("a\x1b[2Jb"), fault.InvalidFields([]fault.Field{{Name: "\x1b", Message: "\u009b"}}),
		fault.InvalidFields([]fault.Field{{Name: "\x1b", Message: "x"}, {Name: "a", Message: "\u009b"}}),
	} {
		var said bytes.Buffer
		(&output{err: &said}).problem(err)
		require.NotContains(t, said.String(), "\x1b")
		require.NotContains(t, said.String(), "\u009b")
	}
	var said bytes.Buffer
	(&output{err: &said}).problem(errors.New("a\nb"))
	require.Equal(t, "berth: a\nb\n", said.String())
}

func TestClient_IsLedToNoOtherServer(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it went there") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/api", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	c, err := connectRemote(server.URL, secret.New("berth_x"))
	require.NoError(t, err)
	require.ErrorContains(t, c.postForm(t.Context(), "/api/device/token", url.Values{"device_code": {"x"}}, nil), "leads on to "+other.URL)
	require.ErrorContains(t, c.get(t.Context(), "/api/session", nil), "leads on to "+other.URL)
}

func TestOpenBrowser_OpensTheServersPageThatOutlivesTheCommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nset -- \"$1\" $(cat /proc/$$/stat)\necho \"$1 $2 $7\" > " + dir + "/new && mv " + dir + "/new " + dir + "/opened\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := &client{base: &url.URL{Scheme: "https", Host: "berth.example.com"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	openBrowser(ctx, c, &url.URL{Scheme: "https", Host: "evil.example", Path: "/device"})
	openBrowser(ctx, c, &url.URL{Scheme: "https", Host: "berth.example.com", Path: "/device"})
	var opened []byte
	require.Eventually(t, func() (ok bool) {
		var err error
		opened, err = os.ReadFile(filepath.Join(dir, "opened"))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	said := strings.Fields(string(opened))
	require.Equal(t, "https://berth.example.com/device", said[0])
	require.Equal(t, said[1], said[2], "it leads a session of its own")
}
