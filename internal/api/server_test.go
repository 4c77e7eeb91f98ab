package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/api"
	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/factor"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/notify"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
	"berth/internal/webhook"
)

// server is a whole API on a real listener over a real database, with a
// project, people and their tokens in it. Only the engine is a stand-in.
type server struct {
	table *gateway.Table
	*httptest.Server
	t        testing.TB
	api      *api.API
	db       *sqlite.DB
	events   *event.Log
	identity *identity.Service
	deploy   *deploy.Service
	vault    *vault.Vault
	webhooks *webhook.Service
	notifier *notify.Notifier
	signin   *signin.Service
	grants   *vault.Grants
	edge     *gateway.Gateway
	engine   *engine
	stands   atomic.Pointer[time.Time] // where the clock of webhooks does, if it does
	// hostFolder is the one folder of the host that stages may mount; it is not made.
	hostFolder string
}

// Who a request comes from. Those with a colon are API tokens of the person
// with that scope.
const (
	nobody      = ""
	admin       = "ana"
	member      = "bo"
	adminRead   = "ana:read"
	adminDeploy = "ana:deploy"
	adminAdmin  = "ana:admin"
	memberRead  = "bo:read"
	memberAdmin = "bo:admin"
	user        = "una"
	userRead    = "una:read"
	onMachine   = "local"
)

var everybody = []string{nobody, admin, member, adminRead, adminDeploy, adminAdmin, memberRead, memberAdmin, user, userRead, onMachine}

const password = "correct horse battery staple"

// newServer has in it what the tests speak of.
func newServer(tb testing.TB, change ...func(*api.Config)) *server {
	tb.Helper()
	s := newEmptyServer(tb, change...)
	s.fill()
	return s
}

func newEmptyServer(tb testing.TB, change ...func(*api.Config)) *server {
	tb.Helper()
	ctx, dir := tb.Context(), tb.TempDir()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	s := &server{t: tb, db: db, events: event.New(event.Config{DB: db, Key: secret.New("a key for tests that is long enough")}), engine: &engine{}, hostFolder: filepath.Join(dir, "host")}

	s.identity, err = identity.New(identity.Config{DB: db, Events: s.events, PasswordCost: bcrypt.MinCost})
	require.NoError(tb, err)
	key := secret.New("a key for tests that is long enough")
	s.vault, err = vault.New(vault.Config{DB: db, Events: s.events, Key: key})
	require.NoError(tb, err)
	base := &url.URL{Scheme: "http", Host: "localhost:8080"}
	factors, err := factor.New(factor.Config{DB: db, Events: s.events, People: s.identity, Slots: s.vault, BaseURL: base})
	require.NoError(tb, err)
	images, err := registry.New(registry.Config{
		DB: db, Events: s.events, Dir: filepath.Join(dir, "registry"), Auth: doorman{s.identity}, Key: key, BaseURL: base,
	})
	require.NoError(tb, err)
	resolver := registry.NewResolver(registry.ResolverConfig{
		Registry: images, DB: db, Events: s.events, Secrets: s.vault,
		Engine: func() (string, string, secret.Text) { return "127.0.0.1:1", "berth", key },
	})
	table := gateway.NewTable(gateway.TableConfig{})
	s.table = table
	keys, err := gateway.OpenKeys(ctx, s.vault, nil, nil)
	require.NoError(tb, err)
	s.edge, err = gateway.New(gateway.Config{
		Table: table, Base: http.NotFoundHandler(), IsBase: func(host string) bool { return host == "localhost" }, BaseURL: &url.URL{Scheme: "http", Host: "localhost"}, DB: db, Identity: s.identity, Keys: keys,
	})
	require.NoError(tb, err)
	s.table = table
	s.grants, err = vault.NewGrants(ctx, vault.GrantsConfig{DB: db, Events: s.events, Key: key, Providers: func() vault.Providers { return s.signin }})
	require.NoError(tb, err)
	s.signin, err = signin.New(signin.Config{DB: db, Events: s.events, Secrets: s.vault, Identity: s.identity, Keeper: s.grants, BaseURL: base})
	require.NoError(tb, err)
	s.deploy, err = deploy.New(deploy.Config{
		DB: db, Events: s.events, Runtime: s.engine, Router: table, Images: resolver, Secrets: s.vault, Tokens: s.identity, Providers: s.signin,
		ReservedHosts: []string{"localhost"}, HostPaths: deploy.HostPaths{Allowed: []string{s.hostFolder}},
	})
	require.NoError(tb, err)
	watcher, err := registry.NewWatcher(registry.WatcherConfig{Resolver: resolver, Interests: s.deploy})
	require.NoError(tb, err)
	s.webhooks, err = webhook.New(webhook.Config{DB: db, Events: s.events, Secrets: s.vault, Hinter: watcher, BaseURL: base, Clock: s.clock})
	require.NoError(tb, err)

	s.notifier, err = notify.New(notify.Config{
		DB: db, Events: s.events, Secrets: s.vault, Projects: projects{s.deploy}, BaseURL: base,
	})
	require.NoError(tb, err)

	documents, err := manifest.New(manifest.Config{
		DB: db, Events: s.events, Deploy: s.deploy, Accounts: resolver, Vault: s.vault, SignIn: s.signin, Identity: s.identity, Prover: factors,
	})
	require.NoError(tb, err)
	c := api.Config{
		SignIn: s.signin, Grants: s.grants, Identity: s.identity, Factors: factors, Deploy: s.deploy, Registry: images, Resolver: resolver, Watcher: watcher, Webhooks: s.webhooks, Vault: s.vault,
		Gateway: s.edge, Runtime: s.engine, Events: s.events, Notifier: s.notifier, BaseURL: base, DataDir: dir, Version: "1.2.3",
		Manifest: documents,
		Settings: []settings.Value{{Name: "BERTH_LISTEN", Value: "127.0.0.1:8080", Source: "default"}},
		Gatherer: prometheus.NewRegistry(),
		Web:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "dashboard") }),
	}
	for _, f := range change {
		f(&c)
	}
	s.api, err = api.New(c)
	require.NoError(tb, err)
	s.Server = httptest.NewServer(s.api.Handler())
	tb.Cleanup(s.Close)
	tb.Cleanup(s.api.EndStreams) // before Close, which waits for them
	return s
}

// stopClock has no limit of webhooks fill up again while a slow machine works.
func (s *server) stopClock() {
	now := time.Now()
	s.stands.Store(&now)
}

func (s *server) clock() time.Time {
	if at := s.stands.Load(); at != nil {
		return *at
	}
	return time.Now()
}

func (s *server) fill() {
	s.t.Helper()
	ctx := s.t.Context()
	require.NoError(s.t, s.identity.EnsureAdministrator(ctx, "ana", secret.New(password)))
	_, err := s.identity.CreatePerson(ctx, "ana", identity.Person{Username: "bo", Role: identity.RoleMember}, secret.New(password))
	require.NoError(s.t, err)
	_, err = s.identity.CreatePerson(ctx, "ana", identity.Person{Username: "una", Role: identity.RoleUser}, secret.New(password))
	require.NoError(s.t, err)
	_, err = s.deploy.CreateProject(ctx, "ana", deploy.Project{Name: "shop", Image: "shop"})
	require.NoError(s.t, err)
	_, err = s.deploy.CreateStage(ctx, "ana", "shop", "prod", deploy.StageSpec{
		Hostname: "shop.example.com", Tags: deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"},
	})
	require.NoError(s.t, err)
	_, err = s.vault.Set(ctx, "ana", "project/shop", "API_KEY", secret.New("hunter2-of-the-shop"))
	require.NoError(s.t, err)
}

// session signs a person in and gives the cookie.
func (s *server) session(username string) *http.Cookie {
	s.t.Helper()
	token, _, err := s.identity.SignIn(s.t.Context(), username, secret.New(password), identity.Origin{Address: "192.0.2.1"})
	require.NoError(s.t, err)
	return &http.Cookie{Name: "berth", Value: token.Reveal()}
}

// token makes an API token and gives its text.
func (s *server) token(username string, scope identity.Scope) string {
	s.t.Helper()
	p, err := s.identity.Person(s.t.Context(), username)
	require.NoError(s.t, err)
	text, _, err := s.identity.CreateToken(s.t.Context(),
		identity.Subject{Person: p, Via: identity.ViaSession}, sqlite.NewID(time.Now()), scope, time.Time{})
	require.NoError(s.t, err)
	return text.Reveal()
}

// as gives what makes a request one of who's.
func (s *server) as(who string) func(*http.Request) {
	username, scope, isToken := strings.Cut(who, ":")
	switch {
	case who == nobody || who == onMachine:
		return func(*http.Request) {}
	case isToken:
		token := s.token(username, identity.Scope(scope))
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	cookie := s.session(username)
	return func(r *http.Request) {
		r.AddCookie(cookie)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
}

// longAgo is as for somebody who proved who they are eleven minutes ago.
func (s *server) longAgo(username string) func(*http.Request) {
	s.t.Helper()
	as := s.as(username) // nothing was asked with it yet, and so it is read anew
	require.NoError(s.t, s.db.Write(s.t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(s.t.Context(), "UPDATE sessions SET authenticated_at = authenticated_at - 660000")
		return err
	}))
	return as
}

// reply is an answer read whole.
type reply struct {
	*http.Response
	body string
}

func (r reply) decode(t *testing.T, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(r.body), into), r.body)
}

// do sends a request as who.
func (s *server) do(who, method, path, body string, change ...func(*http.Request)) reply {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // fuzzing has no context of its own
	defer cancel()
	base := s.URL
	var client http.Client
	if who == onMachine {
		local := httptest.NewServer(s.api.LocalHandler())
		defer local.Close()
		base = local.URL
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	s.as(who)(r)
	for _, f := range change {
		f(r)
	}
	answer, err := client.Do(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return reply{answer, ""}
	}
	var read bytes.Buffer
	_, err = read.ReadFrom(answer.Body)
	require.NoError(s.t, err)
	return reply{answer, read.String()}
}

// doorman lets the registry ask identity, as package server does.
type doorman struct{ *identity.Service }

func (d doorman) Authenticate(ctx context.Context, username string, password secret.Text, address string) (registry.Account, error) {
	s, err := d.Service.Authenticate(ctx, username, password, identity.Origin{Address: address})
	if err != nil {
		return registry.Account{}, err
	}
	a := registry.Account{Name: s.Person.Username}
	var on identity.On
	if b := s.Bounds; b != nil {
		on.Repository = b.Repository
		a.Bound = &registry.Bound{Repository: b.Repository, Project: b.Project, Stage: b.Stage}
	}
	a.Push = identity.Decide(&s, identity.ActionPush, on) == nil
	a.Pull = identity.Decide(&s, identity.ActionPull, on) == nil
	return a, nil
}

// projects is deploy as the notifier asks it.
type projects struct{ deploy *deploy.Service }

func (p projects) HasProject(ctx context.Context, name string) (bool, error) {
	_, err := p.deploy.Project(ctx, name)
	return err == nil, nil
}

// engine stands in for a container engine where no container runs: it knows
// what it is, and it writes log lines.
type engine struct {
	container.Runtime
	down      bool // does not answer
	container container.Container
	logs      iter.Seq2[container.LogLine, error]
	coming    iter.Seq2[container.LogLine, error] // what is followed
	exec      func(container.Exec) (int, error)
}

func (e *engine) Exec(_ context.Context, _ string, x container.Exec) (int, error) { return e.exec(x) }

func (e *engine) Info(context.Context) (container.Info, error) {
	if e.down {
		return container.Info{}, io.ErrUnexpectedEOF
	}
	return container.Info{Name: "stand-in", OS: "linux", Arch: "amd64"}, nil
}

func (e *engine) Images(context.Context) ([]container.Image, error) { return nil, nil }

func (e *engine) List(context.Context, map[string]string) ([]container.Container, error) {
	return nil, nil
}

func (e *engine) Inspect(context.Context, string) (container.Container, error) {
	return e.container, nil
}

func (e *engine) Volumes(context.Context, map[string]string) ([]container.Volume, error) {
	return nil, nil
}

func (e *engine) Volume(context.Context, string) (container.Volume, error) {
	return container.Volume{}, container.ErrNotFound
}

func (e *engine) VolumeSizes(context.Context) (map[string]int64, error) { return nil, nil }

func (e *engine) Image(context.Context, string) (container.Image, error) {
	return container.Image{}, container.ErrNotFound
}

func (e *engine) Logs(_ context.Context, _ string, o container.LogOptions) iter.Seq2[container.LogLine, error] {
	if o.Follow {
		return e.coming
	}
	return e.logs
}

func (e *engine) Stats(context.Context, string) (container.Stats, error) {
	return container.Stats{Memory: 1 << 20}, nil
}
