package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func at(provider, id, email string, verified bool) identity.External {
	return identity.External{Provider: provider, ExternalID: id, Username: id, DisplayName: id, Email: email, EmailVerified: verified}
}

func (w *world) named(tb testing.TB, username string) identity.Person {
	tb.Helper()
	p, err := w.Person(tb.Context(), username)
	require.NoError(tb, err)
	return p
}

// nOAuth (Descope, 2023): an app that knows people by their address is taken
// over by whoever has a provider say another's.
func TestEmail_IsToldWhereTheProviderVouchesForIt(t *testing.T) {
	w := newWorld(t)
	mallory := w.arrive(t, at("home", "mallory", "boss@victim.example", false))
	require.Empty(t, mallory.Email)
	require.Equal(t, identity.EmailUnverified, mallory.Person.EmailState)
	require.Equal(t, "boss@victim.example", mallory.Person.Email, "kept to be shown")

	ana := w.arrive(t, at("home", "ana", "ana@example.org", true))
	require.Equal(t, "ana@example.org", ana.Email)
	require.Equal(t, identity.EmailVerified, ana.Person.EmailState)

	ana = w.arrive(t, at("home", "ana", "ana@example.org", false))
	require.Empty(t, ana.Email, "it vouches no more")
	require.Equal(t, identity.EmailUnverified, ana.Person.EmailState)
}

func TestEmail_FollowsTheProviderItCameFrom(t *testing.T) {
	w := newWorld(t)
	w.arrive(t, at("home", "ana", "ana@example.org", true))
	token, _, err := w.SignInExternal(t.Context(), identity.External{
		Provider: "home", Issuer: "https://home.example.org", ExternalID: "ana", Username: "ana", DisplayName: "ana", Email: "ana@example.org", EmailVerified: true,
	}, home, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	moved := at("home", "ana", "anna@example.org", true)
	moved.Issuer, moved.DisplayName = "https://home.example.org", "Anna"
	require.NoError(t, w.SyncExternal(t.Context(), moved))

	who, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "anna@example.org", who.Email, "a session that is open is told anew")
	require.Equal(t, "anna@example.org", who.Person.Email)
	require.Equal(t, "Anna", who.Person.DisplayName)
	changed := w.happened(t, identity.PersonUpdated)
	require.Len(t, changed, 1)
	require.Contains(t, string(changed[0].Data), `"changed":["display_name","email"]`)

	// What an administrator sets stays, and is told in every session.
	p, err := w.UpdatePerson(t.Context(), "root", "ana", who.Person.Version, identity.PersonEdit{Email: new("a@corp.example"), DisplayName: new("Ana A.")})
	require.NoError(t, err)
	require.Equal(t, identity.EmailGiven, p.EmailState)
	require.NoError(t, w.SyncExternal(t.Context(), moved))
	who, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "a@corp.example", who.Email)
	require.Equal(t, "Ana A.", who.Person.DisplayName)

	// Taken away again, the provider's comes back.
	_, err = w.UpdatePerson(t.Context(), "root", "ana", who.Person.Version, identity.PersonEdit{Email: new("")})
	require.NoError(t, err)
	require.NoError(t, w.SyncExternal(t.Context(), moved))
	require.Equal(t, "anna@example.org", w.named(t, "ana").Email)
	require.Equal(t, identity.EmailVerified, w.named(t, "ana").EmailState)
}

func TestEmail_IsOneIdentitysAlone(t *testing.T) {
	w := newWorld(t)
	first := w.arrive(t, at("home", "ana", "Ana@example.org", true))
	second := w.arrive(t, at("away", "eve", "ana@Example.org", true))
	require.Equal(t, "Ana@example.org", first.Email)
	require.Empty(t, second.Email, "another provider vouches for it, too: who held it first keeps it")
	require.Equal(t, identity.EmailTaken, second.Person.EmailState)

	// It is free once the first has another.
	w.arrive(t, at("home", "ana", "anna@example.org", true))
	second = w.arrive(t, at("away", "eve", "ana@Example.org", true))
	require.Equal(t, "ana@Example.org", second.Email)

	// An administrator's word goes before a provider's.
	_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana-a", Email: "ana@example.org"}, secret.New(password))
	require.NoError(t, err)
	require.Equal(t, identity.EmailTaken, w.named(t, "eve").EmailState)
	second = w.arrive(t, at("away", "eve", "ana@example.org", true))
	require.Empty(t, second.Email)
}

func TestEmail_IsNoOtherIdentitysAndNoPasswords(t *testing.T) {
	w := newWorld(t)
	ana := w.arrive(t, at("home", "ana", "ana@example.org", true))
	other := at("away", "ana", "private@example.net", true)
	other.Issuer = "https://away.example.org"
	_, err := w.LinkExternal(t.Context(), ana, other, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	require.Equal(t, "private@example.net", w.arrive(t, other).Email, "each session has what its own identity vouches for")
	require.Equal(t, "ana@example.org", w.named(t, "ana").Email, "and the person the one they came with")

	require.NoError(t, w.SetPassword(t.Context(), "root", "ana", secret.New(password)))
	_, subject, err := w.SignIn(t.Context(), "ana", secret.New(password), home)
	require.NoError(t, err)
	require.Empty(t, subject.Email, "no provider stands behind a password")
	_, err = w.UpdatePerson(t.Context(), "root", "ana", w.named(t, "ana").Version, identity.PersonEdit{ConfirmEmail: true})
	require.NoError(t, err)
	_, subject, err = w.SignIn(t.Context(), "ana", secret.New(password), home)
	require.NoError(t, err)
	require.Equal(t, "ana@example.org", subject.Email)
}

func TestEmail_GoesWithItsIdentityAndItsProvidersWord(t *testing.T) {
	w := newWorld(t)
	ana := w.arrive(t, at("home", "ana", "ana@example.org", true))
	w.arrive(t, at("home", "bo", "bo@example.org", true))
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error { return w.WithdrawAddresses(t.Context(), tx, "home") }))
	require.Equal(t, identity.EmailUnverified, w.named(t, "ana").EmailState)
	require.Equal(t, identity.EmailUnverified, w.named(t, "bo").EmailState)
	free := w.arrive(t, at("away", "eve", "bo@example.org", true))
	require.Equal(t, "bo@example.org", free.Email, "and holds nothing")
	require.Equal(t, "ana@example.org", w.arrive(t, at("home", "ana", "ana@example.org", true)).Email, "told again, it counts again")

	require.NoError(t, w.SetPassword(t.Context(), "root", "ana", secret.New(password)))
	list, err := w.Identities(t.Context(), ana.Person.ID)
	require.NoError(t, err)
	require.NoError(t, w.Unlink(t.Context(), ana, ana.Person.ID, list[0].ID))
	require.Empty(t, w.named(t, "ana").Email)
	require.Equal(t, "bo@example.org", w.named(t, "bo").Email)
}
