package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// files is the folder of blobs, each named by its digest, and of uploads,
// each named by its id. A blob's file is whole from the moment it has its
// name: it is written elsewhere, synced, and renamed.
type files struct{ dir string }

func openFiles(dir string) (files, error) {
	f := files{dir: dir}
	for _, d := range []string{f.blobDir(digest.SHA256), f.blobDir(digest.SHA512), f.uploadDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return files{}, fmt.Errorf("make the registry's folder: %w", err)
		}
	}
	return f, nil
}

func (f files) uploadDir() string                 { return filepath.Join(f.dir, "uploads") }
func (f files) upload(id string) string           { return filepath.Join(f.uploadDir(), id) }
func (f files) blobDir(a digest.Algorithm) string { return filepath.Join(f.dir, "blobs", a.String()) }

func (f files) blob(d digest.Digest) string {
	return filepath.Join(f.blobDir(d.Algorithm()), d.Encoded())
}
func (f files) open(d digest.Digest) (*os.File, error) { return os.Open(f.blob(d)) }

// received says how many bytes of an upload have arrived.
func (f files) received(id string) (int64, error) {
	info, err := os.Stat(f.upload(id))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// keep gives an upload's file, which must be synced, its name as a blob, and
// makes that name durable. A file of that name holds the same bytes, or is
// damaged, so it is written over.
func (f files) keep(id string, d digest.Digest) error {
	if err := os.Rename(f.upload(id), f.blob(d)); err != nil {
		return err
	}
	dir, err := os.Open(f.blobDir(d.Algorithm()))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f files) removeUpload(id string) error     { return removeFile(f.upload(id)) }
func (f files) removeBlob(d digest.Digest) error { return removeFile(f.blob(d)) }

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
