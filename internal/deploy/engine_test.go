package deploy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http" //nolint:depguard // it asks a real container
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/needs"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

// onEachEngine runs a test on the engines that the environment names.
func onEachEngine(t *testing.T, test func(t *testing.T, engine *docker.Engine)) {
	t.Helper()
	for _, engineName := range needs.EngineNames {
		t.Run(engineName, func(t *testing.T) {
			engine, err := docker.Open(t.Context(), docker.Config{Socket: needs.Engine(t, engineName)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, engine.Close()) })
			test(t, engine)
		})
	}
}

// program is a static binary that answers with $SAYS, or the file $READ, or exits when it is told
// to.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "berth-deploy")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := `package main
import ("fmt"; "net/http"; "net/url"; "os"; "os/signal"; "syscall"; "time")
func main() {
	if len(os.Args) > 1 {
		fmt.Println(os.Args[1], "with", os.Getenv("MODE"))
		switch os.Args[1] {
		case "fail": fmt.Fprintln(os.Stderr, "told to fail"); os.Exit(4)
		case "sleep": time.Sleep(time.Minute)
		}
		return
	}
	if os.Getenv("LINKS") != "" { os.Symlink("/nowhere", "/data/a"); os.Link("/data/a", "/data/b") }
	if os.Getenv("EXIT") != "" { fmt.Fprintln(os.Stderr, "told to exit"); os.Exit(7) }
	go func() { c := make(chan os.Signal, 1); signal.Notify(c, syscall.SIGTERM); <-c; os.Exit(0) }()
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(9) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		if file := os.Getenv("READ"); file != "" { http.ServeFile(w, &http.Request{Method: "GET", URL: &url.URL{Path: "/"}}, file); return }
		fmt.Fprint(w, os.Getenv("SAYS"))
	})
	http.ListenAndServe(":8080", nil)
}`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "app"), filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "app"))
})

// loadImage puts an image into the engine that runs program, and gives its id.
func loadImage(t *testing.T, engine container.Runtime, reference, says string) string {
	t.Helper()
	binary, err := program()
	require.NoError(t, err)
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(binary))}))
	_, err = w.Write(binary)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	added, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	require.NoError(t, err)
	image, err := mutate.AppendLayers(empty.Image, added)
	require.NoError(t, err)
	info, err := engine.Info(t.Context())
	require.NoError(t, err)
	config, err := image.ConfigFile()
	require.NoError(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = info.OS, info.Arch
	config.Config = v1.Config{Entrypoint: []string{"/app"}, Env: []string{"SAYS=" + says}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	image, err = mutate.ConfigFile(image, config)
	require.NoError(t, err)
	tag, err := name.NewTag(reference)
	require.NoError(t, err)
	var archive bytes.Buffer
	require.NoError(t, tarball.Write(tag, image, &archive))
	ids, err := engine.Load(t.Context(), &archive)
	require.NoError(t, err)
	require.NotEmpty(t, ids)
	found, err := engine.Image(t.Context(), ids[0])
	require.NoError(t, err)
	t.Cleanup(func() { _ = engine.RemoveImage(context.WithoutCancel(t.Context()), found.ID) })
	return found.ID
}

// loaded finds images that were loaded into the engine.
type loaded map[string]string

func (l loaded) Resolve(_ context.Context, repository, reference string, _ registry.Platform) (registry.Resolution, error) {
	id := l[reference]
	return registry.Resolution{Reference: repository + ":" + reference, Digest: id, ConfigDigest: id, ExposedPorts: []int{8080}}, nil
}

func (l loaded) Pull(context.Context, string, string) (container.Pull, error) {
	return container.Pull{}, errEngineAway
}

// harbour is a Berth on a real engine.
type harbour struct {
	*deploy.Service
	router *fakeRouter
	stop   func()
}

func openHarbour(t *testing.T, db *sqlite.DB, engine container.Runtime, images loaded, host ...deploy.HostPaths) *harbour {
	t.Helper()
	router := &fakeRouter{alive: &life{}, routes: map[string]deploy.Route{}}
	config := deploy.Config{
		DB: db, Events: event.New(event.Config{DB: db}), Runtime: engine, Router: router, Images: images, Secrets: fakeSecrets{}, Log: testLog(t),
	}
	for _, h := range host {
		config.HostPaths = h
	}
	service, err := deploy.New(config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); require.NoError(t, <-ended) })
	t.Cleanup(stop)
	return &harbour{service, router, stop}
}

// deploys has a project's prod stage take an image, and waits for the end.
func (h *harbour) deploys(t *testing.T, project, reference string) deploy.Deployment {
	t.Helper()
	d, err := h.Start(t.Context(), deploy.StartRequest{Project: project, Stage: "prod", Reference: reference, Trigger: deploy.TriggerAPI, Actor: "ana"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err = h.Deployment(t.Context(), d.ID)
		require.NoError(t, err)
		return !d.FinishedAt.IsZero()
	}, time.Minute, 5*time.Millisecond)
	return d
}

func (h *harbour) says(hostname string) (answers []string) {
	route, _ := h.router.of(hostname)
	for _, e := range route.Instances {
		resp, err := http.Get("http://" + e.Address)
		if err != nil {
			return append(answers, err.Error())
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answers = append(answers, string(body))
	}
	return answers
}

func TestService_DeploysOnRealEngines(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		unique := sqlite.NewID(time.Now())[:18]
		project := "t" + unique
		images := loaded{
			"1": loadImage(t, engine, "localhost/"+project+":1", "one "+unique),
			"2": loadImage(t, engine, "localhost/"+project+":2", "two "+unique),
		}
		db := newWorld(t).db
		h := openHarbour(t, db, engine, images)
		<-h.Ready()
		_, err := h.CreateProject(t.Context(), "ana", deploy.Project{Name: project, Image: "shop"})
		require.NoError(t, err)
		_, err = h.CreateStage(t.Context(), "ana", project, "prod", deploy.StageSpec{
			Hostname: "shop.test", Replicas: 2, StopTimeout: deploy.Duration(5 * time.Second),
			Volumes: []deploy.Volume{{Name: "data", Path: "/data"}},
		})
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			kept, err := h.RemoveProject(ctx, "ana", project)
			require.NoError(t, err)
			require.Equal(t, []string{"berth_" + project + "_prod_data"}, kept)
			left, err := engine.List(ctx, map[string]string{"berth.project": project})
			require.NoError(t, err)
			require.Empty(t, left)
			require.NoError(t, engine.RemoveVolume(ctx, kept[0]))
		})
		start := func(reference string, want deploy.State) (d deploy.Deployment) {
			t.Helper()
			d = h.deploys(t, project, reference)
			require.Equal(t, want, d.State, d.Error)
			return d
		}
		only := func(says string) {
			t.Helper()
			seen := ""
			defer func() {
				if t.Failed() {
					status, _ := h.Stage(context.WithoutCancel(t.Context()), project, "prod")
					t.Logf("%s\ninstances %+v", seen, status.Instances)
				}
			}()
			require.Eventually(t, func() bool {
				list, err := engine.List(t.Context(), map[string]string{"berth.project": project})
				if err != nil {
					return false
				}
				answers := h.says("shop.test")
				seen = fmt.Sprintf("containers %+v, answers %q", list, answers)
				return len(list) == 2 && len(answers) == 2 && answers[0] == says && answers[1] == says
			}, time.Minute, 20*time.Millisecond, "two instances say %q, and no container is left over", says)
		}
		first := start("1", deploy.Live)
		only("one " + unique)
		second := start("2", deploy.Live)
		only("two " + unique)
		for _, step := range second.Steps {
			t.Logf("%-9s %-7s %s", step.Name, step.State, step.FinishedAt.Sub(step.StartedAt))
		}

		// One that exits at once leaves the live one alone and says why.
		status, err := h.Stage(t.Context(), project, "prod")
		require.NoError(t, err)
		broken := status.Spec
		broken.Env = map[string]string{"EXIT": "1"}
		st, err := h.UpdateStage(t.Context(), "ana", project, "prod", status.Version, broken)
		require.NoError(t, err)
		failed := start("2", deploy.Failed)
		require.Contains(t, failed.Error, "exited with code 7")
		require.Contains(t, failed.Error, "told to exit")
		only("two " + unique)
		_, err = h.UpdateStage(t.Context(), "ana", project, "prod", st.Version, status.Spec)
		require.NoError(t, err)

		// What dies is started again, and what is removed is made anew.
		route, _ := h.router.of("shop.test")
		_, _ = http.Get("http://" + route.Instances[0].Address + "/exit")
		require.Eventually(t, func() bool {
			c, err := engine.Inspect(t.Context(), route.Instances[0].Container)
			require.NoError(t, err)
			return c.State == container.StateRunning && c.Started.After(status.Instances[0].UpdatedAt)
		}, time.Minute, 20*time.Millisecond)
		only("two " + unique)
		require.NoError(t, engine.Remove(t.Context(), route.Instances[1].Container))
		only("two " + unique)

		// After a reboot everything is stopped, and comes back.
		h.stop()
		list, err := engine.List(t.Context(), map[string]string{"berth.project": project})
		require.NoError(t, err)
		for _, c := range list {
			require.NoError(t, engine.Stop(t.Context(), c.ID, time.Second))
		}
		h = openHarbour(t, db, engine, images)
		only("two " + unique)
		d, err := h.Rollback(t.Context(), "ana", project, "prod", first.Release, deploy.TriggerPerson)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			d, err = h.Deployment(t.Context(), d.ID)
			require.NoError(t, err)
			return !d.FinishedAt.IsZero()
		}, time.Minute, 5*time.Millisecond)
		only("one " + unique)
	})
}
