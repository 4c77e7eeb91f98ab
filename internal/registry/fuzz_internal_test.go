package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These live inside the package for what reads strangers' texts and which
// nobody else should call.

// FuzzReadDocument pushes anything as a manifest: what is taken is an image or
// an index, never both, and refers to others by digests alone.
func FuzzReadDocument(f *testing.F) {
	const digest = `"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":1,"digest":` + digest + `}`
	const image, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	for _, content := range []string{
		"", "null", "[]", "{}", `{"schemaVersion":2}`, `{"schemaVersion":1,` + config + `}`, `{"schemaVersion":2,` + config + `}`,
		`{"schemaVersion":2,"mediaType":"` + index + `","manifests":[{"digest":` + digest + `}]}`,
		`{"schemaVersion":2,` + config + `,"manifests":[{"digest":` + digest + `}]}`,
		`{"schemaVersion":2,` + config + `,"layers":[{"digest":"sha256:../.."}]}`,
		`{"schemaVersion":2,` + config + `,"subject":{"digest":""},"MEDIATYPE":"` + index + `"}`,
		`{"schemaVersion":2,"config":null,"layers":null,"annotations":{"\u0000":""}}`,
	} {
		for _, contentType := range []string{image, index, dockerManifest, dockerIndex, "", octetStream, image + "; charset=utf-8", ";;"} {
			f.Add([]byte(content), contentType)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, contentType string) {
		doc, err := readDocument(content, contentType)
		if err != nil {
			return
		}
		if doc.isImage() == doc.isIndex() || doc.isImage() && doc.Config == nil || doc.isIndex() && len(doc.Layers) > 0 {
			t.Fatalf("taken, and neither an image nor an index alone: %s", content)
		}
		for _, d := range doc.all() {
			if d.Digest.Validate() != nil {
				t.Fatalf("taken with the digest %q", d.Digest)
			}
		}
		for _, d := range doc.needs() {
			if !slices.ContainsFunc(doc.all(), func(of ocispec.Descriptor) bool { return of.Digest == d.Digest }) {
				t.Fatalf("needs %s, which it does not refer to", d.Digest)
			}
		}
	})
}

// FuzzGrantsOf asks for any scope: nobody gets more than the account may.
func FuzzGrantsOf(f *testing.F) {
	for _, asked := range []string{
		"", "repository:shop:pull", "repository:shop:pull,push repository:blog:*", "repository:shop:delete", "registry:catalog:*",
		"repository:shop:*:*", "repository::pull", "repository:../..:pull", "repository:shop:8080/x:pull", ":::", "repository(plugin):shop:pull",
		strings.Repeat("repository:shop:pull ", 500), "repository:SHOP:pull", "repository:shop:PULL", "registry:catalog:",
	} {
		for may := range 8 {
			f.Add(asked, may&1 > 0, may&2 > 0, may&4 > 0)
		}
	}
	f.Fuzz(func(t *testing.T, asked string, mayPull, mayPush, isBound bool) {
		a := Account{Name: "ana", Pull: mayPull, Push: mayPush}
		if isBound {
			a.Bound = &Bound{Repository: "shop"}
		}
		grants := grantsOf([]string{asked}, a)
		if len(grants) > maxScopes {
			t.Fatalf("%d grants", len(grants))
		}
		for _, g := range grants {
			switch {
			case g.Type == "registry" && g.Name == "catalog" && mayPull && !isBound:
				continue
			case g.Type != "repository", checkName(g.Name) != nil, isBound && g.Name != "shop", len(g.Actions) == 0:
				t.Fatalf("%q was granted to %+v", g, a)
			}
			for _, what := range g.Actions {
				allowed := map[action]bool{pull: mayPull, push: mayPush, remove: mayPush && !isBound}
				if !allowed[what] || !strings.Contains(asked, g.Name) {
					t.Fatalf("%q was granted to %+v, who asked for %q", g, a, asked)
				}
			}
		}
	})
}

// FuzzForeignAnswers has another registry say anything of its next page and of
// when to ask again: only the query of an address is taken, and no wait is
// longer than the longest.
func FuzzForeignAnswers(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, said := range []string{
		"", "<", "<>", `</v2/a/tags/list?last=b&n=100>; rel="next"`, `<https://evil.example/?last=x>; rel="next"`, `<?%zz>; rel="next"`, `<:>;next`,
		`</v2/a?last=b>; rel="prev"`, "1", "-1", "1e9", "9223372036854775807", "9223372036854775808", " 30 ",
		now.Add(time.Minute).Format(http.TimeFormat), now.Add(-time.Hour).Format(http.TimeFormat), "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		if wait := retryAfter(said, now); wait < 0 || wait > longestRetryAfter {
			t.Fatalf("%q asks to wait %s", said, wait)
		}
		query := nextPage(said)
		if query == nil {
			return
		}
		if len(query) == 0 || !strings.HasPrefix(said, "<") || !strings.Contains(said, "next") {
			t.Fatalf("%q is taken for a next page: %v", said, query)
		}
	})
}

// FuzzTakeRange sends a chunk with any Content-Range. What is taken says where
// the chunk goes, and that alone decides: as it would be written for this
// chunk, it is taken for the same.
func FuzzTakeRange(f *testing.F) {
	for _, text := range []string{
		"", "0-0", "0-1023", "bytes 0-1023/*", "1024-2047", "1-0", "5-3", "-1", "1-", "a-b", "00-01", " 0-1", "+0-+1", "0--1", "0-1-2", "0-1/2/3",
		"bytes bytes 0-1", "0-4611686018427387903", "0-9223372036854775807", "18446744073709551615-0", "4611686018427387903-4611686018427387903",
	} {
		for _, length := range []int64{-1, 0, 1, 2, 1024} {
			f.Add(text, length)
		}
	}
	take := func(text string, length int64) (x *exchange, left string, err error) {
		given := http.Header{"Content-Range": {text}}
		x, req := &exchange{offset: -1}, &http.Request{Header: given, ContentLength: length}
		err = x.takeRange(req)
		if given.Get("Content-Range") != text {
			err = errors.New("it changed the header of another's request")
		}
		return x, req.Header.Get("Content-Range"), err
	}
	f.Fuzz(func(t *testing.T, text string, length int64) {
		length = max(length, -1)
		x, left, err := take(text, length)
		if err != nil || text == "" {
			if x.offset != -1 {
				t.Fatalf("%q is refused, and taken for %d", text, x.offset)
			}
			return
		}
		if x.offset < 0 || left != "" {
			t.Fatalf("%q is taken for %d, and %q is left of it", text, x.offset, left)
		}
		if length <= 0 {
			return
		}
		written := fmt.Sprintf("%d-%d", x.offset, x.offset+length-1)
		if again, _, err := take(written, length); err != nil || again.offset != x.offset {
			t.Fatalf("%q is taken for %s of %d bytes, which is refused or another: %v", text, written, length, err)
		}
	})
}
