package identity

import (
	"crypto/sha256"
	"encoding/base64"

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
}

var base64URL = base64.RawURLEncoding

// digest is all that is kept of a token. It has 256 random bits, so that no
// slow hash is called for.
type digest [sha256.Size]byte

func digestOf(token secret.Text) digest { return sha256.Sum256([]byte(token.Reveal())) }
