package signin_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
)

// token is the browser's session cookie.
func (b *browser) token() string {
	at, err := url.Parse(b.rig.server.URL)
	require.NoError(b.t, err)
	for _, cookie := range b.Jar.Cookies(at) {
		if cookie.Name == "berth" {
			return cookie.Value
		}
	}
	return ""
}

// become has somebody else signed in at the providers.
func (b *browser) become(subject string) {
	at, err := url.Parse(b.rig.server.URL)
	require.NoError(b.t, err)
	b.Jar.SetCookies(at, []*http.Cookie{{Name: "who", Value: subject, Path: "/"}})
}

// stepUp goes to the provider named home to prove again who it is, and gives where that ended.
func (b *browser) stepUp(strength string) *url.URL {
	b.t.Helper()
	return b.visit("/auth/home/start?step_up=" + strength + "&to=/account")
}

func TestStepUp_AtAProviderProvesAgainWhoItIs(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.provider("home", home)
	b := r.browser("1001")
	b.signIn("home")
	before, old := b.subject(), b.token()
	r.move(20 * time.Minute)
	var asked url.Values
	home.idToken = func(claims map[string]any) { claims["auth_time"] = r.now().Unix() }
	follow := b.CheckRedirect
	b.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if query := next.URL.Query(); query.Has("code_challenge") {
			asked = query
		}
		return follow(next, via)
	}

	require.Equal(t, "/account", b.stepUp("sign_in").Path)
	require.Equal(t, "login", asked.Get("prompt"))
	require.Equal(t, "0", asked.Get("max_age"))
	after := b.subject()
	require.NotNil(t, after)
	require.Equal(t, before.SessionID, after.SessionID, "the same session")
	require.NotEqual(t, old, b.token(), "with a new token")
	require.Greater(t, after.AuthenticatedAt.Sub(before.AuthenticatedAt), 19*time.Minute)
	_, err := r.identity.BySession(t.Context(), secret.New(old))
	require.Error(t, err, "the one before is dead")
	require.False(t, after.Strong())
}

func TestStepUp_RefusesAProviderThatDidNotAskAnew(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.provider("home", home)
	b := r.browser("1001")
	b.signIn("home")
	before := b.subject().AuthenticatedAt
	r.move(20 * time.Minute)
	for name, tell := range map[string]func(map[string]any){
		"an old auth_time":         func(c map[string]any) { c["auth_time"] = r.now().Add(-3 * time.Minute).Unix() },
		"the one of the sign-in":   func(c map[string]any) { c["auth_time"] = time.Now().Unix() },
		"no auth_time":             func(c map[string]any) { delete(c, "auth_time") },
		"an auth_time as a text":   func(c map[string]any) { c["auth_time"] = r.now().Format(time.RFC3339) },
		"an auth_time that comes":  func(c map[string]any) { c["auth_time"] = r.now().Add(time.Hour).Unix() },
		"an auth_time of no sense": func(c map[string]any) { c["auth_time"] = -1e300 },
	} {
		home.idToken = tell
		at := b.stepUp("sign_in")
		require.Equal(t, "/sign-in", at.Path, name)
		require.Equal(t, "stale", at.Query().Get("problem"), name)
		require.Equal(t, "sign_in", at.Query().Get("step_up"), name)
		require.Equal(t, "/account", at.Query().Get("to"), name)
		require.Equal(t, before, b.subject().AuthenticatedAt, name)
	}
	// What userinfo says of it is not signed.
	home.idToken = func(c map[string]any) { delete(c, "auth_time") }
	home.userinfo = func(told map[string]any) { told["auth_time"] = r.now().Unix() }
	require.Equal(t, "stale", b.stepUp("sign_in").Query().Get("problem"))
}

func TestStepUp_TakesNobodyElse(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.provider("home", home)
	r.browser("1002").signIn("home")
	b := r.browser("1001")
	b.signIn("home")
	before := *b.subject()
	for _, who := range []string{"1002", "1003"} { // somebody here, and somebody unknown
		b.become(who)
		require.Equal(t, "another", b.stepUp("sign_in").Query().Get("problem"), who)
		require.Equal(t, before.Person.ID, b.subject().Person.ID)
		require.Equal(t, before.AuthenticatedAt, b.subject().AuthenticatedAt)
	}
	people := r.others()
	require.Len(t, people, 2, "nobody is made of it")
}

func TestTrustFactor_CountsOnlyWhatIsSignedAndOnlyWhereItIsTrusted(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	p := r.provider("home", home)
	says := func(name string, value any) {
		home.idToken = func(c map[string]any) { c[name] = value }
	}
	strong := func() bool {
		b := r.browser("1001")
		b.signIn("home")
		return b.subject().Strong()
	}
	says("amr", []string{"pwd", "mfa"})
	require.False(t, strong(), "off by default")
	yes := true
	p, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{TrustFactor: &yes})
	require.NoError(t, err)
	for _, right := range []any{[]string{"pwd", "mfa"}, []string{"pwd", "otp"}, []string{"hwk", "user"}, []string{"sc"}, []string{"swk"}, "mfa"} {
		says("amr", right)
		require.True(t, strong(), "%v", right)
	}
	for _, wrong := range []any{[]string{"pwd"}, []string{}, []string{"MFA"}, []string{"sms"}, []string{"pin", "face"}, map[string]bool{"mfa": true}, []any{[]string{"mfa"}}, true, "pwd mfa", nil} {
		says("amr", wrong)
		require.False(t, strong(), "%v", wrong)
	}
	says("acr", "phr")
	require.True(t, strong())
	says("acr", "https://refeds.org/profile/mfa")
	require.True(t, strong())
	says("acr", "1")
	require.False(t, strong(), "a word of the provider's own")
	home.idToken = nil
	home.userinfo = func(told map[string]any) { told["amr"], told["acr"] = []string{"mfa"}, "phr" }
	require.False(t, strong(), "userinfo is not asked")
	home.userinfo = nil

	// Whoever is trusted no more takes the sessions with it that this made.
	says("amr", []string{"mfa"})
	by := r.browser("1001")
	by.signIn("home")
	home.idToken = nil
	plain := r.browser("1001")
	plain.signIn("home")
	no := false
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{TrustFactor: &no})
	require.NoError(t, err)
	require.Nil(t, by.subject())
	require.NotNil(t, plain.subject())

	_, err = r.Create(t.Context(), "ana", signin.NewProvider{Slug: "gh", Preset: signin.GitHub, ClientID: "x", TrustFactor: true})
	require.ErrorContains(t, err, "trust_factor")
}

func TestStepUp_ComesToASecondFactorOnlyByATrustedProvidersWord(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	p := r.provider("home", home)
	b := r.browser("1001")
	b.signIn("home")
	home.idToken = func(c map[string]any) { c["amr"] = []string{"otp"} }
	require.Equal(t, "weaker", b.stepUp("second_factor").Query().Get("problem"))
	yes := true
	_, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{TrustFactor: &yes})
	require.NoError(t, err)
	require.Equal(t, "weaker", b.stepUp("passkey").Query().Get("problem"), "no provider proves a passkey of Berth's")
	require.Equal(t, "weaker", b.stepUp("nonsense").Query().Get("problem"))
	require.Equal(t, "/account", b.stepUp("second_factor").Path)
	require.True(t, b.subject().Strong())

	// Who has a second factor here proves no less by a provider.
	person := b.subject().Person
	require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return r.identity.SetSecondFactor(t.Context(), tx, "ana", person.ID, true, "")
	}))
	home.idToken = nil
	require.Equal(t, "weaker", b.stepUp("sign_in").Query().Get("problem"))
}

func TestStepUps_ListWhereSomebodyCanProveIt(t *testing.T) {
	r, home, work := newRig(t), newIssuer(t), newIssuer(t)
	p := r.provider("home", home)
	r.provider("work", work)
	b := r.browser("1001")
	b.signIn("home")
	at, err := r.StepUps(t.Context(), *b.subject())
	require.NoError(t, err)
	require.Equal(t, []signin.StepUpAt{{Slug: "home", Label: p.Label}}, at, "and not where nobody knows them")

	subject := *b.subject()
	subject.Person.SecondFactor = true
	at, err = r.StepUps(t.Context(), subject)
	require.NoError(t, err)
	require.Empty(t, at)
	no := false
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Enabled: &no, Force: true})
	require.NoError(t, err)
	at, err = r.StepUps(t.Context(), identity.Subject{Person: identity.Person{ID: subject.Person.ID}})
	require.NoError(t, err)
	require.Empty(t, at)
}
