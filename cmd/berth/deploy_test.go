package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/needs"
)

// helloImage writes examples/hello as `docker save` would, with a start
// command of the test's choice.
func helloImage(t *testing.T, dir string, command ...string) string {
	t.Helper()
	program := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X main.version=1.0", "-o", program, "berth/examples/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	raw, err := os.ReadFile(program)
	require.NoError(t, err)
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(raw))}))
	_, err = w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	require.NoError(t, err)
	image, err := mutate.AppendLayers(empty.Image, made)
	require.NoError(t, err)
	config, err := image.ConfigFile()
	require.NoError(t, err)
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: append([]string{"/hello"}, command...), ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	image, err = mutate.ConfigFile(image, config)
	require.NoError(t, err)
	file := filepath.Join(dir, "hello.tar")
	require.NoError(t, tarball.WriteToFile(file, name.MustParseReference("hello:1"), image))
	return file
}

func TestDeploy_GoesTheWholeWayOnAnEngine(t *testing.T) {
	socket := needs.Engine(t, needs.EngineNames...)
	h := newHouse(t, "BERTH_ENGINE="+socket)
	t.Cleanup(func() { removeContainers(t, socket, "cli-whole-way") })
	h.must("image", "push", helloImage(t, h.home), "cli-whole-way:1.0")
	h.must("project", "create", "cli-whole-way")
	h.must("stage", "create", "cli-whole-way", "prod", "--hostname", "whole.localhost", "--health", "/health", "--access", "public")

	live := h.local("", "deploy", "cli-whole-way", "prod", "1.0", "--wait")
	require.Zero(t, live.code, live.err)
	require.Contains(t, live.out, "is live in cli-whole-way/prod")
	require.Contains(t, live.err, "+ probe")
	require.Contains(t, h.must("status"), "healthy")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api", nil)
	require.NoError(t, err)
	request.Host = "whole.localhost"
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct{ Version string }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(t, "1.0", answer.Version)
	require.Contains(t, h.must("logs", "cli-whole-way", "prod"), `"msg":"hello"`)

	require.NotContains(t, live.out, "after .")
	require.Contains(t, h.must("stage", "metrics", "cli-whole-way", "prod"), " 1 ")
	var stage deploy.StageStatus
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "stage", "show", "cli-whole-way", "prod")), &stage))
	require.Regexp(t, stage.Instances[0].ID+` +0 +ready .* 1 +0 `, h.must("stage", "metrics", "cli-whole-way", "prod", "--instances"))
	require.Contains(t, h.must("instance", "show", stage.Instances[0].ID), "ready")
	require.Contains(t, h.must("instance", "stats", stage.Instances[0].ID), "Memory:")
	require.Contains(t, h.must("system"), "Engine:")

	failed := h.local("", "deploy", "cli-whole-way", "prod", "no-such-tag", "--wait")
	require.Equal(t, exitNotLive, failed.code, failed.err)
	require.Contains(t, failed.err, "Failed step: preflight")

	require.Equal(t, exitMissing, h.local("", "rollback", "cli-whole-way", "prod").code)
	h.must("stage", "edit", "cli-whole-way", "prod", "--env", "GREETING=Ahoy")
	require.Contains(t, h.must("redeploy", "cli-whole-way", "prod", "--wait"), "is live")
	require.Contains(t, h.must("rollback", "cli-whole-way", "prod", "--compare"), "GREETING")
	back := h.local("", "--json", "rollback", "cli-whole-way", "prod", "--wait")
	require.Zero(t, back.code, back.err)
	var d deploy.Deployment
	require.NoError(t, json.Unmarshal([]byte(back.out), &d))
	require.Equal(t, deploy.KindRollback, d.Kind)

	h.must("project", "remove", "cli-whole-way", "--yes")
}

// removeContainers removes what a test that failed has left.
func removeContainers(t *testing.T, socket, project string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	engine, err := docker.Open(ctx, docker.Config{Socket: socket})
	require.NoError(t, err)
	defer engine.Close()
	left, err := engine.List(ctx, map[string]string{"berth.project": project})
	require.NoError(t, err)
	for _, c := range left {
		require.NoError(t, engine.Remove(ctx, c.ID))
	}
}
