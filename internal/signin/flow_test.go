package signin_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

func TestSignIn_MakesAPersonOnceAndFindsThemByTheirIdentity(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)

	b := r.browser("1001")
	require.Equal(t, "/projects", b.signIn("home").Path)
	first := b.subject()
	require.NotNil(t, first)
	require.Equal(t, "ana", first.Person.Username)
	require.Equal(t, "Ana Ash", first.Person.DisplayName)
	require.Equal(t, "ana@example.org", first.Person.Email)
	require.Equal(t, identity.RoleUser, first.Person.Role, "where the provider does not say what new people become")
	require.Equal(t, "home", first.Provider)
	require.Equal(t, []identity.Method{identity.MethodProvider}, first.Methods)
	require.Equal(t, []string{"home:crew"}, first.Groups, "a group has its provider's prefix")

	// Renamed at the provider, with another address: the same person.
	i.people["1001"]["preferred_username"], i.people["1001"]["email"] = "anna", "anna@example.org"
	i.people["1001"]["groups"] = []string{"crew", "bridge"}
	again := r.browser("1001")
	again.signIn("home")
	require.Equal(t, first.Person.ID, again.subject().Person.ID)
	require.Equal(t, []string{"home:bridge", "home:crew"}, again.subject().Groups)
	require.Equal(t, []string{"home:bridge", "home:crew"}, b.subject().Groups, "the other session hears of it, too")
	require.NotEqual(t, first.SessionID, again.subject().SessionID)
}

func TestSignIn_NeverFindsSomebodyByNameOrAddress(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	local, err := r.identity.CreatePerson(t.Context(), "berth", identity.Person{
		Username: "ana", Email: "ana@example.org", Role: identity.RoleAdministrator,
	}, secret.New("correct horse battery"))
	require.NoError(t, err)
	other := newIssuer(t)
	r.provider("home", i)
	r.provider("away", other)

	b := r.browser("1001")
	b.signIn("home")
	require.NotEqual(t, local.ID, b.subject().Person.ID)
	require.Equal(t, "ana-2", b.subject().Person.Username)
	require.Equal(t, identity.RoleUser, b.subject().Person.Role)

	// The same id at another issuer is somebody else.
	c := r.browser("1001")
	c.signIn("away")
	require.Equal(t, "ana-3", c.subject().Person.Username)
	require.Equal(t, []string{"away:crew"}, c.subject().Groups)
}

func TestSignIn_InheritsNothingOfSomebodyWhoWasRemoved(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	b.signIn("home")
	before := b.subject().Person
	require.NoError(t, r.identity.RemovePerson(t.Context(), "berth", before.Username))
	require.Nil(t, b.subject())

	b.signIn("home")
	require.Equal(t, before.Username, b.subject().Person.Username)
	require.NotEqual(t, before.ID, b.subject().Person.ID)
}

func TestSignIn_LetsInWhomTheProvidersRulesAllow(t *testing.T) {
	for name, c := range map[string]struct {
		rules  func(*signin.NewProvider)
		claims map[string]any
		reason signin.Reason
	}{
		"unknown people where none are made": {func(p *signin.NewProvider) { p.Create = false }, nil, signin.ReasonUnknown},
		"an allowed domain":                  {func(p *signin.NewProvider) { p.AllowedDomains = []string{"Example.org"} }, nil, ""},
		"another domain": {
			func(p *signin.NewProvider) { p.AllowedDomains = []string{"example.com"} }, nil, signin.ReasonDomain,
		},
		"an address that is not verified": {
			func(p *signin.NewProvider) { p.AllowedDomains = []string{"example.org"} }, map[string]any{"email_verified": false}, signin.ReasonDomain,
		},
		"an address of which it is not said": {
			func(p *signin.NewProvider) { p.AllowedDomains = []string{"example.org"} }, map[string]any{"email_verified": nil}, signin.ReasonDomain,
		},
		"two signs of at": {
			func(p *signin.NewProvider) { p.AllowedDomains = []string{"example.org"} },
			map[string]any{"email": "x@example.org@example.net"},
			signin.ReasonDomain,
		},
		"an allowed domain in another claim": {
			func(p *signin.NewProvider) { p.AllowedDomains, p.Claims.Email = []string{"corp.example"}, "upn" },
			map[string]any{"upn": "boss@corp.example"},
			signin.ReasonDomain,
		},
		"another claim of a provider whose addresses are trusted": {
			func(p *signin.NewProvider) {
				p.AllowedDomains, p.Claims.Email, p.TrustEmail = []string{"corp.example"}, "upn", true
			},
			map[string]any{"upn": "boss@corp.example", "email_verified": false},
			"",
		},
		"an address of which it is not said where addresses are trusted": {
			func(p *signin.NewProvider) { p.AllowedDomains, p.TrustEmail = []string{"example.org"}, true }, map[string]any{"email_verified": nil}, "",
		},
		"an address that is not verified where addresses are trusted": {
			func(p *signin.NewProvider) { p.AllowedDomains, p.TrustEmail = []string{"example.org"}, true },
			map[string]any{"email_verified": false},
			signin.ReasonDomain,
		},
		"an allowed group":   {func(p *signin.NewProvider) { p.AllowedGroups = []string{"crew"} }, nil, ""},
		"none of the groups": {func(p *signin.NewProvider) { p.AllowedGroups = []string{"officers"} }, nil, signin.ReasonGroup},
		"no groups at all": {
			func(p *signin.NewProvider) { p.AllowedGroups = []string{"crew"} }, map[string]any{"groups": nil}, signin.ReasonGroup,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, i := newRig(t), newIssuer(t)
			maps.Copy(i.people["1001"], c.claims)
			r.provider("home", i, c.rules)
			b := r.browser("1001")
			at := b.signIn("home")
			if c.reason == "" {
				require.NotNil(t, b.subject(), "%s", at)
				return
			}
			b.requireRefused(at, c.reason)
			people := r.others()
			require.Empty(t, people)
			require.Len(t, r.happened(signin.Refused), 1)
		})
	}
}

// happened lists the events of a kind.
func (r *rig) happened(kind event.Kind) []event.Event {
	list, err := r.events.Since(r.t.Context(), 0, event.Filter{Kinds: []event.Kind{kind}}, 0)
	require.NoError(r.t, err)
	return list
}

func TestSignIn_KeepsADisabledPersonOut(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	b.signIn("home")
	p, off := b.subject().Person, true
	_, err := r.identity.UpdatePerson(t.Context(), "berth", p.Username, p.Version, identity.PersonEdit{Disabled: &off})
	require.NoError(t, err)
	require.Nil(t, b.subject())
	b.requireRefused(b.signIn("home"), signin.ReasonDisabled)
}

func TestSignIn_GivesTheRoleThatTheProviderSays(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i, func(p *signin.NewProvider) { p.Claims.Admin = "groups=bridge" })
	b := r.browser("1001")
	b.signIn("home")
	require.Equal(t, identity.RoleUser, b.subject().Person.Role)
	i.people["1001"]["groups"] = []string{"bridge"}
	b.signIn("home")
	require.Equal(t, identity.RoleAdministrator, b.subject().Person.Role)
	other := r.browser("1001")
	i.people["1001"]["groups"] = []string{"crew"}
	other.signIn("home")
	require.Equal(t, identity.RoleUser, b.subject().Person.Role, "in a session from before, too")
}

func TestSignIn_MakesMembersWhereTheProviderSaysSo(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	p := r.provider("home", i, func(p *signin.NewProvider) { p.NewRole = identity.RoleMember })
	require.Equal(t, identity.RoleMember, p.NewRole)
	b := r.browser("1001")
	b.signIn("home")
	require.Equal(t, identity.RoleMember, b.subject().Person.Role)

	_, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{NewRole: new(identity.RoleAdministrator)})
	require.ErrorContains(t, err, "new_role: is user or member")
	found, err := r.Provider(t.Context(), "home")
	require.NoError(t, err)
	p, err = r.Update(t.Context(), "ana", "home", found.Version, signin.ProviderEdit{NewRole: new(identity.RoleUser)})
	require.NoError(t, err)
	require.Equal(t, identity.RoleUser, p.NewRole)
	b.signIn("home")
	require.Equal(t, identity.RoleMember, b.subject().Person.Role, "who is there already stays what they are")
}

func TestSignIn_PushesTheRequestWhereTheProviderTakesThat(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	i.metadata = func(m map[string]any) { m["pushed_authorization_request_endpoint"] = i.URL + "/push" }
	r.provider("home", i)
	to, _, err := r.Begin(t.Context(), "home", signin.Departure{Purpose: signin.ToSignIn})
	require.NoError(t, err)
	address, err := url.Parse(to)
	require.NoError(t, err)
	require.Equal(t, []string{"client_id", "request_uri"}, slices.Sorted(keysOf(address.Query())), "nothing else goes through the browser")
	b := r.browser("1001")
	b.signIn("home")
	require.NotNil(t, b.subject())
}

func keysOf(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range v {
			if !yield(key) {
				return
			}
		}
	}
}

func TestSignIn_TakesEachAlgorithmWithAKeyPair(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	k := theKeys()
	for _, key := range []jose.SigningKey{
		{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k.rsa, KeyID: "rsa"}},
		{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.ecdsa, KeyID: "ecdsa"}},
		{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: k.ed25519, KeyID: "ed25519"}},
	} {
		i.sign = func(claims map[string]any) string { return signed(t, key, claims) }
		b := r.browser("1001")
		at := b.signIn("home")
		require.NotNil(t, b.subject(), "%s: %s", key.Algorithm, at)
	}
}

func TestSignIn_PinsTheSlashAtTheEndOfAnIssuer(t *testing.T) {
	for _, given := range []string{"", "/"} {
		for _, spelt := range []string{"", "/"} {
			r, i := newRig(t), newIssuer(t)
			i.name = i.URL + spelt
			r.provider("home", i, func(p *signin.NewProvider) { p.Issuer = i.URL + given })
			b := r.browser("1001")
			at := b.signIn("home")
			require.NotNil(t, b.subject(), "%q %q %s", given, spelt, at)
			p, err := r.Provider(t.Context(), "home")
			require.NoError(t, err)
			require.Equal(t, i.URL+spelt, p.PinnedIssuer)

			// From then on it is that, to the letter.
			i.name = i.URL + map[string]string{"": "/", "/": ""}[spelt]
			r.move(2 * time.Hour)
			fresh := r.browser("1001")
			fresh.requireRefused(fresh.signIn("home"), signin.ReasonAway)
		}
	}
	r, i := newRig(t), newIssuer(t)
	i.name = i.URL + "/realms/other"
	r.provider("home", i, func(p *signin.NewProvider) { p.Issuer = i.URL })
	_, err := r.Check(t.Context(), "home")
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.ErrorContains(t, err, "it calls itself")
}

func TestSignIn_KeepsTwoHundredOfTwoPeopleApart(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	want := map[string]string{"1001": "ana", "1002": "bo"}
	for subject := range want {
		r.browser(subject).signIn("home")
	}
	subjects := []string{"1001", "1002"}
	places := make(chan struct{}, 16)
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			subject := subjects[n%2]
			b := r.browser(subject)
			b.moveTo(fmt.Sprintf("192.0.2.%d", n))
			response, err := b.Get(fmt.Sprintf("%s/auth/home/start?to=/of/%s", r.server.URL, subject))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			who := b.subject()
			if who == nil || who.Person.Username != want[subject] || who.ExternalID != subject || response.Request.URL.Path != "/of/"+subject {
				t.Errorf("%s came back as %+v at %s", subject, who, response.Request.URL)
			}
		})
	}
	all.Wait()
	people := r.others()
	require.Len(t, people, 2)
	var under int
	require.NoError(t, r.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM signin_flows`).Scan(&under)
	}))
	require.Zero(t, under, "a state is left that was used")
}

func TestSignIn_SaysThatAProviderIsAway(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	i.away = true
	r.provider("home", i)
	b := r.browser("1001")
	b.requireRefused(b.signIn("home"), signin.ReasonAway)
	i.away = false
	b.signIn("home")
	require.NotNil(t, b.subject(), "a failure was kept")
}

func TestSignIn_GivesTheTokensToWhoKeepsThem(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	p := r.provider("home", i)
	b := r.browser("1001")
	b.signIn("home")
	kept := r.kept.last[b.subject().IdentityID]
	require.Equal(t, "1001", kept.ExternalID)
	require.Equal(t, i.name, kept.Issuer)
	require.Equal(t, p.ClientID, kept.ClientID)
	require.False(t, kept.Access.Empty())
	require.WithinDuration(t, time.Now().Add(90*time.Second), kept.ExpiresAt, 5*time.Second)

	// A refresh gives new ones, and takes over the groups of today.
	i.people["1001"]["groups"] = []string{"guests"}
	var fresh vault.Tokens
	take := func(t vault.Tokens) error { fresh = t; return nil }
	require.NoError(t, r.Refresh(t.Context(), kept, take))
	require.False(t, fresh.Access.Equal(kept.Access))
	require.Equal(t, []string{"home:guests"}, b.subject().Groups)

	// What was used before ends the grant, in Forgejo's words and in RFC 6749's.
	err := r.Refresh(t.Context(), kept, take)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	require.NotContains(t, err.Error(), kept.Refresh.Reveal())

	// Of another client it is not sent anywhere.
	asked := len(i.asked)
	fresh.ClientID = "another"
	require.ErrorIs(t, r.Refresh(t.Context(), fresh, take), vault.ErrGrantEnded)
	require.Len(t, i.asked, asked)
}

func TestStart_BoundsHowOftenOneNetworkBegins(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	here, there := r.browser("1001"), r.browser("1002")
	here.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for n := 0; ; n++ {
		response, err := here.Get(r.server.URL + "/auth/home/start")
		require.NoError(t, err)
		response.Body.Close()
		if response.Header.Get("Location") == "/sign-in?problem=busy&provider=home" {
			break
		}
		require.Less(t, n, 200)
	}
	there.moveTo("192.0.2.7")
	there.signIn("home")
	require.NotNil(t, there.subject(), "another network is not in the way")
}

func TestReturnPath_LeadsNowhereElse(t *testing.T) {
	for _, to := range []string{
		"", "projects", "https://evil.example", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/\tevil", "/\n/evil.example",
		"http:/evil.example", "javascript:alert(1)", "/%zz", " /evil", "//evil.example/../projects",
	} {
		require.Equal(t, "/", signin.ReturnPath(to), "%q", to)
	}
	for _, to := range []string{"/", "/projects", "/projects/shop?tab=log#end", "/a%2Fb", "/auth/enter?host=a.example&to=%2F"} {
		require.Equal(t, to, signin.ReturnPath(to))
	}
}

func TestStart_SendsOnWith303AndABoundCookie(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := b.Get(r.server.URL + "/auth/home/start?to=//evil.example")
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, response.StatusCode)
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", response.Header.Get("Referrer-Policy"))
	cookie := response.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)

	secure, err := signin.New(signin.Config{
		DB: r.db, Events: r.events, Secrets: r.vault, Identity: r.identity, BaseURL: &url.URL{Scheme: "https", Host: "berth.example.org"},
	})
	require.NoError(t, err)
	over := secure.BrowserCookie(secret.New("x"))
	require.Equal(t, "__Host-berth-signin", over.Name)
	require.True(t, over.Secure)
	require.Equal(t, "/", over.Path)
	require.Empty(t, over.Domain)
}

func TestSeed_AddsWhatIsNotThereAndLeavesTheRest(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	named := []settings.Provider{{Name: "HOME", Issuer: i.name, ClientID: clientID, ClientSecret: secret.New(clientSecret), Create: true}}
	require.NoError(t, r.Seed(t.Context(), named))
	b := r.browser("1001")
	b.signIn("home")
	require.NotNil(t, b.subject())

	p, err := r.Provider(t.Context(), "home")
	require.NoError(t, err)
	label := "Ours"
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Label: &label})
	require.NoError(t, err)
	require.NoError(t, r.Seed(t.Context(), named))
	p, err = r.Provider(t.Context(), "home")
	require.NoError(t, err)
	require.Equal(t, "Ours", p.Label)

	named[0].Name, named[0].Issuer = "OTHER", "http://id.example.org"
	require.ErrorContains(t, r.Seed(t.Context(), named), "BERTH_PROVIDER_OTHER_*: issuer: needs https://")
}
