package manifest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/manifest"
)

func TestParse_IsStrict(t *testing.T) {
	tests := []struct{ name, document, says string }{
		{"nothing", "", "the document is empty; it begins with berth: 1"},
		{"a comment", "# hello\n", "the document is empty"},
		{"no form", "projects: {}", "berth: line 1, column 1: the document says which form it has"},
		{"another form", "berth: 2", "berth: 1 is the one there is"},
		{"no YAML", "berth: 1\nprojects: [", "the document is not YAML: line 2"},
		{"two documents", "berth: 1\n---\nberth: 1\n", "line 2: a second document begins here"},
		{"a list", "- 1", "here stand names with values, and this is a list"},
		{"a slip", "berth: 1\nproject: {}\n", "project: line 2, column 1: there is no such field; did you mean projects?"},
		{"a slip in a stage", "berth: 1\nprojects: {a: {stages: {b: {\n  hostnam: x}}}}", "projects.a.stages.b.hostnam: line 3, column 3: there is no such field; did you mean hostname?"},
		{"far off", "berth: 1\nprojects: {a: {nonsense: 1}}", "here is one of description, image, stages"},
		{"twice", "berth: 1\nprojects: {a: {image: x,\n image: y}}", "projects.a.image: line 3, column 2: this stands here twice"},
		{"a project twice", "berth: 1\nprojects: {a: {image: x}, a: {image: y}}", "projects.a: line 2, column 27: this stands here twice"},
		{"nothing where a section stands", "berth: 1\nprojects:\n", "projects: line 2, column 10: nothing stands here; write {} for an empty one"},
		{"a text as a number", "berth: 1\nprojects: {a: {stages: {b: {replicas: two}}}}", `here stands a whole number, and this is "two"`},
		{"a number that is too large", "berth: 1\nprojects: {a: {stages: {b: {replicas: 99999999999999999999}}}}", "here stands a whole number"},
		{"no number", "berth: 1\nprojects: {a: {stages: {b: {cpus: .nan}}}}", "here stands a number"},
		{"yes", "berth: 1\nprojects: {a: {stages: {b: {strip_prefix: yes}}}}", `here stands true or false, and this is "yes"`},
		{"no duration", "berth: 1\nprojects: {a: {stages: {b: {drain_timeout: 30}}}}", `"30" is not a duration such as "30s"`},
		{"a list for a text", "berth: 1\nprojects: {a: {image: [b]}}", "here stands a text, and this is a list"},
		{"bytes", "berth: 1\nprojects: {a: {image: !!binary aGk=}}", "here stands a text"},
		{"a password twice", "berth: 1\nregistries: {ghcr.io: {password: {context: a, name: b, sealed: c}}}", "registries.ghcr.io.password: line 2, column 34: it is a stored secret, with its context and its name, or a sealed text"},
		{"half a password", "berth: 1\nregistries: {ghcr.io: {password: {context: a}}}", "it is a stored secret"},
		{"a secret in the clear", "berth: 1\nsecrets: {shop: {KEY: hunter2}}", "here stand names with values"},
		{"a long name", "berth: 1\nprojects: {" + strings.Repeat("a", 300) + ": {image: a}}", "a name is a text of 1 to 256 bytes"},
		{"no UTF-8", "berth: 1 # \xff", "not UTF-8"},
		{"an alias of itself", "berth: 1\nprojects: {a: {stages: {b: {env: &e {c: *e}}}}}", "here stands a text, and this is names with values"},
		{"a merge of itself", "berth: 1\nprojects: {a: &a {image: x, <<: *a}}", "too"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := manifest.Parse([]byte(test.document))
			require.Equal(t, fault.BadInput, fault.KindOf(err), err)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestParse_TellsSeveralFlawsTogether(t *testing.T) {
	_, err := manifest.Parse([]byte("berth: 1\nprojects:\n  a: {imag: a}\n  b: {stages: {c: {port: x}}}\nother: 1\n"))
	require.Len(t, fault.FieldsOf(err), 3)

	_, err = manifest.Parse([]byte("berth: 1\nprojects: {" + strings.Repeat("a: {}, ", 1000) + "}"))
	require.Len(t, fault.FieldsOf(err), 30, "enough to begin with")
}

func TestParse_IsBounded(t *testing.T) {
	_, err := manifest.Parse([]byte("berth: 1 #" + strings.Repeat("x", manifest.MaxSize)))
	require.Equal(t, fault.TooLarge, fault.KindOf(err))

	// Nine levels of ten aliases each: a thousand million texts.
	var bomb strings.Builder
	bomb.WriteString("berth: 1\nprojects: {a: {image: a, stages: {b: {hostname: b, env: &e0 {a: b}, command: &l0 [x, x, x, x, x, x, x, x, x, x]")
	bomb.WriteString("}}}}\n")
	for _, document := range []string{
		"berth: 1\nx: &a [1]\n" + layers("projects"),
		bomb.String() + layers("registries"),
	} {
		_, err = manifest.Parse([]byte(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err))
	}
}

// layers is a document's worth of aliases of aliases, merged at the end.
func layers(section string) string {
	var b strings.Builder
	b.WriteString("y0: &y0 {a: {}}\n")
	for i := 1; i < 10; i++ {
		n, before := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("y" + n + ": &y" + n + " {<<: [" + strings.TrimSuffix(strings.Repeat("*y"+before+", ", 10), ", ") + "]}\n")
	}
	b.WriteString(section + ": {<<: *y9}\n")
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte("berth: 1\nprojects: {a: &a {<<: *a, image: a}, b: {<<: [*a, {description: b}]}}"))
	f.Add([]byte("{berth: 1, registries: {ghcr.io: {username: ana, password: {context: infra, name: GHCR}}}}"))
	f.Add([]byte("berth: 1\nsecrets: {a: {b: {sealed: |\n  x\n  }}}"))
	f.Add([]byte("berth: 1\nproviders: {corp: {preset: dex, scopes: [], claims: {groups: \"\"}, client_secret: {}, enabled: false, group_prefix: \"\"}}\nadministrators: [local:ana]\nsecond_factor: {required_of: nobody}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := manifest.Parse(raw)
		if err != nil {
			kind := fault.KindOf(err)
			require.True(t, kind == fault.BadInput || kind == fault.TooLarge, err)
			return
		}
		// What was read is written such that it is read as the same.
		again, err := manifest.Encode(doc)
		require.NoError(t, err)
		back, err := manifest.Parse(again)
		require.NoError(t, err, "%s", again)
		third, err := manifest.Encode(back)
		require.NoError(t, err)
		require.Equal(t, string(again), string(third))
	})
}
