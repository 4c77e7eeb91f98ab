package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// inside is a repository of the built-in registry as a source: read from
// storage, with no HTTP between.
type inside struct {
	registry   *Registry
	repository string
}

func (s inside) manifest(ctx context.Context, reference string) (*storedManifest, error) {
	m, err := s.registry.manifest(ctx, s.repository, reference)
	if errors.Is(err, errNameUnknown) || errors.Is(err, errManifestUnknown) {
		return nil, errNoManifest
	}
	return m, err
}

func (s inside) config(ctx context.Context, d digest.Digest) ([]byte, error) {
	f, err := s.registry.openBlob(ctx, s.repository, d)
	if errors.Is(err, errBlobUnknown) {
		return nil, fault.Unavailable("the configuration of an image in %s is missing from the registry; push the image again", s.repository)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readConfig(f, d)
}

func (s inside) tags(ctx context.Context, limit int) (names []string, err error) {
	err = s.registry.db.Read(ctx, func(tx *sqlite.Tx) error {
		tags, err := selectTags(ctx, tx, s.repository, limit)
		for _, t := range tags {
			names = append(names, t.Name)
		}
		return err
	})
	return names, err
}

// readConfig reads an image's configuration, and holds it to its digest.
func readConfig(from io.Reader, d digest.Digest) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(from, maxImageConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read image configuration %s: %w", d, err)
	}
	if len(raw) > maxImageConfig {
		return nil, fault.Invalid("the image's configuration has more than %d bytes", maxImageConfig)
	}
	if d.Algorithm().FromBytes(raw) != d {
		return nil, fault.Unavailable("the image's configuration is damaged: it does not have the digest it is named by")
	}
	return raw, nil
}
