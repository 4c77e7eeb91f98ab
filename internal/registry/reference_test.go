package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/registry"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseReference_TakesItApart(t *testing.T) {
	for text, want := range map[string][2]string{
		"shop":                         {"shop", ""},
		"shop:1.4":                     {"shop", "1.4"},
		"team/shop@" + someDigest:      {"team/shop", someDigest},
		"shop:1.4@" + someDigest:       {"shop", someDigest},
		"ghcr.io/a/b:1":                {"ghcr.io/a/b", "1"},
		"GHCR.io/a/b":                  {"ghcr.io/a/b", ""},
		"localhost/shop:1":             {"localhost/shop", "1"},
		"localhost:5000/shop":          {"localhost:5000/shop", ""},
		"[::1]:5000/shop:1":            {"[::1]:5000/shop", "1"},
		"docker.io/nginx":              {"docker.io/library/nginx", ""},
		"index.docker.io/nginx:1":      {"docker.io/library/nginx", "1"},
		"docker.io/library/nginx:1-al": {"docker.io/library/nginx", "1-al"},
	} {
		repository, reference, err := registry.ParseReference(text)
		require.NoError(t, err, text)
		require.Equal(t, want, [2]string{repository, reference}, text)
	}
}

func TestParseReference_SaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "needs a name",
		":1":                               "needs a name",
		"https://ghcr.io/a/b":              "leave out https://",
		"docker://shop":                    "leave out docker://",
		"Shop:1":                           "upper-case",
		"shop:":                            "not a tag",
		"shop:a b":                         "not a tag",
		"shop:" + strings.Repeat("a", 129): "not a tag",
		"shop@sha256:abc":                  "not a digest",
		"shop@":                            "not a digest",
		"a//b":                             "not an image name",
		"shop web":                         "not an image name",
		"ghcr.io":                          "looks like a host",
		"ghcr.io/":                         "looks like a host",
		"exa_mple.com/shop":                "not a host name",
		"[::1/shop":                        "not a host name",
		strings.Repeat("a", 201):           "at most 200",
		strings.Repeat("a", 600):           "at most 512",
	} {
		_, _, err := registry.ParseReference(text)
		require.Equal(t, fault.BadInput, fault.KindOf(err), text)
		require.Contains(t, fault.Message(err), want, text)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"shop:1.4", "ghcr.io/a/b@" + someDigest, "localhost:5000/a:1", "a:b@c", "[::1]:5/a", "docker.io/x", "..", "a/../b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		repository, reference, err := registry.ParseReference(s)
		if err != nil {
			if fault.KindOf(err) != fault.BadInput {
				t.Fatalf("%q is refused by an error that nobody may read: %v", s, err)
			}
			return
		}
		// What is accepted has one spelling, and means itself.
		separator := ":"
		if strings.Contains(reference, ":") {
			separator = "@"
		}
		if reference == "" {
			separator = ""
		}
		again, reference2, err := registry.ParseReference(repository + separator + reference)
		if err != nil || again != repository || reference2 != reference {
			t.Fatalf("%q is %q %q, which is %q %q, %v", s, repository, reference, again, reference2, err)
		}
	})
}
