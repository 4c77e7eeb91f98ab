package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/needs"
	"berth/internal/server"
	"berth/internal/settings"
)

const adminPassword = "correct horse battery staple"

// TestMain lets the test binary be the command itself, for the tests that
// start it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("BERTH_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// house is a running server and a person at its machine.
type house struct {
	t    *testing.T
	data string
	url  string
	home string
}

// newHouse starts a server, with no container engine unless environ names
// one, and ends it with the test.
func newHouse(t *testing.T, environ ...string) *house {
	t.Helper()
	dir := tempDir(t)
	address := needs.Address(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	environ = append([]string{
		"BERTH_LISTEN=" + address, "BERTH_BASE_URL=http://localhost:" + port, "BERTH_ADMIN_PASSWORD=" + adminPassword,
		"BERTH_ENGINE=unix:///nowhere/engine.sock",
	}, environ...)
	s, err := settings.Load(environ, dir)
	require.NoError(t, err)
	built, err := server.New(t.Context(), server.Config{Settings: s, Version: "test", Log: slog.New(slog.DiscardHandler), PasswordCost: bcrypt.MinCost})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- built.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return &house{t: t, data: s.DataDir, url: s.BaseURL.String(), home: dir}
}

// tempDir is short: a Unix socket's address may have 107 bytes at most.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// said is what a run of the command printed and how it ended.
type said struct {
	out, err string
	code     int
}

// local runs the command over the local socket.
func (h *house) local(stdin string, args ...string) said {
	h.t.Helper()
	return h.run(stdin, append([]string{"--data-dir", h.data}, args...)...)
}

// must is local, for what has to work; it gives stdout.
func (h *house) must(args ...string) string {
	h.t.Helper()
	s := h.local("", args...)
	require.Zero(h.t, s.code, "%v: %s", args, s.err)
	return s.out
}

// run runs the command as somebody with a home folder of their own.
func (h *house) run(stdin string, args ...string) said {
	h.t.Helper()
	return runCommand(h.t.Context(), stdin, []string{"HOME=" + h.home}, args...)
}

func runCommand(ctx context.Context, stdin string, environ []string, args ...string) said {
	var out, errs bytes.Buffer
	p := process{args: args, environ: environ, stdin: io.Reader(strings.NewReader(stdin)), stdout: &out, stderr: &errs}
	code := p.run(ctx)
	return said{out.String(), errs.String(), code}
}

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
