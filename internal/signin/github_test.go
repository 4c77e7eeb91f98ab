package signin_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/vault"
)

// gitHub does as GitHub's documentation of OAuth apps and of its REST API says,
// on a server of one's own: tokens without an end, errors with 200, and a 401
// from the API for a token that was revoked.
type gitHub struct {
	*httptest.Server

	mu         sync.Mutex
	codes      map[string]string // to their challenges
	tokens     map[string]bool
	orgs       []string
	status     int // of the API, instead of an answer
	looked     int // at who it is
	userNumber int
}

func newGitHub(t *testing.T) *gitHub {
	t.Helper()
	g := &gitHub{codes: map[string]string{}, tokens: map[string]bool{}, orgs: []string{"harbour"}, userNumber: 4711}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		code := rand.Text()
		g.codes[code] = r.URL.Query().Get("code_challenge")
		back := url.Values{"code": {code}, "state": {r.URL.Query().Get("state")}}
		http.Redirect(w, r, r.URL.Query().Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		challenge, found := g.codes[r.PostFormValue("code")]
		delete(g.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !found || r.PostFormValue("client_secret") != clientSecret || base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
			reply(w, http.StatusOK, map[string]string{"error": "bad_verification_code"})
			return
		}
		token := "gho_" + rand.Text()
		g.tokens[token] = true
		reply(w, http.StatusOK, map[string]string{"access_token": token, "token_type": "bearer", "scope": "read:org,read:user,user:email"})
	})
	mux.HandleFunc("GET /api/v3/user", g.api(func() any {
		g.looked++
		return map[string]any{"id": g.userNumber, "login": "ana", "name": "Ana Ash"}
	}))
	mux.HandleFunc("GET /api/v3/user/emails", g.api(func() any {
		return []map[string]any{{"email": "old@example.org", "primary": false, "verified": true}, {"email": "ana@example.org", "primary": true, "verified": true}}
	}))
	mux.HandleFunc("GET /api/v3/user/orgs", g.api(func() any {
		list := []map[string]string{}
		for _, o := range g.orgs {
			list = append(list, map[string]string{"login": o})
		}
		return list
	}))
	mux.HandleFunc("GET /api/v3/user/teams", g.api(func() any {
		list := []map[string]any{}
		for _, o := range g.orgs {
			list = append(list, map[string]any{"slug": "crew", "organization": map[string]string{"login": o}})
		}
		return list
	}))
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// api answers to a token that is good.
func (g *gitHub) api(tell func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case g.status != 0:
			reply(w, g.status, map[string]string{"message": "no"})
		case !g.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]:
			reply(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		default:
			reply(w, http.StatusOK, tell())
		}
	}
}

func (g *gitHub) now(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// gitHub adds one as the provider named hub, and signs somebody in there.
func (r *rig) gitHub(g *gitHub) *browser {
	r.t.Helper()
	_, err := r.Create(r.t.Context(), "ana", signin.NewProvider{
		Slug: "hub", Preset: signin.GitHub, Enabled: true, Issuer: g.URL, ClientID: clientID, ClientSecret: secret.New(clientSecret), Create: true,
		AllowedGroups: []string{"harbour"},
	})
	require.NoError(r.t, err)
	b := r.browser("ana")
	b.signIn("hub")
	require.NotNil(r.t, b.subject())
	return b
}

func TestGitHub_SignsSomebodyInWithTheirOrganisationsAndTeams(t *testing.T) {
	r, g := newRig(t), newGitHub(t)
	who := r.gitHub(g).subject()
	require.Equal(t, "ana", who.Person.Username)
	require.Equal(t, "ana@example.org", who.Person.Email)
	require.Equal(t, "4711", who.ExternalID)
	require.Equal(t, []string{"hub:harbour", "hub:harbour/crew"}, who.Groups)
}

func TestGitHub_IsAskedByTheTokenThatItGaveOnce(t *testing.T) {
	r, g := newRig(t), newGitHub(t)
	b := r.gitHub(g)
	g.now(func() { g.orgs = append(g.orgs, "dock") })
	r.round(refreshEvery)
	require.Equal(t, 2, g.looked)
	require.Contains(t, b.subject().Groups, "hub:dock/crew")

	open := r.stream(b)
	g.now(func() { g.status = http.StatusForbidden }) // as when it limits how often one asks
	r.round(refreshEvery)
	g.now(func() { g.status = 0; g.orgs = []string{"dock"} })
	require.NotNil(t, b.subject())
	require.False(t, isOver(open))
	r.round(refreshEvery)
	require.Nil(t, b.subject(), "out of the organisation that is allowed")
	require.True(t, isOver(open))
	require.Equal(t, []string{"in none of the groups that may come in any more"}, r.whys(vault.GrantEnded))
	require.Equal(t, signin.ReasonGroup.String(), b.signIn("hub").Query().Get("problem"))
}

func TestGitHub_WhoRevokesItsTokenOrIsGoneIsSignedOut(t *testing.T) {
	for name, gone := range map[string]struct {
		do  func(g *gitHub)
		why string
	}{
		"revoked":       {func(g *gitHub) { clear(g.tokens) }, "the provider no longer takes its own token"},
		"somebody else": {func(g *gitHub) { g.userNumber++ }, "the provider told of somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := newRig(t), newGitHub(t)
			b := r.gitHub(g)
			g.now(func() { gone.do(g) })
			r.round(refreshEvery)
			require.Nil(t, b.subject())
			require.Equal(t, []string{gone.why}, r.whys(vault.GrantEnded))
			r.round(refreshEvery)
			r.round(refreshEvery)
			require.LessOrEqual(t, g.looked, 2)
		})
	}
}
