package registry

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"berth/internal/sqlite"
)

const (
	// maxUploads bounds the uploads that wait for bytes.
	maxUploads = 1000
	// maxUploadsOfOne bounds those to one repository: a token that is bound to
	// it must not take the room of all others.
	maxUploadsOfOne = maxUploads / 8
	// minChunk is what clients are told to send at least, in bytes.
	minChunk = 1 << 20
	// copyBuffer is what an upload holds in memory, in bytes.
	copyBuffer = 256 << 10
	// settleTime bounds the end of a write whose client has gone.
	settleTime = 30 * time.Second
)

var (
	errUploadUnknown = refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; it may have expired")
	errUploadBroken  = refuse(http.StatusRequestTimeout, "BLOB_UPLOAD_INVALID", "the bytes stopped coming; ask how far the upload is, and go on from there")
	errUploadBusy    = refuse(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "another request is writing to this upload")
)

// upload is a blob that arrives in one request or in many. Its bytes are in a
// file, and how far they have been hashed in its row, so that any later
// request goes on, whichever process takes it. It is an
// ociregistry.BlobWriter; the file is taken at the first byte, so that asking
// how far it is never meets the writer.
type upload struct {
	r          *Registry
	ctx        context.Context //nolint:containedctx // BlobWriter's methods have none, and it lives for one request
	id         string
	repository string
	size       int64 // bytes in the file
	file       *os.File
	hash       hash.Hash // of the file's bytes
}

// startUpload makes an empty upload.
func (r *Registry) startUpload(ctx context.Context, repository string) (*upload, error) {
	u := &upload{r: r, ctx: ctx, id: sqlite.NewID(r.clock()), repository: repository}
	err := r.db.Write(ctx, func(tx *sqlite.Tx) error {
		open, own, err := countUploads(ctx, tx, repository)
		if err != nil {
			return err
		}
		if own >= maxUploadsOfOne {
			return refusef(http.StatusTooManyRequests, "TOOMANYREQUESTS",
				"%d uploads to %s have begun and not ended, and one repository may have no more; end some, or try again when some have",
				own, repository)
		}
		if open >= maxUploads {
			return refusef(http.StatusTooManyRequests, "TOOMANYREQUESTS", "%d uploads have begun and not ended; try again when some have", open)
		}
		return insertUpload(ctx, tx, u.id, repository, r.clock())
	})
	if err != nil {
		return nil, fmt.Errorf("start an upload to %s: %w", repository, err)
	}
	return u, nil
}

// findUpload takes up an upload. An offset that is not negative must be where
// it stands.
func (r *Registry) findUpload(ctx context.Context, repository, id string, offset int64) (*upload, error) {
	err := r.db.Read(ctx, func(tx *sqlite.Tx) error {
		_, err := selectUpload(ctx, tx, repository, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	size, err := r.files.received(id)
	if err != nil {
		return nil, fmt.Errorf("look at upload %s: %w", id, err)
	}
	if offset >= 0 && offset != size {
		return nil, refusef(http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID",
			"the upload goes on at byte %d, not at %d", size, offset)
	}
	return &upload{r: r, ctx: ctx, id: id, repository: repository, size: size}, nil
}

// cancelUpload forgets an upload and its bytes.
func (r *Registry) cancelUpload(ctx context.Context, repository, id string) error {
	u, err := r.findUpload(ctx, repository, id, -1)
	if err != nil {
		return err
	}
	if !r.writing.take(id) {
		return errUploadBusy
	}
	defer r.writing.release(id)
	return u.discard(ctx)
}

func (u *upload) ID() string     { return u.id }
func (u *upload) Size() int64    { return u.size }
func (u *upload) ChunkSize() int { return minChunk }

// Write is ReadFrom's little sister, for callers other than io.Copy.
func (u *upload) Write(p []byte) (int, error) {
	if err := u.open(); err != nil {
		return 0, err
	}
	if u.size+int64(len(p)) > u.r.maxBlob {
		return 0, u.failed(refusef(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a blob may have at most %d bytes here", u.r.maxBlob))
	}
	n, err := u.file.Write(p)
	_, _ = u.hash.Write(p[:n]) // never fails
	u.size += int64(n)
	if err != nil {
		return n, u.failed(fmt.Errorf("write to upload %s: %w", u.id, err))
	}
	return n, nil
}

// ReadFrom lets io.Copy use one buffer of a good size. What it fails by and
// is not the upload's doing is the client's: its bytes have stopped coming.
func (u *upload) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{u}, src, make([]byte, copyBuffer))
	if x := exchangeOf(u.ctx); err != nil && x.failure == nil {
		x.failure = errUploadBroken
	}
	return n, err
}

// failed keeps the reason where the edge finds it: the protocol's server
// drops it from its own error.
func (u *upload) failed(err error) error {
	if x := exchangeOf(u.ctx); x != nil {
		x.failure = err
	}
	return err
}

// open takes the upload for this request, and hashes the bytes that came
// after the hash was last kept, which is what a killed process leaves.
func (u *upload) open() error {
	if u.file != nil {
		return nil
	}
	if !u.r.writing.take(u.id) {
		return u.failed(errUploadBusy)
	}
	if err := u.takeUp(); err != nil {
		u.r.writing.release(u.id)
		return u.failed(err)
	}
	return nil
}

func (u *upload) takeUp() error {
	var row uploadRow
	err := u.r.db.Read(u.ctx, func(tx *sqlite.Tx) (err error) {
		row, err = selectUpload(u.ctx, tx, u.repository, u.id)
		return err
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(u.r.files.upload(u.id), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open upload %s: %w", u.id, err)
	}
	h, size, err := resumeHash(f, row)
	if err != nil {
		return errors.Join(fmt.Errorf("take up upload %s: %w", u.id, err), f.Close())
	}
	if size != u.size {
		_ = f.Close()
		return errUploadBusy // it grew between the request's look and its turn
	}
	u.file, u.hash = f, h
	return nil
}

// resumeHash gives the hash of all of f's bytes, and leaves f at its end.
func resumeHash(f *os.File, row uploadRow) (hash.Hash, int64, error) {
	h := sha256.New()
	if len(row.hash) > 0 {
		if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(row.hash); err != nil {
			return nil, 0, err
		}
	}
	if _, err := f.Seek(row.hashed, io.SeekStart); err != nil {
		return nil, 0, err
	}
	rest, err := io.Copy(h, f)
	if err != nil {
		return nil, 0, err
	}
	size := row.hashed + rest
	if info, err := f.Stat(); err != nil {
		return nil, 0, err
	} else if info.Size() != size {
		return nil, 0, errUploadUnknown // shorter than what was kept: its bytes are lost
	}
	return h, size, nil
}

// Close keeps what has arrived, so that another request can go on. It does
// its work even when the client has gone.
func (u *upload) Close() error {
	if u.file == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), settleTime)
	defer cancel()
	defer u.release()
	state, err := u.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	err = u.r.db.Write(ctx, func(tx *sqlite.Tx) error {
		return touchUpload(ctx, tx, u.id, uploadRow{hashed: u.size, hash: state}, u.r.clock())
	})
	if err != nil {
		return fmt.Errorf("keep upload %s: %w", u.id, err)
	}
	return nil
}

func (u *upload) release() {
	_ = u.file.Close() // its bytes are synced, or may be lost
	u.file = nil
	u.r.writing.release(u.id)
}

// Cancel forgets the upload. After Commit or Cancel it does nothing.
func (u *upload) Cancel() error {
	if u.file == nil {
		return nil
	}
	defer u.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), settleTime)
	defer cancel()
	return u.discard(ctx)
}

func (u *upload) discard(ctx context.Context) error {
	err := u.r.db.Write(ctx, func(tx *sqlite.Tx) error { return deleteUpload(ctx, tx, u.id) })
	if err != nil {
		return fmt.Errorf("forget upload %s: %w", u.id, err)
	}
	return u.r.files.removeUpload(u.id)
}
