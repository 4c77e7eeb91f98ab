package containertest

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	goregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/secret"
)

// The account of the registry.
const (
	username = "ana"
	password = "correct horse"
)

// registry serves images on loopback, over plain HTTP, to who has the account.
type registry struct {
	name  string // a label's value, the same in all its images
	host  string
	layer v1.Layer
	asked atomic.Int64 // requests with the right credentials
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{name: strings.ToLower(rand.Text()[:10]), layer: program(t)}
	inner := goregistry.New(goregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		user, pass, _ := request.BasicAuth()
		if user != username || pass != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="containertest"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		r.asked.Add(1)
		inner.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// push puts a new image into the registry and gives how to pull it.
func (r *registry) push(t *testing.T) container.Pull {
	t.Helper()
	image := r.build(t)
	target, err := name.ParseReference(r.host+"/team/app:1", name.Insecure)
	require.NoError(t, err)
	require.NoError(t, remote.Write(target, image, remote.WithContext(t.Context()),
		remote.WithAuth(&authn.Basic{Username: username, Password: password})))
	digest, err := image.Digest()
	require.NoError(t, err)
	return container.Pull{
		Reference: fmt.Sprintf("%s/team/app@%s", r.host, digest),
		Username:  username,
		Password:  secret.New(password),
		PlainHTTP: true,
	}
}

// archive gives a new image as `docker save` would, with its id.
func (r *registry) archive(t *testing.T, tag string) (stream io.Reader, id string) {
	t.Helper()
	image := r.build(t)
	target, err := name.NewTag(tag)
	require.NoError(t, err)
	var buffer bytes.Buffer
	require.NoError(t, tarball.Write(target, image, &buffer))
	config, err := image.ConfigName()
	require.NoError(t, err)
	return &buffer, config.String()
}

// build makes an image that is like no other, of the program.
func (r *registry) build(t *testing.T) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, r.layer)
	require.NoError(t, err)
	file, err := image.ConfigFile()
	require.NoError(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{
		Entrypoint:   []string{"/app"},
		Cmd:          []string{"serve"},
		Env:          []string{"FROM_IMAGE=yes"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9090/udp": {}},
		Labels:       map[string]string{label: r.name, label + ".unique": rand.Text()},
	}
	image, err = mutate.ConfigFile(image, file)
	require.NoError(t, err)
	return image
}

// program builds the program for the containers, and makes it a layer.
func program(t *testing.T) v1.Layer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file,
		"berth/internal/container/containertest/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	content, err := os.ReadFile(file)
	require.NoError(t, err)

	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	require.NoError(t, writer.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(content))}))
	_, err = writer.Write(content)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	require.NoError(t, err)
	return layer
}
