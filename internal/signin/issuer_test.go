package signin_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	clientID     = "berth-client"
	clientSecret = "a secret of the client"
)

// issuer is a provider that does what a test tells it to, also what no
// provider should. Told nothing, it is a good one.
type issuer struct {
	*httptest.Server
	t    *testing.T
	name string // its issuer, to the letter

	mu       sync.Mutex
	codes    map[string]grant
	refresh  map[string]string // token to subject
	spent    map[string]bool
	asked    []url.Values // at the token endpoint
	pushed   map[string]url.Values
	people   map[string]map[string]any // claims by subject
	lifetime time.Duration             // of access tokens

	// What it does otherwise.
	metadata func(map[string]any)
	idToken  func(map[string]any)        // changes the claims
	sign     func(map[string]any) string // instead of its key
	userinfo func(map[string]any)
	answer   func(url.Values) // changes what the browser brings back
	renewing func()           // before a refresh token is taken
	once     bool             // a refresh token is given at the sign-in alone
	never    bool             // none is given
	away     bool
	now      func() time.Time

	tokenStatus    int    // of the token endpoint, instead of an answer
	userinfoStatus int    // of userinfo
	wait           string // Retry-After with these
	page           string // a page in the place of userinfo
	keysAsked      atomic.Int64
}

type grant struct {
	subject, nonce, challenge, redirect, sid string

	again bool // the subject had one before
}

type keys struct {
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

// theKeys are made once: an RSA key takes its time.
var theKeys = sync.OnceValue(func() keys {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return keys{r, e, d}
})

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{
		t: t, codes: map[string]grant{}, refresh: map[string]string{}, spent: map[string]bool{}, pushed: map[string]url.Values{},
		people: map[string]map[string]any{}, lifetime: 90 * time.Second, now: time.Now,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.configuration)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /push", i.push)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", i.info)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.away {
			http.Error(w, "gone fishing", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	i.name = i.URL
	i.people["1001"] = map[string]any{"preferred_username": "ana", "name": "Ana Ash", "email": "ana@example.org", "email_verified": true, "groups": []string{"crew"}}
	i.people["1002"] = map[string]any{"preferred_username": "bo", "name": "Bo Birch", "email": "bo@example.org", "email_verified": true, "groups": []string{"guests"}}
	return i
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (i *issuer) configuration(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": i.name, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"userinfo_endpoint": i.URL + "/userinfo", "jwks_uri": i.URL + "/keys", "end_session_endpoint": i.URL + "/logout",
		"backchannel_logout_supported": true, "code_challenge_methods_supported": []string{"S256"},
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
	}
	if i.metadata != nil {
		i.metadata(m)
	}
	reply(w, http.StatusOK, m)
}

// fails answers with a status that a test asks for, if any.
func (i *issuer) fails(w http.ResponseWriter, status int) bool {
	if status == 0 {
		return false
	}
	if i.wait != "" {
		w.Header().Set("Retry-After", i.wait)
	}
	reply(w, status, map[string]string{"error": "unauthorized_client"})
	return true
}

func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.keysAsked.Add(1)
	k := theKeys()
	reply(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: k.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		{Key: k.ecdsa.Public(), KeyID: "ecdsa", Algorithm: "ES256", Use: "sig"},
		{Key: k.ed25519.Public(), KeyID: "ed25519", Algorithm: "EdDSA", Use: "sig"},
	}})
}

// authorize signs in who the cookie "who" names, with a session of theirs.
func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	i.mu.Lock()
	defer i.mu.Unlock()
	if uri := query.Get("request_uri"); uri != "" {
		query = i.pushed[uri]
		delete(i.pushed, uri)
	}
	who, err := r.Cookie("who")
	if err != nil || query.Get("client_id") != clientID || query.Get("code_challenge_method") != "S256" || query.Get("response_type") != "code" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	i.codes[code] = grant{
		again: slices.Contains(slices.Collect(maps.Values(i.refresh)), who.Value), subject: who.Value, nonce: query.Get("nonce"), challenge: query.Get("code_challenge"), redirect: query.Get("redirect_uri"), sid: "session of " + who.Value,
	}
	back := url.Values{"code": {code}, "state": {query.Get("state")}, "iss": {i.name}}
	if i.answer != nil {
		i.answer(back)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (i *issuer) push(w http.ResponseWriter, r *http.Request) {
	if !i.knows(r) {
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	i.pushed[uri] = r.PostForm
	reply(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": 60})
}

func (i *issuer) knows(r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		return false
	}
	id, given, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		given, _ = url.QueryUnescape(given)
	} else {
		id, given = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id == clientID && given == clientSecret
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	known := i.knows(r)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, r.PostForm)
	if i.fails(w, i.tokenStatus) {
		return
	}
	if i.renewing != nil && r.PostFormValue("grant_type") == "refresh_token" {
		i.mu.Unlock()
		i.renewing()
		i.mu.Lock()
	}
	if !known {
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	if r.PostFormValue("grant_type") == "refresh_token" {
		i.refreshed(w, r.PostFormValue("refresh_token"))
		return
	}
	code := r.PostFormValue("code")
	g, found := i.codes[code]
	delete(i.codes, code)
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !found || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge || r.PostFormValue("redirect_uri") != g.redirect {
		reply(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	i.give(w, g)
}

// refreshed is what was observed of Forgejo: a refresh token works once, and
// is answered with unauthorized_client after that.
func (i *issuer) refreshed(w http.ResponseWriter, token string) {
	subject, found := i.refresh[token]
	if !found || i.spent[token] {
		reply(w, http.StatusBadRequest, map[string]string{"error": "unauthorized_client", "error_description": "token was already used"})
		return
	}
	i.spent[token] = true
	i.give(w, grant{subject: subject})
}

func (i *issuer) give(w http.ResponseWriter, g grant) {
	access, refresh := "access-"+g.subject+"-"+rand.Text(), rand.Text()
	i.refresh[refresh] = g.subject
	now := i.now()
	claims := map[string]any{
		"iss": i.name, "sub": g.subject, "aud": clientID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(),
	}
	if g.nonce != "" {
		claims["nonce"], claims["sid"] = g.nonce, g.sid
	}
	if i.idToken != nil {
		i.idToken(claims)
	}
	sign := i.sign
	if sign == nil {
		sign = i.signRS256
	}
	given := map[string]any{
		"access_token": access, "token_type": "bearer", "refresh_token": refresh, "expires_in": int(i.lifetime.Seconds()), "id_token": sign(claims),
	}
	if i.once && g.again || i.never {
		delete(given, "refresh_token")
	}
	reply(w, http.StatusOK, given)
}

func (i *issuer) info(w http.ResponseWriter, r *http.Request) {
	subject, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer access-"), "-")
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fails(w, i.userinfoStatus) {
		return
	}
	if i.page != "" {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		_, _ = io.WriteString(w, i.page)
		return
	}
	told := map[string]any{"sub": subject}
	maps.Copy(told, i.people[subject])
	if i.userinfo != nil {
		i.userinfo(told)
	}
	reply(w, http.StatusOK, told)
}

func (i *issuer) signRS256(claims map[string]any) string {
	return signed(i.t, jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: theKeys().rsa, KeyID: "rsa"}}, claims)
}

func signed(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(t, err)
	raw, err := json.Marshal(claims)
	require.NoError(t, err)
	object, err := signer.Sign(raw)
	require.NoError(t, err)
	text, err := object.CompactSerialize()
	require.NoError(t, err)
	return text
}

// withNobodysKey makes a token of the algorithm "none", in one of its spellings.
func withNobodysKey(t *testing.T, alg string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + encode(raw) + "."
}

// withPublicKey signs with what everybody knows, as if it were a secret.
func withPublicKey(t *testing.T, claims map[string]any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(theKeys().rsa.Public())
	require.NoError(t, err)
	key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: key}, claims)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// withOwnKey signs with a key that the token itself has in its header.
func withOwnKey(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: newKey(t)}, (&jose.SignerOptions{EmbedJWK: true}).WithType("JWT"))
	require.NoError(t, err)
	raw, err := json.Marshal(claims)
	require.NoError(t, err)
	object, err := signer.Sign(raw)
	require.NoError(t, err)
	text, err := object.CompactSerialize()
	require.NoError(t, err)
	return text
}
