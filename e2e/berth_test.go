package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/identity"
	"berth/internal/needs"
)

const adminPassword = "correct horse battery staple"

// berth is one running server, its data folder and the engine it drives.
type berth struct {
	t       *testing.T
	engine  engine
	dir     string
	address string // of the gateway
	local   *http.Client

	cmd    *exec.Cmd
	ended  chan struct{}
	output *tail
	whole  io.Writer // is given all of the output, besides; may be nil
}

// start makes a data folder, starts a server on it, with more of its
// environment set ("NAME=value"), and waits until it answers. When the test
// ends, server, containers and images of it are gone.
func start(t *testing.T, e engine, extra ...string) *berth {
	t.Helper()
	return startHeard(t, e, nil, extra...)
}

// startHeard is start with all of the server's output written to whole.
func startHeard(t *testing.T, e engine, whole io.Writer, extra ...string) *berth {
	t.Helper()
	// Not t.TempDir: a Unix socket's address may have 107 bytes at most.
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // see above
	require.NoError(t, err)
	b := &berth{t: t, engine: e, dir: dir, address: needs.Address(t), output: &tail{}, whole: whole}
	b.local = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.socket())
	}}}
	b.launch(extra...)
	t.Cleanup(b.cleanUp)
	return b
}

func (b *berth) socket() string { return filepath.Join(b.dir, "data", "berth.sock") }

// baseURL is where the dashboard is.
func (b *berth) baseURL() string {
	_, port, err := net.SplitHostPort(b.address)
	require.NoError(b.t, err)
	return "http://localhost:" + port
}

// launch starts the process and waits until it answers, or has ended.
func (b *berth) launch(extra ...string) {
	b.t.Helper()
	b.spawn(extra...)
	b.eventually("the server answers", func() error {
		select {
		case <-b.ended:
			return fmt.Errorf("it ended: %s", b.cmd.ProcessState)
		default:
		}
		response, err := b.local.Get("http://berth/health")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// spawn starts the process without waiting for it to answer.
func (b *berth) spawn(extra ...string) {
	b.t.Helper()
	cmd := exec.Command(binary, "serve")
	cmd.Dir = b.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir,
		"BERTH_DATA_DIR=" + filepath.Join(b.dir, "data"),
		"BERTH_LISTEN=" + b.address,
		"BERTH_BASE_URL=" + b.baseURL(),
		"BERTH_ENGINE=" + b.engine.socket,
		"BERTH_ADMIN_PASSWORD=" + adminPassword,
		"BERTH_ACCESS_LOG=off",
	}, extra...)
	var output io.Writer = b.output
	if b.whole != nil {
		output = io.MultiWriter(b.output, b.whole)
	}
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(b.t, cmd.Start())
	ended := make(chan struct{})
	b.cmd, b.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
}

// kill ends the process as a power cut would.
func (b *berth) kill() {
	_ = b.cmd.Process.Kill()
	<-b.ended
}

// stop asks the process to end and waits for it. A server that ends gives a
// connection that brought no request yet five seconds for one, so those that
// this process keeps open are closed first.
func (b *berth) stop() {
	b.t.Helper()
	b.local.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	registryClient.CloseIdleConnections()
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.ended:
	case <-time.After(60 * time.Second):
		b.kill()
		b.t.Error("the server did not end within 60 s of SIGTERM")
	}
}

func (b *berth) cleanUp() {
	b.stop()
	if b.t.Failed() {
		b.t.Logf("the server's last output:\n%s", b.output)
	}
	if b.engine == noEngine {
		_ = os.RemoveAll(b.dir)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runtime, err := docker.Open(ctx, docker.Config{Socket: b.engine.socket})
	if err != nil {
		b.t.Errorf("clean up: %v", err)
		return
	}
	defer runtime.Close()
	defer os.RemoveAll(b.dir)
	left, err := runtime.List(ctx, map[string]string{"berth.project": ""})
	if err != nil {
		b.t.Errorf("clean up: %v", err)
	}
	images, err := runtime.Images(ctx)
	if err != nil {
		b.t.Errorf("clean up: %v", err)
	}
	mine := map[string]bool{}
	for _, i := range images {
		if i.Labels[runLabel] == thisRun {
			mine[i.ID] = true
		}
	}
	for _, c := range left {
		if !mine[c.Image] {
			continue
		}
		if err := runtime.Remove(ctx, c.ID); err != nil {
			b.t.Errorf("clean up: %v", err)
		}
	}
	for id := range mine {
		// One that the same run's next server uses by now is its to remove.
		if err := runtime.RemoveImage(ctx, id); err != nil && !errors.Is(err, container.ErrConflict) {
			b.t.Errorf("clean up: %v", err)
		}
	}
}

// runtime opens the engine, behind the server's back.
func (b *berth) runtime() *docker.Engine {
	b.t.Helper()
	runtime, err := docker.Open(b.t.Context(), docker.Config{Socket: b.engine.socket})
	require.NoError(b.t, err)
	return runtime
}

// containers lists the containers, running or not, of a project.
func (b *berth) containers(project string) []container.Container {
	b.t.Helper()
	runtime := b.runtime()
	defer runtime.Close()
	list, err := runtime.List(b.t.Context(), map[string]string{"berth.project": project})
	require.NoError(b.t, err)
	return list
}

// projectPrefix is how the names of a test's projects begin, so that what it
// leaves behind can be told from what others made.
func projectPrefix(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = strings.TrimPrefix(name, "test")
	if len(name) > 30 {
		name = name[:30]
	}
	return strings.Trim(name, "-")
}

// call calls the API over the local socket. It fails the test when the answer
// is not a success.
func (b *berth) call(method, path string, body, into any) {
	b.t.Helper()
	require.NoError(b.t, b.try(method, path, body, into))
}

// try calls the API over the local socket.
func (b *berth) try(method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(b.t.Context(), method, "http://berth"+path, reader)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := b.local.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// stage makes a project with one stage, "prod".
func (b *berth) stage(project string, edit func(*deploy.StageSpec)) {
	b.t.Helper()
	b.call("POST", "/api/projects", map[string]any{"name": project, "image": project}, nil)
	spec := deploy.StageSpec{
		Hostname: project + ".localhost",
		Tags:     deploy.TagRule{Kind: deploy.TagNone},
		Port:     8080,
		Probe:    deploy.Probe{Path: "/health"},
		Access:   new(identity.Public()),
	}
	if edit != nil {
		edit(&spec)
	}
	b.call("POST", "/api/projects/"+project+"/stages", map[string]any{"name": "prod", "spec": spec}, nil)
}

// deploy asks for a deployment of a tag to "prod".
func (b *berth) deploy(project, tag string) deploy.Deployment {
	b.t.Helper()
	var d deploy.Deployment
	b.call("POST", "/api/projects/"+project+"/stages/prod/deployments", map[string]any{"reference": tag}, &d)
	return d
}

// wait waits until a deployment is over.
func (b *berth) wait(id string) (d deploy.Deployment) {
	b.t.Helper()
	b.eventually("deployment "+id+" is over", func() error {
		if err := b.try("GET", "/api/deployments/"+id, nil, &d); err != nil {
			return err
		}
		if !d.State.Finished() {
			return fmt.Errorf("it is %s", d.State)
		}
		return nil
	})
	return d
}

// reverted waits until the newest deployment, which must be of tag, is taken
// back. It is live as long as it is watched.
func (b *berth) reverted(project, tag string) (d deploy.Deployment) {
	b.t.Helper()
	b.eventually("the release is taken back", func() error {
		if d = b.newest(project, tag); d.State != deploy.Reverted {
			return fmt.Errorf("it is %s", d.State)
		}
		return nil
	})
	return d
}

// live deploys a tag and waits until it serves.
func (b *berth) live(project, tag string) deploy.Deployment {
	b.t.Helper()
	d := b.wait(b.deploy(project, tag).ID)
	require.Equal(b.t, deploy.Live, d.State, "%s: %s", d.FailedStep, d.Error)
	return d
}

// get asks the app for a path and gives the answer's version and status.
func (b *berth) get(project, path string) (version string, status int, err error) {
	return b.getAs("", project, path)
}

// getAs is get of a client with a name of its own.
func (b *berth) getAs(client, project, path string) (version string, status int, err error) {
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://"+b.address+path, nil)
	if err != nil {
		return "", 0, err
	}
	request.Host = project + ".localhost"
	if client != "" {
		request.Header.Set("User-Agent", client)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.Header.Get("X-App-Version"), response.StatusCode, err
}

// answers says whether the app answers, as that version.
func (b *berth) answers(project, version string) error {
	got, status, err := b.get(project, "/")
	if err != nil {
		return err
	}
	if status != http.StatusOK || got != version {
		return fmt.Errorf("status %d, version %q", status, got)
	}
	return nil
}

// eventually waits for a condition, up to two minutes.
func (b *berth) eventually(what string, condition func() error) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("waited 2 minutes until %s: %v\n%s", what, err, b.output)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// tail keeps the last 16 KiB that a process printed.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - 16<<10; extra > 0 {
		t.kept = append([]byte(nil), t.kept[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
