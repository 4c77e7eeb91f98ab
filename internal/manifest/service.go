package manifest

import (
	"errors"
	"log/slog"
	"time"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/registry"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// The kinds of events that this package writes.
const (
	Applied  event.Kind = "manifest.applied"  // data: Count
	Exported event.Kind = "manifest.exported" // secrets left the server, sealed; data: Sealed
)

// Count is how much an apply changed.
type Count struct {
	Created int    `json:"created"`
	Updated int    `json:"updated"`
	Removed int    `json:"removed"`
	Seed    string `json:"seed,omitempty"` // the file that a new server was set up from
}

// Sealed says which secrets were exported, and for whom.
type Sealed struct {
	Recipients []string `json:"recipients"`
	Secrets    int      `json:"secrets"`
}

// Config is what a Service needs; all but AdminsSource, Clock and Log.
type Config struct {
	DB       *sqlite.DB
	Events   *event.Log
	Deploy   *deploy.Service
	Accounts *registry.Resolver
	Vault    *vault.Vault
	SignIn   *signin.Service
	Identity *identity.Service
	Prover   Prover
	// AdminsSource says what has BERTH_ADMINS, so that no document says who
	// administers; "" where nothing has. Nothing when nil.
	AdminsSource func() string
	Clock        func() time.Time // time.Now when nil
	Log          *slog.Logger
}

// Service exports and applies documents. Its methods may be called from many
// goroutines. Who may do it is decided by those who call.
type Service struct {
	db       *sqlite.DB
	events   *event.Log
	deploy   *deploy.Service
	accounts *registry.Resolver
	vault    *vault.Vault
	signin   *signin.Service
	identity *identity.Service
	prover   Prover
	clock    func() time.Time
	log      *slog.Logger

	adminsSource func() string
}

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.Deploy == nil || c.Accounts == nil || c.Vault == nil {
		return nil, errors.New("manifest: needs a database, an event log, projects, accounts and a vault")
	}
	if c.SignIn == nil || c.Identity == nil || c.Prover == nil {
		return nil, errors.New("manifest: needs providers, people and who proves them")
	}
	if c.AdminsSource == nil {
		c.AdminsSource = func() string { return "" }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		db: c.DB, events: c.Events, deploy: c.Deploy, accounts: c.Accounts, vault: c.Vault,
		signin: c.SignIn, identity: c.Identity, prover: c.Prover, adminsSource: c.AdminsSource, clock: c.Clock, log: c.Log,
	}, nil
}
