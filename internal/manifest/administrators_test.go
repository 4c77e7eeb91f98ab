package manifest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/vault"
)

const password = "long enough for a test"

func (s *server) person(name string, role identity.Role) identity.Person {
	s.t.Helper()
	p, err := s.identity.CreatePerson(s.t.Context(), "test", identity.Person{Username: name, Role: role}, secret.New(password))
	require.NoError(s.t, err)
	return p
}

func (s *server) signIn(name string) (secret.Text, identity.Subject) {
	s.t.Helper()
	token, subject, err := s.identity.SignIn(s.t.Context(), name, secret.New(password), identity.Origin{Address: "192.0.2.1"})
	require.NoError(s.t, err)
	return token, subject
}

// administer lists who administers by now.
func (s *server) administer() string {
	s.t.Helper()
	all, err := s.identity.Administrators(s.t.Context())
	require.NoError(s.t, err)
	names := make([]string, len(all.People))
	for i, p := range all.People {
		names[i] = p.Username
	}
	return strings.Join(names, " ")
}

func TestAdministrators_AreExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.person("ana", identity.RoleMember)
	s.person("bo", identity.RoleMember)
	require.Contains(t, s.export(), "administrators: []\n")
	document := "berth: 1\nadministrators:\n  - local:Ana\n  - corp:ana@Example.com\n  - local:ana\n" + strings.TrimPrefix(withProviders, "berth: 1\n")
	require.Equal(t, "create administrators list", lines(s.plan(document).Changes)[2])
	require.Equal(t, "root", s.administer(), "of a plan nothing is kept")

	result := s.apply(document)
	require.Equal(t, []deploy.Change{{Field: "local:ana", To: "listed"}, {Field: "corp:ana@example.com", To: "listed"}}, result.Applied[2].Fields)
	require.Equal(t, "ana root", s.administer(), "and the one who always does")
	require.JSONEq(t, `{"added":["local:ana","corp:ana@example.com"]}`, s.newest(identity.AdministratorsChanged))
	require.Contains(t, s.newest(vault.SecretSet), `"name":"ADMINS"`)
	require.Empty(t, s.plan(document).Changes, "again")

	exported := s.export()
	require.Contains(t, exported, "administrators:\n  - local:ana\n  - corp:ana@example.com\n")
	fresh := newServer(t)
	fresh.apply(exported)
	require.Equal(t, exported, fresh.export(), "another server has the same")

	// Another list is a change, and who is taken off is cut off.
	session, _ := s.signIn("ana")
	plan := s.plan("{berth: 1, administrators: ['local:bo', 'corp:ana@example.com']}")
	require.Equal(t, []deploy.Change{{Field: "local:ana", From: "listed"}, {Field: "local:bo", To: "listed"}}, plan.Changes[0].Fields)
	s.apply("{berth: 1, administrators: ['local:bo', 'corp:ana@example.com']}")
	require.Equal(t, "bo root", s.administer())
	subject, err := s.identity.BySession(t.Context(), session)
	require.NoError(t, err)
	require.Equal(t, identity.RoleMember, subject.Person.Role)
	s.apply("{berth: 1, administrators: ['corp:ana@example.com', 'local:bo']}")
	require.Contains(t, s.export(), "administrators:\n  - corp:ana@example.com\n  - local:bo\n", "also their order")
}

func TestAdministrators_StayWhereAFileDoesNotNameThem(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.person("ana", identity.RoleMember)
	s.apply("{berth: 1, administrators: ['local:ana']}")
	for _, document := range []string{"{berth: 1}", "{berth: 1, projects: {}, providers: {}}"} {
		r := s.request(document)
		r.Prune = true
		_, err := s.Apply(t.Context(), "root", r)
		require.NoError(t, err)
		require.Equal(t, "ana root", s.administer())
	}

	// No list at all is a removal, and done as one.
	kept := s.apply("{berth: 1, administrators: []}")
	require.Equal(t, []string{"remove administrators list"}, lines(kept.Plan.Left))
	require.Equal(t, "ana root", s.administer())
	r := s.request("{berth: 1, administrators: []}")
	r.Prune = true
	result, err := s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, []string{"remove administrators list"}, lines(result.Applied))
	require.Equal(t, "root", s.administer())
	_, err = s.vault.Get(t.Context(), vault.AdminsContext, vault.AdminsName)
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestAdministrators_NeverLoseTheOneWhoAlwaysAdministers(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply(withProviders + "administrators: ['corp:#nobody']\n")
	require.Equal(t, "root", s.administer())
	r := s.request("{berth: 1, providers: {}}")
	r.Prune = true
	plan, err := s.Plan(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []string{"the list of administrators names corp:#nobody, who can not sign in without the provider corp"}, plan.Notes)
	_, err = s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, "root", s.administer())
	_, subject := s.signIn("root")
	require.NoError(t, identity.Decide(&subject, identity.ActionAdminister, identity.On{}))
}

func TestAdministrators_OfTheSettingsAreNotForAFile(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.person("ana", identity.RoleMember)
	s.apply("{berth: 1, administrators: ['local:ana']}")
	s.adminsFrom = "environment"

	exported := s.export()
	require.Contains(t, exported, "# Who administers is not in it: BERTH_ADMINS says so, set by environment.\n")
	require.NotContains(t, exported, "administrators:")
	require.Empty(t, s.plan(exported).Changes)
	for _, document := range []string{"{berth: 1, administrators: ['local:root']}", "{berth: 1, administrators: []}"} {
		r := s.request(document)
		r.Prune = true
		result, err := s.Apply(t.Context(), "root", r)
		require.NoError(t, err)
		require.Empty(t, result.Applied)
		require.Equal(t, []string{"BERTH_ADMINS says who administers, set by environment: the list in the file changes nothing"}, result.Plan.Notes)
		require.Equal(t, "ana root", s.administer())
	}
	require.Empty(t, s.plan("{berth: 1, administrators: ['local:ana']}").Notes, "they say the same")
}

func TestAdministrators_AreRefusedWithTheirPlace(t *testing.T) {
	s := newServer(t)
	for document, says := range map[string]string{
		"berth: 1\nadministrators:\n  - local:ana\n  - bo\n":    `administrators[1]: line 4, column 5: "bo" does not say at which provider`,
		"berth: 1\nadministrators: ['githb:ana']\n":             `administrators: line 2, column 17: has "githb:ana", and there is no provider named "githb"`,
		"berth: 1\nadministrators: {}\n":                        "administrators: line 2, column 17: here stands a list",
		"berth: 1\nadministrators: ['local:ana@example.com']\n": `administrators[0]: line 2, column 18: "local:ana@example.com" names an account of Berth's own by an e-mail address`,
		"berth: 1\nsecrets: {berth: {ADMINS: {}}}\n":            "these secrets are set with what they belong to",
	} {
		_, err := s.Plan(t.Context(), s.request(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err), document)
		require.ErrorContains(t, err, says)
	}
}

func TestAdministrators_RefuseAPlanThatIsOld(t *testing.T) {
	s := newServer(t)
	s.apply("{berth: 1, administrators: ['local:ana']}")
	r := s.request("{berth: 1, administrators: ['local:bo']}")
	r.Fingerprint = s.plan(string(r.Document)).Fingerprint
	s.apply("{berth: 1, administrators: ['local:dan']}")
	s.apply("{berth: 1, administrators: ['local:ana']}")
	_, err := s.Apply(t.Context(), "ana", r)
	require.Equal(t, fault.Clash, fault.KindOf(err), "it was changed, and back")
}
