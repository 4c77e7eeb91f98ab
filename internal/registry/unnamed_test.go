package registry_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/registry"
)

func TestUnnamed_ListsAndRemovesOnlyWhatNothingLeadsTo(t *testing.T) {
	b := newBerth(t)
	config := descriptor(ociConfig, b.blob("shop", []byte("{}")), 2)
	note := func(text string) map[string]any {
		return map[string]any{"config": config, "annotations": map[string]string{"note": text}}
	}
	moved := b.manifest("shop", "latest", note("moved away from"))
	tagged := b.manifest("shop", "latest", note("tagged"))
	inner := b.manifest("shop", "", note("in an index"))
	index := b.manifest("shop", "", map[string]any{"mediaType": ociIndex, "manifests": []any{descriptor(ociManifest, inner, 1)}})
	about := b.manifest("shop", "", map[string]any{"config": config, "subject": descriptor(ociManifest, tagged, 1)})
	list := func(before time.Time) (digests []string) {
		t.Helper()
		found, err := b.Unnamed(t.Context(), before, 100)
		require.NoError(t, err)
		for _, u := range found {
			digests = append(digests, u.Digest)
			if u.Digest == string(index) {
				require.Equal(t, []string{string(inner)}, u.Holds)
			}
		}
		return digests
	}
	require.Empty(t, list(b.clock.Now().Add(time.Hour)), "the tag of a push may be on its way")
	b.clock.pass(grace + time.Minute)
	require.ElementsMatch(t, []string{string(moved), string(index)}, list(b.clock.Now()))
	require.Empty(t, list(b.clock.Now().Add(-2*grace)), "all of it came later")

	stands := func(d digest.Digest) bool {
		t.Helper()
		res, _ := b.request(http.MethodHead, "/v2/shop/manifests/"+string(d), nil)
		return res.StatusCode == http.StatusOK
	}
	remove := func(d string) bool {
		t.Helper()
		gone, err := b.RemoveUnnamed(t.Context(), "berth", "shop", d)
		require.NoError(t, err)
		return gone
	}
	require.False(t, remove(string(tagged)))
	require.False(t, remove(string(inner)))
	require.True(t, stands(tagged) && stands(inner) && stands(about))
	require.True(t, remove(string(moved)))
	require.True(t, remove(string(index)))
	require.False(t, stands(moved) || stands(index) || stands(inner), "an index takes with it what only it leads to")
	require.True(t, stands(tagged) && stands(about))
	events, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.Removed}}, 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
}
