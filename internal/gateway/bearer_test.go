package gateway

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

// testIssuer shows its keys as an OpenID provider does.
type testIssuer struct {
	*httptest.Server
	key   *key
	asked atomic.Int64
}

func newTestIssuer(t *testing.T) *testIssuer {
	t.Helper()
	k, err := newKey(time.Now())
	require.NoError(t, err)
	public, err := publicKeys([]*key{k})
	require.NoError(t, err)
	i := &testIssuer{key: k}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL, "token_endpoint": i.URL,
			"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		_, _ = w.Write(public)
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// claims are those of a good token, with some in their place.
func (i *testIssuer) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": i.URL, "aud": []string{"else", "berth"}, "sub": "repo:shop", "exp": time.Now().Add(time.Hour).Unix(), "ref": "main"}
	maps.Copy(c, change)
	return c
}

func TestEnter_TakesTokensOfTheIssuersThatTheRuleNames(t *testing.T) {
	i, stranger := newTestIssuer(t), newTestIssuer(t)
	d := newDoor(t, func(c *Config) { c.Issuers = i.Client() })
	got := make(chan http.Header, 1)
	d.routeFor("app.test", identity.Policy{Audience: "the app", Rules: []identity.Rule{{
		Allow: identity.Who{Claims: []identity.Claim{{Name: "ref", Operator: identity.ClaimEquals, Value: "main"}}},
		JWTs:  []identity.JWTIssuer{{Issuer: i.URL, Audience: "berth"}},
	}}}, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header })
	send := func(token string) *http.Response {
		res, _ := d.get("http://app.test/", with("Authorization", "Bearer "+token))
		return res
	}
	good := i.key.sign(i.claims(nil))
	require.Equal(t, http.StatusOK, send(good).StatusCode)
	h := <-got
	assert.Empty(t, h.Get("X-Berth-User"), "it is no person of Berth's")
	assert.Equal(t, "repo:shop", h.Get("X-Berth-External-Id"))
	assert.Equal(t, i.URL, h.Get("X-Berth-Provider"))
	assert.Equal(t, "Bearer "+good, h.Get("Authorization"), "it is the app's to check, too")
	claims := checked(t, d.gateway.PublicKeys(), h.Get("X-Berth-Assertion"))
	assert.Equal(t, i.URL+"#repo:shop", claims["sub"])

	parts := strings.Split(good, ".")
	encoded := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, token := range map[string]string{
		"another issuer's":        stranger.key.sign(stranger.claims(nil)),
		"another issuer's key":    stranger.key.sign(i.claims(nil)),
		"for somebody else":       i.key.sign(i.claims(map[string]any{"aud": "else"})),
		"for nobody":              i.key.sign(i.claims(map[string]any{"aud": nil})),
		"too old":                 i.key.sign(i.claims(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
		"for ever":                i.key.sign(i.claims(map[string]any{"exp": nil})),
		"not yet":                 i.key.sign(i.claims(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})),
		"changed":                 parts[0] + "." + encoded(`{"iss":"`+i.URL+`","aud":"berth","sub":"root","exp":9999999999,"ref":"main"}`) + "." + parts[2],
		"without signature":       encoded(`{"alg":"none"}`) + "." + parts[1] + ".",
		"with a shared secret":    encoded(`{"alg":"HS256","kid":"`+i.key.id+`"}`) + "." + parts[1] + "." + parts[2],
		"no token":                "a.b.c",
		"a session's":             strings.Repeat("A", 43),
		"larger than any need be": i.key.sign(i.claims(map[string]any{"more": strings.Repeat("x", jwtMost)})),
	} {
		res := send(token)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode, name)
		assert.NotEmpty(t, res.Header.Get("WWW-Authenticate"), name)
	}
	require.Equal(t, http.StatusForbidden, send(i.key.sign(i.claims(map[string]any{"ref": "other"}))).StatusCode)

	before := i.asked.Load()
	for range 50 {
		unknown := *i.key
		unknown.head = encoded(`{"alg":"ES256","kid":"unknown"}`) + "."
		require.Equal(t, http.StatusUnauthorized, send(unknown.sign(i.claims(nil))).StatusCode)
	}
	require.Less(t, i.asked.Load()-before, int64(8), "nobody makes Berth ask the issuer at will")
	i.Close()
	require.Equal(t, http.StatusOK, send(good).StatusCode, "what was proved needs no issuer")
	<-got
}

func TestLiveThings_EndWithTheTokenTheyStandOn(t *testing.T) {
	i := newTestIssuer(t)
	now := time.Now().Truncate(time.Second)
	d := newDoor(t, func(c *Config) {
		c.Issuers = i.Client()
		c.Clock = func() time.Time { return now } // it stands, however slow the machine is
	})
	d.routeFor("app.test", identity.Policy{Rules: []identity.Rule{{JWTs: []identity.JWTIssuer{{Issuer: i.URL, Audience: "berth"}}}}}, stream)
	const lives = time.Second
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app.test/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+i.key.sign(i.claims(map[string]any{"exp": now.Add(lives).Unix()})))
	res, err := d.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(t, http.StatusOK, res.StatusCode)
	_, err = io.ReadAll(res.Body)
	require.Error(t, err, "it is cut")
	require.GreaterOrEqual(t, time.Since(began), lives, "but not before its time")
}
