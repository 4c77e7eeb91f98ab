package gateway

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
)

const (
	// assertionLives is how long an assertion is good (RFC 7519 section 4.1.4).
	assertionLives = 30 * time.Second
	// assertionMost bounds the bytes of one that is shown to Berth; the groups
	// are what makes it long.
	assertionMost = 64 << 10
)

// assertion gives the JWT (RFC 7519) that proves to an app who comes with a
// request: it is bound to the method, the host and the path that the app gets.
func (t *told) assertion(x *exchange, s *identity.Subject) string {
	key, now := x.g.keys.signing(), x.g.clock()
	method, path := x.r.Method, x.appPath()
	if len(method)+len(path) > assertedMost {
		return key.sign(x.g.claimsFor(x, s, path, now))
	}
	var room [2 * assertedMost]byte
	text := binary.BigEndian.AppendUint64(room[:0], t.id)
	for _, part := range [...]string{key.id, x.route.StageID, x.route.context, x.route.Access.Audience, x.route.Access.TokensOf, method, x.host, path} {
		text = append(text, part...)
		text = append(text, 0) // which is in none of them
	}
	to := assertedTo(sha256.Sum256(text))
	if made := x.g.assertions.get(to, now); made != "" {
		return made
	}
	made := key.sign(x.g.claimsFor(x, s, path, now))
	x.g.assertions.put(to, made, now)
	return made
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

func (g *Gateway) claimsFor(x *exchange, s *identity.Subject, path string, now time.Time) assertionClaims {
	sum := sha256.Sum256([]byte(path))
	subject := s.Person.ID
	if s.Via == identity.ViaJWT {
		subject = s.Issuer + "#" + s.ExternalID
	}
	claims := assertionClaims{
		Issuer: g.baseURL.String(), Audience: x.route.Access.Audience, Subject: subject,
		IssuedAt: now.Unix(), Expires: now.Add(assertionLives).Unix(),
		Method: x.r.Method, Host: x.host, PathHash: base64.RawURLEncoding.EncodeToString(sum[:]),
		Context: x.route.context, Provider: providerOf(s),
		User: s.Person.Username, Email: s.Email, Groups: s.Groups,
	}
	if s.Via == identity.ViaSession {
		claims.TokensOf = x.route.Access.TokensOf
		if claims.TokensOf != "" {
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
