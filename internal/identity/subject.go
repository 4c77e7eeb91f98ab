package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"berth/internal/secret"
)

// Via is how somebody proved who they are.
type Via string

// The ways.
const (
	ViaSession  Via = "session"
	ViaToken    Via = "token"    // an API token
	ViaPassword Via = "password" // the password itself with one request, as the registry's clients send it
	ViaLocal    Via = "local"    // the socket that only the machine's own administrator can open
	ViaJWT      Via = "jwt"      // a token of an issuer that an app's policy names; no person of Berth's
)

func (v Via) String() string { return string(v) }

// Scope bounds an API token. It is never above its person's role.
type Scope string

// The scopes, each holding the one before it.
const (
	ScopeRead   Scope = "read"   // look, and pull images
	ScopeDeploy Scope = "deploy" // and start, roll back, cancel, and push images
	ScopeAdmin  Scope = "admin"  // all that its person's role may
)

func (s Scope) String() string { return string(s) }

// level orders the scopes; 0 for what is none.
func (s Scope) level() int {
	switch s {
	case ScopeRead:
		return 1
	case ScopeDeploy:
		return 2
	case ScopeAdmin:
		return 3
	}
	return 0
}

// Subject is somebody who has proved who they are, and how.
type Subject struct {
	Person    Person `json:"person"`
	Via       Via    `json:"via"`
	SessionID string `json:"session_id,omitempty"` // set for ViaSession
	TokenID   string `json:"token_id,omitempty"`   // set for ViaToken
	Scope     Scope  `json:"scope,omitempty"`      // set for ViaToken
	// Bounds are what an API token is held to, nil for one that is not.
	Bounds *Bounds `json:"bounds,omitempty"`

	// Of a session: how it began, and who they are to that provider.
	Provider   string         `json:"provider,omitempty"` // ProviderLocal, or the provider's name
	IdentityID string         `json:"-"`                  // "" of ProviderLocal
	Issuer     string         `json:"-"`                  // also of ViaJWT
	ExternalID string         `json:"-"`                  // also of ViaJWT
	Claims     map[string]any `json:"-"`                  // also of ViaJWT; nobody changes it
	Audience   string         `json:"-"`                  // of ViaJWT
	// Email is the address that apps are told: one that was given here, or that
	// the provider of the session vouches for.
	Email string `json:"-"`
	// OwnGroups are those that Berth keeps itself, Groups these and those that
	// the provider told of; both in order.
	OwnGroups []string `json:"-"`
	Groups    []string `json:"groups,omitempty"`
	// SyncedUntil is until when what the provider told counts; zero for ever.
	SyncedUntil     time.Time `json:"-"`
	Methods         []Method  `json:"methods,omitempty"`
	AuthenticatedAt time.Time `json:"authenticated_at,omitzero"`
	StrongAt        time.Time `json:"strong_at,omitzero"`  // zero where there was no second factor
	PasskeyAt       time.Time `json:"passkey_at,omitzero"` // zero where there was no passkey
}

// ProviderLocal is where people sign in with what Berth itself keeps.
const ProviderLocal = "local"

// Method is one way in which somebody has proved who they are.
type Method string

// The methods.
const (
	MethodPassword Method = "password"
	MethodTOTP     Method = "totp"
	MethodRecovery Method = "recovery" // a recovery code, in the place of another factor
	MethodPasskey  Method = "passkey"  // with the user verified: two factors in one
	MethodProvider Method = "provider" // at a provider
	MethodMFA      Method = "mfa"      // the provider says that it took more than one factor (RFC 8176)
)

// Proof is how a session begins.
type Proof struct {
	Methods    []Method
	Provider   string // ProviderLocal when empty
	IdentityID string // of another provider's
	// UpstreamSID is the session's id at the provider (OpenID Connect
	// Back-Channel Logout 1.0, section 2.1), where it has one.
	UpstreamSID string
}

// Strong says whether a session began, or was strengthened, with two factors.
func (s *Subject) Strong() bool { return strong(s.Methods) }

// ProvedSince says whether somebody proved who they are after a time, and by no
// less than they have here.
func (s *Subject) ProvedSince(at time.Time) bool {
	return s.AuthenticatedAt.After(at) && (!s.Person.SecondFactor || s.Strong())
}

// second says whether a method is, or holds, a second factor.
func (m Method) second() bool {
	return m == MethodPasskey || m == MethodMFA || m == MethodTOTP || m == MethodRecovery
}

func strong(methods []Method) bool {
	has := func(m Method) bool { return slices.Contains(methods, m) }
	return has(MethodPasskey) || has(MethodMFA) || (has(MethodPassword) || has(MethodProvider)) && (has(MethodTOTP) || has(MethodRecovery))
}

// Local is whoever can open the machine's own socket: an administrator
// without an account, whose name in the log of events is "local".
func Local() Subject {
	return Subject{Person: Person{Username: "local", DisplayName: "this machine", Role: RoleAdministrator}, Via: ViaLocal}
}

// Origin is where a request came from, as far as the edge can tell.
type Origin struct {
	Address   string // an IP address, with or without a port
	UserAgent string
	signedIn  bool // in a session of the person's own: no address
}

var base64URL = base64.RawURLEncoding

// digest is all that is kept of a token. It has 256 random bits, so that no
// slow hash is called for.
type digest [sha256.Size]byte

func digestOf(token secret.Text) digest { return sha256.Sum256([]byte(token.Reveal())) }
