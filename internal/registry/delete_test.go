package registry_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/registry"
)

func TestDelete_TakesTagManifestAndBlob(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)
	b.push("shop", "2", image)
	d := digestOf(t, image)
	layers, err := image.Layers()
	require.NoError(t, err)
	layer := digest.Digest(digestOf(t, layers[0]))

	res, body := b.request(http.MethodDelete, "/v2/shop/blobs/"+string(layer), nil)
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "a blob that a manifest needs stays: %s", body)

	require.NoError(t, remote.Delete(b.repository("shop").Tag("1"), remote.WithAuth(ana)))
	_, err = remote.Head(b.repository("shop").Tag("1"), remote.WithAuth(ana))
	require.Error(t, err)
	_, err = remote.Head(b.repository("shop").Tag("2"), remote.WithAuth(ana))
	require.NoError(t, err, "the manifest is still there for the other tag")

	require.NoError(t, remote.Delete(b.repository("shop").Digest(d), remote.WithAuth(ana)))
	_, err = remote.Head(b.repository("shop").Tag("2"), remote.WithAuth(ana))
	require.Error(t, err, "a manifest's tags go with it")

	res, body = b.request(http.MethodDelete, "/v2/shop/blobs/"+string(layer), nil)
	require.Equal(t, http.StatusAccepted, res.StatusCode, body)
	require.False(t, b.has("shop", layer))

	found, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.Removed}}, 10)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.JSONEq(t, fmt.Sprintf(`{"repository":"shop","tag":"1","digest":%q}`, d), string(found[0].Data))
}

func TestDelete_OfAnIndexTakesItsPlatforms(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	shared := b.manifest("shop", "amd64", map[string]any{"config": config})
	only := b.manifest("shop", "", map[string]any{"config": config, "annotations": map[string]string{"a": "b"}})
	index := b.manifest("shop", "1", map[string]any{"mediaType": ociIndex, "manifests": []any{descriptor(ociManifest, shared, 1), descriptor(ociManifest, only, 1)}})

	res, _ := b.request(http.MethodDelete, "/v2/shop/manifests/"+string(index), nil)
	require.Equal(t, http.StatusAccepted, res.StatusCode)

	res, _ = b.request(http.MethodHead, "/v2/shop/manifests/"+string(only), nil)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, _ = b.request(http.MethodHead, "/v2/shop/manifests/"+string(shared), nil)
	require.Equal(t, http.StatusOK, res.StatusCode, "it has a tag of its own")
}

func TestRemoveTag_TakesTheImageThatNobodyElseNames(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)
	b.push("shop", "2", image)

	require.NoError(t, b.RemoveTag(t.Context(), "ana", "shop", "1"))
	_, err = remote.Head(b.repository("shop").Digest(digestOf(t, image)), remote.WithAuth(ana))
	require.NoError(t, err)

	require.NoError(t, b.RemoveTag(t.Context(), "ana", "shop", "2"))
	_, err = remote.Head(b.repository("shop").Digest(digestOf(t, image)), remote.WithAuth(ana))
	require.Error(t, err)
	require.ErrorContains(t, b.RemoveTag(t.Context(), "ana", "shop", "2"), `no tag "2"`)
}
