package registry_test

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
)

func TestLists_ComeInPages(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	for _, repository := range []string{"a", "b", "c"} {
		b.push(repository, "1", image)
	}
	for _, tag := range []string{"1.10", "1.2", "latest"} {
		b.push("a", tag, image)
	}

	res, body := b.request(http.MethodGet, "/v2/_catalog?n=2", nil)
	require.JSONEq(t, `{"repositories":["a","b"]}`, body)
	require.Contains(t, res.Header.Get("Link"), "last=b")

	tags, err := remote.List(b.repository("a"), remote.WithAuth(ana), remote.WithPageSize(1))
	require.NoError(t, err)
	require.Equal(t, []string{"1", "1.10", "1.2", "latest"}, tags)

	_, body = b.request(http.MethodGet, "/v2/nothing/tags/list", nil)
	require.Contains(t, body, "NAME_UNKNOWN")

	list, next, err := b.Repositories(t.Context(), "", 2)
	require.NoError(t, err)
	require.Equal(t, "b", next)
	require.Equal(t, "a", list[0].Name)
	require.Equal(t, 4, list[0].Tags)
	require.Positive(t, list[0].Size)
	list, next, err = b.Repositories(t.Context(), next, 2)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, list, 1)
}

func TestTags_TellTheirSizeWithAllPlatforms(t *testing.T) {
	b := newBerth(t)
	config := []byte(`{"a":1}`)
	layer := randomBytes(t, 1000)
	c, l := b.blob("shop", config), b.blob("shop", layer)
	one := b.manifest("shop", "one", map[string]any{"config": descriptor(ociConfig, c, 7), "layers": []any{descriptor("application/x", l, 1000)}})
	b.manifest("shop", "all", map[string]any{"mediaType": ociIndex, "manifests": []any{descriptor(ociManifest, one, 1)}})

	tags, err := b.Tags(t.Context(), "shop")
	require.NoError(t, err)
	require.Len(t, tags, 2)
	for _, tag := range tags {
		require.EqualValues(t, 1007, tag.Size, tag.Name)
	}
}
