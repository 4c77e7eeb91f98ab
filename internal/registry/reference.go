package registry

import (
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ociref"
	"github.com/opencontainers/go-digest"

	"berth/internal/fault"
)

// maxReference bounds a reference, in bytes, before it is looked at.
const maxReference = 512

// ParseReference takes an image reference apart: "shop:1.4",
// "team/shop@sha256:…", "ghcr.io/ana/shop:1". repository is as projects are
// written: an image of Berth's own registry without a host, any other with
// it. reference is a tag or a digest, "" when the text has neither; where it
// has both, the digest says more. Its faults are Invalid and name what is
// wrong.
func ParseReference(s string) (repository, reference string, err error) {
	text := s
	if len(text) > maxReference {
		return "", "", fault.Invalid("an image reference has at most %d characters", maxReference)
	}
	for _, prefix := range []string{"https://", "http://", "docker://", "oci://"} {
		if strings.HasPrefix(text, prefix) {
			return "", "", fault.Invalid("leave out %s: an image reference begins with its host or its name", prefix)
		}
	}
	text, digestText, hasDigest := strings.Cut(text, "@")
	if hasDigest {
		if digest.Digest(digestText).Validate() != nil {
			return "", "", fault.Invalid("%q is not a digest: write sha256: and 64 hexadecimal digits", digestText)
		}
		reference = digestText
	}
	// A colon after the last slash begins the tag; before, it is a port.
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, '/') {
		tag := text[i+1:]
		text = text[:i]
		if tag == "" || !ociref.IsValidTag(tag) {
			return "", "", fault.Invalid("%q is not a tag: up to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or a dash", tag)
		}
		if !hasDigest {
			reference = tag
		}
	}
	repository, err = normalRepository(text)
	return repository, reference, err
}

// normalRepository checks a repository as a project has it, and gives its one
// spelling.
func normalRepository(text string) (string, error) {
	if text == "" {
		return "", fault.Invalid("an image reference needs a name, such as shop:1.4 or ghcr.io/ana/shop:1")
	}
	host, name := splitHost(text)
	switch {
	case host != "" && name == "":
		return "", fault.Invalid("%q looks like a host: name the image on it, such as %s/shop", text, host)
	case host != "" && !validHost(host):
		return "", fault.Invalid("%q is not a host name", host)
	case strings.ToLower(name) != name:
		return "", fault.Invalid("the image name %q has upper-case letters; image names are lower-case", name)
	case len(name) > maxName:
		return "", fault.Invalid("an image name has at most %d characters", maxName)
	case !ociref.IsValidRepository(name):
		return "", fault.Invalid("%q is not an image name: lower-case letters and digits, with single dots, dashes and underscores between them, in parts divided by slashes", name)
	case host == "":
		return name, nil
	}
	if host = strings.ToLower(host); host == "index.docker.io" || host == "registry-1.docker.io" {
		host = dockerHub
	}
	if host == dockerHub && !strings.Contains(name, "/") {
		name = "library/" + name // as every client reads it
	}
	return host + "/" + name, nil
}

const dockerHub = "docker.io"

// splitHost divides a repository into host and name; the host is "" for one
// of Berth's own registry.
func splitHost(repository string) (host, name string) {
	first, rest, _ := strings.Cut(repository, "/")
	if looksLikeHost(first) {
		return first, rest
	}
	return "", repository
}

// validHost says whether a host, with or without a port, can be asked.
func validHost(host string) bool {
	return ociref.IsValidHost(host) || host == "localhost"
}
