package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
)

const (
	// tokenLife is how long a bearer token holds: how long a right that was
	// taken away lasts at most. Clients ask for another by themselves.
	tokenLife = 5 * time.Minute
	// maxTokenForm bounds the form of a token request, in bytes.
	maxTokenForm = 64 << 10
	// tokenHeader is the only JOSE header there is, so that a token can't
	// choose how it is verified (RFC 8725, section 3.1).
	tokenHeader = `{"alg":"HS256","typ":"JWT"}` //nolint:gosec // no credential: it says how one is signed
)

// tokens signs and reads the short-lived bearer tokens: JSON Web Tokens
// (RFC 7519) that nobody but this registry needs to understand.
type tokens struct {
	key     []byte
	service string
	clock   func() time.Time
}

// claims is what a token says.
type claims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	IssuedAt int64    `json:"iat"` // Unix seconds, as all times in a JWT
	Expires  int64    `json:"exp"`
	Access   []grant  `json:"access"`
	Rights   []action `json:"rights"` // the account's, so that a refusal can say which it lacks
	Catalog  bool     `json:"catalog,omitempty"`
	Bound    *Bound   `json:"bound,omitempty"` // the account's
}

func (c claims) account() Account {
	return Account{Name: c.Subject, Push: slices.Contains(c.Rights, push), Pull: slices.Contains(c.Rights, pull), Bound: c.Bound}
}

// covers says whether the token was given for an action on a repository.
// Whoever asked to push may delete: some clients know no word for it.
func (c claims) covers(what action, repository string) bool {
	for _, g := range c.Access {
		if g.Type != "repository" || g.Name != repository {
			continue
		}
		if slices.Contains(g.Actions, what) || what == remove && slices.Contains(g.Actions, push) {
			return true
		}
	}
	return false
}

func (t tokens) sign(a Account, grants []grant) (secret.Text, claims) {
	now := t.clock()
	c := claims{
		Issuer: "berth", Audience: t.service, Subject: a.Name,
		IssuedAt: now.Unix(), Expires: now.Add(tokenLife).Unix(), Access: grants, Bound: a.Bound,
	}
	for _, what := range []action{pull, push} {
		if a.may(what) {
			c.Rights = append(c.Rights, what)
		}
	}
	for _, g := range grants {
		c.Catalog = c.Catalog || g.Type == "registry"
	}
	body, _ := json.Marshal(c)
	text := encode([]byte(tokenHeader)) + "." + encode(body)
	return secret.New(text + "." + encode(t.mac(text))), c
}

func (t tokens) mac(text string) []byte {
	h := hmac.New(sha256.New, t.key)
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// read verifies a token. All that can be wrong with it is one refusal.
func (t tokens) read(token string) (claims, error) {
	var c claims
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return c, errToken.Because(errors.New("it is no JWT"))
	}
	mac, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil || !hmac.Equal(mac, t.mac(token[:i])) {
		return c, errToken.Because(errors.New("its signature is not ours"))
	}
	header, body, _ := strings.Cut(token[:i], ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || header != encode([]byte(tokenHeader)) {
		return c, errToken.Because(errors.New("it is malformed"))
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, errToken.Because(err)
	}
	if c.Issuer != "berth" || c.Audience != t.service || t.clock().Unix() >= c.Expires {
		return claims{}, errToken.Because(errors.New("it has expired, or is for another registry"))
	}
	return c, nil
}

var errToken = fault.SignIn("the token is not valid, or no more")

// tokenAnswer is the token endpoint's answer in both forms: clients of the
// first read token, OAuth 2 ones access_token (RFC 6749, section 5.1).
type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	Scope       string `json:"scope"`
	ExpiresIn   int    `json:"expires_in"` // seconds
	IssuedAt    string `json:"issued_at"`
}

// serveToken gives a token to whoever signs in: by GET with Basic, as docker
// does, or by POST with the OAuth 2 password grant, as containerd does. Nobody
// gets one unnamed.
func (g *accountGate) serveToken(w http.ResponseWriter, req *http.Request) error {
	account, scopes, err := g.tokenRequest(w, req)
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated {
			w.Header().Set("WWW-Authenticate", `Basic realm="Berth"`)
		}
		return err
	}
	token, c := g.tokens.sign(account, grantsOf(scopes, account))
	body, err := json.Marshal(tokenAnswer{
		Token: token.Reveal(), AccessToken: token.Reveal(), TokenType: "Bearer", Scope: scopeText(c.Access),
		ExpiresIn: int(tokenLife.Seconds()), IssuedAt: time.Unix(c.IssuedAt, 0).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // RFC 6749, section 5.1
	_, err = w.Write(body)
	return err
}

func (g *accountGate) tokenRequest(w http.ResponseWriter, req *http.Request) (a Account, scopes []string, err error) {
	switch req.Method {
	case http.MethodGet:
		a, err = g.basic(req)
		return a, req.URL.Query()["scope"], err
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, POST")
		return a, nil, refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "a token is asked for by GET or POST")
	}
	req.Body = http.MaxBytesReader(w, req.Body, maxTokenForm)
	if err := req.ParseForm(); err != nil {
		return a, nil, refuse(http.StatusBadRequest, "UNSUPPORTED", "the form can't be read")
	}
	if grantType := req.PostForm.Get("grant_type"); grantType != "password" {
		return a, nil, refusef(http.StatusBadRequest, "UNSUPPORTED", "unsupported_grant_type: %q is not taken here, password is", grantType)
	}
	a, err = g.auth.Authenticate(req.Context(), req.PostForm.Get("username"), secret.New(req.PostForm.Get("password")), addressOf(req))
	return a, req.PostForm["scope"], err
}
