package containertest

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func (s *suite) testCreate(t *testing.T) {
	t.Run("WithEverything", s.testCreateWithEverything)
	t.Run("HoldsToLimits", s.testLimits)
	t.Run("WithTakenName", func(t *testing.T) {
		name := s.name("taken")
		s.create(t, container.Spec{Name: name})
		_, err := s.Create(t.Context(), container.Spec{Name: name, Image: s.image.ID})
		require.ErrorIs(t, err, container.ErrConflict)
	})
	t.Run("OfMissingImage", func(t *testing.T) {
		_, err := s.Create(t.Context(), container.Spec{Name: s.name("none"), Image: s.name("no-such-image")})
		require.ErrorIs(t, err, container.ErrNotFound)
	})
	t.Run("ByDigest", func(t *testing.T) {
		id := s.create(t, container.Spec{Image: s.image.Digests[0]})
		c, err := s.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, s.image.ID, c.Image)
	})
	t.Run("WithoutPublishingHasNoAddress", func(t *testing.T) {
		c, err := s.Inspect(t.Context(), s.start(t, container.Spec{}))
		require.NoError(t, err)
		require.Empty(t, c.Address)
	})
	t.Run("OfMissingCommandDoesNotStart", func(t *testing.T) {
		id := s.create(t, container.Spec{Entrypoint: []string{"/no-such-command"}})
		require.Error(t, s.Start(t.Context(), id))
		require.NotEqual(t, container.StateRunning, s.state(t, id))
	})
}

func (s *suite) testCreateWithEverything(t *testing.T) {
	shared := t.TempDir()
	for dir := shared; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) { // a rootless engine reads as somebody else
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(shared, "from-host"), []byte("seen"), 0o644))
	volume := s.name("data")
	require.NoError(t, s.EnsureVolume(t.Context(), volume, s.labels))
	s.cleanUp(t, func() error { return s.RemoveVolume(detached(t), volume) })
	network, err := s.EnsureNetwork(t.Context(), s.name("all"), s.labels)
	require.NoError(t, err)
	s.cleanUp(t, func() error { return s.RemoveNetwork(detached(t), network) })

	spec := container.Spec{
		Name:    s.name("all"),
		Labels:  map[string]string{"project": "shop", "with.value": "a=b, c"},
		Env:     map[string]string{"GREETING": "good day, 世界", "EMPTY": "", "LINES": "a\nb"},
		Command: []string{"serve", "with", "an argument"},
		Mounts: []container.Mount{
			{Kind: container.MountVolume, Source: volume, Path: "/data"},
			{Kind: container.MountBind, Source: shared, Path: "/host", ReadOnly: true},
			{Kind: container.MountTmpfs, Path: "/scratch", Size: 1 << 20},
		},
		CPUs:        0.5,
		Memory:      128 << 20,
		Health:      &container.Health{Command: []string{"/app", "exit", "0"}, Interval: time.Second, Timeout: time.Second, Retries: 3},
		Restart:     container.RestartUnlessStopped,
		Network:     network,
		Aliases:     []string{"the-shop"},
		StopSignal:  "SIGTERM",
		StopTimeout: 2 * time.Second,
	}
	id, address := s.serve(t, spec)

	c, err := s.Inspect(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, c.ID)
	require.Equal(t, spec.Name, c.Name)
	require.Equal(t, s.image.ID, c.Image)
	require.Equal(t, "shop", c.Labels["project"])
	require.Equal(t, "a=b, c", c.Labels["with.value"])
	require.Equal(t, s.run, c.Labels[label])
	require.WithinDuration(t, time.Now(), c.Started, time.Minute)
	require.WithinDuration(t, time.Now(), c.Created, time.Minute)
	require.Zero(t, c.Finished)

	require.Contains(t, get(t, address, "/", nil), `["serve" "with" "an argument"]`)
	for name, value := range spec.Env {
		require.Equal(t, value, get(t, address, "/env", url.Values{"name": {name}}))
	}
	require.Equal(t, "yes", get(t, address, "/env", url.Values{"name": {"FROM_IMAGE"}}))

	for _, path := range []string{"/data/file", "/scratch/file"} {
		status, answer := call(t, http.MethodPut, address, "/file", url.Values{"path": {path}}, "kept")
		require.Equal(t, http.StatusOK, status, answer)
		require.Equal(t, "kept", get(t, address, "/file", url.Values{"path": {path}}))
	}
	require.Equal(t, "seen", get(t, address, "/file", url.Values{"path": {"/host/from-host"}}))
	status, _ := call(t, http.MethodPut, address, "/file", url.Values{"path": {"/host/from-container"}}, "no")
	require.Equal(t, http.StatusForbidden, status, "a read-only mount was written to")

	status, _ = call(t, http.MethodPut, address, "/file", url.Values{"path": {"/scratch/large"}}, strings.Repeat("x", 2<<20))
	require.NotEqual(t, http.StatusOK, status, "more went into memory than its size")

	_, other := s.serve(t, container.Spec{Network: network})
	s.awaitAlias(t, other, "the-shop")

	// What is in a volume outlives its container.
	require.NoError(t, s.Remove(t.Context(), id))
	kept := spec.Mounts[0]
	kept.ReadOnly = true
	_, address = s.serve(t, container.Spec{Mounts: []container.Mount{kept}})
	require.Equal(t, "kept", get(t, address, "/file", url.Values{"path": {"/data/file"}}))
	status, _ = call(t, http.MethodPut, address, "/file", url.Values{"path": {"/data/file"}}, "no")
	require.NotEqual(t, http.StatusOK, status, "a read-only volume was written to")
	// What is in the host's folder stays the host's.
	writable := spec.Mounts[1]
	writable.ReadOnly = false
	require.NoError(t, os.Chmod(shared, 0o777))
	_, address = s.serve(t, container.Spec{Mounts: []container.Mount{writable}})
	status, answer := call(t, http.MethodPut, address, "/file", url.Values{"path": {"/host/from-container"}}, "written")
	require.Equal(t, http.StatusOK, status, answer)
	written, err := os.ReadFile(filepath.Join(shared, "from-container"))
	require.NoError(t, err)
	require.Equal(t, "written", string(written))
}

func (s *suite) testLimits(t *testing.T) {
	if s.lacks(container.LacksLimits) {
		// It must run all the same; Info has told.
		id, _ := s.serve(t, container.Spec{CPUs: 0.5, Memory: 64 << 20})
		require.Equal(t, container.StateRunning, s.state(t, id))
		return
	}
	id, _ := s.serve(t, container.Spec{CPUs: 0.5, Memory: 64 << 20})
	memory := s.output(t, id, container.Exec{Command: []string{
		"/app", "read", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
	}})
	require.Equal(t, "67108864", memory)
	cpu := s.output(t, id, container.Exec{Command: []string{
		"/app", "read", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us",
	}})
	require.Contains(t, []string{"50000", "50000 100000"}, cpu)

	id = s.start(t, container.Spec{Memory: 32 << 20, Command: []string{"eat"}})
	code, err := s.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 137, code)
	c, err := s.Inspect(t.Context(), id)
	require.NoError(t, err)
	if !s.lacks(container.LacksOOM) {
		require.True(t, c.OOMKilled, "%+v", c)
	}
}
