package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// BenchmarkPush uploads a blob of 64 MiB as docker does: begin, one chunk,
// commit with its digest, until it is on the disk.
func BenchmarkPush(b *testing.B) {
	r := newBerth(b)
	content := randomBytes(b, 64<<20)
	b.SetBytes(int64(len(content)))
	for i := 0; b.Loop(); i++ {
		copy(content, strconv.Itoa(i)) // another blob each time
		b.StopTimer()
		d := digest.FromBytes(content)
		b.StartTimer()
		path := r.begin()
		res, body := r.request(http.MethodPatch, path, bytes.NewReader(content))
		require.Equal(b, http.StatusAccepted, res.StatusCode, body)
		res, body = r.request(http.MethodPut, path+"?digest="+string(d), nil)
		require.Equal(b, http.StatusCreated, res.StatusCode, body)
	}
}

// BenchmarkPullBlob downloads a blob of 64 MiB.
func BenchmarkPullBlob(b *testing.B) {
	r := newBerth(b)
	content := randomBytes(b, 64<<20)
	url := r.server.URL + "/v2/shop/blobs/" + string(r.blob("shop", content))
	b.SetBytes(int64(len(content)))
	buffer := make([]byte, 1<<20)
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		require.NoError(b, err)
		req.SetBasicAuth("ana", "ana-password")
		res, err := http.DefaultClient.Do(req)
		require.NoError(b, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buffer)
		require.NoError(b, err)
		require.EqualValues(b, len(content), n)
		require.NoError(b, res.Body.Close())
	}
}

// BenchmarkPushSmallImage pushes an image of three small layers: what a deploy
// waits for.
func BenchmarkPushSmallImage(b *testing.B) {
	r := newBerth(b)
	for b.Loop() {
		image, err := random.Image(10_000, 3)
		require.NoError(b, err)
		require.NoError(b, remote.Write(r.repository("shop").Tag("latest"), image, remote.WithAuth(ana)))
	}
}
