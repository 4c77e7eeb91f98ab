package registry

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of manifests besides those of the OCI image specification.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// maxNeeds bounds what one manifest refers to.
const maxNeeds = 4096

// document is what the registry reads of a manifest or an index, in the
// spelling of the OCI image specification; Docker's has the same names.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// readDocument reads a pushed manifest and says what is wrong with it.
func readDocument(content []byte, contentType string) (document, error) {
	var doc document
	if len(content) > maxManifest {
		return doc, errManifestLarge
	}
	if err := json.Unmarshal(content, &doc); err != nil {
		return doc, refusef(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest is not JSON as the image specification has it: %v", err)
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType == octetStream {
		mediaType = doc.MediaType
	}
	if doc.MediaType == "" {
		doc.MediaType = mediaType
	}
	switch {
	case doc.MediaType != mediaType:
		return doc, refusef(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest says it is %s and the request that it is %s", doc.MediaType, mediaType)
	case !doc.isIndex() && !doc.isImage():
		return doc, refusef(http.StatusBadRequest, "MANIFEST_INVALID", "manifests of type %q are not taken here: OCI and Docker schema 2 are", mediaType)
	case doc.SchemaVersion != 2:
		return doc, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest's schemaVersion is not 2")
	case doc.isImage() && doc.Config == nil:
		return doc, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest has no config")
	case doc.isImage() && len(doc.Manifests) > 0, doc.isIndex() && (doc.Config != nil || len(doc.Layers) > 0):
		// CVE-2021-41190: what one client reads as an image, another must not read as an index.
		return doc, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest is an image and an index at once")
	case len(doc.Layers)+len(doc.Manifests) > maxNeeds:
		return doc, refusef(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest refers to more than %d others", maxNeeds)
	}
	for _, d := range doc.all() {
		if err := d.Digest.Validate(); err != nil {
			return doc, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest refers to something by a digest that is none")
		}
	}
	return doc, nil
}

func (d document) isIndex() bool {
	return d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == dockerIndex
}

func (d document) isImage() bool {
	return d.MediaType == ocispec.MediaTypeImageManifest || d.MediaType == dockerManifest
}

// all gives every descriptor of the manifest.
func (d document) all() []ocispec.Descriptor {
	list := slices.Concat(d.Manifests, d.Layers)
	if d.Config != nil {
		list = append(list, *d.Config)
	}
	if d.Subject != nil {
		list = append(list, *d.Subject)
	}
	return list
}

// needs gives what must be in the repository: all but the subject, which may
// come later, and layers that may not be distributed, which are elsewhere.
func (d document) needs() []ocispec.Descriptor {
	d.Subject = nil
	var list []ocispec.Descriptor
	for _, desc := range d.all() {
		if len(desc.URLs) > 0 && (strings.Contains(desc.MediaType, "nondistributable") || strings.Contains(desc.MediaType, ".foreign.")) {
			continue
		}
		list = append(list, desc)
	}
	return list
}

// subject gives the digest that the manifest is about, "" when none.
func (d document) subject() digest.Digest {
	if d.Subject == nil {
		return ""
	}
	return d.Subject.Digest
}

// artifactType is by which referrers are chosen: that of the configuration
// stands in for one that is missing.
func (d document) artifactType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}
