package identity_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
)

var everyAction = []identity.Action{
	0, identity.ActionRead, identity.ActionDeploy, identity.ActionEdit, identity.ActionPush,
	identity.ActionPull, identity.ActionAdminister, identity.ActionOwnAccount, identity.ActionEndToken,
	identity.ActionOneself, 99,
}

// TestDecide_IsThisTable has every role, way, scope and action. A letter is
// what may be done: Read, Deploy, Edit, pUsh, puLl, Administer, Own account,
// end the Token, learn who one Is.
func TestDecide_IsThisTable(t *testing.T) {
	letters := map[identity.Action]byte{
		identity.ActionRead: 'R', identity.ActionDeploy: 'D', identity.ActionEdit: 'E', identity.ActionPush: 'U',
		identity.ActionPull: 'L', identity.ActionAdminister: 'A', identity.ActionOwnAccount: 'O',
		identity.ActionEndToken: 'T', identity.ActionOneself: 'I',
	}
	const (
		admin, member, user = identity.RoleAdministrator, identity.RoleMember, identity.RoleUser
		none                = identity.Scope("")
	)
	for _, line := range []struct {
		role  identity.Role
		via   identity.Via
		scope identity.Scope
		may   string
	}{
		{admin, identity.ViaSession, none, "RDEULAOTI"},
		{admin, identity.ViaPassword, none, "RDEULAOTI"},
		{admin, identity.ViaLocal, none, "RDEULAI"},
		{admin, identity.ViaToken, identity.ScopeAdmin, "RDEULAOTI"},
		{admin, identity.ViaToken, identity.ScopeDeploy, "RDULTI"},
		{admin, identity.ViaToken, identity.ScopeRead, "RLTI"},
		{admin, identity.ViaToken, none, ""},
		{admin, identity.ViaToken, "everything", ""},

		{member, identity.ViaSession, none, "RDEULOTI"},
		{member, identity.ViaPassword, none, "RDEULOTI"},
		{member, identity.ViaToken, identity.ScopeAdmin, "RDEULOTI"},
		{member, identity.ViaToken, identity.ScopeDeploy, "RDULTI"},
		{member, identity.ViaToken, identity.ScopeRead, "RLTI"},
		{member, identity.ViaToken, none, ""},

		{user, identity.ViaSession, none, "OTI"},
		{user, identity.ViaPassword, none, "OTI"},
		{user, identity.ViaToken, identity.ScopeAdmin, "OTI"},
		{user, identity.ViaToken, identity.ScopeDeploy, "TI"},
		{user, identity.ViaToken, identity.ScopeRead, "TI"},
		{user, identity.ViaToken, none, ""},

		{"", identity.ViaSession, none, ""},
		{"owner", identity.ViaSession, none, ""},
		{"", identity.ViaLocal, none, ""},
		{admin, "", none, ""},
		{admin, "cookie", identity.ScopeAdmin, ""},
	} {
		subject := identity.Subject{Person: identity.Person{ID: "1", Username: "ana", Role: line.role}, Via: line.via, Scope: line.scope}
		var may strings.Builder
		for _, action := range everyAction {
			if identity.Decide(&subject, action, identity.On{}) == nil {
				may.WriteByte(letters[action])
			}
		}
		require.Equal(t, line.may, may.String(), "%+v", line)

		subject.Person.Disabled = true
		for _, action := range everyAction {
			requireKind(t, fault.Unauthenticated, identity.Decide(&subject, action, identity.On{}))
		}
	}
	for _, action := range everyAction {
		requireKind(t, fault.Unauthenticated, identity.Decide(nil, action, identity.On{}))
		requireKind(t, fault.Unauthenticated, identity.Decide(&identity.Subject{}, action, identity.On{}))
	}
}

func TestDecide_SaysWhetherSigningInWouldHelp(t *testing.T) {
	member := identity.Subject{Person: identity.Person{Role: identity.RoleMember}, Via: identity.ViaSession}
	requireKind(t, fault.Denied, identity.Decide(&member, identity.ActionAdminister, identity.On{}))
	user := identity.Subject{Person: identity.Person{Role: identity.RoleUser}, Via: identity.ViaSession}
	require.ErrorContains(t, identity.Decide(&user, identity.ActionRead, identity.On{}), "your account is for entering apps")
	require.ErrorContains(t, identity.Decide(&user, identity.ActionAdminister, identity.On{}), "only an administrator")
	token := identity.Subject{Person: identity.Person{Role: identity.RoleMember}, Via: identity.ViaToken, Scope: identity.ScopeRead}
	err := identity.Decide(&token, identity.ActionDeploy, identity.On{})
	requireKind(t, fault.Denied, err)
	require.Contains(t, fault.Message(err), `scope "read"`)
}

func TestLocal_IsAnAdministratorWithoutAnAccount(t *testing.T) {
	local := identity.Local()
	require.Equal(t, "local", local.Person.Username)
	require.NoError(t, identity.Decide(&local, identity.ActionAdminister, identity.On{}))
	requireKind(t, fault.Denied, identity.Decide(&local, identity.ActionOwnAccount, identity.On{}))
}

func TestAction_HasAWordForEach(t *testing.T) {
	words := map[string]bool{}
	for _, a := range everyAction {
		words[a.String()] = true
	}
	require.Len(t, words, len(everyAction)-1, "only what is no action shares one")
}
