package cookie_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/cookie"
)

func rule(t *testing.T, base string) cookie.Rule {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	return cookie.For(u)
}

func TestRule_HasThePrefixUnlessItIsPlainHTTPOnLoopback(t *testing.T) {
	for base, want := range map[string]string{
		"https://berth.example.com":  "__Host-berth=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
		"https://localhost":          "__Host-berth=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
		"http://localhost:8080":      "berth=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
		"http://berth.localhost":     "berth=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
		"http://berth.example.com:1": "__Host-berth=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
	} {
		c := rule(t, base).Set(cookie.Session, "x", time.Minute)
		require.Equal(t, want, c.String(), base)
	}
	r := rule(t, "https://berth.example.com")
	kept, gone := r.Set("bind", "x", 0), r.Clear("bind")
	require.Equal(t, "__Host-berth-bind=x; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax", kept.String())
	require.Equal(t, "__Host-berth-bind=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax", gone.String())
}

func TestRead_TakesNoCookieOfWhichThereAreTwo(t *testing.T) {
	r := rule(t, "https://berth.example.com")
	for line, want := range map[string]string{
		"__Host-berth=x":                            "x",
		"a=b;  __Host-berth=x ;c=d":                 "x",
		"a=__Host-berth=y; __Host-berth=x=":         "x=",
		"__Host-berth=x; __Host-berth=x":            "",
		"__Host-berth=":                             "",
		"__Host-berth":                              "",
		"__host-berth=x; berth=x; __Host-berth-a=x": "",
		"": "",
	} {
		value, ok := r.Read(http.Header{"Cookie": {line}}, cookie.Session)
		require.Equal(t, want, value, line)
		require.Equal(t, want != "", ok, line)
	}
	_, ok := r.Read(http.Header{"Cookie": {"__Host-berth=x", "__Host-berth=y"}}, cookie.Session)
	require.False(t, ok)
	_, ok = r.Read(http.Header{}, cookie.Session)
	require.False(t, ok)
}

func TestOwns_KnowsBerthsCookiesWhateverTheirCase(t *testing.T) {
	r := rule(t, "https://berth.example.com")
	for name, want := range map[string]bool{
		"__Host-berth": true, "__host-BERTH": true, "__Host-berth-bind": true, "__Host-berths": false, "berth": false, "__Host-app": false, "": false,
	} {
		require.Equal(t, want, r.Owns(name), name)
	}
}
