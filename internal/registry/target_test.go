package registry

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

// FuzzTarget holds the edge's reading of a request to the protocol server's:
// what the gate decides on is what is done. It lives inside the package for
// targetOf, which nobody else should call.
func FuzzTarget(f *testing.F) {
	digest := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, path := range []string{
		"/v2/", "/v2", "/v2/_catalog", "/v2/a/manifests/b", "/v2/a/blobs/" + digest, "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads",
		"/v2/a/blobs/uploads/aWQ", "/v2/a/tags/list", "/v2/a/referrers/" + digest, "/v2/a/blobs/uploads/manifests/x",
		"/v2/blobs/uploads/blobs/uploads/", "/v2/a/blobs/uploads//", "/v2/a/blobs/uploads/blobs/uploads/aWQ",
		"/v2/a/blobs/uploads/?mount=" + digest + "&from=b", "/v2/a/blobs/uploads/?digest=" + digest, "//v2/a/tags/list", "/v2/a/manifests/..%2fb",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			f.Add(method, path)
		}
	}
	f.Fuzz(func(t *testing.T, method, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		seen := &recorder{}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method, req.URL = method, u
		want, err := targetOf(method, u)
		if err != nil {
			return // refused at the edge: the server is not asked
		}
		ociserver.New(seen, nil).ServeHTTP(httptest.NewRecorder(), req)
		if seen.action == "" {
			return // refused by the server
		}
		if seen.repository != want.repository || seen.action != want.action || seen.from != "" && seen.from != want.mountFrom {
			t.Fatalf("%s %s: decided on %+v, done %+v", method, raw, want, seen)
		}
	})
}

// recorder notes what the protocol's server asks of its storage.
type recorder struct {
	*ociregistry.Funcs

	action     action
	repository string
	from       string
}

func (r *recorder) note(a action, repository string) error {
	r.action, r.repository = a, repository
	return ociregistry.ErrUnsupported
}

func (r *recorder) GetBlob(_ context.Context, repo string, _ ociregistry.Digest) (ociregistry.BlobReader, error) {
	return nil, r.note(pull, repo)
}

func (r *recorder) GetBlobRange(_ context.Context, repo string, _ ociregistry.Digest, _, _ int64) (ociregistry.BlobReader, error) {
	return nil, r.note(pull, repo)
}

func (r *recorder) GetManifest(_ context.Context, repo string, _ ociregistry.Digest) (ociregistry.BlobReader, error) {
	return nil, r.note(pull, repo)
}

func (r *recorder) GetTag(_ context.Context, repo, _ string) (ociregistry.BlobReader, error) {
	return nil, r.note(pull, repo)
}

func (r *recorder) ResolveBlob(_ context.Context, repo string, _ ociregistry.Digest) (ociregistry.Descriptor, error) {
	return ociregistry.Descriptor{}, r.note(pull, repo)
}

func (r *recorder) ResolveManifest(_ context.Context, repo string, _ ociregistry.Digest) (ociregistry.Descriptor, error) {
	return ociregistry.Descriptor{}, r.note(pull, repo)
}

func (r *recorder) ResolveTag(_ context.Context, repo, _ string) (ociregistry.Descriptor, error) {
	return ociregistry.Descriptor{}, r.note(pull, repo)
}

func (r *recorder) PushBlob(_ context.Context, repo string, _ ociregistry.Descriptor, _ io.Reader) (ociregistry.Descriptor, error) {
	return ociregistry.Descriptor{}, r.note(push, repo)
}

func (r *recorder) PushBlobChunked(_ context.Context, repo string, _ int) (ociregistry.BlobWriter, error) {
	return nil, r.note(push, repo)
}

func (r *recorder) PushBlobChunkedResume(_ context.Context, repo, _ string, _ int64, _ int) (ociregistry.BlobWriter, error) {
	return nil, r.note(push, repo)
}

func (r *recorder) MountBlob(_ context.Context, fromRepo, toRepo string, _ ociregistry.Digest) (ociregistry.Descriptor, error) {
	r.from = fromRepo
	return ociregistry.Descriptor{}, r.note(push, toRepo)
}

func (r *recorder) PushManifest(_ context.Context, repo, _ string, _ []byte, _ string) (ociregistry.Descriptor, error) {
	return ociregistry.Descriptor{}, r.note(push, repo)
}

func (r *recorder) DeleteBlob(_ context.Context, repo string, _ ociregistry.Digest) error {
	return r.note(remove, repo)
}

func (r *recorder) DeleteManifest(_ context.Context, repo string, _ ociregistry.Digest) error {
	return r.note(remove, repo)
}

func (r *recorder) DeleteTag(_ context.Context, repo, _ string) error {
	return r.note(remove, repo)
}

func (r *recorder) Tags(_ context.Context, repo, _ string) iter.Seq2[string, error] {
	return ociregistry.ErrorSeq[string](r.note(pull, repo))
}

func (r *recorder) Referrers(_ context.Context, repo string, _ ociregistry.Digest, _ string) iter.Seq2[ociregistry.Descriptor, error] {
	return ociregistry.ErrorSeq[ociregistry.Descriptor](r.note(pull, repo))
}
