package signin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/identity"
	"berth/internal/signin"
	"berth/internal/vault"
)

// round makes one, as late as d from now.
func (r *rig) round(d time.Duration) {
	r.t.Helper()
	r.move(d)
	require.NoError(r.t, r.Round(r.t.Context()))
}

// stream is something that goes on for as long as who opened it may.
func (r *rig) stream(b *browser) (over <-chan struct{}) {
	r.t.Helper()
	held, release := r.identity.Hold(r.t.Context(), *b.subject())
	r.t.Cleanup(release)
	require.NoError(r.t, held.Err())
	return held.Done()
}

func isOver(over <-chan struct{}) bool {
	select {
	case <-over:
		return true
	default:
		return false
	}
}

// enters says whether a route that a group is needed for lets them in.
func (b *browser) enters(group string) bool {
	b.t.Helper()
	gate, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{Groups: []string{group}}}}})
	require.NoError(b.t, err)
	return gate.Enter(b.subject(), identity.Visit{Method: http.MethodGet, Path: "/", At: b.rig.now()}).Allowed
}

func (r *rig) whys(kind event.Kind) (whys []string) {
	r.t.Helper()
	for _, e := range r.kinds(kind) {
		var about struct{ Why string }
		require.NoError(r.t, json.Unmarshal(e.Data, &about))
		whys = append(whys, about.Why)
	}
	return whys
}

func TestRound_WhoLosesAGroupAtTheProviderLosesWhatItGave(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, _ := r.granted("1001")
	c, _ := r.granted("1002")
	mine, theirs := r.stream(b), r.stream(c)
	require.True(t, b.enters("home:crew"))

	r.round(refreshEvery - time.Minute)
	require.Zero(t, i.renewals(), "asked too early")
	i.people["1001"]["groups"] = []string{}
	r.round(2 * time.Minute)
	require.Equal(t, 2, i.renewals())
	require.False(t, b.enters("home:crew"), "a group that was taken away still opens")
	require.True(t, isOver(mine), "what stood on the group goes on")
	require.NotNil(t, b.subject(), "the session does not stand on one group")
	require.True(t, c.enters("home:guests"))
	require.False(t, isOver(theirs), "a look that found nothing new cut a stream")

	r.round(refreshEvery - 3*time.Minute)
	require.Equal(t, 2, i.renewals(), "asked twice in an interval")
}

func TestRound_WhoIsGoneAtTheProviderIsSignedOutHere(t *testing.T) {
	for name, test := range map[string]struct {
		gone func(r *rig, i *issuer, identityID string)
		why  string
	}{
		"the grant is over": {func(r *rig, i *issuer, id string) { i.spent[r.kept.last[id].Refresh.Reveal()] = true }, "the provider ended the grant"},
		"in no allowed group": {
			func(_ *rig, i *issuer, _ string) { i.people["1001"]["groups"] = []string{"guests"} },
			"in none of the groups that may come in any more",
		},
		"of another domain": {
			func(_ *rig, i *issuer, _ string) { i.people["1001"]["email"] = "ana@example.com" },
			"of no e-mail domain that may come in any more",
		},
		"userinfo is about somebody else": {
			func(_ *rig, i *issuer, _ string) { i.userinfo = func(told map[string]any) { told["sub"] = "1002" } },
			"the provider told of somebody else",
		},
		"the id_token is": {
			func(_ *rig, i *issuer, _ string) { i.idToken = func(told map[string]any) { told["sub"] = "1002" } },
			"the provider told of somebody else",
		},
		"userinfo takes no token": {
			func(_ *rig, i *issuer, _ string) { i.userinfoStatus = http.StatusUnauthorized },
			"the provider no longer takes its own token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, i := newRig(t), newIssuer(t)
			r.provider("home", i, func(p *signin.NewProvider) {
				p.AllowedGroups, p.AllowedDomains = []string{"crew"}, []string{"example.org"}
			})
			b, id := r.granted("1001")
			other := r.browser("1001")
			other.signIn("home")
			open := r.stream(b)
			test.gone(r, i, id)
			r.round(refreshEvery)
			require.Nil(t, b.subject())
			require.Nil(t, other.subject(), "another session of the same identity goes on")
			require.True(t, isOver(open))
			require.Equal(t, []string{test.why}, r.whys(vault.GrantEnded))
			why := "no more at the provider: " + test.why
			require.Equal(t, []string{why, why}, r.whys(identity.SessionEnded))
			_, err := r.kept.Bearer(t.Context(), id)
			require.ErrorIs(t, err, vault.ErrGrantEnded)

			asked := len(i.asked)
			r.round(refreshEvery)
			r.round(refreshEvery)
			require.Len(t, i.asked, asked, "asked again about somebody who is gone")
		})
	}
}

func TestRound_EndsNoSessionThatBeganInAnotherWay(t *testing.T) {
	r, i, other := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", i)
	r.provider("work", other)
	b, id := r.granted("1001")
	// The same person by another provider, and another person by this one.
	c, _ := r.granted("1002")
	require.NoError(t, b.begin("work", signin.ToLink))
	d := r.browser("1001")
	d.signIn("work")
	require.Equal(t, b.subject().Person.ID, d.subject().Person.ID)
	i.spent[r.kept.last[id].Refresh.Reveal()] = true
	r.round(refreshEvery)
	require.Nil(t, b.subject())
	require.NotNil(t, c.subject())
	require.NotNil(t, d.subject())
}

func TestRound_AProviderThatIsAwayEndsNothing(t *testing.T) {
	for name, fail := range map[string]func(i *issuer){
		"down":                  func(i *issuer) { i.CloseClientConnections(); i.Listener.Close() },
		"502 everywhere":        func(i *issuer) { i.away = true },
		"503 at the token":      func(i *issuer) { i.tokenStatus = http.StatusServiceUnavailable },
		"429 at the token":      func(i *issuer) { i.tokenStatus, i.wait = http.StatusTooManyRequests, "1800" },
		"Berth's secret is old": func(i *issuer) { i.tokenStatus = http.StatusUnauthorized },
		"503 at userinfo":       func(i *issuer) { i.userinfoStatus = http.StatusServiceUnavailable },
		"403 at userinfo":       func(i *issuer) { i.userinfoStatus = http.StatusForbidden },
		"a key nobody knows":    func(i *issuer) { i.sign = func(told map[string]any) string { return withOwnKey(i.t, told) } },
	} {
		t.Run(name, func(t *testing.T) {
			r, i := newRig(t), newIssuer(t)
			r.provider("home", i)
			b, _ := r.granted("1001")
			open := r.stream(b)
			fail(i)
			r.round(refreshEvery)
			before := i.renewals()
			for range 3 {
				r.round(5 * time.Second)
			}
			require.Equal(t, before, i.renewals(), "no back-off")
			for range 5 {
				r.round(refreshEvery)
			}
			require.NotNil(t, b.subject())
			require.False(t, isOver(open))
			require.Empty(t, r.kinds(vault.GrantEnded))
			require.Empty(t, r.kinds(identity.SessionEnded))
			require.LessOrEqual(t, i.renewals(), 6)
		})
	}
}

func TestRound_SaysWhatFailsAndGoesOnWhenItAnswersAgain(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, _ := r.granted("1001")
	i.tokenStatus, i.wait = http.StatusTooManyRequests, "1800"
	r.stopClock()
	r.round(refreshEvery)
	failing := r.Health("home")
	require.WithinDuration(t, r.now(), failing.FailingSince, time.Second)
	require.Equal(t, "refresh at home: its token endpoint answered 429 unauthorized_client", failing.Trouble)
	require.WithinDuration(t, r.now().Add(30*time.Minute), failing.AskedAgainAt, time.Second)
	r.round(29 * time.Minute)
	require.Equal(t, 1, i.renewals(), "asked before the provider said")
	require.Equal(t, map[string]float64{"failed": 1}, r.measured("berth_identity_refreshes_total"))
	require.InDelta(t, (29 * time.Minute).Seconds(), r.measured("berth_identity_refresh_overdue_seconds")[""], 1)

	i.tokenStatus = 0
	i.people["1001"]["groups"] = []string{"guests"}
	r.round(2 * time.Minute)
	require.Equal(t, []string{"home:guests"}, b.subject().Groups)
	require.Equal(t, signin.Health{AskedAbout: 1}, r.Health("home"))
	require.Equal(t, map[string]float64{"failed": 1, "refreshed": 1}, r.measured("berth_identity_refreshes_total"))
	require.Zero(t, r.measured("berth_identity_refresh_overdue_seconds")[""])
}

// measured gives a metric of the provider named home, by outcome.
func (r *rig) measured(name string) map[string]float64 {
	r.t.Helper()
	all := prometheus.NewRegistry()
	require.NoError(r.t, all.Register(r.Collector()))
	found, err := all.Gather()
	require.NoError(r.t, err)
	by := map[string]float64{}
	for _, family := range found {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			require.Equal(r.t, "home", labels["provider"])
			by[labels["outcome"]] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return by
}

func TestRound_DoesNothingWhileNobodyIsSignedIn(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	require.NoError(t, r.identity.SignOut(t.Context(), *b.subject()))
	for range 4 {
		r.round(refreshEvery)
	}
	require.Zero(t, i.renewals())
	known, err := r.kept.Of(t.Context(), id)
	require.NoError(t, err)
	require.True(t, known[id].Renewable, "what an app's job stands on ends with a sign-out")

	// And not for one who has not been here for too long.
	b.signIn("home")
	for range 7 * 24 {
		r.round(time.Hour)
	}
	asked := i.renewals()
	r.round(time.Hour)
	r.round(time.Hour)
	require.Equal(t, asked, i.renewals())
}

func TestRound_LeavesThoseWithoutARefreshTokenAlone(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	i.never = true
	r.provider("home", i)
	b, _ := r.granted("1001")
	asked := len(i.asked)
	for range 4 {
		r.round(refreshEvery)
	}
	require.Len(t, i.asked, asked)
	require.NotNil(t, b.subject())
	require.Equal(t, signin.Health{NotAskedAbout: 1}, r.Health("home"))
}

func TestRound_AsksNobodyTwiceWhomAnAppHasJustHadAskedAbout(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	r.round(refreshEvery - 30*time.Second) // it reads who is signed in, and not again for a minute
	r.move(20 * time.Second)
	i.lifetime = time.Hour
	_, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, i.renewals())
	r.round(20 * time.Second)
	require.Equal(t, 1, i.renewals())
	r.round(refreshEvery - 20*time.Second)
	require.Equal(t, 2, i.renewals())
}

func TestRound_NeverRefreshesBesideAnApp(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	r.move(refreshEvery)
	i.lifetime = time.Hour
	asked, goOn := make(chan struct{}), make(chan struct{})
	i.renewing = func() { close(asked); <-goOn }
	round := make(chan error, 1)
	later := r.grants() // another process
	go func() { round <- r.Round(t.Context()) }()
	<-asked
	got := make(chan error, 2)
	for _, process := range []*vault.Grants{r.kept.Grants, later} {
		go func() { _, err := process.Bearer(t.Context(), id); got <- err }()
	}
	close(goOn)
	require.NoError(t, <-got)
	require.NoError(t, <-got)
	require.NoError(t, <-round)
	require.Equal(t, 1, i.renewals())
	require.NotNil(t, b.subject())
}

func TestRound_OfARefreshThatHasBegunIsWaitedForAtAStop(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	r.move(refreshEvery)
	asked, goOn := make(chan struct{}), make(chan struct{})
	i.renewing = func() { close(asked); <-goOn }
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	<-asked
	stop()
	select {
	case <-ran:
		close(goOn)
		require.Fail(t, "it did not wait")
	case <-time.After(50 * time.Millisecond): // what does not happen has no condition to wait for
	}
	close(goOn)
	require.NoError(t, <-ran)
	i.renewing = nil
	before := i.renewals()
	r.move(refreshEvery)
	require.NoError(t, r.kept.Renew(t.Context(), id), "what the provider gave at the stop is lost")
	require.Equal(t, before+1, i.renewals())
	require.NotNil(t, b.subject())
}

func TestRefresh_EndsNoSessionWhereNobodyIsAskedAbout(t *testing.T) {
	r, i := newRig(t, func(c *signin.Config) { c.RefreshEvery = 0 }), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	for range 4 {
		r.round(refreshEvery)
	}
	require.Zero(t, i.renewals())
	i.spent[r.kept.last[id].Refresh.Reveal()] = true
	_, err := r.kept.Bearer(t.Context(), id)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	require.NotNil(t, b.subject())
}

func TestRound_KeycloaksWordForAWrongSecretEndsNobody(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i, func(p *signin.NewProvider) { p.Preset = signin.Keycloak })
	b, id := r.granted("1001")
	i.spent[r.kept.last[id].Refresh.Reveal()] = true // 400 unauthorized_client
	r.round(refreshEvery)
	require.NotNil(t, b.subject())
	require.Empty(t, r.kinds(vault.GrantEnded))
	require.NotZero(t, r.Health("home").FailingSince)
}

func TestForgejo_AnAccountThatIsLockedIsSignedOut(t *testing.T) {
	r := newRig(t)
	i := newForgejo(t, r)
	b := r.browser("1001")
	b.signIn("forge")
	require.NotNil(t, b.subject())
	i.page = "<h1>Sign-in prohibited</h1>" // what it shows, with 200, also where JSON is
	r.round(refreshEvery)
	require.Nil(t, b.subject())
	require.Equal(t, []string{"the account is locked at the provider"}, r.whys(vault.GrantEnded))
}

func TestZitadel_TellsOfAGroupThatWasTakenAwayAndOfAnAccountThatIsGone(t *testing.T) {
	r := newRig(t)
	z := newZitadel(t, r)
	z.provide(r)
	b := r.browser(theUser)
	b.signIn("home")
	require.True(t, b.enters("home:crew"))
	open := r.stream(b)
	z.setGroups("guests")
	r.round(refreshEvery)
	require.False(t, b.enters("home:crew"))
	require.True(t, isOver(open))
	require.NotNil(t, b.subject())

	again := r.stream(b)
	require.NoError(t, z.TerminateSession(t.Context(), "id2", clientID)) // its tokens are gone there
	r.round(refreshEvery)
	require.Nil(t, b.subject())
	require.True(t, isOver(again))
}

func TestBegin_AsksForARefreshTokenInTheProvidersWord(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("google", i, func(p *signin.NewProvider) { p.Preset = signin.Google })
	r.provider("entra", i, func(p *signin.NewProvider) { p.Preset = signin.Entra })
	another := false
	asked := func(slug string) url.Values {
		to, _, err := r.Begin(t.Context(), slug, signin.Departure{Purpose: signin.ToSignIn, Another: another})
		require.NoError(t, err)
		at, err := url.Parse(to)
		require.NoError(t, err)
		return at.Query()
	}
	require.Equal(t, "offline", asked("google").Get("access_type"))
	require.NotContains(t, asked("google").Get("scope"), "offline_access", "Google refuses what it does not know")
	require.Contains(t, asked("entra").Get("scope"), "offline_access")
	require.Empty(t, asked("entra").Get("access_type"))
	require.Empty(t, asked("google").Get("prompt"))
	another = true
	require.Equal(t, "select_account consent", asked("google").Get("prompt"), "Google gives another one with consent alone, and knows no login")
	require.Equal(t, "login", asked("entra").Get("prompt"))
}
