package identity_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// proved is a proof that is right: what proves somebody is package factor's.
func proved(*sqlite.Tx) error { return nil }

const chosen = "a password of my own"

// byKey has everybody sign in by something else than a password, as a passkey.
func (w *world) byKey() {
	w.OnWayIn(func(context.Context, *sqlite.Tx, string, string) ([]identity.Way, error) {
		return []identity.Way{{Provider: identity.ProviderLocal, Method: identity.MethodPasskey}}, nil
	})
}

func TestAddPassword_GivesAFirstOneToWhoeverProvesWhoTheyAre(t *testing.T) {
	w := newWorld(t)
	cy := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "cy"})
	require.False(t, cy.Person.HasPassword)
	refused := errors.New("not proved")
	require.ErrorIs(t, w.AddPassword(t.Context(), cy, secret.New(chosen), func(*sqlite.Tx) error { return refused }), refused)
	require.Error(t, w.try(t, "cy", chosen, home.Address))

	err := w.AddPassword(t.Context(), cy, secret.New("cy"), proved)
	require.Equal(t, "new", fault.FieldsOf(err)[0].Name, "the rules are those of every password")
	require.NoError(t, w.AddPassword(t.Context(), cy, secret.New(chosen), proved))
	_, in, err := w.SignIn(t.Context(), "cy", secret.New(chosen), home)
	require.NoError(t, err)
	require.True(t, in.Person.HasPassword)
	again, err := w.Sessions(t.Context(), cy.Person.ID)
	require.NoError(t, err)
	require.Len(t, again, 2, "nothing ended")
	require.Equal(t, []string{"cy"}, actors(w.happened(t, identity.PasswordAdded)))
	require.Equal(t, fault.Clash, fault.KindOf(w.AddPassword(t.Context(), cy, secret.New("another of my own"), proved)))
}

func actors(list []event.Event) (names []string) {
	for _, one := range list {
		names = append(names, one.Actor)
	}
	return names
}

// Whoever sets a password themself stays what their provider and the list say.
func TestAddPassword_MakesNobodyMoreThanTheyWere(t *testing.T) {
	t.Run("the provider still says who administers", func(t *testing.T) {
		w, yes, no := newWorld(t), true, false
		w.root(t)
		ana := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
		require.NoError(t, w.AddPassword(t.Context(), ana, secret.New(chosen), proved))
		require.Equal(t, "ana root", w.administer(t))
		w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &no})
		require.Equal(t, "root", w.administer(t), "the password kept a role that was taken away")
	})
	t.Run("they are no account of Berth's own that a list names", func(t *testing.T) {
		w := newWorld(t)
		w.root(t)
		w.list(t, "local:root\nlocal:carol")
		carol := w.arrive(t, identity.External{Provider: "github", ExternalID: "666", Username: "carol"})
		require.NoError(t, w.AddPassword(t.Context(), carol, secret.New(chosen), proved))
		require.Equal(t, "root", w.administer(t), "the username of a provider's person was taken for an account here")
		require.Equal(t, "waits", w.state(t, "local:carol"))
	})
	t.Run("they are not the one who always administers", func(t *testing.T) {
		w, yes := newWorld(t), true
		early := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "early", Administrator: &yes})
		w.wait(time.Second)
		root := w.root(t)
		w.list(t, "local:nobody-yet")
		require.NoError(t, w.AddPassword(t.Context(), early, secret.New(chosen), proved))
		require.Equal(t, "root", w.administer(t))
		glass, err := w.BreakGlass(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"root"}, glass)
		require.Equal(t, fault.Clash, fault.KindOf(w.RemovePerson(t.Context(), "root", root.Username)), "nobody is left by whom no provider can do")
	})
	t.Run("an administrator's password makes the account Berth's own", func(t *testing.T) {
		w, yes, no := newWorld(t), true, false
		ana := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
		require.NoError(t, w.SetPassword(t.Context(), "root", ana.Person.Username, secret.New(chosen)))
		w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &no})
		require.Equal(t, "ana", w.administer(t))
	})
}

func TestRemovePassword_LeavesAWayInAndAnAdministrator(t *testing.T) {
	w := newWorld(t)
	w.person(t, "bo", identity.RoleMember)
	_, bo := w.signIn(t, "bo")
	require.ErrorContains(t, w.RemovePassword(t.Context(), bo, proved), "only way in")
	require.NoError(t, w.try(t, "bo", password, home.Address), "a refusal takes nothing")

	w.byKey()
	root := w.root(t)
	admin := identity.Subject{Person: root, Via: identity.ViaSession}
	require.ErrorContains(t, w.RemovePassword(t.Context(), admin, proved), "last administrator with a password")
	refused := errors.New("not proved")
	require.ErrorIs(t, w.RemovePassword(t.Context(), bo, func(*sqlite.Tx) error { return refused }), refused)

	token, other := w.signIn(t, "bo")
	own, bo := w.signIn(t, "bo")
	require.NoError(t, w.RemovePassword(t.Context(), bo, proved))
	_, err := w.BySession(t.Context(), token)
	require.Error(t, err, "whoever else knew the password is out")
	require.NotEqual(t, other.SessionID, bo.SessionID)
	in, err := w.BySession(t.Context(), own)
	require.NoError(t, err)
	require.False(t, in.Person.HasPassword)
	require.Error(t, w.try(t, "bo", password, home.Address))
	_, err = w.Authenticate(t.Context(), "bo", secret.New(password), home)
	require.Error(t, err)
	require.Equal(t, []string{"bo"}, actors(w.happened(t, identity.PasswordRemoved)))
	require.Equal(t, fault.Missing, fault.KindOf(w.RemovePassword(t.Context(), bo, proved)))
}

// An account of Berth's own stays one without a password: no provider gives it
// another role, and the list names it as before.
func TestRemovePassword_KeepsAnAccountBerthsOwn(t *testing.T) {
	w, no := newWorld(t), false
	w.byKey()
	w.root(t)
	second := w.person(t, "second", identity.RoleAdministrator)
	subject := identity.Subject{Person: second, Via: identity.ViaSession}
	_, err := w.LinkExternal(t.Context(), subject, identity.External{Provider: "corp", Issuer: "https://corp.example.org", ExternalID: "7"}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	require.NoError(t, w.RemovePassword(t.Context(), subject, proved))
	w.arrive(t, identity.External{Provider: "corp", ExternalID: "7", Administrator: &no})
	require.Equal(t, "root second", w.administer(t))
	w.list(t, "local:second")
	require.Equal(t, "administers second", w.state(t, "local:second"))
}
