//go:build bench

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

// The scale that Berth is measured at, and its goals.
const (
	manyProjects = 1000
	watchedFor   = 20 * time.Second
)

// TestMany prints what 1,000 projects of three stages each cost: the start, the
// first page, the idle processor time while 1,000 repositories of a Debian
// docker-registry are polled at the usual interval, and the memory. It is a
// measurement, not a proof, so `make bench` alone builds it.
func TestMany(t *testing.T) {
	socket := os.Getenv("BERTH_TEST_DOCKER")
	if socket == "" {
		t.Skip("BERTH_TEST_DOCKER is not set")
	}
	host := needs.Registry(t, "", "")
	for n := range manyProjects {
		reference, err := name.ParseReference(fmt.Sprintf("%s/p%04d:unrelated", host, n))
		require.NoError(t, err)
		require.NoError(t, remote.Write(reference, empty.Image))
	}
	var seed strings.Builder
	fmt.Fprintf(&seed, "berth: 1\nregistries:\n  %q: {insecure: true}\nprojects:\n", host)
	for n := range manyProjects {
		fmt.Fprintf(&seed, "  p%04[1]d:\n    image: %[2]s/p%04[1]d\n    stages:\n"+
			"      dev: {hostname: p%04[1]d-dev.localhost, tags: {kind: glob, pattern: 'dev-*'}}\n"+
			"      staging: {hostname: p%04[1]d-staging.localhost, tags: {kind: semver, pattern: '^1.0'}}\n"+
			"      prod: {hostname: p%04[1]d.localhost, tags: {kind: none}, promote_from: staging}\n", n, host)
	}
	file := filepath.Join(t.TempDir(), "berth.yaml")
	require.NoError(t, os.WriteFile(file, []byte(seed.String()), 0o600))
	began := time.Now()
	b := start(t, engine{"docker", socket}, "BERTH_SEED_FILE="+file)
	t.Logf("seeding %d projects with 3 stages each: %s", manyProjects, time.Since(began).Round(time.Millisecond))
	b.stop()

	began = time.Now()
	b.launch()
	t.Logf("start until it answers: %s (goal: 2 s)", time.Since(began).Round(time.Millisecond))
	p := b.signedIn()
	for _, page := range []struct {
		what  string
		paths []string
	}{
		{"first page, as far as it shows the first 200 projects", []string{"/", "/api/session", "/api/projects?limit=200", "/api/system", "/api/system/disks"}},
		{"all projects, in pages of 200 one after the other", []string{"/api/projects?limit=200"}},
	} {
		var took []time.Duration
		var size int
		for range 10 {
			at := time.Now()
			size = 0
			for _, path := range page.paths {
				size += p.read(path, strings.HasPrefix(page.what, "all"))
			}
			took = append(took, time.Since(at))
		}
		t.Logf("%s: %s at first, median %s, %d KiB (goal: 200 ms)", page.what, took[0].Round(time.Millisecond), slices.Sorted(slices.Values(took))[len(took)/2].Round(time.Millisecond), size>>10)
	}

	b.idle("while all repositories are polled for the first time, as fast as they ever are")
	b.everySourceLookedAt()
	b.idle("between two rounds of polls")
}

// idle prints what the server uses while nobody asks it for anything.
func (b *berth) idle(when string) {
	b.t.Helper()
	const polls = "berth_source_polls_total"
	polled, before, at := b.metric(polls), b.ticks(), time.Now()
	time.Sleep(watchedFor)
	share := float64(b.ticks()-before) / clockTicks / time.Since(at).Seconds()
	b.t.Logf("idle %s, %.1f a second: %.2f %% of a core (goal: 2 %%), %d MiB resident",
		when, (b.metric(polls)-polled)/time.Since(at).Seconds(), 100*share, b.resident()>>20)
}

// everySourceLookedAt waits until each repository was polled by this process,
// which takes its time so that registries are not stormed.
func (b *berth) everySourceLookedAt() {
	b.t.Helper()
	for until := time.Now().Add(6 * time.Minute); b.metric("berth_source_polls_total") < manyProjects; time.Sleep(time.Second) {
		require.True(b.t, time.Now().Before(until), "each repository was looked at")
	}
	require.Zero(b.t, b.metric(`berth_source_polls_total{result="failed"}`))
}

// browser is a session at the dashboard's address.
type browser struct {
	b *berth
	http.Client
}

func (b *berth) signedIn() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(b.t, err)
	p := &browser{b, http.Client{Jar: jar}}
	body, err := json.Marshal(map[string]string{"username": "admin", "password": adminPassword})
	require.NoError(b.t, err)
	response, err := p.Post(b.baseURL()+"/api/session", "application/json", bytes.NewReader(body))
	require.NoError(b.t, err)
	defer response.Body.Close()
	require.Equal(b.t, http.StatusOK, response.StatusCode)
	return p
}

// read reads an address, to the end of the list when all is set, and gives how
// many bytes came.
func (p *browser) read(path string, all bool) (size int) {
	p.b.t.Helper()
	for cursor := ""; ; {
		at := p.b.baseURL() + path
		if cursor != "" {
			at += "&cursor=" + url.QueryEscape(cursor)
		}
		response, err := p.Get(at)
		require.NoError(p.b.t, err)
		raw, err := io.ReadAll(response.Body)
		require.NoError(p.b.t, err)
		require.NoError(p.b.t, response.Body.Close())
		require.Equal(p.b.t, http.StatusOK, response.StatusCode, path)
		size += len(raw)
		if !all {
			return size
		}
		var page struct{ Next string }
		require.NoError(p.b.t, json.Unmarshal(raw, &page))
		if cursor = page.Next; cursor == "" {
			return size
		}
	}
}

// clockTicks is how many ticks /proc counts in a second of processor time:
// USER_HZ is 100 on every architecture that Berth runs on.
const clockTicks = 100

// ticks gives the processor time that the server has used so far.
func (b *berth) ticks() int64 {
	b.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	require.NoError(b.t, err)
	// The name before it may hold spaces; utime and stime are fields 14 and 15.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var sum int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		require.NoError(b.t, err)
		sum += n
	}
	return sum
}

// resident gives the bytes of memory that the server holds.
func (b *berth) resident() int64 {
	b.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.cmd.Process.Pid))
	require.NoError(b.t, err)
	n, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	require.NoError(b.t, err)
	return n * int64(os.Getpagesize())
}

// metric gives the sum of the counters whose line begins with name.
func (b *berth) metric(name string) (sum float64) {
	b.t.Helper()
	response, err := b.local.Get("http://berth/metrics")
	require.NoError(b.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, name) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			require.NoError(b.t, err)
			sum += v
		}
	}
	return sum
}
