package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
)

func TestAllTags_AsksAnotherRegistryOnceAMinute(t *testing.T) {
	b := newBerth(t)
	var asked atomic.Int32
	var away atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			asked.Add(1)
			_, _ = w.Write([]byte(`{"name":"shop","tags":["1.0.0","1.1.0"]}`))
		}
	}))
	t.Cleanup(elsewhere.Close)
	resolver := b.knowing(strings.TrimPrefix(elsewhere.URL, "http://"))
	image := strings.TrimPrefix(elsewhere.URL, "http://") + "/shop"
	for range 3 {
		tags, err := resolver.AllTags(t.Context(), image)
		require.NoError(t, err)
		require.Len(t, tags, 2)
		require.Equal(t, "1.0.0", tags[0].Name)
		require.Empty(t, tags[0].Digest)
	}
	require.EqualValues(t, 1, asked.Load())
	away.Store(true)
	b.clock.pass(2 * time.Minute)
	_, err := resolver.AllTags(t.Context(), image)
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	away.Store(false)
	_, err = resolver.AllTags(t.Context(), image)
	require.Error(t, err, "what failed is not asked again at once")
	b.clock.pass(2 * time.Minute)
	_, err = resolver.AllTags(t.Context(), image)
	require.NoError(t, err)

	_, err = resolver.AllTags(t.Context(), "nothing")
	require.Equal(t, fault.Missing, fault.KindOf(err))
}
