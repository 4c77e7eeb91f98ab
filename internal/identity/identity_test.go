package identity_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

const password = "correct horse battery"

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	home  = identity.Origin{Address: "192.0.2.1:50000", UserAgent: "Firefox"}
)

// world is a Service over a real database, with a clock that is set by hand.
type world struct {
	*identity.Service
	db     *sqlite.DB
	events *event.Log

	mu  sync.Mutex
	now time.Time
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	w := &world{db: db, now: start}
	w.events = event.New(event.Config{DB: db, Clock: w.clock})
	w.restart(tb, bcrypt.MinCost)
	return w
}

// restart makes the service anew over the same data, with nothing in memory.
func (w *world) restart(tb testing.TB, cost int) {
	tb.Helper()
	s, err := identity.New(identity.Config{DB: w.db, Events: w.events, Clock: w.clock, PasswordCost: cost})
	require.NoError(tb, err)
	w.Service = s
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) person(tb testing.TB, username string, role identity.Role) identity.Person {
	tb.Helper()
	p, err := w.CreatePerson(tb.Context(), "test", identity.Person{Username: username, Role: role}, secret.New(password))
	require.NoError(tb, err)
	return p
}

func (w *world) signIn(tb testing.TB, username string) (secret.Text, identity.Subject) {
	tb.Helper()
	token, subject, err := w.SignIn(tb.Context(), username, secret.New(password), home)
	require.NoError(tb, err)
	return token, subject
}

// happened lists the events of some kinds, as kind and data.
func (w *world) happened(tb testing.TB, kinds ...event.Kind) (list []event.Event) {
	tb.Helper()
	list, err := w.events.Since(tb.Context(), 0, event.Filter{Kinds: kinds}, 1000)
	require.NoError(tb, err)
	return list
}

// about reads one field of an event's data.
func about(tb testing.TB, e event.Event, field string) any {
	tb.Helper()
	var data map[string]any
	require.NoError(tb, json.Unmarshal(e.Data, &data))
	return data[field]
}

func requireKind(tb testing.TB, kind fault.Kind, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, kind.String(), fault.KindOf(err).String(), "%v", err)
}

// ended is a context in which the store answers nothing: what works with it
// asked the memory alone.
func ended(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx
}

func TestNew_RefusesWhatCanNotWork(t *testing.T) {
	w := newWorld(t)
	for _, c := range []identity.Config{
		{},
		{DB: w.db},
		{DB: w.db, Events: w.events, PasswordCost: 3},
		{DB: w.db, Events: w.events, PasswordCost: 40},
		{DB: w.db, Events: w.events, SessionIdle: -time.Second},
	} {
		_, err := identity.New(c)
		require.Error(t, err)
	}
}

// confirm is ConfirmPassword for who wants its refusal alone.
func (w *world) confirm(tb testing.TB, subject identity.Subject, password string) error {
	tb.Helper()
	_, err := w.ConfirmPassword(tb.Context(), subject, secret.New(password))
	return err
}
