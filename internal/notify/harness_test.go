package notify_test

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/notify"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// rig is a notifier over a real database, vault and event log. What it logs
// and all that is in the database is held against the secrets at the end.
type rig struct {
	*notify.Notifier
	t      *testing.T
	db     *sqlite.DB
	events *event.Log
	vault  *vault.Vault
	config notify.Config
	logged *lockedBuffer
}

type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type projects []string

func (p projects) HasProject(_ context.Context, name string) (bool, error) {
	return slices.Contains(p, name), nil
}

func newRig(t *testing.T, change ...func(*notify.Config)) *rig {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	r := &rig{t: t, db: db, logged: &lockedBuffer{}}
	clock := time.Now
	r.config = notify.Config{
		DB: db, Projects: projects{"shop", "blog"}, BaseURL: &url.URL{Scheme: "https", Host: "berth.example.org"},
		Clock: clock, Jitter: func() float64 { return 0 },
		Log: slog.New(slog.NewJSONHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&r.config)
	}
	r.events = event.New(event.Config{DB: db, Clock: r.config.Clock})
	r.vault, err = vault.New(vault.Config{DB: db, Events: r.events, Key: secret.New("a key for tests that is long enough"), Clock: r.config.Clock})
	require.NoError(t, err)
	r.config.Events, r.config.Secrets = r.events, r.vault
	r.again()
	return r
}

// again makes a new notifier over the same database, as a restart does.
func (r *rig) again() {
	r.t.Helper()
	var err error
	r.Notifier, err = notify.New(r.config)
	require.NoError(r.t, err)
}

// run runs the notifier until the function it gives is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-ended)
	})
	r.t.Cleanup(stop)
	return stop
}

// channel adds one that hears of everything a project's may.
func (r *rig) channel(name string, service notify.Service, address string, change ...func(*notify.NewChannel)) (notify.Channel, secret.Text) {
	r.t.Helper()
	made := notify.NewChannel{
		Name: name, Service: service, Kinds: notify.Kinds, Enabled: true, Address: secret.New(address), Inside: true,
	}
	for _, f := range change {
		f(&made)
	}
	c, key, err := r.Create(r.t.Context(), "ana", made)
	require.NoError(r.t, err)
	return c, key
}

// happen appends an event.
func (r *rig) happen(e event.Event, data any) {
	r.t.Helper()
	require.NoError(r.t, r.db.Write(r.t.Context(), func(tx *sqlite.Tx) error {
		return r.events.Append(r.t.Context(), tx, e, data)
	}))
}

// deployed has a deployment of shop's prod come to a state.
func (r *rig) deployed(state, reference, trouble string) {
	r.t.Helper()
	r.happen(event.Event{Kind: "deployment.state", Actor: "ana", Project: "shop", Stage: "prod", Deployment: "d1"}, map[string]any{
		"state": state, "kind": "deploy", "trigger": "person", "generation": 7, "reference": reference, "error": trouble, "failed_step": "",
	})
}

// sent lists the record, the oldest first.
func (r *rig) sent() []notify.Delivery {
	r.t.Helper()
	list, _, err := r.Sent(r.t.Context(), notify.SentFilter{}, 200)
	require.NoError(r.t, err)
	slices.Reverse(list)
	return list
}

// await waits until the record has so many in a state.
func (r *rig) await(state notify.State, count int) []notify.Delivery {
	r.t.Helper()
	var list []notify.Delivery
	require.Eventually(r.t, func() bool {
		list = slices.DeleteFunc(r.sent(), func(d notify.Delivery) bool { return d.State != state })
		return len(list) == count
	}, 20*time.Second, 5*time.Millisecond, "%d %s", count, state)
	return list
}

// sink is a service that takes messages, over real HTTP with TLS.
type sink struct {
	*httptest.Server
	host  string // with the port
	roots *x509.CertPool

	mu       sync.Mutex
	requests []got
	answer   func(w http.ResponseWriter, r *http.Request)
}

type got struct {
	method, path, query string
	header              http.Header
	body                string
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.requests = append(s.requests, got{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Clone(), string(body)})
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(s.Certificate())
	s.host = strings.TrimPrefix(s.URL, "https://")
	return s
}

func (s *sink) answers(f func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *sink) took() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// trust has a notifier trust the sink's certificate.
func (s *sink) trust(c *notify.Config) { c.Roots = s.roots }
