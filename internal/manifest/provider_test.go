package manifest_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
)

const withProviders = `berth: 1
providers:
  corp:
    preset: keycloak
    issuer: https://id.example.com/realms/corp
    client_id: berth
    create: true
    new_role: member
    allowed_domains: ["@Example.com"]
    trust_factor: true
  github:
    preset: github
    client_id: "0123"
    order: 2
    allowed_groups: [crew]
`

func TestProviders_AreThereForTheClaimsOfTheSameDocument(t *testing.T) {
	s := newServer(t)
	document := func(provider string) string {
		return withProviders + "projects:\n  shop:\n    image: ghcr.io/ana/shop\n    stages:\n      prod:\n        hostname: shop.test\n        access:\n          rules:\n" +
			"            - allow: {claims: [{name: department, operator: equals, value: sales" + provider + "}]}\n"
	}
	_, err := s.Apply(t.Context(), "root", s.request(document("")))
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.ErrorContains(t, err, "the providers are corp, github")
	s.apply(document(", provider: corp"))
	require.Contains(t, s.export(), "provider: corp")
	require.Empty(t, s.plan(s.export()).Changes)
	require.Empty(t, s.identity.OnlyProvider(), "there are two")
	removed := s.request("berth: 1\nproviders: {corp: {preset: keycloak, issuer: https://id.example.com/realms/corp, client_id: berth}}\n")
	removed.Prune = true
	_, err = s.Apply(t.Context(), "root", removed)
	require.NoError(t, err)
	require.Equal(t, "corp", s.identity.OnlyProvider())
}

func TestProviders_AreExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	require.Equal(t, []string{"create provider corp", "create provider github"}, lines(s.plan(withProviders).Changes))
	list, err := s.signin.Providers(t.Context())
	require.NoError(t, err)
	require.Empty(t, list, "of a plan nothing is kept")

	result := s.apply(withProviders)
	require.Contains(t, result.Applied[0].Fields, deploy.Change{Field: "allowed_domains", To: "example.com"})
	require.NotContains(t, fieldNames(result.Applied[0]), "label", "what is the preset's goes without saying")
	require.JSONEq(t, `{"slug":"github","preset":"github","issuer":"https://github.com","enabled":true}`, s.newest(signin.ProviderCreated))
	corp, err := s.signin.Provider(t.Context(), "corp")
	require.NoError(t, err)
	require.Equal(t, "Keycloak", corp.Label)
	require.Equal(t, []string{"openid", "profile", "email"}, corp.Scopes)
	require.True(t, corp.Enabled && corp.Create && corp.TrustFactor)
	require.Equal(t, identity.RoleMember, corp.NewRole)
	require.Empty(t, s.plan(withProviders).Changes, "again")

	exported := s.export()
	require.Contains(t, exported, "providers:\n  corp:\n    preset: keycloak\n    issuer: https://id.example.com/realms/corp\n    client_id: berth\n    create: true\n    new_role: member\n    allowed_domains:\n      - example.com\n    trust_factor: true\n  github:\n")
	require.Empty(t, s.plan(exported).Changes)
	fresh := newServer(t)
	fresh.apply(exported)
	require.Equal(t, exported, fresh.export(), "another server has the same")
}

func TestProviders_LeaveWhatAFileDoesNotNameUntilItIsPruned(t *testing.T) {
	s := newServer(t)
	s.apply(withProviders)
	before := s.export()
	r := s.request("berth: 1\nprojects: {}\n")
	r.Prune = true
	_, err := s.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	require.Equal(t, before, s.export(), "a file without the section")

	less := "berth: 1\nproviders:\n  github: {preset: github, client_id: \"0123\", order: 2, label: Code, allowed_groups: [crew]}\n"
	kept := s.apply(less)
	require.Equal(t, []string{"update provider github"}, lines(kept.Applied))
	require.Equal(t, []deploy.Change{{Field: "label", From: "GitHub", To: "Code"}}, kept.Applied[0].Fields)
	require.Equal(t, []string{"remove provider corp"}, lines(kept.Plan.Left))
	_, err = s.signin.Provider(t.Context(), "corp")
	require.NoError(t, err)

	r = s.request(less)
	r.Prune = true
	plan, err := s.Plan(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []string{"remove provider corp"}, lines(plan.Changes))
	require.Equal(t, []deploy.Change{{Field: "issuer", From: "https://id.example.com/realms/corp"}}, plan.Changes[0].Fields)
	_, err = s.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	_, err = s.signin.Provider(t.Context(), "corp")
	require.Equal(t, fault.Missing, fault.KindOf(err))
	require.Contains(t, s.newest(signin.ProviderRemoved), `"slug":"corp"`)
}

// Everything that a person sets of a provider is in a document: also what is
// set to nothing where the preset has something.
func TestProviders_KeepEveryFieldOnTheWay(t *testing.T) {
	s := newServer(t)
	prefix, none := "crew/", ""
	_, err := s.signin.Create(t.Context(), "ana", signin.NewProvider{
		Slug: "corp", Preset: signin.Authentik, Label: "Corp: all of us", Order: 7, Enabled: true, Issuer: "https://id.example.com/application/o/berth/",
		ClientID: "berth", ClientSecret: secret.New("hidden"), Scopes: []string{"openid", "groups"},
		Claims: signin.ClaimMap{Username: "nick", Name: "full", Email: "mail", Groups: "roles", Admin: "roles=root"},
		Create: true, AllowedDomains: []string{"example.com", "example.org"}, AllowedGroups: []string{"a b", "c, d"}, GroupPrefix: &prefix, SignOut: true, TrustFactor: true, TrustEmail: true,
	})
	require.NoError(t, err)
	full, err := s.signin.Provider(t.Context(), "corp")
	require.NoError(t, err)
	notCarried := []string{"ID", "PinnedIssuer", "HasSecret", "CreatedAt", "UpdatedAt", "Version"}
	for i := range reflect.TypeFor[signin.Provider]().NumField() {
		name := reflect.TypeFor[signin.Provider]().Field(i).Name
		require.True(t, slices.Contains(notCarried, name) || !reflect.ValueOf(full).Field(i).IsZero(), "this test sets %s", name)
	}
	bare, err := s.signin.Create(t.Context(), "ana", signin.NewProvider{Slug: "github", Preset: signin.GitHub, ClientID: "berth", GroupPrefix: &none})
	require.NoError(t, err)
	edit := bare.EditTo(secret.Text{})
	edit.Scopes, edit.Claims = []string{}, &signin.ClaimMap{Username: "login"}
	_, err = s.signin.Update(t.Context(), "ana", "github", bare.Version, edit)
	require.NoError(t, err)

	exported := s.export()
	require.NotContains(t, exported, "hidden")
	require.Empty(t, s.plan(exported).Changes, "%s", exported)
	fresh := newServer(t)
	fresh.apply(exported)
	carried := func(s *server) []signin.Provider {
		list, err := s.signin.Providers(t.Context())
		require.NoError(t, err)
		for i := range list {
			p := &list[i]
			p.ID, p.PinnedIssuer, p.HasSecret, p.CreatedAt, p.UpdatedAt, p.Version = "", "", false, time.Time{}, time.Time{}, 0
		}
		return list
	}
	require.Equal(t, carried(s), carried(fresh), "%s", exported)
	require.Equal(t, strings.Replace(exported, "    client_secret: {}\n", "", 1), fresh.export(), "but for the secret, which no file holds")
}

func TestProviders_TakeTheirSecretFromASlotOrSealed(t *testing.T) {
	s := newServer(t)
	document := "berth: 1\nproviders:\n  corp:\n    issuer: https://id.example.com\n    client_id: berth\n    client_secret: {context: infra, name: CORP}\n"
	_, err := s.Plan(t.Context(), s.request(document))
	require.ErrorContains(t, err, `providers.corp.client_secret: line 6, column 20: there is no secret "CORP" in "infra"`)

	s.set("infra", "CORP", "first")
	result := s.apply(document)
	require.Contains(t, result.Applied[0].Fields, deploy.Change{Field: "client_secret", To: "••••••"})
	s.hasClientSecret("first")
	require.Empty(t, s.apply(document).Applied)
	s.set("infra", "CORP", "the second")
	require.Equal(t, []deploy.Change{{Field: "client_secret", From: "••••••", To: "••••••"}}, s.apply(document).Applied[0].Fields)
	s.hasClientSecret("the second")

	exported := s.export()
	require.Contains(t, exported, "client_secret: {}\n", "that there is one, and not which")
	require.Empty(t, s.apply(exported).Applied, "it stays")
	s.hasClientSecret("the second")
	fresh := newServer(t)
	require.Contains(t, fresh.apply(exported).Plan.Notes, "the client secret of the provider corp is not set, and not in the file")

	// Sealed it comes along, for who has the key.
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	doc, err := s.Export(t.Context(), manifest.Scope{Accounts: true})
	require.NoError(t, err)
	doc, err = s.Seal(t.Context(), "ana", doc, []string{key.Recipient().String()})
	require.NoError(t, err)
	require.Contains(t, s.newest(manifest.Exported), `"secrets":2`)
	raw, err := manifest.Encode(doc)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "the second")
	other := newServer(t)
	require.Contains(t, other.plan(string(raw)).Notes, "the client secret of the provider corp is sealed and was not opened: what is there stays")
	r := other.request(string(raw))
	r.Values, err = doc.Open([]age.Identity{key})
	require.NoError(t, err)
	_, err = other.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	other.hasClientSecret("the second")
	require.Equal(t, exported, other.export(), "another server has the same")
}

func TestProviders_AreRefusedWithTheirPlace(t *testing.T) {
	s := newServer(t)
	s.set("infra", "CORP", "hidden")
	s.apply("{berth: 1, providers: {corp: {issuer: https://id.example.com, client_id: berth, client_secret: {context: infra, name: CORP}}}}")
	for document, says := range map[string]string{
		"berth: 1\nproviders:\n  new:\n    issuer: http://id.example.com\n    client_id: berth\n":                                            "providers.new.issuer: line 4, column 13: needs https://",
		"berth: 1\nproviders:\n  new:\n    issuer: https://id.example.com\n":                                                                 "providers.new.client_id: line 4, column 5: takes 1 to 512",
		"berth: 1\nproviders:\n  New One: {issuer: https://id.example.com, client_id: a}\n":                                                  "providers.New One: line 3, column 12: takes 1 to 32 of a to z",
		"berth: 1\nproviders:\n  new: {preset: okta, issuer: https://id.example.com, client_id: a}\n":                                        "providers.new.preset: line 3, column 17: is one of oidc",
		"berth: 1\nproviders:\n  new: {issuer: https://id.example.com, client_id: a, scopes: []}\n":                                          "providers.new.scopes: line 3, column 63: need openid",
		"berth: 1\nproviders:\n  new: {issuer: https://id.example.com, client_id: a, group_prefix: \"corp:\"}\n":                             `providers.new.group_prefix: line 3, column 69: "corp:" and the prefix of corp`,
		"berth: 1\nproviders:\n  new: {issuer: https://id.example.com, client_id: a, claims: {admin: =x}}\n":                                 "providers.new.claims.admin: line 3, column 71: takes a claim",
		"berth: 1\nproviders:\n  corp: {preset: dex, issuer: https://id.example.com, client_id: berth}\n":                                    "providers.corp.preset: line 3, column 18: stays oidc, as the provider was made",
		"berth: 1\nproviders:\n  corp: {issuer: https://evil.example.com, client_id: berth}\n":                                               "providers.corp.client_secret: line 3, column 9: is given again with another issuer",
		"berth: 1\nproviders:\n  new: {issuer: https://a.example.com, client_id: a, client_secret: {context: a}}\n":                          "providers.new.client_secret: line 3, column 69: it is a stored secret",
		"berth: 1\nproviders:\n  new: {issuer: https://a.example.com, client_id: a, client_secret: {context: berth/provider, name: corp}}\n": "providers.new.client_secret: line 3, column 69: these secrets are for what they belong to alone",
		"berth: 1\nproviders: {corp: {client_secret: hidden}}\n":                                                                             "providers.corp.client_secret: line 2, column 35: here stand names with values",
	} {
		_, err := s.Plan(t.Context(), s.request(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err), document)
		require.ErrorContains(t, err, says)
	}
}

// A provider is saved also while nobody can reach it, as the API does it: it is
// asked at the first sign-in, or by a check.
func TestProviders_AreSavedWhileTheyAreAway(t *testing.T) {
	s := newServer(t)
	s.apply("{berth: 1, providers: {away: {issuer: 'http://127.0.0.1:1', client_id: berth}}}")
	away, err := s.signin.Provider(t.Context(), "away")
	require.NoError(t, err)
	require.Empty(t, away.PinnedIssuer)
}

func TestProviders_RefuseAPlanThatIsOld(t *testing.T) {
	s := newServer(t)
	s.apply(withProviders)
	wanted := strings.Replace(withProviders, "client_id: berth", "client_id: other", 1)
	plan := s.plan(wanted)
	order := 5
	_, err := s.signin.Update(t.Context(), "bo", "corp", 1, signin.ProviderEdit{Order: &order})
	require.NoError(t, err)

	r := s.request(wanted)
	r.Fingerprint = plan.Fingerprint
	_, err = s.Apply(t.Context(), "ana", r)
	require.Equal(t, fault.Clash, fault.KindOf(err), err)
	corp, err := s.signin.Provider(t.Context(), "corp")
	require.NoError(t, err)
	require.Equal(t, "berth", corp.ClientID, "nothing was applied")
}

func TestAccess_IsForAdministrators(t *testing.T) {
	s := newServer(t)
	for section, document := range map[string]string{
		"providers": withProviders, "administrators": "{berth: 1, administrators: []}", "second_factor": "{berth: 1, second_factor: {required_of: nobody}}",
	} {
		r := s.request(document)
		r.Administrator = false
		_, err := s.Plan(t.Context(), r)
		require.Equal(t, fault.Denied, fault.KindOf(err))
		require.ErrorContains(t, err, `"`+section+`" is for administrators`)
		_, err = s.Apply(t.Context(), "bo", r)
		require.Equal(t, fault.Denied, fault.KindOf(err))
	}
	for _, of := range []manifest.Scope{{}, {Accounts: true, Project: "shop"}} {
		s.apply("{berth: 1, projects: {shop: {image: shop}}}")
		doc, err := s.Export(t.Context(), of)
		require.NoError(t, err)
		require.Nil(t, doc.Providers)
		require.Nil(t, doc.Administrators)
		require.Nil(t, doc.SecondFactor)
	}
}

// A removal ends the sessions that came by a provider, and no others: whoever
// has a password here comes in as before.
func TestProviders_GoWithoutTheLastWayIn(t *testing.T) {
	s := newServer(t)
	root := s.person("root", identity.RoleAdministrator)
	s.apply(withProviders)
	r := s.request("{berth: 1, providers: {}}")
	r.Prune = true
	_, err := s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	_, again := s.signIn("root")
	require.Equal(t, root.ID, again.Person.ID)
	require.Equal(t, identity.RoleAdministrator, again.Person.Role)
}

// A plan says whom it leaves without a way in; whoever applies it means it.
func TestProviders_SayInThePlanWhoIsLeftOut(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply("{berth: 1, providers: {away: {issuer: 'https://id.example.com', client_id: berth}}}")
	ext := identity.External{Provider: "away", Issuer: "https://id.example.com", ExternalID: "1001", Username: "cy", Create: true}
	_, _, err := s.identity.SignInExternal(t.Context(), ext, identity.Origin{}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	const note = "without the provider away, cy would have no way in left"
	off := "{berth: 1, providers: {away: {issuer: 'https://id.example.com', client_id: berth, enabled: false}}}"
	require.Contains(t, s.plan(off).Notes, note)
	require.NotContains(t, s.plan(strings.Replace(off, "enabled: false", "order: 3", 1)).Notes, note)
	gone := s.request("{berth: 1, providers: {}}")
	gone.Prune = true
	plan, err := s.Plan(t.Context(), gone)
	require.NoError(t, err)
	require.Contains(t, plan.Notes, note)

	unseen := s.request(off)
	_, err = s.Apply(t.Context(), "ana", unseen)
	require.Equal(t, fault.BadInput, fault.KindOf(err), "nobody saw it")
	require.ErrorContains(t, err, "providers.away: line 1, column 30: by this, cy would have no way in left")
	seen := s.request(off)
	seen.Fingerprint = s.plan(off).Fingerprint
	second := ext
	second.ExternalID, second.Username = "1002", "dan"
	_, _, err = s.identity.SignInExternal(t.Context(), second, identity.Origin{}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	_, err = s.Apply(t.Context(), "ana", seen)
	require.Equal(t, fault.Clash, fault.KindOf(err), "more are left out by now than was seen")
	seen.Fingerprint = s.plan(off).Fingerprint
	_, err = s.Apply(t.Context(), "ana", seen)
	require.NoError(t, err)
	require.Contains(t, s.newest(signin.ProviderUpdated), `"left_out":2`)
	plan, err = s.Plan(t.Context(), gone)
	require.NoError(t, err)
	require.NotContains(t, plan.Notes, note, "there is nothing left to lose")
}

// Whoever has two ways in loses none of them alone, and both together only
// when they were seen.
func TestProviders_TakeNoTwoWaysAwayThatWereSeenAsOne(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply("{berth: 1, providers: {one: {issuer: 'https://one.example.com', client_id: berth}, two: {issuer: 'https://two.example.com', client_id: berth}}}")
	sign := func(provider, username string) identity.External {
		return identity.External{Provider: provider, Issuer: "https://" + provider + ".example.com", ExternalID: "1001", Username: username, Create: true}
	}
	_, subject, err := s.identity.SignInExternal(t.Context(), sign("one", "cy"), identity.Origin{}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	_, err = s.identity.LinkExternal(t.Context(), subject, sign("two", "cy"), func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	both := s.request("{berth: 1, providers: {}}")
	both.Prune = true
	_, err = s.Plan(t.Context(), both)
	require.ErrorContains(t, err, "cy would have no way in left")
	only := s.request("{berth: 1, providers: {two: {issuer: 'https://two.example.com', client_id: berth}}}")
	only.Prune = true
	_, err = s.Apply(t.Context(), "ana", only)
	require.NoError(t, err)
	plan, err := s.Plan(t.Context(), both)
	require.NoError(t, err)
	require.Contains(t, plan.Notes, "without the provider two, cy would have no way in left")
	both.Fingerprint = plan.Fingerprint
	_, err = s.Apply(t.Context(), "ana", both)
	require.NoError(t, err)
}

func fieldNames(c manifest.Change) (names []string) {
	for _, f := range c.Fields {
		names = append(names, f.Field)
	}
	return names
}

func (s *server) hasClientSecret(want string) {
	s.t.Helper()
	got, err := s.signin.ClientSecret(s.t.Context(), "corp")
	require.NoError(s.t, err)
	require.Equal(s.t, want, got.Reveal())
}
