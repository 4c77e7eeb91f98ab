package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

func TestCreateToken_ShowsItOnceAndLetsItIn(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	expires := start.Add(24 * time.Hour)
	text, made, err := w.CreateToken(t.Context(), subject, " ci ", identity.ScopeDeploy, expires)
	require.NoError(t, err)
	require.Regexp(t, `^berth_[A-Za-z0-9_-]{43}$`, text.Reveal())
	require.Equal(t, "ci", made.Name)

	_, err = w.ByToken(ended(t), text)
	requireKind(t, fault.Internal, err)
	by, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, identity.Subject{
		Person: ana, Via: identity.ViaToken, TokenID: made.ID, Scope: identity.ScopeDeploy, OwnGroups: []string{}, Groups: []string{},
	}, by)
	_, err = w.ByToken(ended(t), text)
	require.NoError(t, err, "from memory")

	list, err := w.Tokens(t.Context(), ana.ID)
	require.NoError(t, err)
	require.Equal(t, []identity.Token{made}, list)
	for _, e := range w.happened(t) {
		require.NotContains(t, string(e.Data), text.Reveal())
	}
	require.Equal(t, "deploy", about(t, w.happened(t, identity.TokenCreated)[0], "scope"))
}

func TestByToken_EndsAtItsExpiryAlsoFromMemory(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	text, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, start.Add(time.Hour))
	require.NoError(t, err)
	_, err = w.ByToken(t.Context(), text)
	require.NoError(t, err)
	w.wait(time.Hour)
	for range 2 {
		_, err = w.ByToken(t.Context(), text)
		requireKind(t, fault.Unauthenticated, err)
	}
}

func TestRemoveToken_IsForOnesOwnAndAtOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bob", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, bob := w.signIn(t, "bob")
	text, made, err := w.CreateToken(t.Context(), ana, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	_, err = w.ByToken(t.Context(), text)
	require.NoError(t, err)

	requireKind(t, fault.Missing, w.RemoveToken(t.Context(), bob, bob.Person.ID, made.ID))
	require.NoError(t, w.RemoveToken(t.Context(), ana, ana.Person.ID, made.ID))
	_, err = w.ByToken(t.Context(), text)
	requireKind(t, fault.Unauthenticated, err)
	require.Len(t, w.happened(t, identity.TokenRemoved), 1)
}

func TestRemoveToken_LetsATokenOfAnyScopeEndItselfAndNoOther(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, other, err := w.CreateToken(t.Context(), ana, "other", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	for _, scope := range []identity.Scope{identity.ScopeRead, identity.ScopeDeploy, identity.ScopeAdmin} {
		text, made, err := w.CreateToken(t.Context(), ana, string(scope), scope, time.Time{})
		require.NoError(t, err)
		itself, err := w.ByToken(t.Context(), text)
		require.NoError(t, err)

		if scope != identity.ScopeAdmin {
			requireKind(t, fault.Denied, w.RemoveToken(t.Context(), itself, itself.Person.ID, other.ID))
			requireKind(t, fault.Denied, w.RemoveToken(t.Context(), itself, itself.Person.ID, ""))
		}
		require.NoError(t, w.RemoveToken(t.Context(), itself, itself.Person.ID, made.ID))
		_, err = w.ByToken(t.Context(), text)
		requireKind(t, fault.Unauthenticated, err)
	}
	left, err := w.Tokens(t.Context(), ana.Person.ID)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestCreateToken_NamesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	for field, create := range map[string]func() error{
		"name": func() error {
			_, _, err := w.CreateToken(t.Context(), subject, "  ", identity.ScopeRead, time.Time{})
			return err
		},
		"scope": func() error {
			_, _, err := w.CreateToken(t.Context(), subject, "ci", "everything", time.Time{})
			return err
		},
		"expires_at": func() error {
			_, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, start)
			return err
		},
	} {
		err := create()
		requireKind(t, fault.BadInput, err)
		require.Equal(t, field, fault.FieldsOf(err)[0].Name)
	}
	_, _, err := w.CreateToken(t.Context(), subject, strings.Repeat("x", 101), identity.ScopeRead, time.Time{})
	requireKind(t, fault.BadInput, err)
	_, _, err = w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	_, _, err = w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
	requireKind(t, fault.Clash, err)
	_, _, err = w.CreateToken(t.Context(), identity.Local(), "ci", identity.ScopeRead, time.Time{})
	requireKind(t, fault.Denied, err)
}

func TestCreateToken_MakesNoneStrongerOrLongerThanTheTokenItCameWith(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	bySubject := func(scope identity.Scope, expires time.Time) identity.Subject {
		text, _, err := w.CreateToken(t.Context(), subject, fmt.Sprint(scope, expires.Unix()), scope, expires)
		require.NoError(t, err)
		by, err := w.ByToken(t.Context(), text)
		require.NoError(t, err)
		return by
	}
	for _, scope := range []identity.Scope{identity.ScopeRead, identity.ScopeDeploy} {
		_, _, err := w.CreateToken(t.Context(), bySubject(scope, time.Time{}), "more", identity.ScopeRead, time.Time{})
		requireKind(t, fault.Denied, err)
	}
	day := start.Add(24 * time.Hour)
	short := bySubject(identity.ScopeAdmin, day)
	for _, longer := range []time.Time{{}, day.Add(time.Second)} {
		_, _, err := w.CreateToken(t.Context(), short, "longer", identity.ScopeRead, longer)
		requireKind(t, fault.Denied, err)
	}
	_, _, err := w.CreateToken(t.Context(), short, "as long", identity.ScopeAdmin, day)
	require.NoError(t, err)
}

func TestTokens_AreBoundedForEachPerson(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	for i := range 100 {
		_, _, err := w.CreateToken(t.Context(), subject, fmt.Sprint("token ", i), identity.ScopeRead, time.Time{})
		require.NoError(t, err)
	}
	_, _, err := w.CreateToken(t.Context(), subject, "one more", identity.ScopeRead, time.Time{})
	requireKind(t, fault.Clash, err)
}

func TestByToken_ForWhoIsDemotedMayLess(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	ana := w.person(t, "ana", identity.RoleAdministrator)
	_, subject := w.signIn(t, "ana")
	text, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeAdmin, time.Time{})
	require.NoError(t, err)
	by, err := w.ByToken(t.Context(), text)
	require.NoError(t, err)
	require.NoError(t, identity.Decide(&by, identity.ActionAdminister, identity.On{}))

	member := identity.RoleMember
	_, err = w.UpdatePerson(t.Context(), "root", "ana", ana.Version, identity.PersonEdit{Role: &member})
	require.NoError(t, err)
	by, err = w.ByToken(t.Context(), text)
	require.NoError(t, err)
	requireKind(t, fault.Denied, identity.Decide(&by, identity.ActionAdminister, identity.On{}))
}

func FuzzProofs_LetNobodyIn(f *testing.F) {
	w := newWorld(f)
	w.person(f, "ana", identity.RoleMember)
	f.Add("")
	f.Add("berth_" + strings.Repeat("A", 43))
	f.Add(strings.Repeat("\xff", 43))
	f.Fuzz(func(t *testing.T, text string) {
		_, err := w.BySession(t.Context(), secret.New(text))
		requireKind(t, fault.Unauthenticated, err)
		_, err = w.ByToken(t.Context(), secret.New(text))
		requireKind(t, fault.Unauthenticated, err)
	})
}
