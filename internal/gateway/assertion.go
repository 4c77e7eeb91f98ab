package gateway

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
)

const (
	// assertionLives is how long an assertion is good (RFC 7519 section 4.1.4).
	assertionLives = 30 * time.Second
	// assertionServes is how long one is given again for the same thing: what
	// it says is the same, and signing costs more than all else that is done
	// to let somebody in.
	assertionServes = 10 * time.Second
	// assertionsMost is how many are kept of one visitor.
	assertionsMost = 64
	// assertionMost bounds the bytes of one that is shown to Berth; the groups
	// are what makes it long.
	assertionMost = 64 << 10
)

// assertions are those that one visitor's requests went on with of late.
type assertions struct {
	mu   sync.Mutex
	made map[assertedTo]asserted
}

// assertedTo is what an assertion is bound to.
type assertedTo struct{ key, stage, audience, tokensOf, method, host, path string }

type asserted struct {
	text string
	at   time.Time
}

// assertion gives the JWT (RFC 7519) that proves to an app who comes with a
// request: it is bound to the method, the host and the path that the app gets.
func (a *assertions) assertion(g *Gateway, x *exchange, s *identity.Subject) string {
	key, now := g.keys.signing(), g.clock()
	to := assertedTo{key.id, x.route.StageID, x.route.Access.Audience, x.route.Access.TokensOf, x.r.Method, x.host, x.appPath()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if one, ok := a.made[to]; ok && now.Sub(one.at) < assertionServes && !now.Before(one.at) {
		return one.text
	}
	if len(a.made) >= assertionsMost || a.made == nil {
		a.made = map[assertedTo]asserted{}
	}
	one := asserted{text: key.sign(g.claimsFor(x, s, to, now)), at: now}
	a.made[to] = one
	return one.text
}

// assertionClaims is what an assertion says.
type assertionClaims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Method   string   `json:"method"`
	Host     string   `json:"host"`
	PathHash string   `json:"path_sha256"` // of the path as the app gets it, without query; base64url
	Context  string   `json:"context"`
	Provider string   `json:"provider"`
	User     string   `json:"user,omitempty"`
	Email    string   `json:"email,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	// Where the app may have tokens of a provider: which one, and the session
	// that they are given in.
	TokensOf string `json:"tokens_of,omitempty"`
	Session  string `json:"sid,omitempty"`
}

func (g *Gateway) claimsFor(x *exchange, s *identity.Subject, to assertedTo, now time.Time) assertionClaims {
	sum := sha256.Sum256([]byte(to.path))
	subject := s.Person.ID
	if s.Via == identity.ViaJWT {
		subject = s.Issuer + "#" + s.ExternalID
	}
	claims := assertionClaims{
		Issuer: g.baseURL.String(), Audience: x.route.Access.Audience, Subject: subject,
		IssuedAt: now.Unix(), Expires: now.Add(assertionLives).Unix(),
		Method: to.method, Host: to.host, PathHash: base64.RawURLEncoding.EncodeToString(sum[:]),
		Context: x.route.context, Provider: providerOf(s),
		User: s.Person.Username, Email: s.Email, Groups: s.Groups,
	}
	if s.Via == identity.ViaSession {
		claims.TokensOf = to.tokensOf
		if to.tokensOf != "" {
			claims.Session = s.SessionID
		}
	}
	return claims
}

// Assertion is what an assertion that is good now says of whom an app may have
// tokens.
type Assertion struct {
	PersonID  string
	Username  string
	SessionID string
	TokensOf  string // the provider; "" where the app may have none
	Host      string
}

// ReadAssertion believes an assertion that this Berth made and that is good
// now; anything else gives a fault of kind Unauthenticated.
func (g *Gateway) ReadAssertion(text string) (Assertion, error) {
	var c assertionClaims
	if g.keys == nil || len(text) > assertionMost || !g.keys.proves(text, &c) {
		return Assertion{}, fault.SignIn("this is no assertion of this Berth")
	}
	if now := g.clock().Unix(); c.Issuer != g.baseURL.String() || now >= c.Expires || now < c.IssuedAt-int64(assertionLives.Seconds()) {
		return Assertion{}, fault.SignIn("the assertion is no longer good: each request brings one for 30 seconds")
	}
	return Assertion{PersonID: c.Subject, Username: c.User, SessionID: c.Session, TokensOf: c.TokensOf, Host: c.Host}, nil
}

// proves says whether one of the keys signed a JWT, and reads it.
func (k *Keys) proves(text string, into any) bool {
	signed, signature, ok := cutLast(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if !ok || err != nil || len(raw) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(signed))
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	for _, one := range k.now.Load().keys {
		// The whole head is compared, so that it names no other algorithm.
		if payload, is := strings.CutPrefix(signed, one.head); is && ecdsa.Verify(&one.private.PublicKey, sum[:], r, s) {
			raw, err := base64.RawURLEncoding.DecodeString(payload)
			return err == nil && json.Unmarshal(raw, into) == nil
		}
	}
	return false
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// sign gives a JWT with ES256 (RFC 7518 section 3.4).
func (k *key) sign(claims any) string {
	raw, _ := json.Marshal(claims)
	text := k.head + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "" // no key of P-256 fails; without a signature it proves nothing
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}
