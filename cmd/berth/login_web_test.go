package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/secret"
)

// written is what a command wrote so far.
type written struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write keeps p.
func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// byWeb runs "berth login --web" and has decide answer for its code.
func (h *house) byWeb(decide func(code string), more ...string) said {
	h.t.Helper()
	var out bytes.Buffer
	var errs written
	p := process{
		args: append([]string{"login", h.url, "--web"}, more...), environ: []string{"HOME=" + h.home},
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- p.run(ctx) }()
	shown := regexp.MustCompile(`(?m)^    ([A-Z]{4}-[A-Z]{4})$`)
	require.Eventually(h.t, func() bool { return shown.MatchString(errs.String()) }, 30*time.Second, 10*time.Millisecond)
	require.Contains(h.t, errs.String(), "/device in a browser")
	decide(shown.FindStringSubmatch(errs.String())[1])
	ended := <-code
	return said{out.String(), errs.String(), ended}
}

// browser gives what posts JSON as somebody who is signed in.
func (h *house) browser(username, password string) func(path, body string) int {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	client := &http.Client{Jar: jar}
	post := func(path, body string) int {
		answer, err := client.Post(h.url+path, "application/json", strings.NewReader(body))
		require.NoError(h.t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(h.t, err)
		require.NoError(h.t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(h.t, http.StatusOK, post("/api/session", `{"username":"`+username+`","password":"`+password+`"}`))
	return post
}

func TestLogin_ByTheWebKeepsTheTokenThatWasApproved(t *testing.T) {
	h := newHouse(t)
	post := h.browser("admin", adminPassword)
	s := h.byWeb(func(code string) {
		require.Equal(t, http.StatusNoContent, post("/api/device/approve", `{"code":"`+code+`","scope":"read","lives":3600}`))
	}, "--expires", "2h")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "as admin")
	require.NotContains(t, s.out+s.err, "berth_", "the token stays in the file")
	require.Regexp(t, `(?s)Username: +admin.*By: +token.*Scope: +read`, h.run("", "account").out)
	out := h.run("", "logout")
	require.Zero(t, out.code, out.err)
	require.NotContains(t, out.err, "still works", "logout knows which token it is")
}

func TestLogin_ByTheWebEndsWhenItIsDenied(t *testing.T) {
	h := newHouse(t)
	post := h.browser("admin", adminPassword)
	s := h.byWeb(func(code string) {
		require.Equal(t, http.StatusNoContent, post("/api/device/deny", `{"code":"`+code+`"}`))
	})
	require.Equal(t, exitDenied, s.code, s.err)
	require.Contains(t, s.err, "denied in the browser")
	for _, wrong := range [][]string{{"--with-token"}, {"-u", "ana"}, {"--expires", "1s"}, {"--expires", "9000h"}} {
		require.Equal(t, exitInput, h.run("", append([]string{"login", h.url, "--web"}, wrong...)...).code, wrong)
	}
}

func TestLogin_KeepsWhatAnotherCommandKeptMeanwhile(t *testing.T) {
	h := newHouse(t)
	post := h.browser("admin", adminPassword)
	s := h.byWeb(func(code string) {
		beside := credentials{Servers: map[string]account{"https://other.example": {Username: "ana", Token: secret.New("berth_x")}}, path: filepath.Join(h.home, ".config", "berth", "credentials")}
		require.NoError(t, beside.write())
		require.Equal(t, http.StatusNoContent, post("/api/device/approve", `{"code":"`+code+`","scope":"read","lives":3600}`))
	})
	require.Zero(t, s.code, s.err)
	kept, err := readCredentials(&process{environ: []string{"HOME=" + h.home}})
	require.NoError(t, err)
	require.Equal(t, "ana", kept.of("https://other.example").Username)
	require.Equal(t, "admin", kept.of(h.url).Username)
}

func TestLogin_RemovesATokenThatItCanNotKeep(t *testing.T) {
	h := newHouse(t)
	s := runCommand(t.Context(), adminPassword+"\n", nil, "login", h.url, "-u", "admin")
	require.NotZero(t, s.code)
	require.Contains(t, s.err, "HOME is empty")
	require.Zero(t, h.run(adminPassword+"\n", "login", h.url, "-u", "admin").code)
	require.Equal(t, 1, strings.Count(h.run("", "token", "list").out, "berth login on"), "only that which was kept")
}
