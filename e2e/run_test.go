package e2e

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/needs"
)

// madeRun is one "make run" under way.
type madeRun struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *tail
	ended  chan struct{}
}

// makeRun runs what make run does, on a data folder and a port of its own.
func makeRun(t *testing.T, data, address, socket string) *madeRun {
	t.Helper()
	script, err := filepath.Abs("../scripts/run.sh")
	require.NoError(t, err)
	r := &madeRun{t: t, cmd: exec.Command(script), output: &tail{}, ended: make(chan struct{})}
	r.cmd.Env = append(os.Environ(),
		"BERTH_DATA_DIR="+data, "BERTH_LISTEN="+address, "BERTH_ENGINE="+socket,
		"BERTH_ADMIN_PASSWORD="+adminPassword, "BERTH_ACCESS_LOG=off")
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait()
	}()
	t.Cleanup(r.interrupt)
	return r
}

// addresses waits for the two that it prints.
func (r *madeRun) addresses() (dashboard, app string) {
	r.t.Helper()
	printed := regexp.MustCompile(`(?m)^  Dashboard  (\S+)\n  App        (\S+)$`)
	var found []string
	require.Eventually(r.t, func() bool {
		found = printed.FindStringSubmatch(r.output.String())
		return found != nil || r.over()
	}, 5*time.Minute, 50*time.Millisecond)
	require.NotNil(r.t, found, "it ended: %s", r.output)
	return found[1], found[2]
}

func (r *madeRun) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// interrupt is Ctrl-C, and waits for the end.
func (r *madeRun) interrupt() {
	if r.over() {
		return
	}
	http.DefaultClient.CloseIdleConnections()
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-r.ended:
	case <-time.After(time.Minute):
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		r.t.Errorf("Ctrl-C did not end it within a minute:\n%s", r.output)
	}
}

// get asks the gateway for a host's page.
func get(t *testing.T, address, host string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", http.NoBody)
	require.NoError(t, err)
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// TestMakeRun_DeploysTheFirstAppAndGoesOnWhereItWas walks through a new
// user's first minutes: make run, Ctrl-C, make run; and with the port taken.
func TestMakeRun_DeploysTheFirstAppAndGoesOnWhereItWas(t *testing.T) {
	needs.Program(t, "npm")
	socket := needs.Engine(t, "podman")
	dir := shortDir(t)
	data, address := filepath.Join(dir, "data"), needs.Address(t)
	sweepHello(t, socket)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	first := makeRun(t, data, address, socket)
	dashboard, app := first.addresses()
	require.Equal(t, "http://localhost:"+port, dashboard)
	require.Equal(t, "http://hello.localhost:"+port, app)
	status, page := get(t, address, "hello.localhost:"+port)
	require.Equal(t, http.StatusOK, status, page)
	require.Contains(t, page, "1.0")
	status, page = get(t, address, "localhost:"+port)
	require.Equal(t, http.StatusOK, status, page)
	first.interrupt()
	require.Zero(t, first.cmd.ProcessState.ExitCode(), first.output)

	began := time.Now()
	second := makeRun(t, data, address, socket)
	_, again := second.addresses()
	require.Equal(t, app, again)
	require.NotContains(t, second.output.String(), "examples/hello", "nothing is built or deployed a second time")
	status, page = get(t, address, "hello.localhost:"+port)
	require.Equal(t, http.StatusOK, status, page)
	t.Logf("the second start took %s", time.Since(began).Round(time.Millisecond))
	require.Less(t, time.Since(began), time.Minute)

	third := makeRun(t, filepath.Join(dir, "other"), address, socket)
	select {
	case <-third.ended:
	case <-time.After(time.Minute):
		t.Fatal("it goes on though its port is taken")
	}
	require.NotZero(t, third.cmd.ProcessState.ExitCode())
	require.Contains(t, third.output.String(), port, "it says which port")
	require.Contains(t, third.output.String(), "BERTH_LISTEN", "and what to do")
}

// TestMakeRun_BuildsTheFirstAppWhereOldVersionsOfTheAPIAreRefused has make run
// use a Docker as new ones are: Docker 29 takes no version under 1.44.
func TestMakeRun_BuildsTheFirstAppWhereOldVersionsOfTheAPIAreRefused(t *testing.T) {
	needs.Program(t, "npm")
	socket := needs.Engine(t, "docker")
	dir := shortDir(t)
	sweepHello(t, socket)
	r := makeRun(t, filepath.Join(dir, "data"), needs.Address(t), refuseOldAPI(t, dir, socket))
	_, app := r.addresses()
	where, err := url.Parse(app)
	require.NoError(t, err)
	status, page := get(t, net.JoinHostPort("127.0.0.1", where.Port()), where.Host)
	require.Equal(t, http.StatusOK, status, page)
	require.Contains(t, page, "1.0")
}

// refuseOldAPI listens in dir for who asks Docker for something, and refuses
// what names a version of its API under 1.41, the one of Docker 20.10.
func refuseOldAPI(t *testing.T, dir, socket string) string {
	t.Helper()
	front := filepath.Join(dir, "docker.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", front)
	require.NoError(t, err)
	passOn := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "docker"}) },
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(socket, "unix://"))
		}},
	}
	old := regexp.MustCompile(`^/v1\.([0-3]?[0-9]|40)/`)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if old.MatchString(r.URL.Path) {
			http.Error(w, `{"message":"client version is too old"}`, http.StatusBadRequest)
			return
		}
		passOn.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "unix://" + front
}

// TestMakeRun_SaysWhatTheMachineLacks has the scripts meet machines that lack
// something, of which the programs that they ask tell.
func TestMakeRun_SaysWhatTheMachineLacks(t *testing.T) {
	const no, yes = "exit 1", "exit 0"
	for what, c := range map[string]struct {
		programs map[string]string // what they do, by name
		alone    bool              // the machine has no others
		script   string
		args     []string
		says     []string
	}{
		"no cgroups": {
			// No engine answers, and there is one to start.
			programs: map[string]string{"curl": no, "podman": yes, "findmnt": yes},
			script:   "engines.sh", args: []string{"run-engine", t.TempDir()},
			says: []string{"/sys/fs/cgroup is not mounted", "--privileged", "mount -t cgroup2"},
		},
		"no root": {
			programs: map[string]string{"id": "echo 1000", "apt-get": no}, alone: true,
			script: "install-engine.sh",
			says:   []string{"only root may install packages, and there is no sudo", "apt-get install ", " podman "},
		},
	} {
		t.Run(what, func(t *testing.T) {
			path := programs(t, c.programs)
			if !c.alone {
				path += ":" + os.Getenv("PATH")
			}
			said, err := script(t, path, c.script, c.args...)
			require.Error(t, err, said)
			for _, text := range c.says {
				require.Contains(t, said, text)
			}
		})
	}
}

// TestMakeTest_BringsWhatTheSystemHas has the scripts install on Debian and on
// Ubuntu, whose packages are not the same.
func TestMakeTest_BringsWhatTheSystemHas(t *testing.T) {
	const no, yes = "exit 1", "exit 0"
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	env, err := exec.LookPath("env")
	require.NoError(t, err)
	install := "echo apt-get $*"
	browser := []string{"-c", `. ../scripts/common.sh; browser && echo "walks in $BERTH_CHROMIUM"`}
	for what, c := range map[string]struct {
		programs map[string]string
		args     []string
		says     string
		not      string
	}{
		"Docker's client where it is a package": {
			programs: map[string]string{"apt-cache": yes}, args: []string{"../scripts/install-engine.sh", "--all"}, says: " docker-cli",
		},
		"no such package where there is none": {
			programs: map[string]string{"apt-cache": no}, args: []string{"../scripts/install-engine.sh", "--all"}, says: " podman ", not: "docker-cli",
		},
		"Chromium where it is a package": {
			programs: map[string]string{"apt-get": ": >${0%/*}/chromium; /bin/chmod +x ${0%/*}/chromium"}, args: browser,
			says: "walks in chromium\n",
		},
		"the browser that is there":  {programs: map[string]string{"google-chrome": yes}, args: browser, says: "walks in google-chrome", not: "installing"},
		"no browser, and no package": {programs: map[string]string{"apt-get": no}, args: browser, says: "Install Google Chrome"},
	} {
		t.Run(what, func(t *testing.T) {
			lines := map[string]string{"id": "echo 0", "apt-get": install, "dpkg-query": no, "grep": no, "env": "exec " + env + ` "$@"`}
			maps.Copy(lines, c.programs)
			cmd := exec.CommandContext(t.Context(), bash, c.args...)
			cmd.Env = []string{"PATH=" + programs(t, lines)}
			said, _ := cmd.CombinedOutput()
			require.Contains(t, string(said), c.says)
			if c.not != "" {
				require.NotContains(t, string(said), c.not)
			}
		})
	}
}

// programs makes a folder with programs, each a line of sh.
func programs(t *testing.T, lines map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, line := range lines {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+line+"\n"), 0o755))
	}
	return dir
}

// script runs one of scripts/ with that PATH, and gives what it said.
func script(t *testing.T, path, name string, args ...string) (said string, err error) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), bash, append([]string{"../scripts/" + name}, args...)...)
	cmd.Env = []string{"PATH=" + path, "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// shortDir makes a folder for the test. t.TempDir's path is too long: a Unix
// socket's address may have 107 bytes at most.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// helloContainers gives those of the first app on an engine, by their ids.
func helloContainers(ctx context.Context, t *testing.T, runtime *docker.Engine) map[string]container.Container {
	t.Helper()
	list, err := runtime.List(ctx, map[string]string{"berth.project": "hello"})
	require.NoError(t, err)
	found := map[string]container.Container{}
	for _, c := range list {
		found[c.ID] = c
	}
	return found
}

// sweepHello removes at the test's end what the first app left on the engine,
// and nothing that was there before.
func sweepHello(t *testing.T, socket string) {
	t.Helper()
	runtime, err := docker.Open(t.Context(), docker.Config{Socket: socket})
	require.NoError(t, err)
	before := helloContainers(t.Context(), t, runtime)
	t.Cleanup(func() {
		defer runtime.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for id, c := range helloContainers(ctx, t, runtime) {
			if _, ok := before[id]; ok {
				continue
			}
			require.NoError(t, runtime.Remove(ctx, id))
			if err := runtime.RemoveImage(ctx, c.Image); err != nil && !errors.Is(err, container.ErrConflict) {
				t.Errorf("clean up: %v", err)
			}
		}
	})
}
