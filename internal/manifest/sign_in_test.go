package manifest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

const straightToCorp = `berth: 1
providers:
  corp: {issuer: 'https://id.example.com', client_id: berth}
sign_in:
  passwords: administrators
  straight_to: corp
`

func (s *server) mode() identity.SignInMode {
	s.t.Helper()
	mode, err := s.signin.Mode(s.t.Context())
	require.NoError(s.t, err)
	return mode.SignInMode
}

func TestSignIn_IsExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	session, _ := s.signIn("root")
	require.Contains(t, s.export(), "sign_in:\n  passwords: everybody\n")
	plan := s.plan(straightToCorp)
	require.Equal(t, []string{"create provider corp", "update sign_in mode"}, lines(plan.Changes))
	require.Equal(t, []deploy.Change{{Field: "passwords", From: "everybody", To: "administrators"}, {Field: "straight_to", To: "corp"}}, plan.Changes[1].Fields)
	require.Equal(t, identity.PasswordsOfEverybody, s.mode().Passwords, "of a plan nothing is kept")

	s.apply(straightToCorp)
	require.Equal(t, identity.PasswordsOfAdministrators, s.mode().Passwords)
	require.Equal(t, "corp", s.mode().StraightTo)
	require.JSONEq(t, `{"passwords":"administrators","straight_to":"corp","passwords_before":"everybody"}`, s.newest(identity.SignInModeChanged))
	_, err := s.identity.BySession(t.Context(), session)
	require.NoError(t, err, "sessions stay")

	exported := s.export()
	require.Empty(t, s.plan(exported).Changes)
	fresh := newServer(t) // with nobody, as a seed finds it
	fresh.apply(exported)
	require.Equal(t, exported, fresh.export(), "another server has the same")

	s.apply("{berth: 1, projects: {}, second_factor: {required_of: nobody}}")
	require.Equal(t, "corp", s.mode().StraightTo, "a file without the section")
	r := s.request("{berth: 1, providers: {}, sign_in: {}}")
	r.Prune = true
	_, err = s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, identity.PasswordsOfEverybody, s.mode().Passwords, "an empty section is the default")
	require.Empty(t, s.mode().StraightTo)
}

func TestSignIn_SaysInThePlanWhoIsLeftOut(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.person("bo", identity.RoleMember)
	only := s.request("{berth: 1, sign_in: {passwords: administrators}}")
	plan := s.plan(string(only.Document))
	require.Equal(t, []string{"with passwords of administrators alone, bo would have no way in left"}, plan.Notes)
	_, err := s.Apply(t.Context(), "root", only)
	require.Equal(t, fault.BadInput, fault.KindOf(err), "nobody saw it")
	require.ErrorContains(t, err, "sign_in: line 1, column 21: by this, bo would have no way in left")
	only.Fingerprint = plan.Fingerprint
	s.person("cy", identity.RoleMember)
	_, err = s.Apply(t.Context(), "root", only)
	require.Equal(t, fault.Clash, fault.KindOf(err), "more are left out by now than was seen")
	only.Fingerprint = s.plan(string(only.Document)).Fingerprint
	_, err = s.Apply(t.Context(), "root", only)
	require.NoError(t, err)
	require.Contains(t, s.newest(identity.SignInModeChanged), `"left_out":2`)
}

// Whoever has a password and a provider loses neither by what was seen of the
// other, also where the one is lost together with somebody else's.
func TestSignIn_TakesNoTwoWaysAwayThatWereSeenAsOne(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply("{berth: 1, providers: {away: {issuer: 'https://id.example.com', client_id: berth}}}")
	for id, username := range map[string]string{"1": "bo", "2": "cy"} {
		ext := identity.External{Provider: "away", Issuer: "https://id.example.com", ExternalID: id, Username: username, Create: true}
		_, _, err := s.identity.SignInExternal(t.Context(), ext, identity.Origin{}, func(*sqlite.Tx, string) error { return nil })
		require.NoError(t, err)
	}
	require.NoError(t, s.identity.SetPassword(t.Context(), "root", "bo", secret.New(password)))
	both := s.request("{berth: 1, providers: {}, sign_in: {passwords: administrators}}")
	both.Prune = true
	_, err := s.Plan(t.Context(), both)
	require.ErrorContains(t, err, "bo, cy", "of two the plan would have named one")
}

// Where passwords are of administrators alone, a place on the list is a way in.
func TestAdministrators_SaysInThePlanWhoIsLeftOutByTheList(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.person("carol", identity.RoleAdministrator)
	s.apply("{berth: 1, sign_in: {passwords: administrators}}")
	list := s.request("{berth: 1, administrators: ['local:root']}")
	plan := s.plan(string(list.Document))
	require.Contains(t, plan.Notes, "by the list of administrators, carol would have no way in left")
	_, err := s.Apply(t.Context(), "root", list)
	require.Equal(t, fault.BadInput, fault.KindOf(err), "nobody saw it")
	require.ErrorContains(t, err, "administrators: line 1, column 28: by this, carol would have no way in left")
	require.Empty(t, s.plan("{berth: 1, administrators: ['local:root', 'local:carol']}").Notes)
	require.Empty(t, s.plan("{berth: 1, sign_in: {passwords: everybody}, administrators: ['local:root']}").Notes, "everybody's would count then")
	require.Empty(t, s.plan("{berth: 1, administrators: []}").Notes, "without pruning there is no list to remove")
	list.Fingerprint = plan.Fingerprint
	_, err = s.Apply(t.Context(), "root", list)
	require.NoError(t, err)
}

func TestSignIn_SaysThatPeopleAreLedToWhatIsSwitchedOff(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply(straightToCorp)
	const says = "people are led straight to the provider corp: without it they see the sign-in page"
	require.Contains(t, s.plan("{berth: 1, providers: {corp: {issuer: 'https://id.example.com', client_id: berth, enabled: false}}}").Notes, says)
	require.NotContains(t, s.plan("{berth: 1, providers: {corp: {issuer: 'https://id.example.com', client_id: berth, label: Corp}}}").Notes, says)
}

func TestSignIn_TakesAFreshProofAsTheAPIDoes(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	r := s.request("{berth: 1, sign_in: {passwords: administrators}}")
	r.By = identity.Subject{
		Person: identity.Person{Username: "root", Role: identity.RoleAdministrator}, Via: identity.ViaSession,
		Methods: []identity.Method{identity.MethodPassword}, AuthenticatedAt: time.Now().Add(-time.Hour),
	}
	_, err := s.Apply(t.Context(), "root", r)
	require.Equal(t, fault.NotProved, fault.KindOf(err), err)
	list := s.request("{berth: 1, administrators: [local:root]}")
	list.By = r.By
	_, err = s.Apply(t.Context(), "root", list)
	require.Equal(t, fault.NotProved, fault.KindOf(err), "and so does the list of administrators", err)
	s.apply("{berth: 1, providers: {corp: {issuer: 'https://id.example.com', client_id: berth}}}")
	for _, document := range []string{
		"{berth: 1, providers: {corp: {issuer: 'https://id.example.com', client_id: berth}, theirs: {issuer: 'https://id.example.net', client_id: berth}}}",
		"{berth: 1, providers: {corp: {issuer: 'https://id.example.com', client_id: berth, claims: {admin: email_verified}}}}",
		"{berth: 1, providers: {}}",
	} {
		providers := s.request(document)
		providers.By, providers.Prune = r.By, true
		_, err = s.Apply(t.Context(), "root", providers)
		require.Equal(t, fault.NotProved, fault.KindOf(err), "and so do providers: %s: %v", document, err)
	}
	other := s.request("{berth: 1, projects: {shop: {image: shop}}}")
	other.By = r.By
	_, err = s.Apply(t.Context(), "root", other)
	require.NoError(t, err, "the rest does not")
	r.By.AuthenticatedAt = time.Now()
	_, err = s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
}

func TestSignIn_IsRefusedWithItsPlace(t *testing.T) {
	s := newServer(t)
	for document, says := range map[string]string{
		"berth: 1\nsign_in: {passwords: nobody}\n": "sign_in.passwords: line 2, column 22: is everybody or administrators",
		"berth: 1\nsign_in: {straight_to: away}\n": `sign_in.straight_to: line 2, column 24: there is no provider named "away"`,
		"berth: 1\nsign_in: {straight-to: corp}\n": "did you mean straight_to?",
		"berth: 1\nsign_in: straight\n":            "sign_in: line 2, column 10: here stand names with values",
	} {
		_, err := s.Plan(t.Context(), s.request(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err), document)
		require.ErrorContains(t, err, says)
	}
}

func TestSignIn_RemovesNoProviderThatItsOwnFileLeadsTo(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply(straightToCorp)
	r := s.request("berth: 1\nproviders: {}\nsign_in: {straight_to: corp}\n")
	s.plan(string(r.Document))
	r.Prune = true
	_, err := s.Plan(t.Context(), r)
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.ErrorContains(t, err, `sign_in.straight_to: line 3, column 24: the provider "corp" is not in the file, and would be removed`)

	r = s.request("{berth: 1, providers: {}}")
	r.Prune = true
	plan, err := s.Plan(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []string{"people are led straight to the provider corp: without it they see the sign-in page"}, plan.Notes)
}
