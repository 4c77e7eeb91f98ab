package signin_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// rig is sign-in on a real listener over a real database, as the API has it.
type rig struct {
	*signin.Service
	t        *testing.T
	db       *sqlite.DB
	events   *event.Log
	identity *identity.Service
	vault    *vault.Vault
	server   *httptest.Server
	kept     *keeper

	mu    sync.Mutex
	moved time.Duration // the clock, ahead
	still time.Time     // where the clock stands, if it does
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.still.IsZero() {
		return r.still.Add(r.moved)
	}
	return time.Now().Add(r.moved)
}

// stopClock has no limit fill up again while a slow machine works.
func (r *rig) stopClock() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.still = time.Now()
}

func (r *rig) move(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved += d
}

// keeper remembers the tokens that it was given to keep, and has them kept.
type keeper struct {
	*vault.Grants

	mu   sync.Mutex
	last map[string]vault.Tokens // by identity
}

func (k *keeper) KeepTokens(ctx context.Context, tx *sqlite.Tx, identityID string, t vault.Tokens) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last[identityID] = t
	return k.Grants.KeepTokens(ctx, tx, identityID, t)
}

// refreshEvery is how often these providers are asked about who is signed in.
const refreshEvery = 15 * time.Minute

var key = secret.New("a key of thirty-two characters!!")

// grants are those of one more process on the same database.
func (r *rig) grants() *vault.Grants {
	r.t.Helper()
	g, err := vault.NewGrants(r.t.Context(), vault.GrantsConfig{
		DB: r.db, Events: r.events, Key: key, Providers: func() vault.Providers { return r.Service }, Clock: r.now,
	})
	require.NoError(r.t, err)
	return g
}

func newRig(t *testing.T, changes ...func(*signin.Config)) *rig {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	r := &rig{t: t, db: db, events: event.New(event.Config{DB: db}), kept: &keeper{last: map[string]vault.Tokens{}}}
	r.identity, err = identity.New(identity.Config{DB: db, Events: r.events, PasswordCost: bcrypt.MinCost, Clock: r.now})
	require.NoError(t, err)
	// Berth is set up: a provider makes nobody before.
	_, err = r.identity.CreatePerson(t.Context(), "berth", identity.Person{Username: firstPerson, Disabled: true}, secret.New("correct horse battery"))
	require.NoError(t, err)
	r.vault, err = vault.New(vault.Config{DB: db, Events: r.events, Key: key})
	require.NoError(t, err)
	r.kept.Grants = r.grants()
	var handler http.Handler
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { handler.ServeHTTP(w, req) }))
	t.Cleanup(r.server.Close)
	base, err := url.Parse(r.server.URL)
	require.NoError(t, err)
	made := signin.Config{
		DB: db, Events: r.events, Secrets: r.vault, Identity: r.identity, Keeper: r.kept, BaseURL: base, RefreshEvery: refreshEvery, Clock: r.now,
	}
	for _, change := range changes {
		change(&made)
	}
	r.Service, err = signin.New(made)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/auth/", r.Handler(edge{r.identity}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	handler = mux
	return r
}

// firstPerson is who is in every rig.
const firstPerson = "first"

// others lists who came to be besides.
func (r *rig) others() []identity.Person {
	r.t.Helper()
	people, _, err := r.identity.People(r.t.Context(), "", 0)
	require.NoError(r.t, err)
	return slices.DeleteFunc(people, func(p identity.Person) bool { return p.Username == firstPerson })
}

// edge is the API's part.
type edge struct{ identity *identity.Service }

func (e edge) Subject(r *http.Request) *identity.Subject {
	cookie, err := r.Cookie("berth")
	if err != nil {
		return nil
	}
	s, err := e.identity.BySession(r.Context(), secret.New(cookie.Value))
	if err != nil {
		return nil
	}
	return &s
}

func (edge) Origin(r *http.Request) identity.Origin {
	from := identity.Origin{Address: r.RemoteAddr, UserAgent: r.UserAgent()}
	if cookie, err := r.Cookie("from"); err == nil { // a test's browsers are elsewhere
		from.Address = cookie.Value
	}
	return from
}

// GoOn leaves the browser nobody: the second factor is package factor's.
func (edge) GoOn(http.ResponseWriter, *http.Request, *identity.FactorError) error { return nil }

func (edge) SignIn(w http.ResponseWriter, session secret.Text) {
	http.SetCookie(w, &http.Cookie{Name: "berth", Value: session.Reveal(), Path: "/", HttpOnly: true})
}

// provider adds an issuer as a provider, which lets unknown people in.
func (r *rig) provider(slug string, i *issuer, changes ...func(*signin.NewProvider)) signin.Provider {
	r.t.Helper()
	made := signin.NewProvider{
		Slug: slug, Preset: signin.OIDC, Enabled: true, Issuer: i.name, ClientID: clientID, ClientSecret: secret.New(clientSecret), Create: true,
	}
	for _, change := range changes {
		change(&made)
	}
	p, err := r.Create(r.t.Context(), "ana", made)
	require.NoError(r.t, err)
	return p
}

// browser is somebody's browser, in which they are signed in at providers as
// a subject.
type browser struct {
	*http.Client
	t    *testing.T
	rig  *rig
	last *url.URL // the newest address of Berth that it was sent to
}

func (r *rig) browser(subject string) *browser {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(r.t, err)
	at, _ := url.Parse(r.server.URL) // the jar has one for all ports of a host
	jar.SetCookies(at, []*http.Cookie{{Name: "who", Value: subject, Path: "/"}})
	b := &browser{t: r.t, rig: r}
	b.Client = &http.Client{Jar: jar, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
		if next.URL.Host == at.Host {
			b.last = next.URL
		}
		return nil
	}}
	return b
}

// moveTo puts the browser behind another address.
func (b *browser) moveTo(address string) {
	at, _ := url.Parse(b.rig.server.URL)
	b.Jar.SetCookies(at, []*http.Cookie{{Name: "from", Value: address, Path: "/"}})
}

// signIn goes to a provider and back, and gives where that ended.
func (b *browser) signIn(slug string) *url.URL {
	b.t.Helper()
	return b.visit("/auth/" + slug + "/start?to=/projects")
}

func (b *browser) visit(to string) *url.URL {
	b.t.Helper()
	response, err := b.Get(b.rig.server.URL + to)
	require.NoError(b.t, err)
	defer response.Body.Close()
	return response.Request.URL
}

// subject gives who is signed in.
func (b *browser) subject() *identity.Subject {
	at, err := url.Parse(b.rig.server.URL)
	require.NoError(b.t, err)
	request := &http.Request{Header: http.Header{}}
	for _, cookie := range b.Jar.Cookies(at) {
		request.AddCookie(cookie)
	}
	return edge{b.rig.identity}.Subject(request.WithContext(b.t.Context()))
}

// intercept goes to the provider named home, and gives the address it would send the
// browser back to, without going there.
func (b *browser) intercept() *url.URL {
	b.t.Helper()
	var back *url.URL
	follow := b.CheckRedirect
	defer func() { b.CheckRedirect = follow }()
	b.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		if next.URL.Path == "/auth/home/callback" {
			back = next.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	response, err := b.Get(b.rig.server.URL + "/auth/home/start")
	require.NoError(b.t, err)
	response.Body.Close()
	require.NotNil(b.t, back, "the provider did not send the browser back")
	return back
}

// requireRefused says that the browser came back to the sign-in page with a
// reason, and that nobody is signed in.
func (b *browser) requireRefused(at *url.URL, reason signin.Reason) {
	b.t.Helper()
	require.Equal(b.t, "/sign-in", at.Path, "%s", at)
	require.Equal(b.t, reason.String(), at.Query().Get("problem"), "%s", at)
	require.Nil(b.t, b.subject())
}
