// Package registry keeps images and knows where others keep theirs: it is
// Berth's built-in registry, which speaks the OCI distribution protocol, and
// the resolver that turns any reference into the digest an engine can run.
//
// Start with [New] for the registry ([Registry.Handler] is what clients push
// to, [Registry.EngineHandler] what the engine pulls from) and with
// [NewResolver] for references. Blobs are files named by their digest;
// manifests, tags and what belongs to whom are rows. Who may sign in is left
// to an [Authenticator], what a push sets in motion to those who follow the
// event [Pushed], and fetching an image to the container engine.
package registry

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ociserver"

	"berth/internal/event"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Authenticator says who somebody is by username and password. The password
// may be an API token. Its faults (wrong, too often, disabled) reach the
// client as OCI errors. It is called from many goroutines.
type Authenticator interface {
	Authenticate(ctx context.Context, username string, password secret.Text, address string) (Account, error)
}

// Account is somebody who signed in to the registry, and what they may do.
type Account struct {
	Name string
	Push bool // write, mount and delete
	Pull bool // read and list
	// Bound holds it to one repository, which it neither deletes from nor
	// lists beside others; nil for one that reaches all.
	Bound *Bound
}

// Bound is what an account is held to.
type Bound struct {
	Repository string `json:"repository"` // none when empty
	// Project and Stage are what a push of this account may deploy to: every
	// stage of the project when Stage is empty.
	Project string `json:"project"`
	Stage   string `json:"stage,omitempty"`
}

// The kinds of the events that this package writes.
const (
	Pushed      event.Kind = "image.pushed"             // data: Push
	Removed     event.Kind = "image.removed"            // data: Removal
	AccountSet  event.Kind = "registry_account.set"     // data: AccountChange
	AccountGone event.Kind = "registry_account.removed" // data: AccountChange
)

const (
	defaultGrace    = 24 * time.Hour
	defaultExpiry   = 24 * time.Hour
	defaultPatience = time.Minute
	defaultMaxBlob  = 16 << 30
)

// Push is the data of a Pushed event: a tag was put, whether it moved or not.
type Push struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	// Project and Stage are all that this push may deploy to, by their names;
	// empty when it was made by somebody who is not held to them.
	Project string `json:"project,omitempty"`
	Stage   string `json:"stage,omitempty"`
}

// Removal is the data of a Removed event. Without a digest the whole
// repository went, without a tag the manifest with all its tags.
type Removal struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest,omitempty"`
}

// Config is what a Registry needs.
type Config struct {
	DB     *sqlite.DB
	Events *event.Log
	// Dir holds the blobs and the uploads in progress. It is made, with mode
	// 0700, when it is not there. One process at a time may use it.
	Dir  string
	Auth Authenticator
	// Key is what the key of the short-lived bearer tokens is derived from.
	Key secret.Text
	// BaseURL is where clients find the registry; its host names it in tokens.
	BaseURL *url.URL
	// MaxBlob bounds one blob, in bytes; 0 means 16 GiB.
	MaxBlob int64
	// Grace is how long a blob that no manifest needs is kept, so that the
	// push that brought it can finish; 0 means 24 hours.
	Grace time.Duration
	// UploadExpiry is how long an upload waits for its next byte; 0 means 24
	// hours.
	UploadExpiry time.Duration
	// Patience is how long a client may let its connection stand still in the
	// middle of an upload or a download; 0 means a minute.
	Patience time.Duration
	Clock    func() time.Time // time.Now when nil
	Log      *slog.Logger
}

// Registry is the built-in registry. Its methods may be called from many
// goroutines.
type Registry struct {
	db       *sqlite.DB
	events   *event.Log
	auth     Authenticator
	baseURL  *url.URL
	maxBlob  int64
	grace    time.Duration
	expiry   time.Duration
	patience patience
	clock    func() time.Time
	log      *slog.Logger

	files   files
	tokens  tokens
	writing busy // uploads that a request writes to now

	// settling is held for reading while a blob's file and its row come to
	// be, and for writing while both go, so that neither is seen without the
	// other. It is taken before a transaction, never inside one.
	settling sync.RWMutex
}

// New checks c, and makes the folders.
func New(c Config) (*Registry, error) {
	switch {
	case c.DB == nil || c.Events == nil || c.Auth == nil:
		return nil, errors.New("registry: needs DB, Events and Auth")
	case c.Dir == "":
		return nil, errors.New("registry: needs a folder")
	case c.Key.Empty():
		return nil, errors.New("registry: needs a key")
	case c.BaseURL == nil || c.BaseURL.Host == "":
		return nil, errors.New("registry: needs a base URL with a host")
	}
	if c.MaxBlob == 0 {
		c.MaxBlob = defaultMaxBlob
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.UploadExpiry == 0 {
		c.UploadExpiry = defaultExpiry
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	key, err := hkdf.Key(sha256.New, []byte(c.Key.Reveal()), nil, "berth registry bearer token", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the registry's key: %w", err)
	}
	f, err := openFiles(c.Dir)
	if err != nil {
		return nil, err
	}
	return &Registry{
		db: c.DB, events: c.Events, auth: c.Auth, baseURL: c.BaseURL, maxBlob: c.MaxBlob,
		grace: c.Grace, expiry: c.UploadExpiry, patience: patience(c.Patience), clock: c.Clock, log: c.Log,
		files: f, tokens: tokens{key: key, service: c.BaseURL.Host, clock: c.Clock},
	}, nil
}

// Handler answers everything under /v2/, for people's clients.
func (r *Registry) Handler() http.Handler {
	return r.edge(&accountGate{auth: r.auth, tokens: r.tokens, baseURL: r.baseURL})
}

// EngineHandler answers the reading half of /v2/ to the one who knows the
// credential. It is for the internal listener that the engine pulls from.
func (r *Registry) EngineHandler(username string, password secret.Text) http.Handler {
	return r.edge(&engineGate{username: username, password: password})
}

func (r *Registry) edge(g gate) *edge {
	e := &edge{registry: r, gate: g}
	e.protocol = ociserver.New(&protocol{r: r}, &ociserver.Options{WriteError: e.refuse, MaxListPageSize: maxPage})
	return e
}
