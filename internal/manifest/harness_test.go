package manifest_test

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// server is everything that a document speaks of, over a real database. Only
// the engine and the gateway are stand-ins: nothing runs in these tests.
type server struct {
	*manifest.Service
	t        *testing.T
	db       *sqlite.DB
	events   *event.Log
	deploy   *deploy.Service
	accounts *registry.Resolver
	vault    *vault.Vault
	identity *identity.Service
	signin   *signin.Service

	adminsFrom string // what has BERTH_ADMINS
}

const key = "a key for tests that is long enough"

func newServer(t *testing.T) *server {
	t.Helper()
	return newServerThatDemands(t, identity.RequireOfNobody)
}

// newServerThatDemands has settings that require a second factor of somebody.
func newServerThatDemands(t *testing.T, least identity.Requirement) *server {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s := &server{t: t, db: db, events: event.New(event.Config{DB: db})}
	s.vault, err = vault.New(vault.Config{DB: db, Events: s.events, Key: secret.New(key)})
	require.NoError(t, err)
	s.accounts = registry.NewResolver(registry.ResolverConfig{DB: db, Events: s.events, Secrets: s.vault})
	s.identity, err = identity.New(identity.Config{DB: db, Events: s.events, PasswordCost: bcrypt.MinCost, SecondFactor: least})
	require.NoError(t, err)
	base := &url.URL{Scheme: "https", Host: "berth.test"}
	s.signin, err = signin.New(signin.Config{DB: db, Events: s.events, Secrets: s.vault, Identity: s.identity, BaseURL: base})
	require.NoError(t, err)
	s.deploy, err = deploy.New(deploy.Config{
		DB: db, Events: s.events, Runtime: engine{}, Router: router{}, Images: s.accounts, Secrets: s.vault, Providers: s.signin,
		ReservedHosts: []string{"berth.test"},
	})
	require.NoError(t, err)
	factors, err := factor.New(factor.Config{DB: db, Events: s.events, People: s.identity, Slots: s.vault, BaseURL: base})
	require.NoError(t, err)
	s.vault.Guard(vault.AdminsContext, vault.AdminsName, s.guard)
	s.Service, err = manifest.New(manifest.Config{
		DB: db, Events: s.events, Deploy: s.deploy, Accounts: s.accounts, Vault: s.vault,
		SignIn: s.signin, Identity: s.identity, Prover: factors, AdminsSource: func() string { return s.adminsFrom },
	})
	require.NoError(t, err)
	return s
}

// guard takes over the list of administrators, as the server has it done.
func (s *server) guard(ctx context.Context, tx *sqlite.Tx, actor string, value secret.Text) error {
	if value.Empty() {
		return s.identity.UseAdministrators(ctx, tx, actor, nil)
	}
	list, err := settings.ParseAdmins(value.Reveal())
	if err == nil {
		err = s.signin.KnowsProviders(ctx, tx, list)
	}
	if err != nil {
		return fault.InvalidFields([]fault.Field{{Name: "value", Message: err.Error()}})
	}
	return s.identity.UseAdministrators(ctx, tx, actor, list)
}

// engine has nothing in it.
type engine struct{ container.Runtime }

func (engine) List(context.Context, map[string]string) ([]container.Container, error) {
	return nil, nil
}

func (engine) Volumes(_ context.Context, labels map[string]string) ([]container.Volume, error) {
	return nil, nil
}

type router struct{ deploy.Router }

func (router) Remove(context.Context, string) error { return nil }

func (router) Switch(context.Context, deploy.Route) error { return nil }

func (s *server) request(document string) manifest.Request {
	return manifest.Request{Document: []byte(document), Administrator: true, By: identity.Local()}
}

func (s *server) apply(document string) manifest.Result {
	s.t.Helper()
	result, err := s.Apply(s.t.Context(), "ana", s.request(document))
	require.NoError(s.t, err)
	require.Empty(s.t, result.Failed)
	return result
}

func (s *server) plan(document string) manifest.Plan {
	s.t.Helper()
	plan, err := s.Plan(s.t.Context(), s.request(document))
	require.NoError(s.t, err)
	return plan
}

func (s *server) export() string {
	s.t.Helper()
	doc, err := s.Export(s.t.Context(), manifest.Scope{Accounts: true})
	require.NoError(s.t, err)
	raw, err := manifest.Encode(doc)
	require.NoError(s.t, err)
	return string(raw)
}

// lines spells a plan's changes shortly.
func lines(changes []manifest.Change) []string {
	said := []string{}
	for _, c := range changes {
		said = append(said, string(c.Action)+" "+string(c.Kind)+" "+c.Name)
	}
	return said
}

// newest gives the data of the newest event of a kind; "" when there is none.
func (s *server) newest(kind event.Kind) string {
	s.t.Helper()
	list, err := s.events.Before(s.t.Context(), 0, event.Filter{Kinds: []event.Kind{kind}}, 1)
	require.NoError(s.t, err)
	if len(list) == 0 {
		return ""
	}
	return string(list[0].Data)
}
