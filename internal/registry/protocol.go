package registry

import (
	"context"
	"io"
	"iter"

	"cuelabs.dev/go/oci/ociregistry"
)

// protocol is the registry as the protocol's server wants it. What is not
// here (reading blobs, referrers) is answered at the edge.
type protocol struct {
	*ociregistry.Funcs // nil: whatever is asked beyond this is unsupported
	r                  *Registry
}

// The aliases keep the signatures below on one line.
type (
	descriptor = ociregistry.Descriptor
	blobReader = ociregistry.BlobReader
	blobWriter = ociregistry.BlobWriter
	digestOf   = ociregistry.Digest
)

func (p *protocol) PushBlob(ctx context.Context, repo string, desc descriptor, content io.Reader) (descriptor, error) {
	return p.r.putBlob(ctx, repo, desc.Digest, desc.Size, content)
}

func (p *protocol) PushBlobChunked(ctx context.Context, repo string, _ int) (blobWriter, error) {
	return p.r.startUpload(ctx, repo)
}

// PushBlobChunkedResume takes the offset that the edge read from the request:
// the server's own can't be told from a missing one.
func (p *protocol) PushBlobChunkedResume(ctx context.Context, repo, id string, _ int64, _ int) (blobWriter, error) {
	return p.r.findUpload(ctx, repo, id, exchangeOf(ctx).offset)
}

func (p *protocol) MountBlob(ctx context.Context, fromRepo, toRepo string, d digestOf) (descriptor, error) {
	size, err := p.r.mountBlob(ctx, fromRepo, toRepo, d)
	return descriptor{MediaType: octetStream, Digest: d, Size: size}, err
}

func (p *protocol) DeleteBlob(ctx context.Context, repo string, d digestOf) error {
	return p.r.removeBlob(ctx, repo, d)
}

func (p *protocol) PushManifest(ctx context.Context, repo, tag string, content []byte, mediaType string) (descriptor, error) {
	return p.r.putManifest(ctx, exchangeOf(ctx), repo, tag, content, mediaType)
}

func (p *protocol) GetManifest(ctx context.Context, repo string, d digestOf) (blobReader, error) {
	return p.r.manifest(ctx, repo, string(d))
}

func (p *protocol) GetTag(ctx context.Context, repo, tag string) (blobReader, error) {
	return p.r.manifest(ctx, repo, tag)
}

func (p *protocol) ResolveManifest(ctx context.Context, repo string, d digestOf) (descriptor, error) {
	m, err := p.r.manifest(ctx, repo, string(d))
	return m.Descriptor(), err
}

func (p *protocol) ResolveTag(ctx context.Context, repo, tag string) (descriptor, error) {
	m, err := p.r.manifest(ctx, repo, tag)
	return m.Descriptor(), err
}

func (p *protocol) DeleteManifest(ctx context.Context, repo string, d digestOf) error {
	return p.r.removeManifest(ctx, exchangeOf(ctx).actor, repo, d)
}

func (p *protocol) DeleteTag(ctx context.Context, repo, tag string) error {
	return p.r.removeTag(ctx, exchangeOf(ctx).actor, repo, tag, leaveManifest)
}

func (p *protocol) Repositories(ctx context.Context, startAfter string) iter.Seq2[string, error] {
	return p.r.names(ctx, startAfter, selectRepositoryNames)
}

func (p *protocol) Tags(ctx context.Context, repo, startAfter string) iter.Seq2[string, error] {
	return p.r.tagNames(ctx, repo, startAfter)
}
