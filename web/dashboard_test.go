package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"berth/web"
)

const page = `<!doctype html><script>let a = 1;</script><script src="/_app/x.js"></script><div style="display: contents"></div>`

func get(t *testing.T, h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func built(t *testing.T) http.Handler {
	t.Helper()
	h, err := web.Serve(fstest.MapFS{
		".gitkeep":                       {},
		"index.html":                     {Data: []byte(page)},
		"favicon.svg":                    {Data: []byte("<svg/>")},
		"_app/immutable/chunk.abc.js":    {Data: []byte("export {}")},
		"_app/immutable/chunk.abc.js.br": {Data: []byte("br")},
		"_app/immutable/chunk.abc.js.gz": {Data: []byte("gz")},
	})
	require.NoError(t, err)
	return h
}

func TestServe_SaysWhenNothingIsBuilt(t *testing.T) {
	h, err := web.Serve(fstest.MapFS{".gitkeep": {}})
	require.NoError(t, err)
	w := get(t, h, "/")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "the dashboard is not built")
}

func TestServe_GivesTheShellForEveryRouteButNeverForAFile(t *testing.T) {
	h := built(t)
	for path, status := range map[string]int{
		"/": 200, "/projects/shop": 200, "/people/ana.smith": 200, "/images/team/my.app": 200, "/favicon.svg": 200,
		"/.gitkeep": 404, "/old.js": 404, "/_app/immutable/old": 404, "/_app/immutable/chunk.abc.js.br": 404,
	} {
		require.Equal(t, status, get(t, h, path).Code, path)
	}
	require.Equal(t, page, get(t, h, "/projects/shop").Body.String())
}

func TestServe_LetsInOnlyTheInlineScriptsAndStylesOfTheBuild(t *testing.T) {
	policy := get(t, built(t), "/").Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; script-src 'self' 'sha256-xY6QKfH9PRsQnLz56nj6MBwiK5oHg+im1Jkpdp1x/Ck=';")
	require.Contains(t, policy, "style-src-attr 'unsafe-hashes' 'sha256-")
	require.Contains(t, policy, "frame-ancestors 'none'")
	require.NotContains(t, policy, "unsafe-inline")
}

func TestServe_SendsTheCompressedFormThatTheClientTakes(t *testing.T) {
	h := built(t)
	const chunk = "/_app/immutable/chunk.abc.js"
	for accepted, want := range map[string]string{
		"": "export {}", "identity": "export {}", "gzip, deflate": "gz", "gzip, br": "br",
		"br;q=0, gzip;q=0.5": "gz", "br; q=0.000": "export {}",
	} {
		w := get(t, h, chunk, "Accept-Encoding", accepted)
		require.Equal(t, want, w.Body.String(), accepted)
		require.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
		require.Equal(t, "public, max-age=31536000, immutable", w.Header().Get("Cache-Control"))
		require.Equal(t, "text/javascript; charset=utf-8", w.Header().Get("Content-Type"))
	}
}

func TestServe_AnswersNotModifiedForTheSameTagOnly(t *testing.T) {
	h := built(t)
	tag := get(t, h, "/").Header().Get("ETag")
	require.Equal(t, http.StatusNotModified, get(t, h, "/", "If-None-Match", tag).Code)
	require.Equal(t, http.StatusOK, get(t, h, "/", "If-None-Match", `"other"`).Code)
	require.Equal(t, "no-cache", get(t, h, "/").Header().Get("Cache-Control"))
}

func TestServe_TakesOnlyReads(t *testing.T) {
	w := httptest.NewRecorder()
	built(t).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestHandler_ServesTheEmbeddedBuild(t *testing.T) {
	h, err := web.Handler()
	require.NoError(t, err)
	require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, get(t, h, "/").Code)
}
