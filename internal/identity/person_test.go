package identity_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func TestCreatePerson_IsWhoIsFound(t *testing.T) {
	w := newWorld(t)
	made, err := w.CreatePerson(t.Context(), "root", identity.Person{
		Username: "ana", DisplayName: " Ana Ñandú ", Email: "ana@example.org", Role: identity.RoleAdministrator,
	}, secret.New(password))
	require.NoError(t, err)
	require.Equal(t, identity.Person{
		ID: made.ID, Username: "ana", DisplayName: "Ana Ñandú", Email: "ana@example.org", EmailState: identity.EmailGiven, Role: identity.RoleAdministrator, GivenRole: identity.RoleAdministrator,
		HasPassword: true, Local: true, CreatedAt: start, UpdatedAt: start, Version: 1,
	}, made)
	found, err := w.Person(t.Context(), "ana")
	require.NoError(t, err)
	require.Equal(t, made, found)
	_, err = w.Person(t.Context(), "bob")
	requireKind(t, fault.Missing, err)
	_, err = w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana"}, secret.New(password))
	requireKind(t, fault.Clash, err)
	require.Equal(t, "root", w.happened(t, identity.PersonCreated)[0].Actor)
}

func TestCreatePerson_NamesEveryFieldThatIsWrong(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreatePerson(t.Context(), "root", identity.Person{
		Username: "Ana", DisplayName: strings.Repeat("x", 101), Email: "nowhere", Role: "owner",
	}, secret.New(password))
	requireKind(t, fault.BadInput, err)
	var names []string
	for _, f := range fault.FieldsOf(err) {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"username", "display_name", "email", "role"}, names)

	for _, username := range []string{"", "-a", "a-", ".a", "a b", "ä", "a/b", "a\n", strings.Repeat("a", 65), "local", "berth", "registry"} {
		_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: username}, secret.New(password))
		requireKind(t, fault.BadInput, err)
	}
	for _, username := range []string{"a", "0", "a.b-c_d", strings.Repeat("a", 64)} {
		_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: username}, secret.New(password))
		require.NoError(t, err, username)
	}
	for _, email := range []string{"Ana <ana@example.org>", "a@b\nBcc: c@d", "@", strings.Repeat("a", 250) + "@b.org"} {
		_, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: "mail", Email: email}, secret.New(password))
		requireKind(t, fault.BadInput, err)
	}
}

func TestPeople_PagesByName(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.person(t, fmt.Sprint("p", 6-i), identity.RoleMember)
	}
	var names []string
	cursor := ""
	for {
		page, next, err := w.People(t.Context(), cursor, 3)
		require.NoError(t, err)
		for _, p := range page {
			names = append(names, p.Username)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"}, names)
	all, next, err := w.People(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, all, 7)
	require.Empty(t, next)
}

func TestUpdatePerson_OverwritesNothingUnseen(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	w.wait(time.Minute)
	after, err := w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{DisplayName: new("Ana")})
	require.NoError(t, err)
	require.Equal(t, ana.Version+1, after.Version)
	require.Equal(t, start.Add(time.Minute), after.UpdatedAt)
	found, err := w.Person(t.Context(), "ana")
	require.NoError(t, err)
	require.Equal(t, after, found)

	_, err = w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{DisplayName: new("Anna")})
	requireKind(t, fault.Clash, err)
	same, err := w.UpdatePerson(t.Context(), "root", "ana", after.Version, identity.PersonEdit{DisplayName: new("Ana")})
	require.NoError(t, err)
	require.Equal(t, after, same, "no change is no new version")
	require.Len(t, w.happened(t, identity.PersonUpdated), 1)
	_, err = w.UpdatePerson(t.Context(), "root", "ana", after.Version, identity.PersonEdit{Role: new(identity.Role("owner"))})
	requireKind(t, fault.BadInput, err)
}

func TestUpdatePerson_ShowsInSessionsAtOnce(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	token, _ := w.signIn(t, "ana")
	subject, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	requireKind(t, fault.Denied, identity.Decide(&subject, identity.ActionAdminister, identity.On{}))
	_, err = w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Role: new(identity.RoleAdministrator)})
	require.NoError(t, err)
	subject, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, identity.Decide(&subject, identity.ActionAdminister, identity.On{}))
}

func TestDisabling_TakesSessionsAndTokensForGood(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	token, subject := w.signIn(t, "ana")
	api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	_, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	_, err = w.ByToken(t.Context(), api)
	require.NoError(t, err)

	out := func() {
		t.Helper()
		_, err = w.BySession(t.Context(), token)
		requireKind(t, fault.Unauthenticated, err)
		_, err = w.ByToken(t.Context(), api)
		requireKind(t, fault.Unauthenticated, err)
	}
	ana, err = w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Disabled: new(true)})
	require.NoError(t, err)
	require.True(t, ana.Disabled)
	out()
	requireKind(t, fault.Unauthenticated, w.try(t, "ana", password, "192.0.2.1"))

	_, err = w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Disabled: new(false)})
	require.NoError(t, err)
	out()
	require.NoError(t, w.try(t, "ana", password, "192.0.2.1"))
	var kinds []event.Kind
	for _, e := range w.happened(t, identity.SessionEnded, identity.TokenRemoved, identity.PersonDisabled, identity.PersonEnabled) {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []event.Kind{identity.SessionEnded, identity.TokenRemoved, identity.PersonDisabled, identity.PersonEnabled}, kinds)
}

func TestSetPassword_EndsAllSessions(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, _ := w.signIn(t, "ana")
	_, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, w.SetPassword(t.Context(), "root", "ana", secret.New("another password")))
	_, err = w.BySession(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
	require.NoError(t, w.try(t, "ana", "another password", "192.0.2.1"))
	requireKind(t, fault.Missing, w.SetPassword(t.Context(), "root", "bob", secret.New("another password")))
	requireKind(t, fault.BadInput, w.SetPassword(t.Context(), "root", "ana", secret.New("short")))
}

func TestLastAdministrator_Stays(t *testing.T) {
	w := newWorld(t)
	root := w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "ana", identity.RoleMember)
	for _, edit := range []identity.PersonEdit{{Disabled: new(true)}, {Role: new(identity.RoleMember)}} {
		_, err := w.UpdatePerson(t.Context(), "root", "root", root.Version, edit)
		requireKind(t, fault.Clash, err)
		require.Contains(t, fault.Message(err), "last administrator")
	}
	requireKind(t, fault.Clash, w.RemovePerson(t.Context(), "root", "root"))

	second := w.person(t, "second", identity.RoleAdministrator)
	_, err := w.UpdatePerson(t.Context(), "root", "second", second.Version, identity.PersonEdit{Disabled: new(true)})
	require.NoError(t, err)
	requireKind(t, fault.Clash, w.RemovePerson(t.Context(), "root", "root"))
	require.NoError(t, w.RemovePerson(t.Context(), "root", "second"), "a disabled one may go")
}

func TestLastAdministrator_StaysWhenTwoGoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "one", identity.RoleAdministrator)
	w.person(t, "two", identity.RoleAdministrator)
	var work sync.WaitGroup
	for _, username := range []string{"one", "two"} {
		work.Go(func() { _ = w.RemovePerson(t.Context(), "test", username) })
	}
	work.Wait()
	left, _, err := w.People(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestRemovePerson_LeavesNothingToTheNextOfThatName(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	token, subject := w.signIn(t, "ana")
	api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	_, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	_, err = w.Authenticate(t.Context(), "ana", secret.New(password), home)
	require.NoError(t, err)

	require.NoError(t, w.RemovePerson(t.Context(), "root", "ana"))
	requireKind(t, fault.Missing, w.RemovePerson(t.Context(), "root", "ana"))
	next, err := w.CreatePerson(t.Context(), "root", identity.Person{Username: "ana"}, secret.New("somebody else's"))
	require.NoError(t, err)
	require.NotEqual(t, ana.ID, next.ID)
	for range 2 {
		_, err = w.BySession(t.Context(), token)
		requireKind(t, fault.Unauthenticated, err)
		_, err = w.ByToken(t.Context(), api)
		requireKind(t, fault.Unauthenticated, err)
		_, err = w.Authenticate(t.Context(), "ana", secret.New(password), home)
		requireKind(t, fault.Unauthenticated, err)
		w.restart(t, 4)
	}
	sessions, err := w.Sessions(t.Context(), next.ID)
	require.NoError(t, err)
	require.Empty(t, sessions)
	tokens, err := w.Tokens(t.Context(), next.ID)
	require.NoError(t, err)
	require.Empty(t, tokens)
}

func TestEvents_AreNothingWhenTheChangeIsNot(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	before := len(w.happened(t))
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "CREATE TRIGGER stop BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no more events'); END")
		return err
	}))
	_, err := w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Disabled: new(true)})
	require.ErrorContains(t, err, "no more events")
	require.Error(t, w.SetPassword(t.Context(), "root", "ana", secret.New("another password")))
	require.Error(t, w.RemovePerson(t.Context(), "root", "ana"))
	found, err := w.Person(t.Context(), "ana")
	require.NoError(t, err)
	require.Equal(t, ana, found)
	require.Len(t, w.happened(t), before)
}
