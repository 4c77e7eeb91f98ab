package registry

import (
	"net/http"
	"net/url"
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ociref"
)

// action is what a request does to a repository, as scopes spell it.
type action string

// The actions. Whoever may push may delete.
const (
	pull   action = "pull"
	push   action = "push"
	remove action = "delete"
)

// part is what of a repository a request is about.
type part int

// The parts. An upload's status and an upload itself are one part.
const (
	partBase part = iota
	partCatalog
	partBlob
	partUploads // begin one
	partUpload
	partManifest
	partTags
	partReferrers
)

// target is what a request under /v2/ is about. It is found once, at the
// edge; what is asked of the protocol's server afterwards is built from it, so
// that nothing is done to a repository but the one that was decided on.
type target struct {
	part       part
	action     action
	repository string
	reference  string // digest, tag or upload
	mountFrom  string // with partUploads: where the client believes the blob is
	mount      string
}

// targetOf reads a request's method and URL, by the same rules as the
// protocol's server: the end of the path says what it is about.
func targetOf(method string, u *url.URL) (target, error) {
	t := target{action: actionOf(method)}
	if t.action == "" {
		return t, refusef(http.StatusMethodNotAllowed, "UNSUPPORTED", "the method %s is not part of the registry protocol", method)
	}
	rest, ok := strings.CutPrefix(u.Path, "/v2/")
	switch {
	case u.Path == "/v2" || ok && rest == "":
		return t, nil
	case !ok:
		return t, refuse(http.StatusNotFound, "UNSUPPORTED", "no such page")
	case rest == "_catalog":
		t.part = partCatalog
		return t, nil
	}

	name, ok := strings.CutSuffix(strings.TrimSuffix(rest, "/"), "/blobs/uploads")
	if ok {
		t.part, t.repository = partUploads, name
		q := u.Query()
		if t.mountFrom = q.Get("from"); t.mountFrom != "" {
			t.mount = q.Get("mount")
		}
		return t, t.check()
	}
	name, t.reference = cutLast(rest)
	name, what := cutLast(name)
	t.repository = name
	switch what {
	case "blobs":
		t.part = partBlob
	case "uploads":
		t.part = partUpload
		t.repository, ok = strings.CutSuffix(name, "/blobs")
		if !ok || t.reference == "" {
			return t, refuse(http.StatusNotFound, "UNSUPPORTED", "no such page")
		}
		if t.action == pull {
			t.action = push // an upload's status is for the one who uploads
		}
	case "manifests":
		t.part = partManifest
	case "tags":
		t.part = partTags
	case "referrers":
		t.part = partReferrers
	default:
		return t, refuse(http.StatusNotFound, "UNSUPPORTED", "no such page")
	}
	return t, t.check()
}

// right is what the request needs. Whoever uploads may give an upload up.
func (t target) right() action {
	if t.part == partUpload && t.action == remove {
		return push
	}
	return t.action
}

func actionOf(method string) action {
	switch method {
	case http.MethodGet, http.MethodHead:
		return pull
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return push
	case http.MethodDelete:
		return remove
	}
	return ""
}

// check holds the names to the limits of the distribution specification.
func (t target) check() error {
	if err := checkName(t.repository); err != nil {
		return err
	}
	if t.mountFrom != "" {
		if err := checkName(t.mountFrom); err != nil {
			return err
		}
	}
	switch t.part {
	case partManifest:
		if !ociref.IsValidDigest(t.reference) && (t.reference == "" || !ociref.IsValidTag(t.reference)) {
			return refuse(http.StatusBadRequest, "TAG_INVALID",
				"a tag is up to 128 letters, digits, dots, dashes and underscores, and does not begin with a dot or a dash")
		}
	case partBlob, partReferrers:
		if !ociref.IsValidDigest(t.reference) {
			return refuse(http.StatusBadRequest, "DIGEST_INVALID", "a digest is sha256: or sha512: and its hexadecimal digits")
		}
	case partTags:
		if t.reference != "list" {
			return refuse(http.StatusNotFound, "UNSUPPORTED", "no such page")
		}
	case partBase, partCatalog, partUploads, partUpload:
	}
	return nil
}

// maxName bounds a repository's name, in bytes; clients hold the name with
// its host to 255.
const maxName = 200

// checkName says whether a repository in this registry may be called so. A
// first part that looks like a host is refused, since such names mean images
// elsewhere.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return refusef(http.StatusBadRequest, "NAME_INVALID", "a repository name has at most %d characters", maxName)
	case !ociref.IsValidRepository(name):
		return refuse(http.StatusBadRequest, "NAME_INVALID",
			"a repository name is lower-case letters, digits, and single dots, dashes and underscores between them, in parts divided by slashes")
	}
	if first, _, _ := strings.Cut(name, "/"); looksLikeHost(first) {
		return refusef(http.StatusBadRequest, "NAME_INVALID", "the name %s would mean an image on the host %s", name, first)
	}
	return nil
}

// looksLikeHost tells a reference's host from the first part of a name, as
// every client does.
func looksLikeHost(first string) bool {
	return strings.ContainsAny(first, ".:") || first == "localhost"
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}
