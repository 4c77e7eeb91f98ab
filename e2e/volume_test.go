package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container/docker"
	"berth/internal/deploy"
)

// TestVolumes_AreSavedAndRestoredByWhoMayLeaveMidway backs up and restores by
// the command line; then somebody leaves in the middle of either.
func TestVolumes_AreSavedAndRestoredByWhoMayLeaveMidway(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.StopTimeout = deploy.Duration(time.Second)
			s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}}
		})
		b.push(project, "1", image(t, "1"))
		b.live(project, "1")
		volume := "berth_" + project + "_prod_data"
		t.Cleanup(func() { b.removeVolume(project, volume) })
		large := make([]byte, 32<<20) // more than what any buffer between takes
		_, _ = rand.Read(large)
		first := archive(t, "large", string(large))

		in, out := filepath.Join(t.TempDir(), "in.tar"), filepath.Join(t.TempDir(), "out.tar")
		require.NoError(t, os.WriteFile(in, first, 0o600))
		_, errs, code := b.command("", "volume", "restore", volume, in)
		require.NotZero(t, code, "an instance has it")
		require.Contains(t, errs, "force")
		_, errs, code = b.command("", "volume", "restore", volume, in, "--force")
		require.Zero(t, code, errs)
		list, errs, code := b.command("", "volume", "list")
		require.Zero(t, code, errs)
		require.Contains(t, list, volume)
		b.eventually("the app is back", func() error { return b.answers(project, "1") })
		_, errs, code = b.command("", "volume", "backup", volume, "-o", out)
		require.Zero(t, code, errs)
		require.Equal(t, map[string]string{"large": string(large)}, files(t, out))
		require.NoFileExists(t, out+".part")

		// Somebody who leaves while it is downloaded.
		response, err := b.local.Get("http://berth/api/volumes/" + volume + "/backup")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		_, err = io.CopyN(io.Discard, response.Body, 1<<20)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		b.eventually("nothing is left of the backup", func() error { return b.noArchives(project) })

		// Somebody who leaves while it is uploaded.
		pipe, w := io.Pipe()
		go func() {
			_, _ = w.Write(first[:8<<20])
			_ = w.CloseWithError(errors.New("the sender leaves"))
		}()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://berth/api/volumes/"+volume+"/restore?force=true&confirm="+volume, pipe)
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-tar")
		_, err = b.local.Do(request)
		require.Error(t, err)
		b.eventually("nothing is left of the restore", func() error { return b.noArchives(project) })
		b.eventually("the app is there", func() error { return b.answers(project, "1") })
		_, errs, code = b.command("", "volume", "backup", volume, "-o", out)
		require.Zero(t, code, errs)
		require.Equal(t, map[string]string{"large": string(large)}, files(t, out), "what was there is whole")

		_, errs, code = b.command("", "volume", "remove", volume, "--confirm", volume)
		require.NotZero(t, code, "an instance has it")
		require.Contains(t, errs, project)
		b.call(http.MethodDelete, "/api/projects/"+project, nil, nil)
		_, _, code = b.command("", "volume", "remove", volume, "--confirm", "another")
		require.NotZero(t, code)
		_, errs, code = b.command("", "volume", "remove", volume, "--confirm", volume)
		require.Zero(t, code, errs)
		list, _, _ = b.command("", "volume", "list")
		require.NotContains(t, list, volume)
	})
}

// noArchives says whether a container is left of a backup or a restore, or
// another volume than the one that the app has.
func (b *berth) noArchives(project string) error {
	b.t.Helper()
	runtime := b.runtime()
	defer runtime.Close()
	var server string
	for _, c := range b.containers(project) {
		server = c.Labels["berth.server"]
	}
	require.NotEmpty(b.t, server)
	list, err := runtime.List(b.t.Context(), map[string]string{"berth.server": server})
	require.NoError(b.t, err)
	for _, c := range list {
		if c.Labels["berth.archive"] != "" {
			return fmt.Errorf("container %s is left", c.Name)
		}
	}
	volumes, err := runtime.Volumes(b.t.Context(), map[string]string{"berth.server": server})
	require.NoError(b.t, err)
	var names []string
	for _, v := range volumes {
		if v.Labels["berth.project"] == project {
			names = append(names, v.Name)
		}
	}
	if len(names) != 1 {
		return fmt.Errorf("the volumes are %v", names)
	}
	return nil
}

// removeVolume removes a volume of a project's, and what restores made of it.
func (b *berth) removeVolume(project, name string) {
	ctx := context.WithoutCancel(b.t.Context())
	runtime, err := docker.Open(ctx, docker.Config{Socket: b.engine.socket})
	if err != nil {
		return
	}
	defer runtime.Close()
	found, _ := runtime.Volumes(ctx, map[string]string{"berth.project": project})
	for _, v := range found {
		if v.Name == name || v.Labels["berth.volume"] == name {
			_ = runtime.RemoveVolume(ctx, v.Name)
		}
	}
}

// archive makes a tar stream of one file.
func archive(t *testing.T, name, content string) []byte {
	t.Helper()
	var made bytes.Buffer
	w := tar.NewWriter(&made)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
	_, err := io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return made.Bytes()
}

// files reads the files of a tar file.
func files(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	found := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			raw, err := io.ReadAll(r)
			require.NoError(t, err)
			found[strings.TrimPrefix(h.Name, "./")] = string(raw)
		}
	}
}
