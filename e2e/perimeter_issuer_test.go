package e2e

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	theClient  = "berth"
	theSubject = "1001"
)

// liar is a provider that is a good one until it is told to lie.
type liar struct {
	*httptest.Server
	h      *house
	slug   string
	secret string
	key    *rsa.PrivateKey

	mu     sync.Mutex
	codes  map[string]url.Values // what was asked for, by code
	asked  int                   // at the token endpoint
	answer func(url.Values)      // changes what the browser brings back
	claims func(map[string]any)  // changes the id_token
	sign   func(map[string]any) string
	told   func(map[string]any) // changes what userinfo says

	lifetime time.Duration // of access tokens; 90 seconds when zero
	refresh  string        // the refresh token that is good
	taking   func()        // before a refresh token is taken
	taken    func()        // after it was, before that is answered
}

// liar starts one, and adds it as a provider that lets everybody in.
func (h *house) liar(slug string) *liar {
	h.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(h.t, err)
	l := &liar{h: h, slug: slug, secret: "the secret of " + slug + " " + rand.Text(), key: key, codes: map[string]url.Values{}}
	h.keep(l.secret)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, map[string]any{
			"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/keys", "userinfo_endpoint": l.URL + "/userinfo",
			"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: l.key.Public(), KeyID: "key", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		about := map[string]any{"sub": theSubject}
		if l.told != nil {
			l.told(about)
		}
		tell(w, http.StatusOK, about)
	})
	mux.HandleFunc("GET /authorize", l.authorize)
	mux.HandleFunc("POST /token", l.token)
	l.Server = httptest.NewServer(mux)
	h.t.Cleanup(l.Close)
	h.call("POST", "/api/providers", map[string]any{
		"slug": slug, "preset": "oidc", "issuer": l.URL, "client_id": theClient, "client_secret": l.secret, "create": true,
	}, nil)
	return l
}

func tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (l *liar) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	l.mu.Lock()
	defer l.mu.Unlock()
	code := "code-" + rand.Text()
	l.codes[code] = query
	l.h.keepPassing(code)
	l.h.keepPassing(query.Get("state"))
	back := url.Values{"code": {code}, "state": {query.Get("state")}, "iss": {l.URL}}
	if l.answer != nil {
		l.answer(back)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

// renew takes a refresh token once, in Forgejo's words, unless whoever asked
// is gone.
func (l *liar) renew(w http.ResponseWriter, r *http.Request) {
	given := r.PostFormValue("refresh_token")
	if l.taking != nil {
		l.taking()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if r.Context().Err() != nil {
		return
	}
	if given != l.refresh {
		tell(w, http.StatusBadRequest, map[string]string{"error": "unauthorized_client", "error_description": "token was already used"})
		return
	}
	access := "access-" + rand.Text()
	l.refresh = "refresh-" + rand.Text()
	l.h.keep(access)
	l.h.keep(l.refresh)
	if l.taken != nil {
		l.taken()
	}
	tell(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "bearer", "refresh_token": l.refresh, "expires_in": 3600})
}

func (l *liar) token(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("grant_type") == "refresh_token" {
		l.renew(w, r)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	code := r.PostFormValue("code")
	asked, found := l.codes[code]
	delete(l.codes, code)
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !found || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		tell(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := map[string]any{
		"iss": l.URL, "sub": theSubject, "aud": theClient, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": asked.Get("nonce"), "preferred_username": "ada-" + l.slug,
	}
	if l.claims != nil {
		l.claims(claims)
	}
	sign := l.sign
	if sign == nil {
		sign = l.honestly
	}
	access, refresh, id := "access-"+rand.Text(), "refresh-"+rand.Text(), sign(claims)
	for _, text := range []string{access, refresh, id, r.PostFormValue("code_verifier")} {
		if text != "" {
			l.h.keep(text)
		}
	}
	l.refresh = refresh
	lives := cmp.Or(l.lifetime, 90*time.Second)
	tell(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "bearer", "refresh_token": refresh, "expires_in": int(lives.Seconds()), "id_token": id})
}

func (l *liar) honestly(claims map[string]any) string { return signBy(l.key, claims) }

func signBy(key *rsa.PrivateKey, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "key"}}, nil)
	if err != nil {
		return err.Error()
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		return err.Error()
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return err.Error()
	}
	return text
}

// unsigned makes a token of an algorithm by hand, signed by mac where there is one.
func unsigned(alg string, claims map[string]any, mac []byte) string {
	raw, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"`+alg+`","typ":"JWT","kid":"key"}`)) + "." + encode(raw)
	if mac == nil {
		return text + "."
	}
	sum := hmac.New(sha256.New, mac)
	sum.Write([]byte(text))
	return text + "." + encode(sum.Sum(nil))
}

// publicPEM is what everybody knows of the provider's key.
func (l *liar) publicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(l.key.Public())
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// lie has it lie from now on, and be honest again when the function is called.
func (l *liar) lie(set func()) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answer, l.claims, l.sign, l.told = nil, nil, nil, nil
	}
}

func (l *liar) tokensAsked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// begin starts a sign-in, and gives the address that the provider would have
// the browser come back to.
func (v *visitor) begin(l *liar) *url.URL {
	v.h.t.Helper()
	to := v.do("GET", v.h.baseURL()+"/auth/"+l.slug+"/start", nil, "Accept: text/html").to()
	require.True(v.h.t, strings.HasPrefix(to, l.URL), to)
	back, err := url.Parse(v.do("GET", to, nil, "Accept: text/html").to())
	require.NoError(v.h.t, err)
	return back
}

// comesBack comes to where a provider sends it, and says who it is then.
func (v *visitor) comesBack(to *url.URL) string {
	v.h.t.Helper()
	v.do("GET", to.String(), nil, "Accept: text/html", "Sec-Fetch-Mode: navigate")
	return v.known()
}

// logoutToken says that a person signed out there (OpenID Connect Back-Channel
// Logout 1.0 section 2.4).
func (l *liar) logoutToken() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": l.URL, "aud": theClient, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(), "sub": theSubject,
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
}
