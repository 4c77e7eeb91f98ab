package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
)

func TestGroups_AreKeptAndCountWithTheNextRequest(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bo", identity.RoleMember)
	token, before := w.signIn(t, "ana")
	require.Empty(t, before.Groups)
	held, release := w.Hold(t.Context(), before)
	defer release()

	made, err := w.CreateGroup(t.Context(), "root", identity.Group{Name: " Ops ", Description: "on call", Members: []string{"bo", "Ana", "ana"}})
	require.NoError(t, err)
	require.Equal(t, []string{"ana", "bo"}, made.Members)
	require.Equal(t, "ops", made.Name)
	<-held.Done() // what was open is asked for anew
	now, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, []string{"ops"}, now.Groups)

	_, err = w.CreateGroup(t.Context(), "root", identity.Group{Name: "ops"})
	requireKind(t, fault.Clash, err)
	_, err = w.UpdateGroup(t.Context(), "root", "ops", 7, identity.GroupEdit{})
	requireKind(t, fault.Clash, err)
	after, err := w.UpdateGroup(t.Context(), "root", "ops", 1, identity.GroupEdit{Members: &[]string{"bo"}})
	require.NoError(t, err)
	require.Equal(t, "on call", after.Description)
	now, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Empty(t, now.Groups)

	list, err := w.Groups(t.Context())
	require.NoError(t, err)
	require.Equal(t, []identity.Group{after}, list)
	require.NoError(t, w.RemoveGroup(t.Context(), "root", "ops"))
	_, err = w.Group(t.Context(), "ops")
	requireKind(t, fault.Missing, err)
}

func TestGroups_NameWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	for field, g := range map[string]identity.Group{
		"name":        {Name: "corp:ops"}, // which is how a provider's are named
		"description": {Name: "ops", Description: "a\nb"},
		"members":     {Name: "ops", Members: []string{"nobody-there"}},
	} {
		_, err := w.CreateGroup(t.Context(), "root", g)
		requireKind(t, fault.BadInput, err)
		require.ErrorContains(t, err, field)
	}
}

func TestGroups_NobodyInheritsAPlaceInOne(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "ana", identity.RoleMember)
	_, err := w.CreateGroup(t.Context(), "root", identity.Group{Name: "ops", Members: []string{"ana"}})
	require.NoError(t, err)
	require.NoError(t, w.RemovePerson(t.Context(), "root", "ana"))
	w.person(t, "ana", identity.RoleMember)
	_, again := w.signIn(t, "ana")
	require.Empty(t, again.Groups)
	text, _, err := w.CreateToken(t.Context(), again, "t", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	by, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	require.Empty(t, by.Groups)
}
