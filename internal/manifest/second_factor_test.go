package manifest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/manifest"
)

func requireOf(who identity.Requirement) string {
	return "{berth: 1, second_factor: {required_of: " + who.String() + "}}"
}

func (s *server) rule() identity.SecondFactorRule {
	s.t.Helper()
	rule, err := s.identity.SecondFactorRule(s.t.Context())
	require.NoError(s.t, err)
	return rule
}

func TestSecondFactor_IsExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	session, _ := s.signIn("root")
	require.Contains(t, s.export(), "second_factor:\n  required_of: nobody\n")
	plan := s.plan(requireOf(identity.RequireOfEverybody))
	require.Equal(t, []string{"update second_factor rule"}, lines(plan.Changes))
	require.Equal(t, []deploy.Change{{Field: "required_of", From: "nobody", To: "everybody"}}, plan.Changes[0].Fields)
	require.Equal(t, identity.RequireOfNobody, s.rule().InForce, "of a plan nothing is kept")
	require.False(t, s.identity.RequiresSecondFactor(identity.RoleMember))
	_, err := s.identity.BySession(t.Context(), session)
	require.NoError(t, err)

	s.apply(requireOf(identity.RequireOfEverybody))
	require.Equal(t, identity.RequireOfEverybody, s.rule().InForce)
	require.True(t, s.identity.RequiresSecondFactor(identity.RoleMember))
	require.JSONEq(t, `{"from":"nobody","to":"everybody"}`, s.newest(identity.FactorRequired))
	_, err = s.identity.BySession(t.Context(), session)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "a session that is too little ends")

	exported := s.export()
	require.Empty(t, s.plan(exported).Changes)
	fresh := newServer(t)
	fresh.apply(exported)
	require.Equal(t, exported, fresh.export(), "another server has the same")

	r := s.request("{berth: 1, projects: {}, providers: {}, administrators: []}")
	r.Prune = true
	_, err = s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, identity.RequireOfEverybody, s.rule().InForce, "a file without the section")
}

func TestSecondFactor_EndsNobodysOwnSession(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	_, root := s.signIn("root")
	r := s.request("berth: 1\nprojects: {shop: {image: shop}}\nsecond_factor:\n  required_of: administrators\n")
	r.By = root
	for _, do := range []func() error{
		func() error { _, err := s.Plan(t.Context(), r); return err },
		func() error { _, err := s.Apply(t.Context(), "root", r); return err },
	} {
		err := do()
		require.Equal(t, fault.BadInput, fault.KindOf(err), err)
		require.ErrorContains(t, err, "second_factor: line 4, column 3: your own session would end: add a second factor of your own first")
	}
	require.Equal(t, identity.RequireOfNobody, s.rule().InForce)
	have, err := s.deploy.Configuration(t.Context())
	require.NoError(t, err)
	require.Empty(t, have, "all or nothing")
}

func TestSecondFactor_TakesAFreshProofAsTheAPIDoes(t *testing.T) {
	s := newServer(t)
	s.person("root", identity.RoleAdministrator)
	s.apply(requireOf(identity.RequireOfAdministrators))
	r := s.request(requireOf(identity.RequireOfNobody))
	r.By = identity.Subject{
		Person: identity.Person{Username: "root", Role: identity.RoleAdministrator}, Via: identity.ViaSession,
		Methods: []identity.Method{identity.MethodPasskey}, AuthenticatedAt: time.Now().Add(-time.Hour),
	}
	_, err := s.Plan(t.Context(), r)
	require.NoError(t, err, "looking takes none")
	_, err = s.Apply(t.Context(), "root", r)
	require.Equal(t, fault.NotProved, fault.KindOf(err), err)
	require.Equal(t, identity.RequireOfAdministrators, s.rule().InForce)

	same := s.request(requireOf(identity.RequireOfAdministrators))
	same.By = r.By
	_, err = s.Apply(t.Context(), "root", same)
	require.NoError(t, err, "what changes nothing takes none")
	r.By.AuthenticatedAt = time.Now()
	_, err = s.Apply(t.Context(), "root", r)
	require.NoError(t, err)
	require.Equal(t, identity.RequireOfNobody, s.rule().InForce)

	r.By = identity.Subject{}
	_, err = s.Apply(t.Context(), "root", manifest.Request{Document: []byte(requireOf(identity.RequireOfEverybody)), Administrator: true})
	require.Error(t, err, "nobody sets it")
	require.Equal(t, identity.RequireOfNobody, s.rule().InForce)
}

func TestSecondFactor_IsNeverLessThanTheSettingsDemand(t *testing.T) {
	s := newServerThatDemands(t, identity.RequireOfAdministrators)
	require.Contains(t, s.export(), "required_of: nobody\n", "what was chosen")
	plan := s.plan(requireOf(identity.RequireOfNobody))
	require.Empty(t, plan.Changes)
	require.Equal(t, []string{"BERTH_SECOND_FACTOR requires a second factor of administrators, whatever the file says"}, plan.Notes)
	s.apply(requireOf(identity.RequireOfEverybody))
	s.apply(requireOf(identity.RequireOfNobody))
	require.Equal(t, identity.RequireOfAdministrators, s.rule().InForce)
}

func TestSecondFactor_IsRefusedWithItsPlace(t *testing.T) {
	s := newServer(t)
	for document, says := range map[string]string{
		"berth: 1\nsecond_factor: {required_of: all}\n": "second_factor.required_of: line 2, column 30: is nobody, administrators, members or everybody",
		"berth: 1\nsecond_factor: {}\n":                 "second_factor.required_of: line 2, column 16: is nobody, administrators, members or everybody",
		"berth: 1\nsecond_factor: everybody\n":          "second_factor: line 2, column 16: here stand names with values",
	} {
		_, err := s.Plan(t.Context(), s.request(document))
		require.Equal(t, fault.BadInput, fault.KindOf(err), document)
		require.ErrorContains(t, err, says)
	}
	plan := s.plan(requireOf(identity.RequireOfAdministrators))
	s.apply(requireOf(identity.RequireOfEverybody))
	s.apply(requireOf(identity.RequireOfNobody))
	r := s.request(requireOf(identity.RequireOfAdministrators))
	r.Fingerprint = plan.Fingerprint
	_, err := s.Apply(t.Context(), "ana", r)
	require.Equal(t, fault.Clash, fault.KindOf(err), "it was changed, and back")
}
