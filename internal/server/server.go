// Package server puts Berth together: it builds every part from the settings,
// runs them, and ends them in the order in which nothing is lost.
//
// Start with [New] and [Server.Run]. It is the only package that knows all
// parts, and does no work of its own beyond joining them: the process's lock
// on its data folder, the listeners, the engine that may come later, and the
// retention of events.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/factor"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/notify"
	"berth/internal/outgoing"
	"berth/internal/registry"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
	"berth/internal/webhook"
	"berth/web"
)

// Config is what a Server is made of.
type Config struct {
	Settings *settings.Settings
	Version  string
	Log      *slog.Logger
	Clock    func() time.Time // time.Now when nil
	// PasswordCost is bcrypt's; 0 means identity's own. Tests take the least:
	// with the race detector one hash takes seconds.
	PasswordCost int
}

// Server is one Berth, with its data folder locked, its database open and its
// addresses taken.
type Server struct {
	settings     *settings.Settings
	version      string
	log          *slog.Logger
	clock        func() time.Time
	passwordCost int
	diskAt       func(path string) api.Disk

	db       *sqlite.DB
	events   *event.Log
	identity *identity.Service
	factors  *factor.Service
	vault    *vault.Vault
	registry *registry.Registry
	resolver *registry.Resolver
	watcher  *registry.Watcher
	webhooks *webhook.Service
	engine   *engine
	deploy   *deploy.Service
	notifier *notify.Notifier
	manifest *manifest.Service
	signin   *signin.Service
	grants   *vault.Grants
	keys     *gateway.Keys
	gateway  *gateway.Gateway
	api      *api.API

	public   net.Listener // apps, dashboard, API, registry
	local    net.Listener // the command line on this machine
	internal net.Listener // the engine pulls from here
	metrics  net.Listener // nil when there is none

	base            http.Handler // the API, for the gateway
	internalHandler http.Handler
	localHandler    http.Handler

	admins  admins
	stop    window
	closers []func() error // in the order they were opened
}

// New builds a Server. When it fails, everything it has taken is free again.
func New(ctx context.Context, c Config) (_ *Server, err error) {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	s := &Server{settings: c.Settings, version: c.Version, log: c.Log, clock: c.Clock, passwordCost: c.PasswordCost, diskAt: api.DiskAt}
	s.stop.total = c.Settings.ShutdownTimeout
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"take the data folder", s.takeDataDir},
		{"listen", s.listen},
		{"open the store", s.openStore},
		{"build the registry", s.buildRegistry},
		{"build the deploying part", s.buildDeploy},
		{"build the serving part", s.buildServing},
		{"seed", s.seed},
		{"make the administrator", s.makeAdministrator},
		{"take the list of administrators", s.takeAdmins},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.doing, err)
		}
	}
	return s, nil
}

// close frees what New has taken, the newest first.
func (s *Server) close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

func (s *Server) takeDataDir(context.Context) error {
	unlock, err := lockDir(s.settings.DataDir)
	if err != nil {
		return err
	}
	s.onClose(unlock)
	return nil
}

func (s *Server) openStore(ctx context.Context) (err error) {
	generated, err := s.settings.EnsureSecretKey()
	if err != nil {
		return err
	}
	if generated {
		s.log.InfoContext(ctx, "secret key generated", "path", filepath.Join(s.settings.DataDir, "secret.key"))
	}
	if s.db, err = sqlite.Open(ctx, sqlite.Config{Path: s.settings.DatabasePath, Log: s.log}); err != nil {
		return err
	}
	s.onClose(s.db.Close)
	s.events = event.New(event.Config{DB: s.db, Key: s.settings.SecretKey, Clock: s.clock, Log: s.log})
	//nolint:contextcheck // it opens one row, at once
	s.vault, err = vault.New(vault.Config{DB: s.db, Events: s.events, Key: s.settings.SecretKey, Clock: s.clock, Log: s.log})
	if err != nil {
		return err
	}
	//nolint:contextcheck // it reads one row, at once
	s.identity, err = identity.New(identity.Config{
		DB: s.db, Events: s.events, SessionIdle: s.settings.SessionIdle, SessionLifetime: s.settings.SessionLifetime,
		SecondFactor: identity.Requirement(s.settings.SecondFactor), PasswordCost: s.passwordCost, Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.factors, err = factor.New(factor.Config{
		DB: s.db, Events: s.events, People: s.identity, Slots: s.vault, BaseURL: s.settings.BaseURL, Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.grants, err = vault.NewGrants(ctx, vault.GrantsConfig{
		DB: s.db, Events: s.events, Key: s.settings.SecretKey, Clock: s.clock, Log: s.log,
		// A sign-in keeps tokens, and tokens are refreshed by who signs in.
		Providers: func() vault.Providers { return s.signin },
	})
	if err != nil {
		return err
	}
	//nolint:contextcheck // it asks nobody yet
	s.signin, err = signin.New(signin.Config{
		DB: s.db, Events: s.events, Secrets: s.vault, Identity: s.identity, Keeper: s.grants, BaseURL: s.settings.BaseURL,
		RefreshEvery: s.settings.IdentityRefresh, Clock: s.clock, Log: s.log,
	})
	s.vault.Guard(vault.AdminsContext, vault.AdminsName, s.guardAdmins)
	return err
}

func (s *Server) buildRegistry(context.Context) (err error) {
	door := newLocalDoor()
	s.registry, err = registry.New(registry.Config{
		DB: s.db, Events: s.events, Dir: filepath.Join(s.settings.DataDir, "registry"),
		Auth: &authenticator{people: s.identity, door: door}, Key: s.settings.SecretKey, BaseURL: s.settings.BaseURL,
		Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	credential := newCredential()
	s.internalHandler = s.registry.EngineHandler(engineUser, credential)
	s.localHandler = door.handler(s.registry.Handler())
	s.resolver = registry.NewResolver(registry.ResolverConfig{
		Registry: s.registry, DB: s.db, Events: s.events, Secrets: s.vault,
		Engine: internalRegistry(s.internal.Addr(), credential), Clock: s.clock, Log: s.log,
	})
	return nil
}

func (s *Server) buildDeploy(ctx context.Context) (err error) {
	s.engine = newEngine(s.settings.Engine, s.log)
	s.onClose(s.engine.Close)
	table := gateway.NewTable(gateway.TableConfig{Clock: s.clock, Log: s.log, Own: s.listensAt})
	s.deploy, err = deploy.New(deploy.Config{ //nolint:contextcheck // nothing waits yet: Run brings the context
		DB: s.db, Events: s.events, Runtime: s.engine, Router: table, Meter: table, Images: s.resolver, Secrets: s.vault, Tokens: s.identity, People: s.identity, Providers: s.signin,
		Shelf: s.registry, Keep: deploy.KeepRule{Releases: s.settings.KeepReleases, For: orNone(s.settings.KeepFor)}, Journal: s.settings.JournalRetention,
		DiskFull: s.full,
		BaseURL:  s.settings.BaseURL, ReservedHosts: s.baseHosts(), Own: s.listensAt, HostPaths: s.hostPaths(), ShutdownTimeout: orNone(s.settings.ShutdownTimeout),
		LogDir: filepath.Join(s.settings.DataDir, "logs"), LogRetention: s.settings.LogRetention,
		Clock: s.clock, Log: s.log, Hook: crashHook(),
	})
	if err != nil {
		return err
	}
	s.identity.OnRemove(s.deploy.ForgetPerson)
	s.watcher, err = registry.NewWatcher(registry.WatcherConfig{Resolver: s.resolver, Interests: s.deploy, Clock: s.clock, Log: s.log})
	if err != nil {
		return err
	}
	s.webhooks, err = webhook.New(webhook.Config{
		DB: s.db, Events: s.events, Secrets: s.vault, Hinter: s.watcher, BaseURL: s.settings.BaseURL, Keep: s.settings.DeliveryRetention, Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	if s.keys, err = gateway.OpenKeys(ctx, s.vault, s.clock, s.log); err != nil {
		return err
	}
	if s.gateway, err = s.newGateway(table); err != nil {
		return err
	}
	s.notifier, err = notify.New(notify.Config{
		DB: s.db, Events: s.events, Secrets: s.vault, Projects: projects{s.deploy}, BaseURL: s.settings.BaseURL, Keep: s.settings.DeliveryRetention,
		Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.manifest, err = manifest.New(manifest.Config{
		DB: s.db, Events: s.events, Deploy: s.deploy, Accounts: s.resolver, Vault: s.vault,
		SignIn: s.signin, Identity: s.identity, Prover: s.factors, AdminsSource: s.settings.AdminsSource, Clock: s.clock, Log: s.log,
	})
	return err
}

func (s *Server) newGateway(table *gateway.Table) (*gateway.Gateway, error) {
	return gateway.New(gateway.Config{
		Table: table, IsBase: s.isBase,
		// The API shows the gateway's charts, and the gateway leads to the
		// API: the one knot in the house, tied here.
		Base:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.base.ServeHTTP(w, r) }),
		BaseURL: s.settings.BaseURL, Contact: s.settings.AdminContact, TrustProxy: s.settings.TrustProxy, ForwardAuth: s.settings.ForwardAuth,
		Identity: s.identity, LeadsOn: s.signin.LeadsOn, Keys: s.keys, Issuers: outgoing.Client{Timeout: 10 * time.Second, MaxAnswer: 1 << 20}.New(), HeaderPrefix: s.settings.HeaderPrefix, HeaderFamilies: families(s.settings.HeaderFamilies),
		AccessLog:    gateway.AccessLogMode(s.settings.AccessLog),
		MaxBodyBytes: orUnlimited(s.settings.MaxBodyBytes), ShutdownTimeout: s.stop.left,
		MaxConnections: s.maxConnections(), MaxRequests: s.settings.MaxRequests,
		DB: s.db, Events: s.events, Log: s.log, Clock: s.clock,
	})
}

func families(names []string) (list []gateway.HeaderFamily) {
	for _, name := range names {
		list = append(list, gateway.HeaderFamily(name))
	}
	return list
}

// The parts take 0 for their own default. To the person who sets it, it is no
// limit on a body, and no time for what runs at the stop.

func orUnlimited(limit int64) int64 {
	if limit == 0 {
		return math.MaxInt64
	}
	return limit
}

func orNone(d time.Duration) time.Duration { return max(d, time.Nanosecond) }

func (s *Server) buildServing(context.Context) error {
	dashboard, err := web.Handler()
	if err != nil {
		return err
	}
	s.api, err = api.New(api.Config{ //nolint:contextcheck // nothing is served yet: requests bring their own
		Identity: s.identity, Factors: s.factors, Deploy: s.deploy, Registry: s.registry, Resolver: s.resolver, Watcher: s.watcher, Webhooks: s.webhooks, Vault: s.vault,
		Gateway: s.gateway, Runtime: s.engine, Events: s.events, Notifier: s.notifier,
		Manifest: s.manifest, SignIn: s.signin, Grants: s.grants, AdminsFrom: s.adminsFrom, Contact: s.settings.AdminContact,
		BaseURL: s.settings.BaseURL, DataDir: s.settings.DataDir, Version: s.version, Settings: s.settings.Describe(),
		Gatherer: gatherer(s.version, s.gateway.Collector(), s.deploy.Collector(), s.notifier.Collector(), s.watcher.Collector(), s.webhooks.Collector(), s.signin.Collector(), s.grants.Collector(),
			newDiskCollector(s.disks)),
		Web: dashboard, Clock: s.clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.base = s.api.Handler()
	return nil
}

// seed sets up the providers that the settings name, and a new server from the
// file that they name, if any.
func (s *Server) seed(ctx context.Context) error {
	if err := s.signin.Seed(ctx, s.settings.Providers); err != nil {
		return err
	}
	if s.settings.SeedFile == "" {
		return nil
	}
	return s.manifest.Seed(ctx, s.settings.SeedFile, s.settings.SeedIdentity)
}

func (s *Server) makeAdministrator(ctx context.Context) error {
	if s.settings.AdminPassword.Empty() {
		return nil
	}
	return s.identity.EnsureAdministrator(ctx, "admin", s.settings.AdminPassword)
}

// SetupURL gives the one-time link with which the first administrator is
// made, or nothing when there is one. Each call makes the link before useless.
func (s *Server) SetupURL(ctx context.Context) (string, error) {
	needed, err := s.identity.NeedsSetup(ctx)
	if err != nil || !needed {
		return "", err
	}
	token, err := s.identity.SetupLink(ctx)
	if err != nil {
		return "", err
	}
	// In the fragment, which browsers send to nobody.
	u := *s.settings.BaseURL
	u.Path, u.Fragment = "/setup", "token="+token.Reveal()
	return u.String(), nil
}
