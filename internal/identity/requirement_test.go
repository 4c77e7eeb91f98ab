package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

func TestRequirement_EndsSessionsThatAreTooLittleAndStays(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "ana", identity.RoleAdministrator)
	w.person(t, "bo", identity.RoleMember)
	local := identity.Local()
	_, root := w.signIn(t, "root")
	anas, _ := w.signIn(t, "ana")
	bos, _ := w.signIn(t, "bo")
	rule, err := w.SecondFactorRule(t.Context())
	require.NoError(t, err)
	require.Equal(t, identity.SecondFactorRule{RequiredOf: "nobody", Settings: "nobody", InForce: "nobody"}, rule)

	// Whose own session would end does not lock themselves out.
	_, err = w.RequireSecondFactor(t.Context(), root, identity.RequireOfAdministrators, 0)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "add a second factor of your own first")
	for _, wrong := range []identity.Requirement{"", "everyone"} {
		_, err = w.RequireSecondFactor(t.Context(), local, wrong, 0)
		require.Equal(t, fault.BadInput, fault.KindOf(err))
	}
	_, err = w.RequireSecondFactor(t.Context(), local, identity.RequireOfAdministrators, 7)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	_, member := w.signIn(t, "bo")
	_, err = w.RequireSecondFactor(t.Context(), member, identity.RequireOfNobody, 0)
	require.Equal(t, fault.Denied, fault.KindOf(err))

	rule, err = w.RequireSecondFactor(t.Context(), local, identity.RequireOfAdministrators, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, rule.Version)
	require.Equal(t, identity.RequireOfAdministrators, rule.InForce)
	_, err = w.BySession(t.Context(), anas)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "a session that a password alone began")
	_, err = w.BySession(t.Context(), bos)
	require.NoError(t, err, "of a member none is required")
	require.Len(t, w.happened(t, identity.FactorRequired), 1)

	// The next sign-in is half of one, also after a restart.
	w.restart(t, bcrypt.MinCost)
	_, _, err = w.SignIn(t.Context(), "ana", secret.New(password), home)
	var half *identity.FactorError
	require.ErrorAs(t, err, &half)
	require.True(t, w.RequiresSecondFactor(identity.RoleAdministrator))
	require.False(t, w.RequiresSecondFactor(identity.RoleMember))

	_, err = w.RequireSecondFactor(t.Context(), local, identity.RequireOfNobody, 1)
	require.NoError(t, err)
	_, _ = w.signIn(t, "ana")

	// What the settings demand is not chosen away.
	s, err := identity.New(identity.Config{DB: w.db, Events: w.events, Clock: w.clock, PasswordCost: bcrypt.MinCost, SecondFactor: identity.RequireOfEverybody})
	require.NoError(t, err)
	rule, err = s.RequireSecondFactor(t.Context(), local, identity.RequireOfNobody, 2)
	require.NoError(t, err)
	require.Equal(t, identity.RequireOfEverybody, rule.InForce)
	require.Equal(t, identity.RequireOfEverybody, rule.Settings)
	require.True(t, s.RequiresSecondFactor(identity.RoleMember))
}

func TestRequirement_OfMembersIsOfAdministratorsTooAndNotOfUsers(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	sessions := map[identity.Role]secret.Text{}
	for _, role := range []identity.Role{identity.RoleUser, identity.RoleMember, identity.RoleAdministrator} {
		w.person(t, "a-"+role.String(), role)
		sessions[role], _ = w.signIn(t, "a-"+role.String())
	}
	_, err := w.RequireSecondFactor(t.Context(), identity.Local(), identity.RequireOfMembers, 0)
	require.NoError(t, err)
	for role, token := range sessions {
		_, err := w.BySession(t.Context(), token)
		require.Equal(t, role != identity.RoleUser, err != nil, role)
		require.Equal(t, role != identity.RoleUser, w.RequiresSecondFactor(role), role)
	}
	require.True(t, identity.RequireOfMembers.AtLeast(identity.RequireOfAdministrators))
	require.False(t, identity.RequireOfMembers.AtLeast(identity.RequireOfEverybody))

	// Who runs apps from now on has to have one, from now on.
	una, err := w.Person(t.Context(), "a-user")
	require.NoError(t, err)
	member := identity.RoleMember
	_, err = w.UpdatePerson(t.Context(), "root", "a-user", una.Version, identity.PersonEdit{Role: &member})
	require.NoError(t, err)
	_, err = w.BySession(t.Context(), sessions[identity.RoleUser])
	requireKind(t, fault.Unauthenticated, err)
}
