package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestManifest_IsExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	exported := s.do(member, http.MethodGet, "/api/manifest", "")
	require.Equal(t, http.StatusOK, exported.StatusCode, exported.body)
	require.Equal(t, "application/yaml", exported.Header.Get("Content-Type"))
	require.Contains(t, exported.Header.Get("Content-Disposition"), "berth.yaml")
	require.Contains(t, exported.body, "shop.example.com")
	require.NotContains(t, exported.body, "hunter2")
	require.NotContains(t, exported.body, "registries", "they are for administrators")
	require.Contains(t, s.do(admin, http.MethodGet, "/api/manifest", "").body, "registries: {}")

	unchanged := s.do(member, http.MethodPost, "/api/manifest/plan", document(t, exported.body))
	require.Contains(t, unchanged.body, `"changes":[]`)
	changed := strings.Replace(exported.body, "shop.example.com", "new.example.com", 1)
	planned := s.do(member, http.MethodPost, "/api/manifest/plan", document(t, changed))
	require.Contains(t, planned.body, `"name":"shop/prod","fields":[{"field":"hostname","from":"shop.example.com","to":"new.example.com"}]`)

	old := s.do(member, http.MethodPost, "/api/manifest/apply", document(t, changed, "fingerprint", "another"))
	require.Equal(t, http.StatusConflict, old.StatusCode, old.body)
	var plan struct{ Fingerprint string }
	require.NoError(t, json.Unmarshal([]byte(planned.body), &plan))
	applied := s.do(member, http.MethodPost, "/api/manifest/apply", document(t, changed, "fingerprint", plan.Fingerprint))
	require.Equal(t, http.StatusOK, applied.StatusCode, applied.body)
	require.Contains(t, s.do(member, http.MethodGet, "/api/projects/shop/stages/prod", "").body, "new.example.com")
}

func TestManifest_LeavesAccountsAtRegistriesToAdministrators(t *testing.T) {
	s := newServer(t)
	body := document(t, "berth: 1\nregistries: {plain.example.com: {insecure: true}}\n")
	for _, path := range []string{"/api/manifest/plan", "/api/manifest/apply"} {
		require.Equal(t, http.StatusForbidden, s.do(member, http.MethodPost, path, body).StatusCode)
	}
	require.Equal(t, http.StatusOK, s.do(admin, http.MethodPost, "/api/manifest/apply", body).StatusCode)
}

func TestManifest_LeavesWhoEntersToAdministrators(t *testing.T) {
	s := newServer(t)
	s.followSlot()
	for _, section := range []string{"providers: {corp: {issuer: 'https://id.example.com', client_id: berth}}", "second_factor: {required_of: nobody}", "administrators: ['local:bo']"} {
		body := document(t, "berth: 1\n"+section+"\n")
		for _, path := range []string{"/api/manifest/plan", "/api/manifest/apply"} {
			for _, who := range []string{member, memberAdmin} {
				require.Equal(t, http.StatusForbidden, s.do(who, http.MethodPost, path, body).StatusCode, section)
			}
			require.Equal(t, http.StatusForbidden, s.do(adminDeploy, http.MethodPost, path, body).StatusCode, section)
		}
		require.Equal(t, http.StatusOK, s.do(adminAdmin, http.MethodPost, "/api/manifest/apply", body).StatusCode, section)
	}
	require.Contains(t, s.do(admin, http.MethodGet, "/api/providers/corp", "").body, `"issuer":"https://id.example.com"`)
	require.Contains(t, s.do(admin, http.MethodGet, "/api/administrators", "").body, `"entry":"local:bo"`)
	exported := s.do(admin, http.MethodGet, "/api/manifest", "").body
	for _, section := range []string{"providers:\n  corp:", "administrators:\n  - local:bo\n", "second_factor:\n  required_of: nobody\n"} {
		require.Contains(t, exported, section)
	}
	// Bo administers by now, and what a token may is not more for that.
	require.NotContains(t, s.do(memberRead, http.MethodGet, "/api/manifest", "").body, "providers")
}

// Whoever takes over a session takes no rule away by a file, either.
func TestManifest_AsksWhoSetsTheRuleOfSecondFactorsToProveIt(t *testing.T) {
	s := newServer(t)
	body := document(t, "berth: 1\nsecond_factor: {required_of: administrators}\n")
	own := s.do(admin, http.MethodPost, "/api/manifest/apply", body)
	require.Equal(t, http.StatusUnprocessableEntity, own.StatusCode, own.body)
	require.Contains(t, own.body, "your own session would end")

	cookie := s.session(admin)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE sessions SET authenticated_at = ?, methods = 'passkey'`, time.Now().Add(-11*time.Minute).UnixMilli())
		return err
	}))
	long := s.do(nobody, http.MethodPost, "/api/manifest/apply", body, func(r *http.Request) {
		r.AddCookie(cookie)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	require.Equal(t, http.StatusForbidden, long.StatusCode, long.body)
	require.Contains(t, long.body, `"code":"step_up"`)
	require.Contains(t, s.do(admin, http.MethodGet, "/api/second-factor", "").body, `"required_of":"nobody"`)
}

func TestAPI_LeavesPathsOfTheHostToAdministrators(t *testing.T) {
	s := newServer(t)
	dir := s.hostFolder
	require.NoError(t, os.Mkdir(dir, 0o755))
	spec := `{"hostname":"host.example.com","tags":{"kind":"none"},"mounts":[{"kind":"bind","source":"` + dir + `","path":"/media"}]}`
	yaml := document(t, "berth: 1\nprojects: {shop: {image: shop, stages: {host: {hostname: host.example.com, mounts: [{kind: bind, source: "+dir+", path: /media}]}}}}\n")
	for _, c := range [][2]string{
		{"/api/projects/shop/stages", `{"name":"other","spec":` + spec + `}`},
		{"/api/manifest/plan", yaml},
		{"/api/manifest/apply", yaml},
	} {
		got := s.do(member, http.MethodPost, c[0], c[1])
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, got.body)
		require.Contains(t, got.body, "only administrators mount paths of the host")
		require.Contains(t, got.body, "mounts[0].source")
	}
	require.Contains(t, s.do(member, http.MethodPost, "/api/validate/stage", `{"spec":`+spec+`}`).body, "only administrators")
	got := s.do(admin, http.MethodPost, "/api/manifest/apply", yaml)
	require.Equal(t, http.StatusOK, got.StatusCode, got.body)

	// Saved, it is an editor's to keep beside other changes, not to widen.
	put := func(who, spec string) reply {
		return s.do(who, http.MethodPut, "/api/projects/shop/stages/host", `{"version":1,"spec":`+spec+`}`)
	}
	wider := strings.Replace(spec, "/media\"", "/all\"", 1)
	require.Equal(t, http.StatusUnprocessableEntity, put(member, wider).StatusCode)
	kept := strings.Replace(spec, `"tags"`, `"env":{"A":"b"},"tags"`, 1)
	require.Equal(t, http.StatusOK, put(member, kept).StatusCode)
	require.Contains(t, s.do(member, http.MethodGet, "/api/manifest", "").body, "source: "+dir)
}

func TestManifest_NamesTheFieldsThatAreWrong(t *testing.T) {
	s := newServer(t)
	got := s.do(member, http.MethodPost, "/api/manifest/plan", document(t, "berth: 1\nprojects: {shop: {imag: shop}}\n"))
	require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	require.Contains(t, got.body, `"location":"body.projects.shop.imag"`)
	require.Contains(t, got.body, "line 2, column 19")
}

func TestManifest_IsSealedOnlyForPublicKeys(t *testing.T) {
	s := newServer(t)
	got := s.do(admin, http.MethodPost, "/api/manifest/export", `{"recipients":["ana"]}`)
	require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	got = s.do(admin, http.MethodPost, "/api/manifest/export",
		`{"recipients":["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]}`)
	require.Equal(t, http.StatusOK, got.StatusCode, got.body)
	require.Contains(t, got.body, "-----BEGIN AGE ENCRYPTED FILE-----")
	require.NotContains(t, got.body, "hunter2")
}

// Whoever has the key has every secret of the server by it.
func TestManifest_IsSealedForWhoJustProvedWhoTheyAreAlone(t *testing.T) {
	const body = `{"recipients":["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]}`
	s := newServer(t)
	token := s.do(adminAdmin, http.MethodPost, "/api/manifest/export", body)
	require.Equal(t, http.StatusForbidden, token.StatusCode, token.body)
	require.Contains(t, token.body, "an API token shows no secret, nor one that is sealed for a key")
	long := s.do(nobody, http.MethodPost, "/api/manifest/export", body, s.longAgo(admin))
	require.Equal(t, http.StatusForbidden, long.StatusCode, long.body)
	require.Contains(t, long.body, `"code":"step_up"`)
	require.NotContains(t, s.do(admin, http.MethodGet, "/api/audit", "").body, "manifest.exported")

	require.Contains(t, s.do(onMachine, http.MethodPost, "/api/manifest/export", body).body, "-----BEGIN AGE ENCRYPTED FILE-----")
	require.Contains(t, s.do(admin, http.MethodGet, "/api/audit", "").body, "manifest.exported")
}

// document is a request with a document in it, and perhaps another field.
func document(t *testing.T, yaml string, more ...string) string {
	t.Helper()
	body := map[string]string{"document": yaml}
	if len(more) == 2 {
		body[more[0]] = more[1]
	}
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	return string(raw)
}
