package registry_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/registry"
	"berth/internal/secret"
)

// token asks for a bearer token as somebody, for scopes.
func (b *berth) token(username string, scopes ...string) string {
	b.t.Helper()
	res, body := b.requestAs(username, http.MethodGet, "/v2/token?"+url.Values{"service": {"berth.example.org"}, "scope": scopes}.Encode(), nil)
	require.Equal(b.t, http.StatusOK, res.StatusCode, body)
	require.Equal(b.t, "no-store", res.Header.Get("Cache-Control"))
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	require.NoError(b.t, json.Unmarshal([]byte(body), &answer))
	require.Equal(b.t, answer.Token, answer.AccessToken)
	require.GreaterOrEqual(b.t, answer.ExpiresIn, 60, "clients take less for a minute")
	return answer.Token
}

func (b *berth) bearer(token, method, path string) (*http.Response, string) {
	b.t.Helper()
	return b.requestAs("", method, path, nil, "Authorization", "Bearer "+token)
}

func TestAccess_NeedsCredentials(t *testing.T) {
	b := newBerth(t)
	for _, path := range []string{"/v2/", "/v2", "/v2/_catalog", "/v2/shop/tags/list", "/v2/nothing"} {
		res, body := b.requestAs("", http.MethodGet, path, nil)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, path)
		require.Contains(t, body, "UNAUTHORIZED")
		require.Contains(t, res.Header.Get("WWW-Authenticate"), `Bearer realm="`+b.server.URL+`/v2/token",service="berth.example.org"`, path)
		require.Equal(t, "registry/2.0", res.Header.Get("Docker-Distribution-API-Version"))
	}
	res, _ := b.requestAs("", http.MethodGet, "/v2/token", nil)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "nobody gets a token unnamed")
	res, _ = b.requestAs("mallory", http.MethodGet, "/v2/", nil)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	res, _ = b.requestAs("mallory", http.MethodGet, "/v2/token", nil)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	res, body := b.requestAs("often", http.MethodGet, "/v2/token", nil)
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Contains(t, body, "TOOMANYREQUESTS")
	res, _ = b.requestAs("ana", http.MethodGet, "/v2/", nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestChallenge_NamesTheScope(t *testing.T) {
	b := newBerth(t)
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct{ method, path, scope string }{
		{"GET", "/v2/team/shop/manifests/1", "repository:team/shop:pull"},
		{"PUT", "/v2/shop/manifests/1", "repository:shop:pull,push"},
		{"POST", "/v2/shop/blobs/uploads/?from=other&mount=" + digest, "repository:shop:pull,push repository:other:pull"},
		{"DELETE", "/v2/shop/manifests/1", "repository:shop:delete"},
		{"GET", "/v2/_catalog", "registry:catalog:*"},
	} {
		res, _ := b.requestAs("", c.method, c.path, nil)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
		require.True(t, strings.HasSuffix(res.Header.Get("WWW-Authenticate"), `,scope="`+c.scope+`"`), res.Header.Get("WWW-Authenticate"))
	}
}

func TestRealm_FollowsTheHostOnlyOnLoopback(t *testing.T) {
	b := newBerth(t)
	for host, want := range map[string]string{
		"127.0.0.1:8080":      "http://127.0.0.1:8080/v2/token",
		"localhost:8080":      "http://localhost:8080/v2/token",
		"[::1]:8080":          "http://[::1]:8080/v2/token",
		"127.9.9.9":           "http://127.9.9.9/v2/token",
		"evil.example.com":    "https://berth.example.org/v2/token",
		"127.0.0.1.evil.com":  "https://berth.example.org/v2/token",
		`localhost:1",evil="`: "https://berth.example.org/v2/token",
		"localhost.evil.com":  "https://berth.example.org/v2/token",
	} {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		req.Host = host
		b.Handler().ServeHTTP(w, req)
		require.Contains(t, w.Header().Get("WWW-Authenticate"), `Bearer realm="`+want+`",`, host)
	}
}

func TestReadOnlyAccount_MayPullAndNotPush(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)

	_, err = remote.Image(b.repository("shop").Tag("1"), remote.WithAuth(bob))
	require.NoError(t, err)
	err = remote.Write(b.repository("shop").Tag("2"), image, remote.WithAuth(bob))
	require.ErrorContains(t, err, "bob may not push")
	require.Error(t, remote.Delete(b.repository("shop").Tag("1"), remote.WithAuth(bob)))
	_, err = remote.Image(b.repository("shop").Tag("1"), remote.WithAuth(&authn.Basic{Username: "eve", Password: "eve-password"}))
	require.ErrorContains(t, err, "eve may not pull")
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete} {
		res, body := b.requestAs("bob", method, "/v2/shop/manifests/1", nil)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		require.Contains(t, body, "DENIED")
	}
}

func TestToken_IsBoundToItsScopes(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(100, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)
	b.push("other", "1", image)

	pullShop := b.token("ana", "repository:shop:pull")
	res, _ := b.bearer(pullShop, http.MethodGet, "/v2/shop/manifests/1")
	require.Equal(t, http.StatusOK, res.StatusCode)
	for _, refused := range []struct{ method, path string }{
		{http.MethodGet, "/v2/other/manifests/1"},
		{http.MethodPost, "/v2/shop/blobs/uploads/"},
		{http.MethodDelete, "/v2/shop/manifests/1"},
		{http.MethodGet, "/v2/_catalog"},
	} {
		res, _ := b.bearer(pullShop, refused.method, refused.path)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, refused.path)
		require.Contains(t, res.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`)
	}

	// A read-only account gets no more than it may have, whatever it asks for.
	asked := b.token("bob", "repository:shop:pull,push,delete,*", "registry:catalog:*")
	res, _ = b.bearer(asked, http.MethodGet, "/v2/shop/manifests/1")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = b.bearer(asked, http.MethodGet, "/v2/_catalog")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, body := b.bearer(asked, http.MethodPost, "/v2/shop/blobs/uploads/")
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Contains(t, body, "bob may not push")

	// A mount reads the other repository, so it needs a scope for that too.
	layers, err := image.Layers()
	require.NoError(t, err)
	mount := "/v2/shop/blobs/uploads/?from=other&mount=" + digestOf(t, layers[0])
	res, _ = b.bearer(b.token("ana", "repository:shop:pull,push"), http.MethodPost, mount)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = b.bearer(b.token("ana", "repository:shop:pull,push repository:other:pull"), http.MethodPost, mount)
	require.Equal(t, http.StatusCreated, res.StatusCode)
}

func TestToken_Expires(t *testing.T) {
	b := newBerth(t)
	token := b.token("ana", "repository:shop:pull")
	res, _ := b.bearer(token, http.MethodGet, "/v2/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	b.clock.pass(5*time.Minute + time.Second)
	res, _ = b.bearer(token, http.MethodGet, "/v2/")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Contains(t, res.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
}

func TestToken_ThatWasTamperedWithIsRefused(t *testing.T) {
	b := newBerth(t)
	token := b.token("bob", "repository:shop:pull")
	parts := strings.Split(token, ".")
	decode := func(s string) string {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		require.NoError(t, err)
		return string(raw)
	}
	encode := base64.RawURLEncoding.EncodeToString
	forged := encode([]byte(strings.ReplaceAll(decode(parts[1]), `"pull"`, `"push","pull"`)))
	none := encode([]byte(`{"alg":"none","typ":"JWT"}`))
	other := newBerth(t, func(c *registry.Config) { c.Key = secret.New(strings.Repeat("o", 32)) })

	for name, bad := range map[string]string{
		"other claims":    parts[0] + "." + forged + "." + parts[2],
		"no algorithm":    none + "." + forged + ".",
		"no signature":    parts[0] + "." + parts[1] + ".",
		"cut short":       token[:len(token)-2],
		"empty":           "",
		"another's":       other.token("bob", "repository:shop:pull"),
		"another service": newBerth(t, func(c *registry.Config) { c.BaseURL = &url.URL{Scheme: "https", Host: "elsewhere.example.org"} }).token("ana"),
	} {
		res, _ := b.bearer(bad, http.MethodGet, "/v2/")
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, name)
	}
}

func TestToken_IsGivenForAPasswordGrant(t *testing.T) {
	b := newBerth(t)
	ask := func(form url.Values) (*http.Response, string) {
		return b.requestAs("", http.MethodPost, "/v2/token", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	}
	form := url.Values{"grant_type": {"password"}, "username": {"ana"}, "password": {"ana-password"}, "service": {"berth.example.org"}, "scope": {"repository:shop:pull,push"}}
	res, body := ask(form)
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	var answer struct {
		AccessToken string `json:"access_token"`
		Scope       string `json:"scope"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	require.Equal(t, "repository:shop:pull,push", answer.Scope)
	res, _ = b.bearer(answer.AccessToken, http.MethodPost, "/v2/shop/blobs/uploads/")
	require.Equal(t, http.StatusAccepted, res.StatusCode)

	form.Set("password", "wrong")
	res, _ = ask(form)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	form.Set("grant_type", "refresh_token")
	res, body = ask(form)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, body, "unsupported_grant_type")
	form.Set("username", strings.Repeat("a", 100_000))
	res, _ = ask(form)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

func TestEngineHandler_OnlyReads(t *testing.T) {
	b := newBerth(t)
	image, err := random.Image(1000, 1)
	require.NoError(t, err)
	b.push("shop", "1", image)
	server := httptest.NewServer(b.EngineHandler("engine", secret.New("engine-password")))
	defer server.Close()
	engine := *b
	engine.host = strings.TrimPrefix(server.URL, "http://")

	got, err := remote.Image(engine.repository("shop").Digest(digestOf(t, image)), remote.WithAuth(&authn.Basic{Username: "engine", Password: "engine-password"}))
	require.NoError(t, err)
	require.Equal(t, digestOf(t, image), digestOf(t, got))
	require.Error(t, remote.Write(engine.repository("shop").Tag("2"), image, remote.WithAuth(&authn.Basic{Username: "engine", Password: "engine-password"})))
	for _, username := range []string{"", "ana", "mallory"} {
		res, _ := b.requestAs(username, http.MethodGet, server.URL+"/v2/shop/manifests/1", nil)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
		require.Contains(t, res.Header.Get("WWW-Authenticate"), "Basic")
	}
	res, _ := b.requestAs("engine", http.MethodDelete, server.URL+"/v2/shop/manifests/1", nil)
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	res, _ = b.requestAs("engine", http.MethodGet, server.URL+"/v2/token", nil)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}
