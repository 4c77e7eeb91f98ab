package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/registry"
)

const grace = 24 * time.Hour

func (b *berth) collect() registry.Collected {
	b.t.Helper()
	done, err := b.Collect(b.t.Context())
	require.NoError(b.t, err)
	return done
}

func TestCollect_TakesWhatNoManifestNeeds(t *testing.T) {
	b := newBerth(t)
	loose := b.blob("shop", []byte("loose"))
	config := b.blob("shop", []byte("{}"))
	b.manifest("shop", "1", map[string]any{"config": descriptor(ociConfig, config, 2)})

	require.Zero(t, b.collect(), "what has just come may be needed soon")
	b.clock.pass(grace + time.Minute)
	require.Equal(t, registry.Collected{Blobs: 1, Bytes: 5}, b.collect())

	require.False(t, b.hasFile(loose))
	require.False(t, b.has("shop", loose))
	require.True(t, b.has("shop", config))
	require.True(t, b.hasFile(config))
}

func TestCollect_StartsTheTimeWhenAManifestGoes(t *testing.T) {
	b := newBerth(t)
	config := b.blob("shop", []byte("{}"))
	d := b.manifest("shop", "1", map[string]any{"config": descriptor(ociConfig, config, 2)})
	b.clock.pass(100 * grace)
	res, _ := b.request(http.MethodDelete, "/v2/shop/manifests/"+string(d), nil)
	require.Equal(t, http.StatusAccepted, res.StatusCode)

	require.Zero(t, b.collect(), "a push that has seen the blob may still come to its manifest")
	b.clock.pass(grace + time.Minute)
	require.Equal(t, 1, b.collect().Blobs)
	usage, err := b.Usage(t.Context())
	require.NoError(t, err)
	require.Zero(t, usage, "an empty repository goes as well")
}

func TestCollect_LeavesABlobThatAClientWasToldOf(t *testing.T) {
	b := newBerth(t)
	d := b.blob("shop", []byte("{}"))
	b.clock.pass(grace - time.Minute)
	require.True(t, b.has("shop", d)) // so this client will not upload it
	b.clock.pass(grace - time.Minute)
	require.Zero(t, b.collect())
	b.manifest("shop", "1", map[string]any{"config": descriptor(ociConfig, d, 2)})
}

func TestCollect_LeavesABlobThatWasMounted(t *testing.T) {
	b := newBerth(t)
	d := b.blob("shop", []byte("{}"))
	b.clock.pass(grace - time.Minute)
	res, _ := b.request(http.MethodPost, fmt.Sprintf("/v2/other/blobs/uploads/?mount=%s&from=shop", d), nil)
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.NoError(t, b.db.CopyTo(t.Context(), filepath.Join(t.TempDir(), "copy.db")))
	b.clock.pass(grace - time.Minute)
	b.collect()
	require.True(t, b.hasFile(d))
	b.manifest("other", "1", map[string]any{"config": descriptor(ociConfig, d, 2)})
}

func TestCollect_EndsUploadsThatNobodyGoesOnWith(t *testing.T) {
	b := newBerth(t)
	stale, live := b.begin(), b.begin()
	_, _ = b.request(http.MethodPatch, stale, bytes.NewReader([]byte("stale")))
	b.clock.pass(24*time.Hour - time.Minute)
	_, _ = b.request(http.MethodPatch, live, bytes.NewReader([]byte("live")))
	b.clock.pass(2 * time.Minute)

	require.Equal(t, registry.Collected{Uploads: 1}, b.collect())

	res, _ := b.request(http.MethodGet, stale, nil)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, body := b.request(http.MethodPut, live+"?digest="+string(digest.FromString("live")), nil)
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	require.Empty(t, globUploads(t, b))
}

func TestCollect_RemovesFilesThatAKilledProcessLeft(t *testing.T) {
	b := newBerth(t)
	blob := filepath.Join(b.dir, "blobs", "sha256", digest.FromString("orphan").Encoded())
	upload := filepath.Join(b.dir, "uploads", "orphan")
	for _, path := range []string{blob, upload} {
		require.NoError(t, os.WriteFile(path, []byte("orphan"), 0o600))
	}
	kept := b.blob("shop", []byte("{}"))
	b.manifest("shop", "1", map[string]any{"config": descriptor(ociConfig, kept, 2)})

	b.collect()
	require.FileExists(t, blob, "it may be settling")
	b.clock.pass(grace + time.Hour)
	b.collect()
	require.NoFileExists(t, blob)
	require.NoFileExists(t, upload)
	require.True(t, b.hasFile(kept))
}

func TestBlob_ThatIsLostFromTheDiskComesBackByAPush(t *testing.T) {
	b := newBerth(t)
	d := b.blob("shop", []byte("{}"))
	require.NoError(t, os.Remove(filepath.Join(b.dir, "blobs", "sha256", d.Encoded())))
	require.False(t, b.has("shop", d))
	b.blob("shop", []byte("{}"))
	require.True(t, b.has("shop", d))
}

// TestCollect_NeverTakesWhatAPushNeeds pushes images that share layers, and
// removes them again, while the collector runs without pause. The clock moves
// by nearly half the time of grace while pushes are under way, and by more
// between them, so that there is always something to collect.
func TestCollect_NeverTakesWhatAPushNeeds(t *testing.T) {
	const pushers, rounds = 4, 12
	b := newBerth(t)
	shared, err := random.Image(20_000, 3)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	var collector sync.WaitGroup
	collected := 0
	collector.Go(func() {
		for ctx.Err() == nil {
			done, err := b.Collect(ctx)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			collected += done.Blobs
		}
	})

	for round := range rounds {
		var pushing sync.WaitGroup
		var midway sync.Once
		for p := range pushers {
			pushing.Go(func() {
				// Repositories are shared between pushers, so that one
				// removes what another is about to refer to.
				if err := b.pushAndRemove(shared, fmt.Sprintf("shop%d", (p+round)%2), fmt.Sprintf("%d-%d", p, round)); err != nil {
					t.Errorf("pusher %d, round %d: %v", p, round, err)
				}
				midway.Do(func() { b.clock.pass(grace * 45 / 100) })
			})
		}
		pushing.Wait()
		b.clock.pass(grace * 60 / 100)
	}
	cancel()
	collector.Wait()
	require.Positive(t, collected, "the collector had work while images were pushed")

	b.clock.pass(2 * grace)
	b.collect()
	usage, err := b.Usage(t.Context())
	require.NoError(t, err)
	require.Zero(t, usage, "in the end nothing is left")
}

func (b *berth) pushAndRemove(shared v1.Image, repository, tag string) error {
	own, err := random.Layer(5_000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(shared, own)
	if err != nil {
		return err
	}
	target, options := b.repository(repository).Tag(tag), []remote.Option{remote.WithAuth(ana), remote.WithJobs(2)}
	if err := remote.Write(target, image, options...); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	got, err := remote.Image(target, options...)
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	if err := validate.Image(got); err != nil {
		return fmt.Errorf("what was pulled: %w", err)
	}
	return b.RemoveTag(b.t.Context(), "ana", repository, tag)
}
