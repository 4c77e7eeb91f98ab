package registry_test

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestTags_TellWhenTheirImageWasCreated(t *testing.T) {
	b := newBerth(t)
	made := func(tag, created string) digest.Digest {
		config := []byte(`{"os":"linux","architecture":"amd64"` + created + `,"tag":"` + tag + `"}`)
		c := b.blob("shop", config)
		return b.manifest("shop", tag, map[string]any{"config": descriptor(ociConfig, c, len(config)), "layers": []any{}})
	}
	old := made("old", `,"created":"2024-01-02T03:04:05Z"`)
	made("silent", "")
	made("broken", `,"created":"soon"`)
	list := func() map[string]time.Time {
		tags, err := b.Tags(t.Context(), "shop")
		require.NoError(t, err)
		found := map[string]time.Time{}
		for _, tag := range tags {
			found[tag.Name] = tag.CreatedAt
		}
		return found
	}
	was := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	require.Equal(t, map[string]time.Time{"old": was, "silent": {}, "broken": {}}, list())
	fresh := made("fresh", `,"created":"2025-06-07T08:09:10.5Z"`)
	b.manifest("shop", "all", map[string]any{"mediaType": ociIndex, "manifests": []any{
		descriptor(ociManifest, old, 1), descriptor(ociManifest, fresh, 1),
	}})
	found := list()
	require.Equal(t, time.Date(2025, 6, 7, 8, 9, 10, 500_000_000, time.UTC), found["all"], "of several platforms, the last")
	require.Equal(t, was, found["old"])
}
