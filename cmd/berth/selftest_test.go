package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/selftest"
)

// selftestReportOf reads what the command printed for programs.
func selftestReportOf(t *testing.T, s said) (r selftestReport) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s.out), &r), s.out+s.err)
	return r
}

func TestSelftest_AllHoldsAgainstARunningServer(t *testing.T) {
	h := newHouse(t)
	var reached atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer app.Close()
	h.must("route", "add", "app", "--hostname", "app.localhost", "--target", app.URL)
	h.must("route", "access", "app", "signed-in")
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin", "--scope", "read").code)
	page := strings.Replace(h.url, "//localhost", "//app.localhost", 1)

	s := h.run("", "--json", "selftest", "--against", h.url, "--app", page, "--rate", "100000")

	report := selftestReportOf(t, s)
	for _, c := range report.Checks {
		require.Empty(t, c.Problems, c.Name)
		if c.Outcome == selftest.NotRun {
			require.Contains(t, c.Lacks, "apps that report what they are sent", c.Name)
		}
	}
	require.Zero(t, s.code, s.err)
	require.Equal(t, len(selftest.Checks())-2, report.Held)
	require.Equal(t, 2, report.NotRun)
	require.Zero(t, reached.Load(), "the app was reached")
	require.NotContains(t, h.must("--json", "people"), "smuggled")
}

func TestSelftest_SaysWhatDidNotRunAndWhatToGive(t *testing.T) {
	h := newHouse(t)
	s := h.run("", "selftest", "--against", h.url, "--rate", "100000", "--only", "framing,path-confusion,identity-trailer-smuggling,unguarded-api")
	require.Zero(t, s.code, s.err)
	require.Regexp(t, `held +framing: A page of Berth's own is shown`, s.out)
	require.Contains(t, s.out, "learnt from: CVE-")
	require.Contains(t, s.out, "not run without an app that asks for signing in: give --app")
	require.Contains(t, s.out, `"make perimeter" brings one`)
	require.Contains(t, s.out, "not tried: all addresses of the API's own document, which takes a token to read")
	require.Contains(t, s.out, "2 held, 0 broken, 2 not run; 1 ran in part only")
}

func TestSelftest_AttacksNothingThatIsNoBerth(t *testing.T) {
	h := newHouse(t)
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			t.Error("it was shown the token")
		}
		_, _ = w.Write([]byte(`{"status":"ok","version":"1"}`))
	}))
	defer other.Close()

	s := h.run("", "--token", "berth_secret", "selftest", "--against", other.URL)

	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "is not the base host of a Berth")
	require.EqualValues(t, 1, asked.Load(), "more than its name was asked for")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--against", h.url, "--app", strings.Replace(h.url, "//localhost", "//nothing.localhost", 1)}, exitInput, "is not a page of this Berth's"},
		{[]string{"--against", h.url, "--app", "http://app.localhost:1/x"}, exitInput, "the same scheme and port"},
		{[]string{"--against", h.url, "--app", h.url}, exitInput, "a host of its own"},
		{[]string{"--against", h.url, "--session", "berth=xx"}, exitInput, "give --app"},
		{[]string{"--against", h.url, "--only", "everything"}, exitInput, "no check is named"},
		{[]string{"--against", "http://berth.example.com"}, exitInput, "plain HTTP"},
		{[]string{"--against", "http://127.0.0.1:1"}, exitNotNow, "no connection"},
		{[]string{"--against", h.url, "--rate", "0"}, exitInput, "above zero"},
		{nil, exitInput, "--against"},
	} {
		s := h.run("", append([]string{"selftest"}, c.args...)...)
		require.Equal(t, c.code, s.code, s.err)
		require.Contains(t, s.err, c.says)
	}
	s = h.run("", "--token", "berth_"+strings.Repeat("A", 43), "--url", h.url, "selftest")
	require.Equal(t, exitUnauthenticated, s.code, "a token that is none of its own")
	require.Zero(t, h.run("", "--token", "berth_x", "--url", "https://other.example", "selftest", "--against", h.url, "--only", "framing", "--rate", "100000").code, "a token of another server is not shown")
}

// notGuarded says that it is a Berth, and answers everybody everything.
func notGuarded(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write([]byte(`{"service":"berth","projects":[]}`))
}

func TestSelftest_TellsWhatWentThrough(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(notGuarded))
	defer broken.Close()
	s := runCommand(t.Context(), "", []string{"HOME=" + t.TempDir()}, "--json", "selftest", "--against", broken.URL, "--rate", "100000",
		"--only", "unguarded-api,framing,forged-bearer-tokens,cross-site-request-forgery,shared-caches,guessing-without-end,forged-provider-answer,forward-auth-forgery,path-confusion-in-the-api")
	require.Equal(t, exitBroken, s.code, s.err)
	report := selftestReportOf(t, s)
	require.Equal(t, 9, report.Broken)
	for _, c := range report.Checks {
		require.NotEmpty(t, c.Problems, c.Name)
	}
}

func TestSelftest_CountsNoRefusalForWantOfRoom(t *testing.T) {
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			notGuarded(w, r)
			return
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer full.Close()
	s := runCommand(t.Context(), "", []string{"HOME=" + t.TempDir()}, "selftest", "--against", full.URL, "--only", "framing,guessing-without-end")
	require.Zero(t, s.code, s.out+s.err)
	require.Contains(t, s.out, "0 held, 0 broken, 2 not run")
	require.Contains(t, s.out, "answered with 429 or 503 again and again")
}

func TestSelftest_HoldsAServerToItsCertificate(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(notGuarded))
	defer secure.Close()
	run := func(ctx context.Context, args ...string) said {
		return runCommand(ctx, "", []string{"HOME=" + t.TempDir()}, append([]string{"selftest", "--against", secure.URL, "--only", "framing"}, args...)...)
	}
	s := run(t.Context())
	require.Equal(t, exitNotNow, s.code)
	require.Contains(t, s.err, "certificate")

	file := writeFile(t, t.TempDir(), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	require.Equal(t, exitBroken, run(t.Context(), "--ca-file", file).code, "an open server under TLS")
}

func TestSelftest_StopsWhenItIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asked atomic.Int64
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 5 {
			stop()
		}
		notGuarded(w, r)
	}))
	defer slow.Close()
	s := runCommand(ctx, "", []string{"HOME=" + t.TempDir()}, "--json", "selftest", "--against", slow.URL, "--only", "forged-and-malformed-cookies,framing")
	require.LessOrEqual(t, asked.Load(), int64(6))
	require.NotZero(t, s.code)
	report := selftestReportOf(t, s)
	require.Equal(t, selftest.NotRun, report.Checks[1].Outcome, "what was left")
}
