package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBodies sends any body to every route that takes one: it is answered, and
// never as something that broke inside Berth.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `"x"`, "1e400", "{", `{"a":`, "\x00", "\xff\xfe", strings.Repeat("[", 20000),
		`{"name":"a","image":"b"}`, `{"name":"dev","spec":` + goodSpec + `}`, `{"version":1,"spec":` + goodSpec + `}`,
		`{"spec":{"hostname":"\u0000","tags":{"kind":"glob","pattern":"[["}}}`,
		`{"name":"dev","spec":{"hostname":"a.b","tags":{"kind":"semver","pattern":">=1 <"},"cpus":1e308,"memory":-1,"replicas":99999999999,"probe":{"interval":"-1h"}}}`,
		`{"name":"dev","spec":{"hostname":"a.b","tags":{"kind":"none"},"env":{"":"","A=B":"\u0000"},"volumes":[{"name":"../..","path":"/"}]}}`,
		`{"version":9223372036854775808}`, `{"version":1.5}`, `{"reference":"sha256:zz"}`, `{"reference":"` + strings.Repeat("a", 300) + `"}`,
		`{"username":"\ud800","password":"x"}`, `{"value":"\u0000"}`, `{"name":"t","scope":"read","expires_at":"0000-00-00T00:00:00Z"}`,
		`{"name":"t","scope":"read","expires_at":"9999-12-31T23:59:59Z"}`, `{"release":"x"}`, `{"name":"A","name":"b","image":"c"}`,
		`{"username":"x","role":"member","password":"correct horse battery","email":"@"}`, `{"username":"u","password":"p","insecure":true}`,
	} {
		f.Add(seed)
	}
	s := newServer(f)
	as := s.as(adminAdmin)
	var targets []operation
	for _, o := range operations(f) {
		// Wrong guesses at a password are slow on purpose; they have tests of their own.
		if o.method != http.MethodGet && o.method != http.MethodDelete && o.rule != "public" && o.path != "/api/account/password" {
			targets = append(targets, o)
		}
	}
	names := strings.NewReplacer("{project}", "shop", "{stage}", "prod", "{username}", "bo", "{id}", "none", "{context}", "shop", "{name}", "KEY", "{host}", "ghcr.io")
	f.Fuzz(func(t *testing.T, body string) {
		s := *s
		s.t = t
		for _, o := range targets {
			got := s.do(nobody, o.method, names.Replace(o.path), body, as)
			require.Less(t, got.StatusCode, 500, "%s %s: %s", o.method, o.path, got.body)
			require.NotContains(t, got.body, `"code":"internal"`)
		}
	})
}
