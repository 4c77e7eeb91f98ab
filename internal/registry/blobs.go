package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

const octetStream = "application/octet-stream"

var errBlobUnknown = refuse(http.StatusNotFound, "BLOB_UNKNOWN", "there is no such blob in this repository")

// findBlob says whether a repository has a blob. A client that hears so will
// not upload it, so the blob's time starts anew when no manifest needs it yet.
func (r *Registry) findBlob(ctx context.Context, repository string, d digest.Digest) error {
	var link blobLink
	err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		link, err = selectLink(ctx, tx, repository, d)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(r.files.blob(d)); errors.Is(err, fs.ErrNotExist) {
		return errBlobUnknown // lost: the client's upload brings it back
	}
	if link.referenced || r.clock().Sub(link.linkedAt) < r.grace/2 {
		return nil
	}
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		if _, err := selectLink(ctx, tx, repository, d); err != nil {
			return err // collected in between
		}
		return linkBlob(ctx, tx, repository, d, r.clock())
	})
}

// openBlob gives a blob's file. It stays readable when the blob is collected
// meanwhile.
func (r *Registry) openBlob(ctx context.Context, repository string, d digest.Digest) (*os.File, error) {
	if err := r.findBlob(ctx, repository, d); err != nil {
		return nil, err
	}
	f, err := r.files.open(d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errBlobUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return f, nil
}

// serveBlob answers GET and HEAD, whole or in ranges (RFC 9110, section 14).
// The file goes to the socket without passing through memory.
func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, t target) error {
	f, err := r.openBlob(req.Context(), t.repository, digest.Digest(t.reference))
	if err != nil {
		return err
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", octetStream)
	h.Set("Docker-Content-Digest", t.reference)
	h.Set("ETag", `"`+t.reference+`"`)
	http.ServeContent(r.patience.writer(w), req, "", time.Time{}, f)
	return nil
}

// mountBlob makes a blob of one repository one of another as well.
func (r *Registry) mountBlob(ctx context.Context, from, to string, d digest.Digest) (size int64, err error) {
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		link, err := selectLink(ctx, tx, from, d)
		if err != nil {
			return err
		}
		size = link.size
		return linkBlob(ctx, tx, to, d, r.clock())
	})
	return size, err
}

// removeBlob takes a blob out of a repository; its file goes when it is
// collected.
func (r *Registry) removeBlob(ctx context.Context, repository string, d digest.Digest) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		link, err := selectLink(ctx, tx, repository, d)
		if err != nil {
			return err
		}
		if link.referenced {
			return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "a manifest of this repository needs the blob; delete the manifest first")
		}
		return unlinkBlob(ctx, tx, repository, d)
	})
}

// putBlob takes a whole blob. A size below 0 is not known beforehand.
func (r *Registry) putBlob(ctx context.Context, repository string, d digest.Digest, size int64, content io.Reader) (desc ociregistry.Descriptor, err error) {
	u, err := r.startUpload(ctx, repository)
	if err != nil {
		return desc, err
	}
	defer func() { err = errors.Join(err, u.Cancel()) }() //nolint:contextcheck // it has the request's own, and ends after it
	if err := u.open(); err != nil {
		return desc, err
	}
	if _, err := io.Copy(u, content); err != nil {
		return desc, err
	}
	if size >= 0 && u.size != size {
		return desc, ociregistry.ErrSizeInvalid
	}
	return u.Commit(d) //nolint:contextcheck // as Cancel
}
