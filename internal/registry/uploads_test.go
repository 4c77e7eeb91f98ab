package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"berth/internal/registry"
	"berth/internal/sqlite"
)

// begin starts an upload to shop and gives its path, which holds after a
// restart.
func (b *berth) begin() string {
	b.t.Helper()
	res, body := b.request(http.MethodPost, "/v2/shop/blobs/uploads/", nil)
	require.Equal(b.t, http.StatusAccepted, res.StatusCode, body)
	return res.Header.Get("Location")
}

// uploadFile gives the one file of an upload that there is.
func (b *berth) uploadFile() string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.dir, "uploads", "*"))
	require.NoError(b.t, err)
	require.Len(b.t, found, 1)
	return found[0]
}

func TestUpload_GoesOnAfterARestart(t *testing.T) {
	b := newBerth(t)
	content := randomBytes(t, 300_000)
	path := b.begin()

	res, _ := b.request(http.MethodPatch, path, bytes.NewReader(content[:100_000]), "Content-Range", "0-99999")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "0-99999", res.Header.Get("Range"))

	b.restart()

	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, "0-99999", res.Header.Get("Range"))
	res, body := b.request(http.MethodPatch, path, bytes.NewReader(content[100_000:200_000]), "Content-Range", "100000-199999")
	require.Equal(t, http.StatusAccepted, res.StatusCode, body)

	b.restart()

	d := digest.FromBytes(content)
	res, body = b.request(http.MethodPut, path+"?digest="+string(d), bytes.NewReader(content[200_000:]), "Content-Range", "200000-299999")
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	_, body = b.request(http.MethodGet, "/v2/shop/blobs/"+string(d), nil)
	require.Equal(t, content, []byte(body))
}

func TestUpload_GoesOnFromBytesThatAKilledProcessHadWritten(t *testing.T) {
	b := newBerth(t)
	content := randomBytes(t, 200_000)
	path := b.begin()
	res, _ := b.request(http.MethodPatch, path, bytes.NewReader(content[:100_000]))
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	// What a kill -9 in the middle of a chunk leaves: bytes that no row tells of.
	f, err := os.OpenFile(b.uploadFile(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write(content[100_000:150_000])
	require.NoError(t, err)
	require.NoError(t, f.Close())

	b.restart()

	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, "0-149999", res.Header.Get("Range"))
	d := digest.FromBytes(content)
	res, body := b.request(http.MethodPut, path+"?digest="+string(d), bytes.NewReader(content[150_000:]))
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	require.True(t, b.has("shop", d))
}

func TestUpload_WhoseBytesAreLostIsUnknown(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	_, _ = b.request(http.MethodPatch, path, bytes.NewReader([]byte("some bytes")))
	require.NoError(t, os.Remove(b.uploadFile()))

	res, body := b.request(http.MethodPatch, path, bytes.NewReader([]byte("more")))
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Contains(t, body, "BLOB_UPLOAD_UNKNOWN")
}

func TestUpload_KeepsWhatCameBeforeTheConnectionBroke(t *testing.T) {
	b := newBerth(t)
	content := randomBytes(t, 400_000)
	path := b.begin()
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, b.server.URL+path, body)
	require.NoError(t, err)
	req.SetBasicAuth("ana", "ana-password")
	broken := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(req)
		broken <- err
	}()
	_, err = feed.Write(content[:300_000])
	require.NoError(t, err)
	received := func() (last int) {
		res, _ := b.request(http.MethodGet, path, nil)
		_, _ = fmt.Sscanf(res.Header.Get("Range"), "0-%d", &last)
		return last
	}
	require.Eventually(t, func() bool { return received() > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, feed.CloseWithError(errors.New("the cable is out")))
	require.Error(t, <-broken)

	// The handler notices in its own time, and has then let the upload go.
	d := digest.FromBytes(content)
	require.Eventually(t, func() bool {
		next := received() + 1
		res, _ := b.request(http.MethodPut, path+"?digest="+string(d), bytes.NewReader(content[next:]),
			"Content-Range", fmt.Sprintf("%d-%d", next, len(content)-1))
		return res.StatusCode == http.StatusCreated
	}, 10*time.Second, 10*time.Millisecond)
	require.True(t, b.has("shop", d))
}

func TestUpload_RefusesAChunkAtTheWrongPlace(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	_, _ = b.request(http.MethodPatch, path, bytes.NewReader(make([]byte, 100)))

	for _, asked := range []string{"0-9", "200-209", "x-y", "0-5"} {
		res, body := b.request(http.MethodPatch, path, bytes.NewReader(make([]byte, 10)), "Content-Range", asked)
		require.Equal(t, http.StatusRequestedRangeNotSatisfiable, res.StatusCode, asked)
		require.Contains(t, body, "RANGE_INVALID", asked)
	}
	res, _ := b.request(http.MethodGet, path, nil)
	require.Equal(t, "0-99", res.Header.Get("Range"), "nothing was written")
}

func TestUpload_TakesOneByteAtTheStart(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	res, body := b.request(http.MethodPatch, path, bytes.NewReader([]byte("x")), "Content-Range", "0-0")
	require.Equal(t, http.StatusAccepted, res.StatusCode, body)
	res, body = b.request(http.MethodPut, path+"?digest="+string(digest.FromString("x")), nil)
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
}

func TestUpload_IsForgottenWhenItsDigestIsWrong(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	res, body := b.request(http.MethodPut, path+"?digest="+string(digest.FromString("other")), bytes.NewReader([]byte("content")))
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, body, "DIGEST_INVALID")
	require.False(t, b.has("shop", digest.FromString("other")))
	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Empty(t, globUploads(t, b))
}

func TestUpload_TakesSHA512(t *testing.T) {
	b := newBerth(t)
	content := randomBytes(t, 1000)
	d := digest.SHA512.FromBytes(content)
	res, body := b.request(http.MethodPut, b.begin()+"?digest="+string(d), bytes.NewReader(content))
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	require.True(t, b.has("shop", d))
}

func TestUpload_IsBounded(t *testing.T) {
	b := newBerth(t, func(c *registry.Config) { c.MaxBlob = 1000 })
	content := make([]byte, 1001)
	d := "?digest=" + string(digest.FromBytes(content))

	t.Run("said beforehand", func(t *testing.T) {
		res, body := b.request(http.MethodPost, "/v2/shop/blobs/uploads/"+d, bytes.NewReader(content))
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode, body)
	})
	t.Run("found on writing", func(t *testing.T) {
		res, body := b.request(http.MethodPut, b.begin()+d, io.MultiReader(bytes.NewReader(content)))
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode, body)
		require.Contains(t, body, "at most 1000 bytes")
	})
	t.Run("in chunks", func(t *testing.T) {
		path := b.begin()
		res, _ := b.request(http.MethodPatch, path, bytes.NewReader(content[:600]))
		require.Equal(t, http.StatusAccepted, res.StatusCode)
		res, body := b.request(http.MethodPatch, path, bytes.NewReader(content[:600]))
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode, body)
	})
}

func TestUpload_HasOneWriterAtATime(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	body, feed := io.Pipe()
	done := make(chan int)
	go func() {
		res, _ := b.request(http.MethodPatch, path, body)
		done <- res.StatusCode
	}()
	_, err := feed.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(globUploads(t, b)) == 1 }, 20*time.Second, time.Millisecond)

	res, text := b.request(http.MethodPatch, path, bytes.NewReader([]byte("me too")))
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, res.StatusCode)
	require.Contains(t, text, "another request")
	res, _ = b.request(http.MethodDelete, path, nil)
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, res.StatusCode)
	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, http.StatusNoContent, res.StatusCode, "how far it is can be asked at any time")

	require.NoError(t, feed.Close())
	require.Equal(t, http.StatusAccepted, <-done)
}

func TestUpload_CanBeCancelled(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	_, _ = b.request(http.MethodPatch, path, bytes.NewReader([]byte("bytes")))
	res, _ := b.request(http.MethodDelete, path, nil)
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Empty(t, globUploads(t, b))
}

func TestUpload_BelongsToItsRepository(t *testing.T) {
	b := newBerth(t)
	path := b.begin()
	res, _ := b.request(http.MethodPatch, "/v2/other"+path[len("/v2/shop"):], bytes.NewReader([]byte("bytes")))
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

func TestUpload_OneRepositoryTakesNoMoreThanItsShareOfTheRoom(t *testing.T) {
	b := newBerth(t)
	begin := func(repository string) (int, string) {
		res, body := b.request(http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil)
		return res.StatusCode, body
	}
	last := b.begin()
	for range 124 {
		last = b.begin()
	}
	status, body := begin("shop")
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, body, "125 uploads to shop have begun and not ended")
	res, body := b.request(http.MethodPost, "/v2/shop/blobs/uploads/?digest="+string(digest.FromString("x")), bytes.NewReader([]byte("x")))
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode, body)
	status, body = begin("other")
	require.Equal(t, http.StatusAccepted, status, body)
	res, _ = b.request(http.MethodDelete, last, nil)
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	_ = b.begin()

	// All together are bounded as well.
	require.NoError(t, b.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for n := range 1000 - 126 {
			_, err := tx.ExecContext(t.Context(), `
				INSERT INTO registry_uploads (id, repository, started_at, touched_at)
				VALUES (?, ?, 0, 0)`, fmt.Sprintf("upload%d", n), fmt.Sprintf("app%d", n%10))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	status, body = begin("other")
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, body, "1000 uploads have begun")
}

func globUploads(t *testing.T, b *berth) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.dir, "uploads", "*"))
	require.NoError(t, err)
	return found
}

func TestUpload_ThatStandsStillIsGivenUp(t *testing.T) {
	b := newBerth(t, func(c *registry.Config) { c.Patience = time.Second }) // enough for what does come
	path := b.begin()
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write([]byte("some bytes")) }()

	res, text := b.request(http.MethodPatch, path, body)
	require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
	require.Contains(t, text, "stopped coming")
	res, _ = b.request(http.MethodGet, path, nil)
	require.Equal(t, "0-9", res.Header.Get("Range"), "what had come is kept")
}

func TestDownload_ThatNobodyTakesIsGivenUp(t *testing.T) {
	b := newBerth(t, func(c *registry.Config) { c.Patience = 50 * time.Millisecond })
	content := randomBytes(t, 32<<20) // more than the sockets hold
	d := b.blob("shop", content)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+"/v2/shop/blobs/"+string(d), nil)
	require.NoError(t, err)
	req.SetBasicAuth("ana", "ana-password")
	served := make(chan struct{})
	b.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(served)
		b.Handler().ServeHTTP(w, req)
	})
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()

	select {
	case <-served:
	case <-time.After(10 * time.Second):
		t.Fatal("the download still waits")
	}
	_, err = io.Copy(io.Discard, res.Body)
	require.Error(t, err)
}
