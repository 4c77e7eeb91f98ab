package registry_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/needs"
	"berth/internal/registry"
)

// run runs a tool with the environment added, and gives what it wrote: its
// output, or what it said when it failed.
func run(t *testing.T, env []string, stdin []byte, tool string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String() + said.String(), err
	}
	return strings.TrimSpace(out.String()), nil
}

func mustRun(t *testing.T, env []string, stdin []byte, tool string, args ...string) string {
	t.Helper()
	out, err := run(t, env, stdin, tool, args...)
	require.NoError(t, err, "%s %s: %s", tool, strings.Join(args, " "), out)
	return out
}

func TestSkopeo_CopiesInspectsAndDeletes(t *testing.T) {
	needs.Program(t, "skopeo")
	b := newBerth(t)
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.json")
	require.NoError(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600))
	skopeo := func(args ...string) string {
		return mustRun(t, nil, nil, "skopeo", append([]string{"--policy", policy, "--tmpdir", dir}, args...)...)
	}
	b.platforms("team/shop", "1.4")
	from, to := "docker://"+b.host+"/team/shop:1.4", "docker://"+b.host+"/copy:1.4"

	skopeo("copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds=bob:bob-password", "--dest-creds=ana:ana-password", from, to)

	var list struct{ Tags []string }
	require.NoError(t, json.Unmarshal([]byte(skopeo("list-tags", "--tls-verify=false", "--creds=bob:bob-password", "docker://"+b.host+"/copy")), &list))
	require.Equal(t, []string{"1.4"}, list.Tags)
	require.Contains(t, skopeo("inspect", "--raw", "--tls-verify=false", "--creds=bob:bob-password", to), `"architecture":"arm64"`)

	out, err := run(t, nil, nil, "skopeo", "--policy", policy, "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds=bob:bob-password", "--dest-creds=bob:bob-password", from, to)
	require.Error(t, err)
	require.Contains(t, out, "bob may not push")

	skopeo("delete", "--tls-verify=false", "--creds=ana:ana-password", to)
	_, err = remote.Head(b.repository("copy").Tag("1.4"), remote.WithAuth(ana))
	require.Error(t, err)
}

func TestPodman_PushesAndPulls(t *testing.T) {
	needs.Program(t, "podman")
	if os.Geteuid() != 0 {
		needs.Missing(t, "podman's own storage for this test needs root")
	}
	b := newBerth(t)
	dir := t.TempDir()
	policy, config := filepath.Join(dir, "policy.json"), filepath.Join(dir, "containers.conf")
	require.NoError(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600))
	require.NoError(t, os.WriteFile(config, []byte("[engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n[network]\nnetwork_backend=\"netavark\"\n"), 0o600))
	podman := func(stdin []byte, args ...string) string {
		args = append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)
		return mustRun(t, []string{"CONTAINERS_CONF=" + config, "TMPDIR=" + dir}, stdin, "podman", args...)
	}
	name := b.host + "/hello:1"
	podman(filesystem(t), "import", "--quiet", "-", name)
	id := podman(nil, "inspect", "--format", "{{.Id}}", name)

	podman(nil, "login", "--tls-verify=false", "--authfile", filepath.Join(dir, "auth.json"), "-u", "ana", "-p", "ana-password", b.host)
	podman(nil, "push", "--tls-verify=false", "--authfile", filepath.Join(dir, "auth.json"), "--signature-policy", policy, name)
	require.Len(t, b.pushed(), 1)
	podman(nil, "rmi", "--force", id)
	podman(nil, "pull", "--tls-verify=false", "--creds", "bob:bob-password", "--signature-policy", policy, "--quiet", name)
	require.Equal(t, id, podman(nil, "inspect", "--format", "{{.Id}}", name))

	// What the resolver calls the configuration's digest is the engine's id.
	got, err := b.resolver().Resolve(t.Context(), "hello", "1", registry.Platform{OS: "linux", Arch: "amd64"})
	require.NoError(t, err)
	require.Equal(t, "sha256:"+id, got.ConfigDigest)
}

func TestDocker_PushesAndPulls(t *testing.T) {
	host := needs.Engine(t, "docker")
	needs.Program(t, "docker")
	b := newBerth(t)
	dir := t.TempDir()
	docker := func(stdin []byte, args ...string) string {
		return mustRun(t, []string{"DOCKER_HOST=" + host, "DOCKER_CONFIG=" + dir}, stdin, "docker", args...)
	}
	name := b.host + "/hello:1"
	id := docker(filesystem(t), "import", "-", name)
	t.Cleanup(func() { _, _ = run(t, []string{"DOCKER_HOST=" + host}, nil, "docker", "rmi", "--force", id) })

	docker([]byte("ana-password"), "login", "--username", "ana", "--password-stdin", b.host)
	docker(nil, "push", name)
	require.Len(t, b.pushed(), 1)
	docker(nil, "tag", name, b.host+"/other:1")
	docker(nil, "push", b.host+"/other:1") // mounts its layer
	usage, err := b.Usage(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, usage.Blobs)

	docker(nil, "rmi", "--force", id)
	docker(nil, "pull", name)
	require.Equal(t, id, docker(nil, "inspect", "--format", "{{.Id}}", name))
	got, err := b.resolver().Resolve(t.Context(), "hello", "1", registry.Platform{OS: "linux", Arch: "amd64"})
	require.NoError(t, err)
	require.Equal(t, id, got.ConfigDigest)

	docker([]byte("bob-password"), "login", "--username", "bob", "--password-stdin", b.host)
	out, err := run(t, []string{"DOCKER_HOST=" + host, "DOCKER_CONFIG=" + dir}, nil, "docker", "push", name)
	require.Error(t, err)
	require.Contains(t, out, "denied")
}

// filesystem gives a tar of one file.
func filesystem(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	content := randomBytes(t, 100_000)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(content))}))
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}
