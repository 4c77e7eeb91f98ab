package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
)

func TestSignInExternal_MakesAUserUnlessTheProviderSaysOtherwise(t *testing.T) {
	w := newWorld(t)
	yes, no := true, false
	for id, c := range map[string]struct {
		says *bool
		new  identity.Role
		want identity.Role
	}{
		"unsaid":              {nil, "", identity.RoleUser},
		"members":             {nil, identity.RoleMember, identity.RoleMember},
		"users":               {nil, identity.RoleUser, identity.RoleUser},
		"an administrator":    {&yes, identity.RoleUser, identity.RoleAdministrator},
		"none, among users":   {&no, identity.RoleUser, identity.RoleUser},
		"none, among members": {&no, identity.RoleMember, identity.RoleMember},
	} {
		ext := identity.External{Provider: "home", ExternalID: id, Username: "x", Administrator: c.says, NewRole: c.new}
		require.Equal(t, c.want, w.arrive(t, ext).Person.Role, id)
	}
}

func TestSignInExternal_LeavesTheRoleThatSomebodyHas(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	yes, no := true, false
	ana := identity.External{Provider: "home", ExternalID: "1", Username: "ana", NewRole: identity.RoleMember, Administrator: &no}
	require.Equal(t, identity.RoleMember, w.arrive(t, ana).Person.Role)
	ana.NewRole = identity.RoleUser
	require.Equal(t, identity.RoleMember, w.arrive(t, ana).Person.Role, "what new people become is for new people")
	ana.Administrator = &yes
	require.Equal(t, identity.RoleAdministrator, w.arrive(t, ana).Person.Role)
	ana.Administrator = &no
	require.Equal(t, identity.RoleUser, w.arrive(t, ana).Person.Role, "no more than somebody new")
}

func TestAdministrators_AUserIsOneAgainWhoIsTakenOff(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	ana := w.person(t, "ana", identity.RoleUser)
	w.list(t, "local:ana")
	require.Equal(t, "ana root", w.administer(t))
	w.list(t, "local:root")
	role := func() identity.Role {
		p, err := w.Person(t.Context(), "ana")
		require.NoError(t, err)
		ana = p
		return p.Role
	}
	require.Equal(t, identity.RoleUser, role())

	// While there is a list, roles below the administrators' are given as ever.
	for _, given := range []identity.Role{identity.RoleMember, identity.RoleUser} {
		_, err := w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Role: &given})
		require.NoError(t, err)
		require.Equal(t, given, role())
	}
	require.Equal(t, identity.RoleUser, w.person(t, "bo", identity.RoleUser).Role)
	require.Equal(t, identity.RoleUser, w.arrive(t, identity.External{Provider: "home", ExternalID: "1", Username: "cy"}).Person.Role)
}

func TestCreateToken_GivesAUserOneThatReadsAlone(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleUser)
	_, ana := w.signIn(t, "ana")
	for _, scope := range []identity.Scope{identity.ScopeDeploy, identity.ScopeAdmin} {
		_, _, err := w.CreateToken(t.Context(), ana, "wide", scope, time.Time{})
		requireKind(t, fault.BadInput, err)
		require.ErrorContains(t, err, "scope: is read")
	}
	_, _, err := w.CreateBoundToken(t.Context(), ana, &identity.Bounds{Project: "shop"}, "bound", identity.ScopeRead, time.Time{})
	require.ErrorContains(t, err, "bounds: are for members", "whether there is a shop is not said")
	text, _, err := w.CreateToken(t.Context(), ana, "app", identity.ScopeRead, time.Time{})
	require.NoError(t, err)

	subject, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	requireKind(t, fault.Denied, identity.Decide(&subject, identity.ActionRead, identity.On{}))
	policy := identity.SignedIn()
	policy.Rules[0].APITokens = true
	gate, err := identity.NewGate(policy)
	require.NoError(t, err)
	require.True(t, gate.Enter(&subject, identity.Visit{Method: "GET", Path: "/", At: time.Now()}).Allowed, "it opens apps")
}

func TestUser_IsCutOffFromBerthAtOnceAndEntersAppsOn(t *testing.T) {
	w := newWorld(t)
	p := w.person(t, "ana", identity.RoleMember)
	token, before := w.signIn(t, "ana")
	require.NoError(t, identity.Decide(&before, identity.ActionDeploy, identity.On{}))
	_, err := w.UpdatePerson(t.Context(), "root", "ana", p.Version, identity.PersonEdit{Role: new(identity.RoleUser)})
	require.NoError(t, err)
	now, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	requireKind(t, fault.Denied, identity.Decide(&now, identity.ActionRead, identity.On{}))
	gate, err := identity.NewGate(identity.SignedIn())
	require.NoError(t, err)
	require.True(t, gate.Enter(&now, identity.Visit{Method: "GET", Path: "/", At: time.Now()}).Allowed)
}
