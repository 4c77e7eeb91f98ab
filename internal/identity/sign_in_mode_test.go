package identity_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

// passwordsOf sets whose passwords sign in.
func (w *world) passwordsOf(tb testing.TB, whose identity.Passwords) {
	tb.Helper()
	require.NoError(tb, w.trySetMode(tb, identity.Local(), identity.SignInMode{Passwords: whose, Version: w.mode(tb).Version}))
}

func (w *world) trySetMode(tb testing.TB, actor identity.Subject, want identity.SignInMode) error {
	tb.Helper()
	return w.db.Write(tb.Context(), func(tx *sqlite.Tx) error {
		return w.UseSignInMode(tb.Context(), tx, actor, want, 0)
	})
}

func (w *world) mode(tb testing.TB) (mode identity.SignInMode) {
	tb.Helper()
	require.NoError(tb, w.db.Read(tb.Context(), func(tx *sqlite.Tx) (err error) {
		mode, err = w.SignInMode(tb.Context(), tx)
		return err
	}))
	return mode
}

// TestSignInMode_TakesThePasswordsOfBreakGlassAdministratorsAlone holds every
// place where a password counts.
func TestSignInMode_TakesThePasswordsOfBreakGlassAdministratorsAlone(t *testing.T) {
	w, yes := newWorld(t), true
	w.root(t)
	w.person(t, "bo", identity.RoleMember)
	ana := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
	require.NoError(t, w.AddPassword(t.Context(), ana, secret.New(password), proved))
	cy := w.arrive(t, identity.External{Provider: "corp", ExternalID: "2", Username: "cy"})
	session, bo := w.signIn(t, "bo")
	token, _, err := w.CreateToken(t.Context(), bo, "ci", identity.ScopeDeploy, time.Time{})
	require.NoError(t, err)
	_, err = w.Authenticate(t.Context(), "bo", secret.New(password), home)
	require.NoError(t, err, "from now on from memory")

	w.passwordsOf(t, identity.PasswordsOfAdministrators)

	failed := len(w.happened(t, identity.SignInFailed))
	for i, username := range []string{"bo", "ana"} {
		at := from(fmt.Sprint("192.0.2.", i))
		_, _, right := w.SignIn(t.Context(), username, secret.New(password), at)
		_, _, wrong := w.SignIn(t.Context(), username, secret.New("wrong password"), at)
		requireKind(t, fault.Unauthenticated, right)
		require.Equal(t, fault.Message(wrong), fault.Message(right), "%s was told that it is theirs", username)
		_, err = w.Authenticate(t.Context(), username, secret.New(password), at)
		requireKind(t, fault.Unauthenticated, err)
	}
	require.Len(t, w.happened(t, identity.SignInFailed), failed+6, "each is written down as a wrong one is")
	_, _ = w.signIn(t, "root")
	_, err = w.Authenticate(t.Context(), "root", secret.New(password), home)
	require.NoError(t, err)

	// What was given before stays.
	_, err = w.BySession(t.Context(), session)
	require.NoError(t, err)
	_, err = w.Authenticate(t.Context(), "bo", token, home)
	require.NoError(t, err, "an API token is no password")

	// In a session it proves nothing either, and nobody comes to one.
	require.ErrorContains(t, w.confirm(t, bo, password), "only administrators sign in with a password here")
	require.ErrorContains(t, w.ChangePassword(t.Context(), bo, secret.New(password), secret.New(chosen)), "only administrators")
	require.ErrorContains(t, w.AddPassword(t.Context(), cy, secret.New(chosen), proved), "only administrators")

	// One that an administrator sets makes a member nobody who signs in, and an
	// administrator one of those who do.
	require.NoError(t, w.SetPassword(t.Context(), "root", "bo", secret.New(password)))
	requireKind(t, fault.Unauthenticated, w.try(t, "bo", password, "198.51.100.1"))
	require.NoError(t, w.SetPassword(t.Context(), "root", "ana", secret.New(password)))
	require.NoError(t, w.try(t, "ana", password, "198.51.100.2"))
	p, err := w.Person(t.Context(), "ana")
	require.NoError(t, err)
	role := identity.RoleMember
	_, err = w.UpdatePerson(t.Context(), "root", "ana", p.Version, identity.PersonEdit{Role: &role, Force: true})
	require.NoError(t, err)
	requireKind(t, fault.Unauthenticated, w.try(t, "ana", password, "198.51.100.3"))

	w.restart(t, bcrypt.MinCost)
	requireKind(t, fault.Unauthenticated, w.try(t, "bo", password, "198.51.100.4"))
	w.passwordsOf(t, identity.PasswordsOfEverybody)
	require.NoError(t, w.try(t, "bo", password, "198.51.100.5"))
}

func TestSignInMode_TakesAsLongForAPasswordThatItDoesNotTake(t *testing.T) {
	w := newWorld(t)
	w.restart(t, 8)
	w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "bo", identity.RoleMember)
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	median := func(username, password string) time.Duration {
		var took []time.Duration
		for i := range 7 {
			began := time.Now()
			requireKind(t, fault.Unauthenticated, w.try(t, username, password, fmt.Sprint("192.0.2.", i)))
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	wrong, right := median("root", "wrong password"), median("bo", password)
	require.Greater(t, right, wrong/4)
	require.Greater(t, wrong, right/4)
}

// A sign-in that waits for its second factor when the mode changes comes to nothing.
func TestSignInMode_EndsASignInThatAPasswordBegan(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	bo := w.person(t, "bo", identity.RoleMember)
	begin := func(methods ...identity.Method) error {
		return w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, _, err := w.BeginSession(t.Context(), tx, bo.ID, identity.Proof{Methods: methods}, home)
			return err
		})
	}
	require.NoError(t, begin(identity.MethodPassword, identity.MethodTOTP))
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	requireKind(t, fault.Unauthenticated, begin(identity.MethodPassword, identity.MethodTOTP))
	require.NoError(t, begin(identity.MethodPasskey))
}

func TestSignInMode_CountsNoPasswordThatItDoesNotTakeAsAWayIn(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	bo := w.person(t, "bo", identity.RoleMember)
	w.person(t, "cy", identity.RoleUser)
	gone, yes := w.person(t, "gone", identity.RoleMember), true
	_, err := w.UpdatePerson(t.Context(), "root", "gone", gone.Version, identity.PersonEdit{Disabled: &yes})
	require.NoError(t, err)
	leftOut := func(then identity.Passwords) (left identity.LeftOut) {
		require.NoError(t, w.db.Read(t.Context(), func(tx *sqlite.Tx) (err error) {
			left, err = w.LeftOutByPasswords(t.Context(), tx, then)
			return err
		}))
		return left
	}
	require.Equal(t, identity.LeftOut{People: 2, Usernames: []string{"bo", "cy"}}, leftOut(identity.PasswordsOfAdministrators))
	require.Zero(t, leftOut(identity.PasswordsOfEverybody).People)

	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	can, err := w.CanSignIn(t.Context(), bo.ID)
	require.NoError(t, err)
	require.False(t, can)
	require.Zero(t, leftOut(identity.PasswordsOfAdministrators).People, "whoever has none as it is does not count")
	w.byKey()
	w.passwordsOf(t, identity.PasswordsOfEverybody)
	require.Zero(t, leftOut(identity.PasswordsOfAdministrators).People, "a passkey is another way")
}

// Where passwords are of administrators alone, the role is what lets one in.
func TestSignInMode_HasTheLossOfARoleMeantThatLeavesSomebodyOut(t *testing.T) {
	w, yes := newWorld(t), true
	w.root(t)
	carol := w.person(t, "carol", identity.RoleAdministrator)
	member, user := identity.RoleMember, identity.RoleUser
	be := func(role *identity.Role, force bool) (err error) {
		after, err := w.UpdatePerson(t.Context(), "root", "carol", carol.Version, identity.PersonEdit{Role: role, Force: force})
		if err == nil {
			carol = after
		}
		return err
	}
	admin := identity.RoleAdministrator
	require.NoError(t, be(&member, false), "everybody's passwords sign in")
	require.NoError(t, be(&admin, false))
	w.passwordsOf(t, identity.PasswordsOfAdministrators)

	err := be(&member, false)
	requireKind(t, fault.Clash, err)
	require.True(t, fault.IsUnmeant(err))
	require.ErrorContains(t, err, "carol would have no way in left: have them add a passkey or link another identity first")
	require.Equal(t, "carol root", w.administer(t), "nothing was changed")
	require.NoError(t, be(&member, true))
	require.NoError(t, be(&user, false), "whoever has none as it is loses none")
	require.NoError(t, be(&admin, false))
	off, err := w.UpdatePerson(t.Context(), "root", "carol", carol.Version, identity.PersonEdit{Role: &member, Disabled: &yes})
	require.NoError(t, err, "who is disabled is meant to have none")
	carol = off
	no := false
	carol, err = w.UpdatePerson(t.Context(), "root", "carol", carol.Version, identity.PersonEdit{Role: &admin, Disabled: &no})
	require.NoError(t, err)
	w.byKey()
	require.NoError(t, be(&member, false), "a passkey is another way")
}

func TestLeftOutByList_TellsWhoseWayInIsTheirRole(t *testing.T) {
	w, yes := newWorld(t), true
	w.root(t)
	for _, name := range []string{"bo", "carol", "gone"} {
		w.person(t, name, identity.RoleAdministrator)
	}
	gone, err := w.Person(t.Context(), "gone")
	require.NoError(t, err)
	_, err = w.UpdatePerson(t.Context(), "root", "gone", gone.Version, identity.PersonEdit{Disabled: &yes})
	require.NoError(t, err)
	w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
	leftOut := func(text string) []string {
		var list []settings.Admin
		if text != "" {
			list, err = settings.ParseAdmins(text)
			require.NoError(t, err)
		}
		left, err := w.LeftOutByList(t.Context(), list)
		require.NoError(t, err)
		require.Len(t, left.Usernames, left.People)
		return left.Usernames
	}
	require.Empty(t, leftOut("local:bo"), "everybody's passwords sign in")
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	require.Equal(t, []string{"carol"}, leftOut("local:bo"), "root administers whatever a list says")
	require.Equal(t, []string{"bo", "carol"}, leftOut("corp:ana"))
	require.Empty(t, leftOut("local:bo, local:carol"))
	require.Empty(t, leftOut(""), "their role is given")

	// Somebody whom a list alone makes an administrator loses it with the list.
	w.person(t, "dora", identity.RoleMember)
	w.list(t, "local:bo, local:carol, local:dora")
	require.Equal(t, []string{"dora"}, leftOut(""))
	require.Equal(t, []string{"carol"}, leftOut("local:dora, local:bo"), "bound to who it names")
	w.byKey()
	require.Empty(t, leftOut("corp:ana"), "a passkey is another way")
}

func TestUnlink_NamesNoPasswordToSetWhereTheModeTakesNone(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	bo := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "bo"})
	list, err := w.Identities(t.Context(), bo.Person.ID)
	require.NoError(t, err)
	err = w.Unlink(t.Context(), bo, bo.Person.ID, list[0].ID)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "set a password, add a passkey")
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	err = w.Unlink(t.Context(), bo, bo.Person.ID, list[0].ID)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "you have no other way in: add a passkey")
}

// Where a list names the identity, the password counts by it, and goes with it.
func TestUnlink_KeepsTheIdentityByWhichAPasswordCounts(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	bo := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "bo"})
	require.NoError(t, w.SetPassword(t.Context(), "root", "bo", secret.New(password)))
	w.list(t, "corp:#1")
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	require.NoError(t, w.try(t, "bo", password, "192.0.2.9"), "as an administrator with an account of Berth's own")
	list, err := w.Identities(t.Context(), bo.Person.ID)
	require.NoError(t, err)
	_, subject := w.signIn(t, "bo")
	err = w.Unlink(t.Context(), subject, bo.Person.ID, list[0].ID)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "you have no other way in")
	require.Equal(t, "bo root", w.administer(t))
}

// Whom an edit makes the one who always administers takes the place of another.
func TestSignInMode_HasTheLossMeantOfWhoAdministeredWithoutBeingListed(t *testing.T) {
	w, yes, no := newWorld(t), true, false
	old := w.root(t)
	w.person(t, "carol", identity.RoleAdministrator)
	w.wait(time.Second)
	w.person(t, "dora", identity.RoleAdministrator)
	_, err := w.UpdatePerson(t.Context(), "carol", "root", old.Version, identity.PersonEdit{Disabled: &yes})
	require.NoError(t, err)
	w.list(t, "local:dora")
	require.Equal(t, "carol dora", w.administer(t), "carol is the oldest by now")
	old, err = w.Person(t.Context(), "root")
	require.NoError(t, err)
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	_, err = w.UpdatePerson(t.Context(), "dora", "root", old.Version, identity.PersonEdit{Disabled: &no})
	require.True(t, fault.IsUnmeant(err))
	require.ErrorContains(t, err, "carol would have no way in left")
	_, err = w.UpdatePerson(t.Context(), "dora", "root", old.Version, identity.PersonEdit{Disabled: &no, Force: true})
	require.NoError(t, err)
	require.Equal(t, "dora root", w.administer(t))
}

func TestSignInMode_LeavesAnAdministratorWithAPassword(t *testing.T) {
	w, yes := newWorld(t), true
	only := identity.SignInMode{Passwords: identity.PasswordsOfAdministrators}
	ana := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
	require.NoError(t, w.AddPassword(t.Context(), ana, secret.New(password), proved))
	err := w.trySetMode(t, ana, only)
	requireKind(t, fault.Clash, err)
	require.ErrorContains(t, err, "no administrator could sign in with a password")

	w.root(t)
	w.person(t, "bo", identity.RoleMember)
	_, member := w.signIn(t, "bo")
	requireKind(t, fault.Denied, w.trySetMode(t, member, only))
	requireKind(t, fault.BadInput, w.trySetMode(t, ana, identity.SignInMode{Passwords: "nobody"}))
	require.NoError(t, w.trySetMode(t, ana, only))
	requireKind(t, fault.Clash, w.trySetMode(t, ana, only))
	require.JSONEq(t, `{"passwords":"administrators","passwords_before":"everybody"}`, string(w.happened(t, identity.SignInModeChanged)[0].Data))

	// The last one who can is kept, as ever.
	root, err := w.Person(t.Context(), "root")
	require.NoError(t, err)
	requireKind(t, fault.Clash, w.RemovePerson(t.Context(), "ana", "root"))
	_, err = w.UpdatePerson(t.Context(), "ana", "root", root.Version, identity.PersonEdit{Disabled: &yes})
	requireKind(t, fault.Clash, err)
}

// Whoever is there first was let in by the set-up link: a mode that was there
// before, of a seed, does not keep them out.
func TestSignInMode_LetsTheFirstAdministratorIn(t *testing.T) {
	w := newWorld(t)
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	_, _, err = w.UseSetupLink(t.Context(), link, "root", secret.New(password), home)
	require.NoError(t, err)
	_, _ = w.signIn(t, "root")
}

// The guards keep whom an administrator was made here: somebody whom the list
// alone names could be removed, and with them the last who can.
func TestSignInMode_CountsWhomTheGuardsKeepAndNotTheList(t *testing.T) {
	w, yes := newWorld(t), true
	w.person(t, "carol", identity.RoleMember)
	ana := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana", Administrator: &yes})
	w.list(t, "local:carol, corp:id:1")
	requireKind(t, fault.Clash, w.trySetMode(t, ana, identity.SignInMode{Passwords: identity.PasswordsOfAdministrators}))
	w.root(t)
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	require.NoError(t, w.RemovePerson(t.Context(), "root", "carol"))
	requireKind(t, fault.Clash, w.RemovePerson(t.Context(), "root", "root"))
	left, err := w.BreakGlass(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"root"}, left)
}

// A mode that a seed has before anybody is there is nobody's way around the set-up.
func TestSignInMode_WaitsForAFirstAdministratorWithAPassword(t *testing.T) {
	w := newWorld(t)
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	for _, create := range []bool{true, false} {
		ext := identity.External{Provider: "corp", Issuer: "https://corp.example.org", ExternalID: "1", Username: "ana", Create: create}
		_, _, err = w.SignInExternal(t.Context(), ext, home, func(*sqlite.Tx, string) error { return nil })
		require.ErrorIs(t, err, identity.ErrNotSetUp)
	}
	_, err = w.CreatePerson(t.Context(), "local", identity.Person{Username: "bo", Role: identity.RoleMember}, secret.New(password))
	requireKind(t, fault.Clash, err)
	_, _, err = w.UseSetupLink(t.Context(), link, "root", secret.New(password), home)
	require.NoError(t, err)
	left, err := w.BreakGlass(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"root"}, left)
}

// Comparing a password takes a while, in which it may stop to count.
func TestStillConfirmed_RefusesAPasswordThatStoppedToCountMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.person(t, "bo", identity.RoleMember)
	_, bo := w.signIn(t, "bo")
	still := func(stamp identity.Stamp) error {
		return w.db.Read(t.Context(), func(tx *sqlite.Tx) error { return w.StillConfirmed(t.Context(), tx, bo, stamp) })
	}
	before, err := w.ConfirmPassword(t.Context(), bo, secret.New(password))
	require.NoError(t, err)
	require.NoError(t, still(before))
	w.passwordsOf(t, identity.PasswordsOfAdministrators)
	require.ErrorContains(t, still(before), "only administrators sign in with a password")
	w.passwordsOf(t, identity.PasswordsOfEverybody)
	require.NoError(t, w.ChangePassword(t.Context(), bo, secret.New(password), secret.New(chosen)))
	require.ErrorContains(t, still(before), "was changed meanwhile")
}
