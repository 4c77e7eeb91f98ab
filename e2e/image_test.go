package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// appLayer holds the app alone, which is its own shell: an image FROM scratch.
var appLayer = sync.OnceValues(func() (v1.Layer, error) {
	program, err := os.ReadFile(appFile)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Name: "bin/sh", Mode: 0o777, Typeflag: tar.TypeSymlink, Linkname: "/app"}); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
})

// runLabel marks the images of this run of the tests: no engine has them yet,
// and they are removed in the end.
const runLabel = "berth.test-run"

// versionLabel tells the images of a run apart.
const versionLabel = "berth.test-version"

var thisRun = rand.Text()

// image makes an image of the app that says it is version, with more of its
// environment set ("NAME=value").
func image(t *testing.T, version string, env ...string) v1.Image {
	t.Helper()
	layer, err := appLayer()
	require.NoError(t, err)
	made, err := mutate.AppendLayers(empty.Image, layer)
	require.NoError(t, err)
	made, err = mutate.ConfigFile(made, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH,
		RootFS: mustConfig(t, made).RootFS,
		Config: v1.Config{
			Entrypoint:   []string{"/app"},
			Env:          append([]string{"APP_VERSION=" + version}, env...),
			Labels:       map[string]string{runLabel: thisRun, versionLabel: version},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		},
	})
	require.NoError(t, err)
	return made
}

func mustConfig(t *testing.T, i v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := i.ConfigFile()
	require.NoError(t, err)
	return c
}

// registryClient makes the connections that images are pushed over.
var registryClient = remote.DefaultTransport.(*http.Transport).Clone()

// push pushes an image to the server's own registry, as an administrator.
func (b *berth) push(repository, tag string, i v1.Image) {
	b.t.Helper()
	reference, err := name.ParseReference(fmt.Sprintf("%s/%s:%s", b.address, repository, tag), name.Insecure)
	require.NoError(b.t, err)
	require.NoError(b.t, remote.Write(reference, i, remote.WithTransport(registryClient), remote.WithAuth(&authn.Basic{Username: "admin", Password: adminPassword})))
}
