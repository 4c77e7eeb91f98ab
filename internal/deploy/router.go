package deploy

import (
	"context"
	"time"

	"berth/internal/identity"
)

// Router is where requests are sent to. *gateway.Table is one.
//
// Its methods may be called from many goroutines; calls of Switch and Remove
// for one stage come one after another, and Drain runs beside them. A Router
// keeps nothing: after a start it is told every route anew.
type Router interface {
	// Switch points a stage's route to r.Instances, at once: when it returns,
	// no request that has not yet been given an instance can get one of the
	// deployment that served before.
	Switch(ctx context.Context, r Route) error
	// Drain waits until requests and streams that a deployment still serves
	// have ended; past a budget it cuts what is left of that sort. It says
	// how many it cut, and closes idle connections to those instances.
	Drain(ctx context.Context, deployment string, requests, streams time.Duration) (cut int, err error)
	// Remove takes a stage's route away, or a fixed one.
	Remove(ctx context.Context, stageID string) error
}

// Route is where a stage's requests go. With no Instances the route answers
// 503 and says that the app is starting (Deployment set) or unavailable.
type Route struct {
	StageID        string // or the id of a fixed route
	Project        string
	Stage          string
	Hostname       string // lower case, without port
	PathPrefix     string // "/" or "/x", never ending in "/" otherwise
	StripPrefix    bool
	Protocol       Protocol      // H2C is HTTP/2 over TLS where an Endpoint has a TLSName
	RequestTimeout time.Duration // for the response's headers
	MaxBodyBytes   int64         // 0: the router's own limit
	Deployment     string
	Reference      string // the tag that was deployed, or the digest; for the log
	Instances      []Endpoint

	// Canary, when set, is where a share of the clients goes instead: the same
	// ones for as long as its deployment stands beside this one. Its address
	// is that of the route it belongs to. A request for which none of its
	// instances can be reached goes where the others go.
	Canary *Route
	Share  int // of a canary: how many clients of a hundred
	// Access is who may enter; the zero Policy lets nobody in.
	Access identity.Policy
	// Maintenance, when set, is answered to every request, with 503; none
	// reaches an instance.
	Maintenance *Maintenance
	// Fixed, when set, makes it a route that no stage makes; it has no Project,
	// Stage and Deployment then. Whoever is served when it is removed is cut,
	// and streams are when it goes elsewhere.
	Fixed *Fixed
}

// Fixed is what only routes have that no stage makes. With no Instances
// another proxy serves what they are about, and the route only says who may
// enter.
type Fixed struct {
	Name   string
	Target string // its scheme, host and port, as links may spell it
	Host   string // the Host header that the target gets; the client's when empty
}

// Endpoint is one instance that requests may go to.
type Endpoint struct {
	Instance  string // its id
	Container string // the engine's id
	Address   string // "127.0.0.1:port"; of a fixed route also a name
	TLSName   string // whose certificate it must show; no TLS when empty
	// Guarded has the address looked at when it is connected to: it must be
	// none that gives out a machine's credentials, and not Berth itself.
	Guarded bool
}
