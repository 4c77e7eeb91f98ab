package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

// daemon is "berth serve" as a process of its own.
type daemon struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
	out     lockedBuffer
}

// lockedBuffer is written to by the process's copier while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startDaemon starts one in dir; nobody waits for it to answer.
func startDaemon(t *testing.T, dir, address string, environ ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: dir, address: address, ended: make(chan struct{})}
	d.cmd = exec.Command(os.Args[0], "serve")
	d.cmd.Dir = dir
	d.cmd.Env = append([]string{
		"BERTH_TEST_MAIN=1", "HOME=" + dir, "BERTH_LISTEN=" + address, "BERTH_ENGINE=unix:///nowhere/engine.sock",
	}, environ...)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	require.NoError(t, d.cmd.Start())
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.ended
	})
	return d
}

// answers waits until the public address answers.
func (d *daemon) answers() *daemon {
	d.t.Helper()
	require.Eventually(d.t, func() bool {
		response, err := http.Get("http://" + d.address + "/health")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond, "%s", &d.out)
	return d
}

// says waits until the process has said something: that reaches this test by a
// pipe, and may come after what the process did next.
func (d *daemon) says(what string) {
	d.t.Helper()
	require.Eventually(d.t, func() bool { return strings.Contains(d.out.String(), what) }, 30*time.Second, 5*time.Millisecond,
		"it does not say %q:\n%s", what, &d.out)
}

// end waits for the process and gives its exit code, -1 for a signal.
func (d *daemon) end(within time.Duration) int {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(within):
		d.t.Fatalf("did not end within %s:\n%s", within, &d.out)
	}
	return d.cmd.ProcessState.ExitCode()
}

func (d *daemon) signal(s syscall.Signal) { _ = d.cmd.Process.Signal(s) }

func TestServe_StopsWholeOnASignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			d := startDaemon(t, tempDir(t), needs.Address(t)).answers()
			socket := filepath.Join(d.dir, "data", "berth.sock")
			info, err := os.Stat(socket)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			d.says("/setup#token=") // nobody is there yet

			d.signal(signal)

			require.Zero(t, d.end(20*time.Second), "%s", &d.out)
			require.Contains(t, d.out.String(), `"msg":"stopped"`)
			require.NoFileExists(t, socket)
			again := startDaemon(t, d.dir, d.address).answers()
			again.signal(signal)
			require.Zero(t, again.end(20*time.Second), "%s", &again.out)
			require.NotContains(t, again.out.String(), "not clean")
		})
	}
}

func TestServe_EndsStreamsWhenItStops(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t)).answers()
	c := connectLocal(filepath.Join(d.dir, "data", "berth.sock"))
	began, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range c.stream(t.Context(), "/api/events") {
			if err == nil && m.event == "ping" {
				close(began)
			}
		}
	}()
	<-began

	d.signal(syscall.SIGTERM)

	require.Zero(t, d.end(20*time.Second), "%s", &d.out)
	<-ended
}

func TestServe_StopsAtOnceOnASecondSignal(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t), "BERTH_SHUTDOWN_TIMEOUT=1m").answers()
	// A request whose body does not come keeps the first stop waiting.
	conn, err := net.Dial("tcp", d.address)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/session HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", d.address)

	d.signal(syscall.SIGTERM)
	d.says(`"msg":"stopping"`)
	d.signal(syscall.SIGTERM)

	require.NotZero(t, d.end(5*time.Second))
	startDaemon(t, d.dir, d.address).answers()
}

func TestServe_GivesRequestsNoTimeWhenThereIsNone(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t), "BERTH_SHUTDOWN_TIMEOUT=0s").answers()
	conn, err := net.Dial("tcp", d.address)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/session HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", d.address)

	d.signal(syscall.SIGTERM)

	require.Zero(t, d.end(10*time.Second), "%s", &d.out)
	require.Contains(t, d.out.String(), `"msg":"stopped"`)
}

func TestServe_StartsAgainAfterItWasKilled(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t)).answers()
	d.signal(syscall.SIGKILL)
	d.end(10 * time.Second)
	require.FileExists(t, filepath.Join(d.dir, "data", "berth.sock"), "nobody was left to remove it")

	again := startDaemon(t, d.dir, d.address).answers()

	again.says("not clean")
	s := runCommand(t.Context(), "", nil, "--data-dir", filepath.Join(d.dir, "data"), "status")
	require.Zero(t, s.code, s.err)
}

func TestServe_RefusesAFolderInUse(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t)).answers()

	second := startDaemon(t, d.dir, needs.Address(t))

	require.Equal(t, exitClash, second.end(20*time.Second))
	require.Contains(t, second.out.String(), fmt.Sprintf("another berth (process %d)", d.cmd.Process.Pid))
	d.answers()
}

func TestServe_SaysWhoHoldsThePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()

	d := startDaemon(t, tempDir(t), l.Addr().String())

	require.Equal(t, exitClash, d.end(20*time.Second))
	require.Contains(t, d.out.String(), fmt.Sprintf("(process %d)", os.Getpid()))
	require.Contains(t, d.out.String(), "BERTH_LISTEN")
}

func TestServe_SaysEverythingThatIsWrongWithItsSettings(t *testing.T) {
	d := startDaemon(t, tempDir(t), "8080", "BERTH_LOG_FORMAT=xml")

	require.Equal(t, exitInput, d.end(20*time.Second))
	require.Contains(t, d.out.String(), "BERTH_LISTEN: got")
	require.Contains(t, d.out.String(), "BERTH_LOG_FORMAT: got")
	require.NoDirExists(t, filepath.Join(d.dir, "data"))
}

func TestServe_ServesMetricsOnAListenerOfTheirOwn(t *testing.T) {
	metrics := needs.Address(t)
	d := startDaemon(t, tempDir(t), needs.Address(t), "BERTH_METRICS_LISTEN="+metrics).answers()

	response, err := http.Get("http://" + metrics + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)

	public, err := http.Get("http://" + d.address + "/metrics")
	require.NoError(t, err)
	defer public.Body.Close()
	require.Equal(t, http.StatusUnauthorized, public.StatusCode)
}

func TestHealth_AsksTheAddressOfTheSettings(t *testing.T) {
	d := startDaemon(t, tempDir(t), needs.Address(t)).answers()
	s := runCommand(t.Context(), "", []string{"BERTH_LISTEN=" + d.address}, "health")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "ok")

	s = runCommand(t.Context(), "", []string{"BERTH_LISTEN=" + needs.Address(t)}, "health")
	require.Equal(t, exitNotNow, s.code)
}
