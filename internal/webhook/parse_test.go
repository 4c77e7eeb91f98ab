package webhook_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/webhook"
)

const (
	emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	someDigest  = "sha256:8a9e9863dbb6e10edb5adfe917c00da84e1700fa76e7ed02476aa6e6fb8ee0d8"
)

func payload(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	return raw
}

// samples are payloads of pushes as each product documents them: see the
// comments of the parsers.
var samples = []struct {
	source      webhook.Source
	event, file string
	host        string // the webhook's registry
	want        []string
}{
	{webhook.DockerHub, "", "dockerhub.json", "", []string{"docker.io/ana/shop:1.4"}},
	{webhook.GitHub, "registry_package", "github_registry_package.json", "", []string{"ghcr.io/ana/shop:1.4 " + emptyDigest}},
	{webhook.GitHub, "package", "github_package_untagged.json", "", []string{"ghcr.io/ana/shop " + emptyDigest}},
	{webhook.Gitea, "package", "gitea.json", "", []string{"git.example.org/ana/team/shop:1.4"}},
	{webhook.Forgejo, "package", "forgejo.json", "", []string{"code.example.org/ana/team/shop " + emptyDigest}},
	{webhook.Forgejo, "package", "gitea.json", "registry.example.org:5000", []string{"registry.example.org:5000/ana/team/shop:1.4"}},
	{webhook.GitLab, "", "distribution.json", "", []string{"registry.example.org/team/shop:1.4 " + emptyDigest}},
	{webhook.Distribution, "", "distribution.json", "", []string{"registry.example.org/team/shop:1.4 " + emptyDigest}},
	{webhook.Distribution, "", "distribution.json", "10.0.0.7:5000", []string{"10.0.0.7:5000/team/shop:1.4 " + emptyDigest}},
	{webhook.Harbor, "", "harbor.json", "", []string{"harbor.example.org/team/shop:1.4 " + someDigest}},
	{webhook.Harbor, "", "harbor_cloudevent.json", "", []string{"harbor.example.org/team/shop:1.4 " + someDigest}},
	{webhook.Quay, "", "quay.json", "", []string{"quay.io/ana/shop:1.4", "quay.io/ana/shop:latest"}},
	{webhook.Zot, "zotregistry.image.updated", "zot_binary.json", "zot.example.org", []string{"zot.example.org/team/shop:1.4 " + someDigest}},
	{webhook.Zot, "", "zot_structured.json", "zot.example.org", []string{"zot.example.org/team/shop " + someDigest}},
	{webhook.Generic, "", "generic.json", "", []string{"ghcr.io/ana/shop:1.4"}},
}

func said(parsed webhook.Parsed) []string {
	list := []string{}
	for _, h := range parsed.Hints {
		text := h.Repository
		if h.Tag != "" {
			text += ":" + h.Tag
		}
		list = append(list, strings.TrimSpace(text+" "+h.Digest))
	}
	return list
}

func TestParse_ReadsWhatEachProductSends(t *testing.T) {
	for _, c := range samples {
		t.Run(string(c.source)+" "+c.file, func(t *testing.T) {
			parsed, err := webhook.Parse(c.source, c.event, "application/json", payload(t, c.file), c.host)
			require.NoError(t, err)
			require.Equal(t, c.want, said(parsed))
			require.Empty(t, parsed.Ignored)
		})
	}
}

func TestParse_TakesAFormFromAForge(t *testing.T) {
	form := url.Values{"payload": {string(payload(t, "github_registry_package.json"))}}.Encode()
	parsed, err := webhook.Parse(webhook.GitHub, "registry_package", "application/x-www-form-urlencoded", []byte(form), "")
	require.NoError(t, err)
	require.Equal(t, []string{"ghcr.io/ana/shop:1.4 " + emptyDigest}, said(parsed))
	_, err = webhook.Parse(webhook.GitHub, "registry_package", "application/x-www-form-urlencoded", []byte("a=b"), "")
	require.Equal(t, fault.BadInput, fault.KindOf(err))
}

func TestParse_TakesAnyOfTheGenericForms(t *testing.T) {
	for body, want := range map[string][]string{
		`{"image":"localhost:5000/shop"}`:                                 {"localhost:5000/shop"},
		`{"image":"localhost:5000/shop:1@` + someDigest + `"}`:            {"localhost:5000/shop:1 " + someDigest},
		`{"images":["a.io/x:1","a.io/x:1","a.io/y:2"]}`:                   {"a.io/x:1", "a.io/y:2"},
		`{"repository":"a.io/x","tag":"1","digest":"` + someDigest + `"}`: {"a.io/x:1 " + someDigest},
		`{"repository":"a.io/x","digest":"` + someDigest + `"}`:           {"a.io/x " + someDigest},
		`{"repository":"nginx","tag":"1"}`:                                nil, // no host
		`{"image":"a.io/x:not a tag"}`:                                    nil,
		`{"image":5}`:                                                     nil,
		`{}`:                                                              nil,
		`[]`:                                                              nil,
		`null`:                                                            nil,
	} {
		parsed, err := webhook.Parse(webhook.Generic, "", "application/json", []byte(body), "")
		if want == nil {
			require.Equal(t, fault.BadInput, fault.KindOf(err), body)
			continue
		}
		require.NoError(t, err, body)
		require.Equal(t, want, said(parsed), body)
	}
}

func TestParse_IgnoresWhatIsNoPush(t *testing.T) {
	deleted := strings.Replace(string(payload(t, "gitea.json")), `"created"`, `"deleted"`, 1)
	npm := strings.Replace(string(payload(t, "gitea.json")), `"container"`, `"npm"`, 1)
	for _, c := range []struct {
		source      webhook.Source
		event, body string
	}{
		{webhook.GitHub, "ping", `{"zen":"Keep it logically awesome.","hook_id":1}`},
		{webhook.GitHub, "push", `{"ref":"refs/heads/main"}`},
		{webhook.GitHub, "package", `{"action":"published","package":{"package_type":"npm","name":"x"}}`},
		{webhook.GitHub, "package", `{"action":"deleted","package":{"package_type":"CONTAINER","name":"x"}}`},
		{webhook.Gitea, "push", `{"ref":"refs/heads/main"}`},
		{webhook.Gitea, "package", deleted},
		{webhook.Forgejo, "package", npm},
		{webhook.GitLab, "Push Hook", `{"object_kind":"push"}`},
		{webhook.Distribution, "", `{"events":[{"action":"pull","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"x"}}]}`},
		{webhook.Distribution, "", `{"events":[]}`},
		{webhook.Harbor, "", `{"type":"PULL_ARTIFACT","event_data":{}}`},
		{webhook.Harbor, "", `{"specversion":"1.0","type":"harbor.artifact.deleted","data":{}}`},
		{webhook.Quay, "", `{"docker_url":"quay.io/ana/shop","build_id":"1"}`},
		{webhook.Quay, "", `{"docker_url":"quay.io/ana/shop","updated_tags":[]}`},
		{webhook.Zot, "zotregistry.image.deleted", `{"name":"x"}`},
		{webhook.Zot, "zotregistry.repository.created", `{"name":"x"}`},
	} {
		parsed, err := webhook.Parse(c.source, c.event, "application/json", []byte(c.body), "a.io")
		require.NoError(t, err, "%s %s", c.source, c.event)
		require.Empty(t, parsed.Hints)
		require.NotEmpty(t, parsed.Ignored, "%s %s %s", c.source, c.event, c.body)
	}
}

func TestParse_RefusesABodyThatIsNotTheSources(t *testing.T) {
	for _, source := range webhook.Sources {
		for _, body := range []string{"", "{", `"x"`, "[]", "null", "{}", "\x00", `{"events":{}}`, `{"push_data":[]}`, strings.Repeat("[", 20_000)} {
			_, err := webhook.Parse(source, "", "application/json", []byte(body), "a.io")
			require.Equal(t, fault.BadInput, fault.KindOf(err), "%s %.20q", source, body)
		}
	}
}

func TestParse_BoundsWhatOneDeliveryHintsAt(t *testing.T) {
	images := make([]string, 200)
	for i := range images {
		images[i] = `"a.io/x:` + strings.Repeat("1", i%100+1) + strings.Repeat("2", i/100) + `"`
	}
	_, err := webhook.Parse(webhook.Generic, "", "", []byte(`{"images":[`+strings.Join(images, ",")+`]}`), "")
	require.ErrorContains(t, err, "more than 100 images")
}

// FuzzParse sends anything as what any product sends: it is read, ignored or
// refused in words that a person may read.
func FuzzParse(f *testing.F) {
	for i, c := range samples {
		f.Add(i, c.event, "application/json", payload(f, c.file), c.host)
	}
	f.Add(0, "package", "application/x-www-form-urlencoded", []byte("payload=%7B%7D"), "")
	f.Add(3, "package", "", []byte(`{"action":"created","package":{"type":"container","name":"../..","version":"\u0000","html_url":"://"}}`), "")
	f.Fuzz(func(t *testing.T, n int, event, mediaType string, body []byte, host string) {
		if n < 0 {
			n = -(n + 1)
		}
		if !strings.Contains(host, ".") || strings.ContainsAny(host, "/@ ") {
			host = ""
		}
		parsed, err := webhook.Parse(webhook.Sources[n%len(webhook.Sources)], event, mediaType, body, host)
		if err != nil {
			if fault.KindOf(err) != fault.BadInput {
				t.Fatalf("refused by an error that nobody may read: %v", err)
			}
			return
		}
		if len(parsed.Hints) == 0 && parsed.Ignored == "" {
			t.Fatal("neither a hint nor a reason")
		}
		for _, h := range parsed.Hints {
			if !strings.Contains(h.Repository, "/") {
				t.Fatalf("a hint without a host: %q", h.Repository)
			}
		}
	})
}
