package signin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/vault"
)

// zitadel is a provider that others wrote: Zitadel's library, with the store
// of its example. Whoever the cookie "who" names is signed in there.
type zitadel struct {
	*storage.Storage
	*httptest.Server

	landed []string // where browsers may come to after a sign-out

	mu     sync.Mutex
	groups []string
	asked  []*url.URL // what it was asked for
}

// theUser is one of the example's people.
const theUser = "test-user2"

// newZitadel starts one that knows Berth.
func newZitadel(t *testing.T, r *rig) *zitadel {
	t.Helper()
	z := &zitadel{groups: []string{"crew"}, landed: []string{r.Addresses("home").LandedAt}}
	var handler http.Handler
	z.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z.mu.Lock()
		z.asked = append(z.asked, r.URL)
		z.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(z.Close)
	users := storage.NewUserStore(z.URL)
	z.Storage = storage.NewStorageWithClients(users, map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, r.Addresses("home").Redirect),
	})
	provider, err := op.NewProvider(
		&op.Config{CryptoKey: [32]byte{1}, CryptoKeyId: "key", CodeMethodS256: true, GrantTypeRefreshToken: true, DefaultLogoutRedirectURI: "/gone"},
		z, op.StaticIssuer(z.URL), op.WithAllowInsecure(),
	)
	require.NoError(t, err)
	back := op.AuthCallbackURL(provider)
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.HandleFunc("GET /login/username", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("authRequestID")
		who, err := r.Cookie("who")
		if err == nil {
			err = z.CheckUsernamePassword(who.Value, "verysecure", id)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, back(r.Context(), id), http.StatusFound)
	}))
	handler = mux
	return z
}

// GetClientByClientID gives Berth with an address for after a sign-out, which
// the example's clients have none of.
func (z *zitadel) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := z.Storage.GetClientByClientID(ctx, id)
	return &zitadelClient{c, z.landed}, err
}

type zitadelClient struct {
	op.Client

	landed []string
}

func (c *zitadelClient) PostLogoutRedirectURIs() []string { return c.landed }

// SetUserinfoFromToken tells of groups, too.
func (z *zitadel) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	if err := z.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin); err != nil {
		return err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	info.AppendClaims("groups", slices.Clone(z.groups))
	return nil
}

func (z *zitadel) setGroups(groups ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.groups = groups
}

// asks gives what it was asked for at a path, oldest first.
func (z *zitadel) asks(path string) (queries []url.Values) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, u := range z.asked {
		if u.Path == path {
			queries = append(queries, u.Query())
		}
	}
	return queries
}

// provide adds it as the provider named home.
func (z *zitadel) provide(r *rig) signin.Provider {
	r.t.Helper()
	p, err := r.Create(r.t.Context(), "ana", signin.NewProvider{
		Slug: "home", Preset: signin.OIDC, Enabled: true, Issuer: z.URL, ClientID: clientID, ClientSecret: secret.New(clientSecret), Create: true,
		Scopes: []string{"openid", "profile", "email", "offline_access"}, SignOut: true,
	})
	require.NoError(r.t, err)
	return p
}

func TestZitadel_SignsSomebodyInAsOthersWroteIt(t *testing.T) {
	r := newRig(t)
	z := newZitadel(t, r)
	z.provide(r)
	b := r.browser(theUser)
	require.Equal(t, "/projects", b.signIn("home").Path)
	who := b.subject()
	require.NotNil(t, who)

	// It tells these by userinfo alone.
	require.Equal(t, theUser, who.Person.Username)
	require.Equal(t, "Test User2", who.Person.DisplayName)
	require.Equal(t, "test-user2@zitadel.ch", who.Person.Email)
	require.Equal(t, []string{"home:crew"}, who.Groups)
	require.Equal(t, "id2", who.ExternalID)
	require.Len(t, z.asks("/userinfo"), 1)

	asked := z.asks("/authorize")
	require.Len(t, asked, 1)
	require.Equal(t, "S256", asked[0].Get("code_challenge_method"))
	require.Len(t, asked[0].Get("code_challenge"), 43)
	require.GreaterOrEqual(t, len(asked[0].Get("nonce")), 22, "128 bits at least")
	require.NotEqual(t, asked[0].Get("nonce"), asked[0].Get("state"))

	// The code of one browser is worth nothing in another, whose verifier and
	// nonce are others: the provider refuses it.
	thief, victim := r.browser("test-user2"), r.browser("test-user2")
	mine, theirs := thief.intercept(), victim.intercept()
	query := mine.Query()
	query.Set("code", theirs.Query().Get("code"))
	mine.RawQuery = query.Encode()
	thief.requireRefused(thief.visit(mine.RequestURI()), signin.ReasonDeclined)

	stranger := r.browser("nobody there")
	stranger.signIn("home")
	require.Nil(t, stranger.subject())
}

func TestZitadel_GivesARefreshTokenThatIsGoodOnce(t *testing.T) {
	r := newRig(t)
	z := newZitadel(t, r)
	z.provide(r)
	b := r.browser(theUser)
	b.signIn("home")
	first := r.kept.last[b.subject().IdentityID]
	require.False(t, first.Refresh.Empty())
	require.WithinDuration(t, time.Now().Add(5*time.Minute), first.ExpiresAt, 10*time.Second)

	z.groups = []string{"crew", "bridge"}
	var second, third vault.Tokens
	require.NoError(t, r.Refresh(t.Context(), first, func(t vault.Tokens) error { second = t; return nil }))
	require.False(t, second.Refresh.Equal(first.Refresh))
	require.False(t, second.Access.Equal(first.Access))
	require.Equal(t, []string{"home:bridge", "home:crew"}, b.subject().Groups)

	keep := func(t vault.Tokens) error { third = t; return nil }
	require.ErrorIs(t, r.Refresh(t.Context(), first, keep), vault.ErrGrantEnded)
	require.NoError(t, r.Refresh(t.Context(), second, keep))
	require.Equal(t, "id2", third.ExternalID)
}

func TestZitadel_SignsOutAndSendsTheBrowserBack(t *testing.T) {
	r := newRig(t)
	z := newZitadel(t, r)
	z.provide(r)
	b := r.browser(theUser)
	b.signIn("home")
	at := b.visit("/auth/home/sign-out")
	require.Equal(t, r.Addresses("home").LandedAt+"?state=signed_out", at.String(), "the page is shown then, wherever it leads else")
	require.Len(t, z.asks("/end_session"), 1)

	// What it does not know as Berth's address it sends nobody to.
	z.landed = nil
	at = b.visit("/auth/home/sign-out")
	require.Equal(t, z.URL+"/end_session", at.Scheme+"://"+at.Host+at.Path)
}
