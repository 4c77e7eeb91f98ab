package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociauth"
	"cuelabs.dev/go/oci/ociregistry/ociclient"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/registry"
)

func TestPush_GivesTheSameImageBack(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100_000, 3)
	require.NoError(t, err)

	b.push("team/shop", "1.4", image)

	got, err := remote.Image(b.repository("team/shop").Tag("1.4"), remote.WithAuth(bob))
	require.NoError(t, err)
	require.NoError(t, validate.Image(got))
	require.Equal(t, digestOf(t, image), digestOf(t, got))
}

func TestPush_TakesAnIndexOfPlatforms(t *testing.T) {
	b := newBerth(t)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: platformImage(t, "linux", "amd64", ""), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: platformImage(t, "linux", "arm64", "v8"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}},
	)
	require.NoError(t, remote.WriteIndex(b.repository("shop").Tag("latest"), index, remote.WithAuth(ana)))

	got, err := remote.Index(b.repository("shop").Tag("latest"), remote.WithAuth(ana))
	require.NoError(t, err)
	require.NoError(t, validate.Index(got))
	require.Len(t, b.pushed(), 1, "only the tag is a finished push, not the platforms")
}

func TestPush_WritesItsEventWithTheTag(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	d := b.manifest("shop", "1.4", map[string]any{"config": config})
	b.manifest("shop", "1.4", map[string]any{"config": config})

	want := registry.Push{Repository: "shop", Tag: "1.4", Digest: string(d)}
	require.Equal(t, []registry.Push{want, want}, b.pushed(), "putting a tag where it stands is a push as well")
	found, err := b.events.Since(t.Context(), 0, event.Filter{}, 10)
	require.NoError(t, err)
	require.Equal(t, "ana", found[0].Actor)
}

func TestPush_RefusesAManifestWhoseBlobsAreNotThere(t *testing.T) {
	b := newBerth(t)
	config := b.blob("shop", []byte("{}"))
	elsewhere := b.blob("other", []byte("a layer of another repository"))

	res, body := b.putManifest("shop", "1", map[string]any{
		"config": descriptor(ociConfig, config, 2), "layers": []any{descriptor("application/x", elsewhere, 29)},
	})

	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Contains(t, body, "MANIFEST_BLOB_UNKNOWN")
	require.Contains(t, body, string(elsewhere))
	require.Empty(t, b.pushed())
}

func TestPush_RefusesWhatIsNoManifest(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	for name, fields := range map[string]map[string]any{
		"unknown type":         {"mediaType": "text/html", "config": config},
		"no config":            {},
		"image and index":      {"config": config, "manifests": []any{config}},
		"bad digest":           {"config": descriptor(ociConfig, "sha256:short", 2)},
		"first schema":         {"schemaVersion": 1, "config": config},
		"bad subject":          {"config": config, "subject": descriptor(ociManifest, "../..", 2)},
		"fields of other type": {"config": "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			res, body := b.putManifest("shop", "1", fields)
			require.Equal(t, http.StatusBadRequest, res.StatusCode, body)
			require.Contains(t, body, "MANIFEST_INVALID")
		})
	}
	t.Run("by a digest that is not its own", func(t *testing.T) {
		res, body := b.putManifest("shop", string(digest.FromString("other")), map[string]any{"config": config})
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
		require.Contains(t, body, "DIGEST_INVALID")
	})
}

func TestPush_RefusesAManifestThatIsTooLarge(t *testing.T) {
	b := newBerth(t)
	for name, body := range map[string]io.Reader{
		"said beforehand":  bytes.NewReader(make([]byte, 4<<20+1)),
		"found on reading": io.MultiReader(bytes.NewReader(make([]byte, 4<<20+1))),
	} {
		t.Run(name, func(t *testing.T) {
			res, text := b.request(http.MethodPut, "/v2/shop/manifests/1", body, "Content-Type", ociManifest)
			require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
			require.Contains(t, text, "MANIFEST_INVALID")
		})
	}
}

func TestNames_AreHeldToTheSpecification(t *testing.T) {
	b := newBerth(t)
	for _, name := range []string{"Shop", "a//b", "-a", "ghcr.io/ana/shop", "localhost/shop", "a..b", strings.Repeat("a", 300)} {
		res, body := b.request(http.MethodPost, "/v2/"+name+"/blobs/uploads/", nil)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, name)
		require.Contains(t, body, "NAME_INVALID", name)
	}
	res, body := b.request(http.MethodPut, "/v2/shop/manifests/-tag", strings.NewReader("{}"))
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, body, "TAG_INVALID")
}

func TestMount_MovesNoBytes(t *testing.T) {
	b := newBerth(t)
	d := b.blob("shop", []byte("a layer"))

	res, body := b.request(http.MethodPost, fmt.Sprintf("/v2/other/blobs/uploads/?mount=%s&from=shop", d), nil)
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	require.True(t, b.has("other", d))

	for _, from := range []string{"nowhere", "other2"} {
		res, body = b.request(http.MethodPost, fmt.Sprintf("/v2/third/blobs/uploads/?mount=%s&from=%s", d, from), nil)
		require.Equal(t, http.StatusAccepted, res.StatusCode, "what can't be mounted is to be uploaded: %s", body)
		require.NotEmpty(t, res.Header.Get("Location"))
	}
	require.False(t, b.has("third", d))
}

func TestMount_WorksForGoContainerRegistry(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(50_000, 2)
	require.NoError(t, err)
	b.push("shop", "1", image)
	before, err := b.Usage(t.Context())
	require.NoError(t, err)

	pulled, err := remote.Image(b.repository("shop").Tag("1"), remote.WithAuth(ana))
	require.NoError(t, err)
	b.push("copy", "1", pulled) // its layers are remote.MountableLayers

	after, err := b.Usage(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Bytes, after.Bytes)
	require.Equal(t, 2, after.Repositories)
}

func TestBlobs_AreReadInRanges(t *testing.T) {
	b := newBerth(t)
	content := randomBytes(t, 10_000)
	path := "/v2/shop/blobs/" + string(b.blob("shop", content))

	for asked, want := range map[string][]byte{
		"bytes=0-99": content[:100], "bytes=9000-": content[9000:], "bytes=-5": content[9995:], "bytes=100-100000": content[100:],
	} {
		res, body := b.request(http.MethodGet, path, nil, "Range", asked)
		require.Equal(t, http.StatusPartialContent, res.StatusCode, asked)
		require.Equal(t, want, []byte(body), asked)
	}
	res, _ := b.request(http.MethodGet, path, nil, "Range", "bytes=10000-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, res.StatusCode)
	res, body := b.request(http.MethodHead, path, nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.EqualValues(t, 10_000, res.ContentLength)
	require.Empty(t, body)
}

func TestErrors_AreInTheSpecifiedForm(t *testing.T) {
	b := newBerth(t)
	b.blob("shop", []byte("x"))
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/v2/shop/manifests/none":                             {404, "MANIFEST_UNKNOWN"},
		"/v2/none/manifests/none":                             {404, "NAME_UNKNOWN"},
		"/v2/shop/blobs/" + string(digest.FromString("none")): {404, "BLOB_UNKNOWN"},
		"/v2/shop/blobs/sha256:short":                         {400, "DIGEST_INVALID"},
		"/v2/shop/blobs/uploads/bm9uZQ":                       {404, "BLOB_UPLOAD_UNKNOWN"},
		"/v2/shop/tags/list?n=many":                           {400, "UNKNOWN"},
		"/v2/shop/nothing":                                    {404, "UNSUPPORTED"},
	} {
		res, body := b.request(http.MethodGet, path, nil)
		require.Equal(t, want.status, res.StatusCode, path)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"), path)
		require.Contains(t, body, `{"errors":[{"code":"`+want.code+`","message":"`, path)
	}
}

// TestProtocol_WorksForOCIClient drives the registry with the other half of
// the library that speaks its protocol.
func TestProtocol_WorksForOCIClient(t *testing.T) {
	b := newBerth(t)
	client, err := ociclient.New(b.host, &ociclient.Options{
		Insecure:  true,
		Transport: ociauth.NewStdTransport(ociauth.StdTransportParams{Config: credentials{}}),
	})
	require.NoError(t, err)
	content := randomBytes(t, 3<<20)

	w, err := client.PushBlobChunked(t.Context(), "shop", 1<<20)
	require.NoError(t, err)
	_, err = w.Write(content[:1<<20])
	require.NoError(t, err)
	require.NoError(t, w.Close())
	w, err = client.PushBlobChunkedResume(t.Context(), "shop", w.ID(), -1, 1<<20)
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, w.Size())
	_, err = w.Write(content[1<<20:])
	require.NoError(t, err)
	d, err := w.Commit(digest.FromBytes(content))
	require.NoError(t, err)

	_, err = client.MountBlob(t.Context(), "shop", "other", d.Digest)
	require.NoError(t, err)
	r, err := client.GetBlobRange(t.Context(), "other", d.Digest, 100, 200)
	require.NoError(t, err)
	part, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, content[100:200], part)

	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/x","digest":%q,"size":%d},"layers":[]}`, ociManifest, d.Digest, d.Size)
	put, err := client.PushManifest(t.Context(), "shop", "1", manifest, ociManifest)
	require.NoError(t, err)
	tags, err := ociregistry.All(client.Tags(t.Context(), "shop", ""))
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, tags)
	require.NoError(t, client.DeleteManifest(t.Context(), "shop", put.Digest))
	_, err = client.GetTag(t.Context(), "shop", "1")
	require.ErrorIs(t, err, ociregistry.ErrManifestUnknown)
	require.NoError(t, client.DeleteBlob(t.Context(), "shop", d.Digest))
}

// credentials signs ociclient in as ana everywhere.
type credentials struct{}

func (credentials) EntryForRegistry(string) (ociauth.ConfigEntry, error) {
	return ociauth.ConfigEntry{Username: "ana", Password: "ana-password"}, nil
}
