package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/outgoing"
)

// bearer is who a token of another issuer is of.
type bearer struct {
	subject identity.Subject
	expires time.Time

	once sync.Once
	made *told
}

// told gives what apps are told of the bearer.
func (b *bearer) told(t *teller) *told {
	b.once.Do(func() { b.made = newTold(t.fieldsOf(&b.subject)) })
	return b.made
}

// verifier proves tokens of the issuers that a route names. It gives nil
// without an error for what is no such token, which is the app's own affair.
type verifier interface {
	verify(ctx context.Context, of []identity.JWTIssuer, token string) (*bearer, error)
}

const (
	jwtMost     = 8 << 10 // bytes of a token
	bearersMost = 10_000  // that are kept proved
	issuersMost = 200     // that are kept discovered

	issuerKept  = time.Hour        // until it is discovered anew
	issuerRests = 30 * time.Second // after it could not be
)

// jwtAlgorithms are those that a token may be signed with: none that proves
// nothing, and none whose key is a shared secret (RFC 8725 section 3.1).
var jwtAlgorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// issuers prove tokens by the keys that their issuers show.
type issuers struct {
	client *http.Client
	clock  func() time.Time

	finding singleflight.Group
	mu      sync.Mutex
	found   map[string]*issuer
	proved  map[[sha256.Size]byte]*bearer
}

type issuer struct {
	provider *oidc.Provider
	err      error
	until    time.Time
}

func newIssuers(client *http.Client, clock func() time.Time) *issuers {
	return &issuers{client: client, clock: clock, found: map[string]*issuer{}, proved: map[[sha256.Size]byte]*bearer{}}
}

func (i *issuers) verify(ctx context.Context, of []identity.JWTIssuer, token string) (*bearer, error) {
	claimed, ok := claimedBy(token)
	if !ok || !slices.ContainsFunc(of, func(j identity.JWTIssuer) bool { return j.Issuer == claimed.Issuer }) {
		return nil, nil //nolint:nilnil // see verifier
	}
	n := slices.IndexFunc(of, func(j identity.JWTIssuer) bool {
		return j.Issuer == claimed.Issuer && slices.Contains(claimed.Audience, j.Audience)
	})
	if n < 0 {
		return nil, fault.SignIn("this token is for somebody else")
	}
	key := sha256.Sum256([]byte(of[n].Audience + "\x00" + token))
	i.mu.Lock()
	known := i.proved[key]
	i.mu.Unlock()
	if known != nil && i.clock().Before(known.expires) {
		return known, nil
	}
	made, err := i.prove(ctx, of[n], token)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.proved) >= bearersMost {
		clear(i.proved)
	}
	i.proved[key] = made
	return made, nil
}

func (i *issuers) prove(ctx context.Context, by identity.JWTIssuer, token string) (*bearer, error) {
	provider, err := i.provider(by.Issuer) //nolint:contextcheck // what it finds outlives the request
	if err != nil {
		return nil, fault.Unavailable("the issuer of this token can not be asked for its keys").Because(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: by.Audience, SupportedSigningAlgs: jwtAlgorithms, Now: i.clock}).Verify(ctx, token)
	if err != nil {
		return nil, fault.SignIn("this token is not valid, or no longer").Because(err)
	}
	b := &bearer{expires: verified.Expiry}
	b.subject = identity.Subject{Via: identity.ViaJWT, Issuer: by.Issuer, Audience: by.Audience, ExternalID: verified.Subject}
	if err := verified.Claims(&b.subject.Claims); err != nil {
		return nil, fault.SignIn("this token says nothing that can be read").Because(err)
	}
	return b, nil
}

// provider discovers an issuer, once for a while.
func (i *issuers) provider(name string) (*oidc.Provider, error) {
	i.mu.Lock()
	known := i.found[name]
	i.mu.Unlock()
	if known != nil && i.clock().Before(known.until) {
		return known.provider, known.err
	}
	found, _, _ := i.finding.Do(name, func() (any, error) {
		one := &issuer{}
		// The provider keeps this context for as long as it fetches keys, so it
		// is no request's. Each fetch has the client's time.
		ctx := oidc.ClientContext(context.Background(), outgoing.Sparing(i.client, 5*time.Second, 6))
		one.provider, one.err = discoverIssuer(ctx, name)
		one.until = i.clock().Add(issuerKept)
		if one.err != nil {
			one.until = i.clock().Add(issuerRests)
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		if len(i.found) >= issuersMost {
			clear(i.found)
		}
		i.found[name] = one
		return one, nil
	})
	one := found.(*issuer) //nolint:forcetypeassert // the only type the line above can give
	return one.provider, one.err
}

// discoverIssuer asks an issuer for its metadata, and takes keys by HTTPS
// alone: whoever could change them on the way could sign for it.
func discoverIssuer(ctx context.Context, name string) (*oidc.Provider, error) {
	provider, err := oidc.NewProvider(ctx, name)
	if err != nil {
		return nil, err
	}
	var meta struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&meta); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(meta.KeysURL, "https://") {
		return nil, errors.New("the issuer's keys are not at an https:// address")
	}
	return provider, nil
}

// claimed is what a token says of itself, which proves nothing.
type claimed struct {
	Issuer   string    `json:"iss"`
	Audience audiences `json:"aud"`
}

// audiences is one text or a list of them (RFC 7519 section 4.1.3).
type audiences []string

// UnmarshalJSON takes either.
func (a *audiences) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audiences{one}
		return nil
	}
	if err := json.Unmarshal(raw, (*[]string)(a)); err != nil {
		return fmt.Errorf("aud: %w", err)
	}
	return nil
}

func claimedBy(token string) (c claimed, ok bool) {
	if len(token) > jwtMost {
		return c, false
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(raw, &c) == nil && c.Issuer != ""
}

// expiry cuts a request when its bearer's token ends.
type expiry struct{ timer *time.Timer }

func (e *expiry) start(in time.Duration, f func()) bool {
	if in <= 0 {
		return false
	}
	e.timer = time.AfterFunc(in, f)
	return true
}

func (e *expiry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}
