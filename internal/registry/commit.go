package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

// Commit makes the upload a blob of its repository, when its bytes are those
// that the digest names. Otherwise the bytes are of no use and go.
func (u *upload) Commit(d ociregistry.Digest) (ociregistry.Descriptor, error) {
	if err := u.open(); err != nil {
		return ociregistry.Descriptor{}, err
	}
	desc := ociregistry.Descriptor{MediaType: octetStream, Digest: d, Size: u.size}
	right, err := u.matches(d)
	if err != nil {
		return ociregistry.Descriptor{}, fmt.Errorf("verify upload %s: %w", u.id, err)
	}
	if !right {
		return ociregistry.Descriptor{}, errors.Join(ociregistry.ErrDigestInvalid, u.Cancel())
	}
	if err := u.file.Sync(); err != nil {
		return ociregistry.Descriptor{}, fmt.Errorf("sync upload %s: %w", u.id, err)
	}
	if err := u.settle(d); err != nil {
		return ociregistry.Descriptor{}, fmt.Errorf("keep blob %s: %w", d, err)
	}
	u.release()
	return desc, nil
}

func (u *upload) matches(d digest.Digest) (bool, error) {
	if d.Algorithm() == digest.SHA256 {
		return digest.NewDigest(digest.SHA256, u.hash) == d, nil
	}
	if _, err := u.file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	v := d.Verifier()
	_, err := io.Copy(v, u.file)
	return v.Verified(), err
}

// settle brings the blob's file and its rows to be. Between the two nothing
// is collected.
func (u *upload) settle(d digest.Digest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), settleTime)
	defer cancel()
	u.r.settling.RLock()
	defer u.r.settling.RUnlock()
	if err := u.r.files.keep(u.id, d); err != nil {
		return err
	}
	return u.r.db.Write(ctx, func(tx *sqlite.Tx) error {
		now := u.r.clock()
		if err := insertBlob(ctx, tx, d, u.size, now); err != nil {
			return err
		}
		if err := linkBlob(ctx, tx, u.repository, d, now); err != nil {
			return err
		}
		return deleteUpload(ctx, tx, u.id)
	})
}
