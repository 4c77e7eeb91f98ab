package registry_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// people stands in for identity: ana may push and pull, bob pull, eve neither.
type people struct{}

func (people) Authenticate(_ context.Context, username string, password secret.Text, _ string) (registry.Account, error) {
	accounts := map[string]registry.Account{
		"ana": {Name: "ana", Push: true, Pull: true},
		"bob": {Name: "bob", Pull: true},
		"eve": {Name: "eve"},
	}
	a, ok := accounts[username]
	switch {
	case username == "often":
		return a, fault.Often("too many attempts; try again in a minute")
	case !ok || password.Reveal() != username+"-password":
		return registry.Account{}, fault.SignIn("the username or the password is wrong")
	}
	return a, nil
}

var (
	ana = &authn.Basic{Username: "ana", Password: "ana-password"}
	bob = &authn.Basic{Username: "bob", Password: "bob-password"}
)

// clock is a time that tests move on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// berth is a registry on a real folder, file and port.
type berth struct {
	*registry.Registry
	t      testing.TB
	dir    string
	db     *sqlite.DB
	events *event.Log
	clock  *clock
	config registry.Config
	server *httptest.Server
	host   string
}

func newBerth(tb testing.TB, change ...func(*registry.Config)) *berth {
	tb.Helper()
	dir := tb.TempDir()
	db, err := sqlite.Open(tb.Context(), sqlite.Config{Path: filepath.Join(dir, "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	// Files carry the machine's time, so the clock starts there.
	b := &berth{t: tb, dir: filepath.Join(dir, "registry"), db: db, clock: &clock{now: time.Now()}}
	b.events = event.New(event.Config{DB: db, Clock: b.clock.Now})
	b.config = registry.Config{
		DB: db, Events: b.events, Dir: b.dir, Auth: people{}, Key: secret.New(strings.Repeat("k", 32)),
		BaseURL: &url.URL{Scheme: "https", Host: "berth.example.org"}, Clock: b.clock.Now,
	}
	for _, f := range change {
		f(&b.config)
	}
	b.start()
	tb.Cleanup(func() { b.server.Close() })
	return b
}

// start makes the registry and its port; after stop it is the restart.
func (b *berth) start() {
	b.t.Helper()
	var err error
	b.Registry, err = registry.New(b.config)
	require.NoError(b.t, err)
	b.server = httptest.NewServer(b.Handler())
	b.host = strings.TrimPrefix(b.server.URL, "http://")
}

func (b *berth) restart() {
	b.t.Helper()
	b.server.Close()
	b.start()
}

// repository gives a name for go-containerregistry.
func (b *berth) repository(repository string) name.Repository {
	b.t.Helper()
	r, err := name.NewRepository(b.host + "/" + repository)
	require.NoError(b.t, err)
	return r
}

// push pushes an image as ana.
func (b *berth) push(repository, tag string, image v1.Image) {
	b.t.Helper()
	require.NoError(b.t, remote.Write(b.repository(repository).Tag(tag), image, remote.WithAuth(ana), remote.WithContext(b.t.Context())))
}

// request sends one request as ana, with Basic, and gives the answer with its
// body read.
func (b *berth) request(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	b.t.Helper()
	return b.requestAs("ana", method, path, body, header...)
}

func (b *berth) requestAs(username, method, path string, body io.Reader, header ...string) (*http.Response, string) {
	b.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.server.URL + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, target, body)
	require.NoError(b.t, err)
	if username != "" {
		req.SetBasicAuth(username, username+"-password")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return res, string(text)
}

// blob uploads a blob in one request and gives its digest.
func (b *berth) blob(repository string, content []byte) digest.Digest {
	b.t.Helper()
	d := digest.FromBytes(content)
	res, body := b.request(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+string(d), bytes.NewReader(content))
	require.Equal(b.t, http.StatusCreated, res.StatusCode, body)
	return d
}

// manifest puts a manifest of one config and layers that are there already.
func (b *berth) manifest(repository, reference string, fields map[string]any) digest.Digest {
	b.t.Helper()
	res, body := b.putManifest(repository, reference, fields)
	require.Equal(b.t, http.StatusCreated, res.StatusCode, body)
	return digest.Digest(res.Header.Get("Docker-Content-Digest"))
}

func (b *berth) putManifest(repository, reference string, fields map[string]any) (*http.Response, string) {
	b.t.Helper()
	content := map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "layers": []any{}}
	maps.Copy(content, fields)
	raw, err := json.Marshal(content)
	require.NoError(b.t, err)
	if reference == "" {
		reference = string(digest.FromBytes(raw))
	}
	return b.request(http.MethodPut, "/v2/"+repository+"/manifests/"+reference, bytes.NewReader(raw), "Content-Type", content["mediaType"].(string))
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
)

func descriptor(mediaType string, d digest.Digest, size int) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": d, "size": size}
}

// has says whether a blob can be read.
func (b *berth) has(repository string, d digest.Digest) bool {
	b.t.Helper()
	res, _ := b.request(http.MethodHead, fmt.Sprintf("/v2/%s/blobs/%s", repository, d), nil)
	return res.StatusCode == http.StatusOK
}

// hasFile says whether a blob's bytes are on the disk.
func (b *berth) hasFile(d digest.Digest) bool {
	_, err := os.Stat(filepath.Join(b.dir, "blobs", d.Algorithm().String(), d.Encoded()))
	return err == nil
}

// pushed lists the pushes that the events tell of.
func (b *berth) pushed() (list []registry.Push) {
	b.t.Helper()
	found, err := b.events.Since(b.t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.Pushed}}, 1000)
	require.NoError(b.t, err)
	for _, e := range found {
		var p registry.Push
		require.NoError(b.t, json.Unmarshal(e.Data, &p))
		list = append(list, p)
	}
	return list
}

func randomBytes(tb testing.TB, n int) []byte {
	tb.Helper()
	content := make([]byte, n)
	_, _ = rand.Read(content)
	return content
}

// platformImage makes an image for a platform that exposes a port.
func platformImage(tb testing.TB, system, arch, variant string) v1.Image {
	tb.Helper()
	image, err := random.Image(2000, 2)
	require.NoError(tb, err)
	config, err := image.ConfigFile()
	require.NoError(tb, err)
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = system, arch, variant
	config.Config.ExposedPorts = map[string]struct{}{"8080/tcp": {}, "53/udp": {}, "443": {}}
	image, err = mutate.ConfigFile(image, config)
	require.NoError(tb, err)
	return image
}

func digestOf(tb testing.TB, image interface{ Digest() (v1.Hash, error) }) string {
	tb.Helper()
	h, err := image.Digest()
	require.NoError(tb, err)
	return h.String()
}
