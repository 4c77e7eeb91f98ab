package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

const (
	// collectEvery is how long Run waits between two collections.
	collectEvery = time.Hour
	// collectBatch is how many blobs go under one hold of the store: pushes
	// wait that long.
	collectBatch = 64
)

// Collected is what a collection has removed.
type Collected struct {
	Uploads int   `json:"uploads"`
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
}

// Run collects at once and then every hour, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		done, err := r.Collect(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.log.ErrorContext(ctx, "collecting the registry's garbage failed", "error", err)
		case done != Collected{}:
			r.log.InfoContext(ctx, "registry's garbage collected", "blobs", done.Blobs, "bytes", done.Bytes, "uploads", done.Uploads)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Collect ends the uploads that nobody goes on with, and removes the blobs
// that no manifest has needed for the time of grace. A blob that an upload
// has just brought, that was mounted, or that a client was told is there,
// stands in that time; one that a manifest comes to need stays.
func (r *Registry) Collect(ctx context.Context) (done Collected, err error) {
	if done.Uploads, err = r.endUploads(ctx); err != nil {
		return done, err
	}
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		return deleteLinksBefore(ctx, tx, r.clock().Add(-r.grace))
	})
	if err != nil {
		return done, fmt.Errorf("find blobs that nothing needs: %w", err)
	}
	for {
		n, bytes, err := r.collectBlobs(ctx)
		done.Blobs += n
		done.Bytes += bytes
		if err != nil {
			return done, fmt.Errorf("collect blobs: %w", err)
		}
		if n == 0 {
			break
		}
	}
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error { return deleteEmptyRepositories(ctx, tx) })
	if err != nil {
		return done, fmt.Errorf("remove empty repositories: %w", err)
	}
	return done, r.removeOrphans(ctx)
}

func (r *Registry) endUploads(ctx context.Context) (ended int, err error) {
	var ids []string
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		ids, err = selectUploadsBefore(ctx, tx, r.clock().Add(-r.expiry))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find expired uploads: %w", err)
	}
	for _, id := range ids {
		if !r.writing.take(id) {
			continue // somebody has gone on with it
		}
		gone, err := r.endUpload(ctx, id)
		r.writing.release(id)
		if err != nil {
			return ended, fmt.Errorf("end upload %s: %w", id, err)
		}
		if gone {
			ended++
		}
	}
	return ended, nil
}

// endUpload ends an upload, unless it was gone on with since it was found.
func (r *Registry) endUpload(ctx context.Context, id string) (gone bool, err error) {
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		gone, err = deleteUploadBefore(ctx, tx, id, r.clock().Add(-r.expiry))
		return err
	})
	if err != nil || !gone {
		return false, err
	}
	return true, r.files.removeUpload(id)
}

// collectBlobs removes some blobs that are in no repository, rows first. While it does, no upload
// settles, so the file it removes is never one that has just come again.
func (r *Registry) collectBlobs(ctx context.Context) (n int, bytes int64, err error) {
	r.settling.Lock()
	defer r.settling.Unlock()
	var gone []blobRow
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		gone, err = deleteFreeBlobs(ctx, tx, collectBatch)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	for _, b := range gone {
		if err := r.files.removeBlob(b.digest); err != nil {
			return n, bytes, err
		}
		n++
		bytes += b.size
	}
	return n, bytes, nil
}

// removeOrphans removes the files without a row that a killed process leaves.
func (r *Registry) removeOrphans(ctx context.Context) error {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		err := r.eachOldFile(r.files.blobDir(a), func(name string) error {
			return r.removeOrphan(ctx, digest.NewDigestFromEncoded(a, name))
		})
		if err != nil {
			return fmt.Errorf("remove blobs without a row: %w", err)
		}
	}
	err := r.eachOldFile(r.files.uploadDir(), func(name string) error {
		var known bool
		err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
			known, err = hasUpload(ctx, tx, name)
			return err
		})
		if err != nil || known {
			return err
		}
		return r.files.removeUpload(name)
	})
	if err != nil {
		return fmt.Errorf("remove uploads without a row: %w", err)
	}
	return nil
}

func (r *Registry) removeOrphan(ctx context.Context, d digest.Digest) error {
	r.settling.Lock()
	defer r.settling.Unlock()
	var known bool
	err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		known, err = hasBlob(ctx, tx, d)
		return err
	})
	if err != nil || known {
		return err
	}
	return r.files.removeBlob(d)
}

// eachOldFile gives the names of the files in a folder that have not changed
// for the time of grace.
func (r *Registry) eachOldFile(folder string, do func(name string) error) error {
	dir, err := os.Open(filepath.Clean(folder))
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(batch)
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil || !info.Mode().IsRegular() || r.clock().Sub(info.ModTime()) < r.grace {
				continue // gone meanwhile, or not ours, or young
			}
			if err := do(entry.Name()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
