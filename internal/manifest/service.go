package manifest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"filippo.io/age"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
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

// Config is what a Service needs; all but Clock and Log.
type Config struct {
	DB       *sqlite.DB
	Events   *event.Log
	Deploy   *deploy.Service
	Accounts *registry.Resolver
	Vault    *vault.Vault
	Clock    func() time.Time // time.Now when nil
	Log      *slog.Logger
}

// Service exports and applies documents. Its methods may be called from many
// goroutines. Who may do it is decided by those who call.
type Service struct {
	db       *sqlite.DB
	events   *event.Log
	deploy   *deploy.Service
	accounts *registry.Resolver
	vault    *vault.Vault
	clock    func() time.Time
	log      *slog.Logger
}

// New checks c once.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.Deploy == nil || c.Accounts == nil || c.Vault == nil {
		return nil, errors.New("manifest: needs a database, an event log, projects, accounts and a vault")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{db: c.DB, events: c.Events, deploy: c.Deploy, accounts: c.Accounts, vault: c.Vault, clock: c.Clock, log: c.Log}, nil
}

// Scope says what an export is of.
type Scope struct {
	// Project is the one project that is exported, alone; all things when "".
	Project string
	// Accounts adds what only administrators may see.
	Accounts bool
}

// Export gives what there is as a document, with secrets by their names.
func (s *Service) Export(ctx context.Context, of Scope) (Document, error) {
	have, err := s.state(ctx)
	if err != nil {
		return Document{}, err
	}
	doc := Document{Berth: format, Projects: map[string]Project{}}
	used := map[string]bool{}
	for _, p := range have.Projects {
		if of.Project != "" && p.Name != of.Project {
			continue
		}
		made := Project{Image: p.Image, Description: p.Description, Stages: map[string]deploy.StageSpec{}}
		for _, st := range p.Stages {
			made.Stages[st.Name] = st.Spec
		}
		doc.Projects[p.Name] = made
	}
	if of.Project != "" {
		if len(doc.Projects) == 0 {
			return Document{}, fault.NotFound("no project named %q", of.Project)
		}
		for _, st := range doc.Projects[of.Project].Stages {
			for _, ref := range st.Secrets {
				used[ref.Context+"\x00"+ref.Name] = true
			}
		}
	}
	doc.Secrets = map[string]map[string]Secret{}
	for slot := range have.Slots {
		if of.Project != "" && !used[slot.Context+"\x00"+slot.Name] {
			continue
		}
		if doc.Secrets[slot.Context] == nil {
			doc.Secrets[slot.Context] = map[string]Secret{}
		}
		doc.Secrets[slot.Context][slot.Name] = Secret{}
	}
	if !of.Accounts || of.Project != "" {
		return doc, nil
	}
	doc.Routes = map[string]deploy.FixedSpec{}
	for _, r := range have.Routes {
		doc.Routes[r.Name] = r.Spec
	}
	doc.Registries = map[string]Registry{}
	for _, a := range have.Registries {
		doc.Registries[a.Host] = Registry{Username: a.Username, Insecure: a.Insecure, PollInterval: a.PollInterval}
	}
	return doc, nil
}

// Seal puts the values of a document's secrets into it, sealed for public keys
// of age. It is an event: secrets leave the server by it, if only for those who
// have the key.
func (s *Service) Seal(ctx context.Context, actor string, doc Document, recipients []string) (Document, error) {
	to, err := Recipients(recipients)
	if err != nil {
		return Document{}, err
	}
	if len(to) == 0 {
		return Document{}, fault.Invalid("name the public keys of age to seal for")
	}
	count := 0
	for slotContext, names := range doc.Secrets {
		for name := range names {
			value, err := s.vault.Get(ctx, slotContext, name)
			if err != nil {
				return Document{}, err
			}
			text, err := seal(value, to)
			if err != nil {
				return Document{}, err
			}
			names[name] = Secret{Sealed: text}
			count++
		}
	}
	sealed, err := s.sealAccounts(ctx, doc, to)
	if err != nil {
		return Document{}, err
	}
	return doc, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: Exported, Actor: actor, At: s.clock()},
			Sealed{Recipients: recipients, Secrets: count + sealed})
	})
}

func (s *Service) sealAccounts(ctx context.Context, doc Document, to []age.Recipient) (count int, err error) {
	for host, r := range doc.Registries {
		password, err := s.accounts.Password(ctx, host)
		if err != nil {
			return count, err
		}
		if password.Empty() {
			continue
		}
		text, err := seal(password, to)
		if err != nil {
			return count, err
		}
		r.Password = &Password{Sealed: text}
		doc.Registries[host] = r
		count++
	}
	return count, nil
}

// state reads what there is; of no slot the value.
func (s *Service) state(ctx context.Context) (have State, err error) {
	if have.Projects, err = s.deploy.Configuration(ctx); err != nil {
		return have, err
	}
	if have.Routes, err = s.deploy.AllFixedRoutes(ctx); err != nil {
		return have, err
	}
	if have.Registries, err = s.accounts.Accounts(ctx); err != nil {
		return have, err
	}
	slots, err := s.vault.List(ctx, "")
	have.Slots, have.Values = map[Slot]int64{}, Values{}
	for _, slot := range slots {
		if !vault.Own(slot.Context, slot.Name) {
			have.Slots[Slot{slot.Context, slot.Name}] = slot.Version
		}
	}
	return have, err
}

// values reads the values that a document's are compared with.
func (s *Service) values(ctx context.Context, wanted Values) (Values, error) {
	have := Values{}
	for slot := range wanted {
		value, err := s.value(ctx, slot)
		switch kind := fault.KindOf(err); {
		case err == nil:
			have[slot] = value
		case kind != fault.Missing && kind != fault.NotNow: // else any value is another one
			return nil, err
		}
	}
	return have, nil
}

func (s *Service) value(ctx context.Context, slot Slot) (secret.Text, error) {
	if slot.Context == registry.SecretContext {
		return s.accounts.Password(ctx, slot.Name)
	}
	return s.vault.Get(ctx, slot.Context, slot.Name)
}
