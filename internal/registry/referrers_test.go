package registry_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestReferrers_AreListedAndFiltered(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	subject := b.manifest("shop", "1", map[string]any{"config": config})
	about := descriptor(ociManifest, subject, 100)
	sign := b.manifest("shop", "", map[string]any{"config": config, "subject": about, "artifactType": "application/signature", "annotations": map[string]string{"by": "ana"}})
	list := b.manifest("shop", "", map[string]any{"config": config, "subject": about, "artifactType": "application/sbom"})

	res, body := b.request(http.MethodGet, "/v2/shop/referrers/"+string(subject), nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, body, string(sign))
	require.Contains(t, body, string(list))
	require.Contains(t, body, `"by":"ana"`)

	res, body = b.request(http.MethodGet, "/v2/shop/referrers/"+string(subject)+"?artifactType=application/signature", nil)
	require.Equal(t, "artifactType", res.Header.Get("OCI-Filters-Applied"))
	require.Contains(t, body, string(sign))
	require.NotContains(t, body, string(list))

	found, err := remote.Referrers(b.repository("shop").Digest(string(subject)), remote.WithAuth(ana))
	require.NoError(t, err)
	index, err := found.IndexManifest()
	require.NoError(t, err)
	require.Len(t, index.Manifests, 2)

	res, body = b.request(http.MethodGet, "/v2/nothing/referrers/"+string(subject), nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, body, `"manifests":[]`)
}

func TestReferrers_ComeInPages(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	about := descriptor(ociManifest, digest.FromString("not pushed yet"), 100)
	for i := range 203 {
		b.manifest("shop", "", map[string]any{"config": config, "subject": about, "annotations": map[string]string{"n": strconv.Itoa(i)}})
	}
	res, body := b.request(http.MethodGet, "/v2/shop/referrers/"+string(digest.FromString("not pushed yet")), nil)
	require.Equal(t, 200, strings.Count(body, `"n":`))
	next, _, _ := strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
	res, body = b.request(http.MethodGet, next, nil)
	require.Equal(t, 3, strings.Count(body, `"n":`))
	require.Empty(t, res.Header.Get("Link"))
}
