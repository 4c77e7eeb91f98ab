package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/internal/sqlite"
)

const (
	// referrerPage is how many referrers one answer lists at most.
	referrerPage = 200
	// maxAnnotations bounds the annotations in one answer, in bytes.
	maxAnnotations = 2 << 20
)

// serveReferrers lists the manifests that are about another, as an index
// (distribution specification, "Listing Referrers"). It is answered here
// because the protocol's server says null for none and has no pages; a
// repository that is not there has no referrers, which is no error.
func (r *Registry) serveReferrers(w http.ResponseWriter, req *http.Request, t target) error {
	ctx, q := req.Context(), req.URL.Query()
	artifactType := q.Get("artifactType")
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	more, weight := false, 0
	take := func(row referrerRow) bool {
		d := row.descriptor()
		for k, v := range d.Annotations {
			weight += len(k) + len(v)
		}
		if n := len(index.Manifests); n == referrerPage || weight > maxAnnotations && n > 0 {
			more = true
			return false
		}
		index.Manifests = append(index.Manifests, d)
		return true
	}
	err := r.db.Read(ctx, func(tx *sqlite.Tx) error {
		return eachReferrer(ctx, tx, t.repository, digest.Digest(t.reference), artifactType, digest.Digest(q.Get("last")), take)
	})
	if err != nil {
		return err
	}
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", ocispec.MediaTypeImageIndex)
	if artifactType != "" {
		h.Set("OCI-Filters-Applied", "artifactType")
	}
	if more {
		q.Set("last", string(index.Manifests[len(index.Manifests)-1].Digest))
		h.Set("Link", fmt.Sprintf(`<%s>; rel="next"`, &url.URL{Path: req.URL.Path, RawQuery: q.Encode()}))
	}
	_, err = w.Write(body)
	return err
}

func (row referrerRow) descriptor() ocispec.Descriptor {
	var doc document
	_ = json.Unmarshal(row.content, &doc) // it was read when it was pushed
	return ocispec.Descriptor{
		MediaType: row.mediaType, Digest: row.digest, Size: int64(len(row.content)),
		ArtifactType: row.artifactType, Annotations: doc.Annotations,
	}
}
