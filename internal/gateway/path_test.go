package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNormalHost_GivesOneSpelling(t *testing.T) {
	for given, want := range map[string]string{
		"shop.test": "shop.test", "SHOP.Test": "shop.test", "shop.test.": "shop.test", "shop.test:8080": "shop.test",
		"Shop.test.:1": "shop.test", "shop.test:": "shop.test", "a_b.test": "a_b.test", "127.0.0.1:80": "127.0.0.1",
		"[::1]:8080": "[::1]", "[FE80::1]": "[fe80::1]",
		"": "", ".": "", "..": "", "a..b": "", ".a": "", "a b": "", "a/b": "", "a:b": "", "a:123456": "", "a@b": "",
		"[::1": "", "[]": "", "[::1]x": "", "é.test": "", "a\x00b": "", strings.Repeat("a", 254): "",
	} {
		host, ok := normalHost(given)
		assert.Equal(t, want != "", ok, given)
		if ok {
			assert.Equal(t, want, host, given)
		}
	}
}

func FuzzNormalHost(f *testing.F) {
	for _, s := range []string{"shop.test:80", "[::1]:1", "A.b.", "..", "a:b", "[", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, given string) {
		host, ok := normalHost(given)
		if !ok {
			return
		}
		again, ok := normalHost(host)
		require.True(t, ok)
		require.Equal(t, host, again, "normal is normal")
		require.Equal(t, strings.ToLower(host), host)
		upper, ok := normalHost(strings.ToUpper(host) + ":443")
		require.True(t, ok)
		require.Equal(t, host, upper)
	})
}

// pathRoutes has the prefixes that readings are compared by.
func pathRoutes(tb testing.TB) *snapshot {
	tb.Helper()
	table := NewTable(TableConfig{})
	for _, prefix := range []string{"/", "/admin", "/admin/deep"} {
		r := routeTo("x.test", "d")
		r.StageID, r.PathPrefix = prefix, prefix
		require.NoError(tb, table.Switch(tb.Context(), r))
	}
	return table.current.Load()
}

func TestRead_TakesAPathOnlyWhenEachReadingLeadsToOneRoute(t *testing.T) {
	routes := pathRoutes(t)
	for target, prefix := range map[string]string{
		"/": "/", "/a/b": "/", "/admin": "/admin", "/admin/": "/admin", "/admin/x%20y": "/admin", "/adminx": "/",
		"/a%2Fb": "/", "/api/group%2Fproject": "/", "/a//b": "/", "//a": "/", "/admin//x": "/admin", "/admin/a%2fb": "/admin",
		"/a;v=1": "/", "/admin/x;v=1/y": "/admin", "/%61dmin/x": "/admin", "/.well-known/x": "/", "/a/...": "/", "/a/..b": "/", "/%C3%A9": "/", "/a%ef%bc%8fb": "/", "/%e0%a4%85": "/", "/a%5Cb": "/",
		"/a%23b": "/", "/a%3fb/c": "/", "/a%20": "/", "/admin/C%23": "/admin", "/x%23/admin": "/",

		"/a%25b": "/", "/100%25": "/", "/a%252Fb": "/", "/admin/x%252fy": "/admin", "/a%25zz%2520": "/",

		// One reading leads elsewhere.
		"/%2561dmin": "", "/admin%252Fx": "", "/admin%252fdeep": "", "/x/%252e%252e/admin": "", "/public/%25zz/%252e%252e/admin": "", "/a%2500": "", "/a/%252e": "", "/a%25c0%25ae": "",
		"/admin%2Fx": "", "/%2Fadmin": "", "//admin": "", "/admin;x": "", "/admin;x/y": "", "/x%5C..": "", "/%5Cadmin": "", "/admin%5Cx": "", "/admin//deep": "",
		"/admin%2fdeep": "", "/;x/admin": "", "/admin%23x": "", "/admin%3Fx/y": "", "/admin%20": "", "/%20admin/x": "", "/admin%20;x": "",
		// Dot segments and control characters.
		"/.": "", "/..": "", "/a/..%c0%af/b": "", "/%c0%aeadmin": "", "/a/..%e0%80%af/b": "", "/a%ef%bc%8f..%ef%bc%8fb": "", "/admin%ef%bc%8fx": "", "/a/../b": "", "/a/./b": "", "/a/%2e%2e/b": "", "/a/.%2E": "", "/a%2f..%2fb": "", "/a/..;x/b": "", "/a%5c..%5cadmin": "", "/%00": "", "/a%0d%0ab": "", "/a%7f": "", "/%09": "", "/a/..%20/b": "", "/a/..%23/b": "", "/a/%20.%20": "", "/a%23/../b": "", "/..%3fx": "",
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err, target)
		path, ok := read(u)
		var found *route
		if ok {
			found, ok = routes.route("x.test", path)
		}
		require.Equal(t, prefix != "", ok, target)
		if ok {
			assert.Equal(t, prefix, found.PathPrefix, target)
		}
	}
}

func TestTargetPath_IsAsTheClientSpelledIt(t *testing.T) {
	for target, want := range map[string]string{
		"/admin": "/", "/admin/": "/", "/admin/a%20b": "/a%20b", "/%61dm%69n/x%2fy": "/x%2fy", "/admin/x//y": "/x//y",
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		r := &route{}
		r.PathPrefix = "/admin"
		assert.Equal(t, target, r.targetPath(u))
		r.StripPrefix = true
		assert.Equal(t, want, r.targetPath(u), target)
	}
	u, err := url.ParseRequestURI("http://x.test")
	require.NoError(t, err)
	assert.Equal(t, "/", (&route{}).targetPath(u))
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"/", "/a%2Fb", "//admin", "/a/..;/b", "/%5c", "/admin;x", "/%2e%2e/", "/a%00"} {
		f.Add(s)
	}
	routes := pathRoutes(f)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		path, ok := read(u)
		if !ok {
			return
		}
		found, ok := routes.route("x.test", path)
		if !ok {
			return
		}
		// An app reads the target in the most forgiving ways it can.
		sent := found.targetPath(u)
		require.NotContains(t, sent, " ")
		require.NotContains(t, sent, "\r")
		require.NotContains(t, sent, "\n")
		decoded, err := url.PathUnescape(sent)
		require.NoError(t, err)
		require.Equal(t, path.path, decoded)
		for _, slashes := range []string{decoded, strings.ReplaceAll(decoded, `\`, "/")} {
			for segment := range strings.SplitSeq(slashes, "/") {
				name, _, _ := strings.Cut(segment, ";")
				require.NotContains(t, []string{".", ".."}, name)
			}
			if cleaned := mergeSlashes(slashes); cleaned != slashes {
				require.Same(t, found, find(routes.hosts["x.test"], cleaned, false))
			}
		}
		found.StripPrefix = true
		stripped := found.targetPath(u)
		found.StripPrefix = false
		require.True(t, strings.HasPrefix(stripped, "/"), stripped)
	})
}

func mergeSlashes(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

func FuzzReserved(f *testing.F) {
	for _, s := range []string{"X-Berth-User", "x_berth.user", "Forwarded", "X-Real-IP", "Accept", "x-forwarded", "X-Berth", "x_hero-groups", "Remote.User", "X-Original-URL", "X-Rewrite-Url", "Content_Length", "transfer.encoding", "Proxy"} {
		f.Add(s)
	}
	rules := own{prefix: "x-hero-"}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			return
		}
		var b strings.Builder
		for i := range len(name) {
			c := name[i]
			switch {
			case 'a' <= c && c <= 'z':
				b.WriteByte(c - 32)
			case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
				b.WriteByte(c)
			default:
				b.WriteByte('_')
			}
		}
		cgi := b.String()
		want := strings.HasPrefix(cgi, "X_BERTH_") || strings.HasPrefix(cgi, "X_FORWARDED_") ||
			strings.HasPrefix(cgi, "X_ORIGINAL_") || cgi == "X_REWRITE_URL" || cgi == "X_FORWARDED" || cgi == "PROXY" || cgi == "CONTENT_LENGTH" || cgi == "TRANSFER_ENCODING" ||
			cgi == "X_REAL_IP" || cgi == "FORWARDED" || cgi == "X_REQUEST_ID" ||
			strings.HasPrefix(cgi, "X_HERO_") || cgi == "REMOTE_USER" || cgi == "REMOTE_NAME" || cgi == "REMOTE_EMAIL" || cgi == "REMOTE_GROUPS"
		require.Equal(t, want, rules.header(name), name)

		forwarded := false
		rules.eachForwarded(http.Header{name: {"x"}}, func(string, []string) { forwarded = true })
		require.False(t, want && forwarded)
	})
}
