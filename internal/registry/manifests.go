package registry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// maxManifest bounds a manifest, in bytes, as the distribution specification
// asks registries to.
const maxManifest = 4 << 20

var errManifestUnknown = refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no such manifest in this repository")

// storedManifest is a manifest as it was pushed, to the byte. It is an
// ociregistry.BlobReader.
type storedManifest struct {
	*bytes.Reader
	mediaType string
	digest    digest.Digest
	content   []byte
}

// Descriptor says what the manifest is; of a manifest that is not there it is
// empty.
func (m *storedManifest) Descriptor() ociregistry.Descriptor {
	if m == nil {
		return ociregistry.Descriptor{}
	}
	return ociregistry.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.content))}
}

// Close does nothing: the content is in memory.
func (m *storedManifest) Close() error { return nil }

// manifest finds a manifest by digest or by tag.
func (r *Registry) manifest(ctx context.Context, repository, reference string) (m *storedManifest, err error) {
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		d := digest.Digest(reference)
		if !strings.Contains(reference, ":") {
			if d, err = selectTag(ctx, tx, repository, reference); err != nil {
				return err
			}
		}
		m, err = selectManifest(ctx, tx, repository, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.Reader = bytes.NewReader(m.content)
	return m, nil
}

// putManifest stores a manifest, when all that it needs is there, and points
// the tag at it when there is one. The event stands in the same transaction.
func (r *Registry) putManifest(ctx context.Context, x *exchange, repository, tag string, content []byte, contentType string) (ociregistry.Descriptor, error) {
	doc, err := readDocument(content, contentType)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	m := &storedManifest{mediaType: doc.MediaType, digest: digest.FromBytes(content), content: content}
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		now := r.clock()
		if err := insertRepository(ctx, tx, repository, now); err != nil {
			return err
		}
		for _, need := range doc.needs() {
			if has, err := holds(ctx, tx, repository, need.Digest); err != nil {
				return err
			} else if !has {
				return refusef(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "the manifest needs %s, which is not in %s: push that first", need.Digest, repository)
			}
		}
		if err := insertManifest(ctx, tx, repository, m, doc, now); err != nil {
			return err
		}
		if tag == "" {
			return nil
		}
		if err := putTag(ctx, tx, repository, tag, m.digest, now); err != nil {
			return err
		}
		push := Push{Repository: repository, Tag: tag, Digest: string(m.digest)}
		if x.bound != nil {
			push.Project, push.Stage = x.bound.Project, x.bound.Stage
		}
		return r.events.Append(ctx, tx, event.Event{Kind: Pushed, At: now, Actor: x.actor}, push)
	})
	if err != nil {
		return ociregistry.Descriptor{}, fmt.Errorf("put manifest in %s: %w", repository, err)
	}
	return m.Descriptor(), nil
}

// removeManifest removes a manifest with its tags, and with it what only it
// made sense of: the platforms of an index, and what refers to it.
func (r *Registry) removeManifest(ctx context.Context, actor, repository string, d digest.Digest) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		if _, err := selectManifest(ctx, tx, repository, d); err != nil {
			return err
		}
		if err := r.dropManifest(ctx, tx, repository, d); err != nil {
			return err
		}
		return r.events.Append(ctx, tx, event.Event{Kind: Removed, Actor: actor}, Removal{Repository: repository, Digest: string(d)})
	})
}

// dropManifest is removeManifest within a transaction. The blobs that become
// free start their time of grace, for a push that has seen them.
func (r *Registry) dropManifest(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) error {
	dependents, err := selectDependents(ctx, tx, repository, d)
	if err != nil {
		return err
	}
	if err := relinkReferences(ctx, tx, repository, d, r.clock()); err != nil {
		return err
	}
	if err := deleteManifest(ctx, tx, repository, d); err != nil {
		return err
	}
	for _, dependent := range dependents {
		free, err := isFree(ctx, tx, repository, dependent)
		if err != nil {
			return err
		}
		if !free {
			continue
		}
		if err := r.dropManifest(ctx, tx, repository, dependent); err != nil {
			return err
		}
	}
	return nil
}
