package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

// root makes the oldest administrator with a password.
func (w *world) root(tb testing.TB) identity.Person {
	tb.Helper()
	defer w.wait(time.Second)
	return w.person(tb, "root", identity.RoleAdministrator)
}

// list has a list say who administers; an empty text is none.
func (w *world) list(tb testing.TB, text string) {
	tb.Helper()
	var entries []settings.Admin
	if text != "" {
		var err error
		entries, err = settings.ParseAdmins(text)
		require.NoError(tb, err)
	}
	require.NoError(tb, w.db.Write(tb.Context(), func(tx *sqlite.Tx) error {
		return w.UseAdministrators(tb.Context(), tx, "root", entries)
	}))
}

// setUp has somebody be there, before whom a provider makes nobody.
func (w *world) setUp(tb testing.TB) {
	tb.Helper()
	needed, err := w.NeedsSetup(tb.Context())
	require.NoError(tb, err)
	if needed {
		w.person(tb, "first", identity.RoleMember)
	}
}

// arrive signs somebody in at a provider.
func (w *world) arrive(tb testing.TB, ext identity.External) identity.Subject {
	tb.Helper()
	w.setUp(tb)
	ext.Create = true
	if ext.Issuer == "" {
		ext.Issuer = "https://" + ext.Provider + ".example.org"
	}
	_, subject, err := w.SignInExternal(tb.Context(), ext, home, func(*sqlite.Tx, string) error { return nil })
	require.NoError(tb, err)
	return subject
}

// administer lists who administers, by name.
func (w *world) administer(tb testing.TB) string {
	tb.Helper()
	all, err := w.Administrators(tb.Context())
	require.NoError(tb, err)
	names := make([]string, len(all.People))
	for i, p := range all.People {
		names[i] = p.Username
	}
	return strings.Join(names, " ")
}

// state says what became of an entry, and whose it is.
func (w *world) state(tb testing.TB, entry string) string {
	tb.Helper()
	all, err := w.Administrators(tb.Context())
	require.NoError(tb, err)
	for _, one := range all.Listed {
		if one.String() == entry {
			return strings.TrimSpace(string(one.State) + " " + one.Username)
		}
	}
	return ""
}

func TestAdministrators_AreThoseOfTheListAndTheOneWhoAlwaysIs(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.person(t, "second", identity.RoleAdministrator)
	w.person(t, "carol", identity.RoleMember)
	yes := true
	w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "claimed", Administrator: &yes})
	w.arrive(t, identity.External{Provider: "github", ExternalID: "1", Username: "alice"})
	require.Equal(t, "claimed root second", w.administer(t))

	w.list(t, "local:carol, github:alice, github:nobody")
	require.Equal(t, "alice carol root", w.administer(t), "the oldest of Berth's own stays; a provider's claim makes nobody one")
	require.Equal(t, "administers alice", w.state(t, "github:alice"))
	require.Equal(t, "waits", w.state(t, "github:nobody"))
	all, err := w.Administrators(t.Context())
	require.NoError(t, err)
	require.Equal(t, "root", all.BreakGlass)

	came := w.arrive(t, identity.External{Provider: "github", ExternalID: "2", Username: "nobody"})
	require.Equal(t, identity.RoleAdministrator, came.Person.Role, "with the first sign-in")
	again := w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "claimed", Administrator: &yes})
	require.Equal(t, identity.RoleMember, again.Person.Role)

	w.list(t, "")
	require.Equal(t, "claimed root second", w.administer(t), "everybody is what they were given")
}

func TestAdministrators_CutOffWhoIsTakenOff(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.person(t, "bob", identity.RoleAdministrator)
	token, bob := w.signIn(t, "bob")
	held, release := w.Hold(t.Context(), bob)
	defer release()
	_, root := w.signIn(t, "root")
	stays, releaseOther := w.Hold(t.Context(), root)
	defer releaseOther()

	w.list(t, "local:root")
	require.Error(t, held.Err())
	require.NoError(t, stays.Err())
	now, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, identity.RoleMember, now.Person.Role, "the session goes on, as a member's")
	changed := w.happened(t, identity.PersonUpdated)
	require.Len(t, changed, 1)
	require.Equal(t, "member", about(t, changed[0], "role"))
	require.Equal(t, []any{"local:root"}, about(t, w.happened(t, identity.AdministratorsChanged)[0], "added"))

	w.list(t, "local:root")
	require.Len(t, w.happened(t, identity.AdministratorsChanged), 1, "the same list again is no news")
}

func TestAdministrators_NoNameIsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	alice := identity.External{Provider: "github", ExternalID: "1", Username: "alice"}
	w.list(t, "github:alice")
	w.arrive(t, alice)
	require.Equal(t, "alice root", w.administer(t))

	// Alice gives her name up there, and somebody else takes it.
	alice.Username = "alice-smith"
	w.arrive(t, alice)
	require.Equal(t, "root", w.administer(t))
	mallory := w.arrive(t, identity.External{Provider: "github", ExternalID: "666", Username: "alice"})
	require.Equal(t, identity.RoleUser, mallory.Person.Role)
	require.Equal(t, "other", w.state(t, "github:alice"))

	alice.Username = "alice"
	w.arrive(t, alice)
	require.Equal(t, "administers alice", w.state(t, "github:alice"), "the one it is bound to")

	w.list(t, "github:#666")
	require.Equal(t, "alice-2 root", w.administer(t), "by the id alone, whatever their name")
}

func TestAdministrators_ANameOfTwoIsNobodys(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.arrive(t, identity.External{Provider: "github", ExternalID: "1", Username: "alice"})
	w.arrive(t, identity.External{Provider: "github", ExternalID: "2", Username: "alice"})
	w.list(t, "github:alice")
	require.Equal(t, "root", w.administer(t))
	require.Equal(t, "unclear", w.state(t, "github:alice"))
}

func TestAdministrators_MatchToTheLetterAndAtTheirProviderAlone(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.list(t, "github:alice, corp:bob@example.org, local:carol, corp:#42")
	for id, ext := range map[string]identity.External{
		"another provider":       {Provider: "corp", Username: "alice"},
		"another case":           {Provider: "github", Username: "Alice"},
		"an address of no proof": {Provider: "corp", Username: "bob", Email: "bob@example.org"},
		"an address's twin":      {Provider: "corp", Username: "bob", Email: "\u212Abob@example.org", EmailVerified: true},
		"a username for it":      {Provider: "corp", Username: "bob@example.org"},
		"a local name there":     {Provider: "corp", Username: "carol"},
		"an id elsewhere 42":     {Provider: "github", Username: "x"},
	} {
		ext.ExternalID = id
		require.Equal(t, identity.RoleUser, w.arrive(t, ext).Person.Role, id)
	}
	require.Equal(t, "root", w.administer(t))

	bob := identity.External{Provider: "corp", ExternalID: "7", Username: "bob", Email: "Bob@Example.org", EmailVerified: true}
	require.Equal(t, identity.RoleAdministrator, w.arrive(t, bob).Person.Role)
	bob.EmailVerified = false
	require.Equal(t, identity.RoleUser, w.arrive(t, bob).Person.Role, "no longer vouched for")
	require.Equal(t, identity.RoleAdministrator, w.arrive(t, identity.External{Provider: "corp", ExternalID: "42", Username: "y"}).Person.Role)
}

func TestAdministrators_AnIDIsOfTheIssuerThatHadItFirst(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.list(t, "corp:#1")
	w.arrive(t, identity.External{Provider: "corp", ExternalID: "1", Username: "ana"})
	other := w.arrive(t, identity.External{Provider: "corp", Issuer: "https://elsewhere.example.org", ExternalID: "1", Username: "eve"})
	require.Equal(t, identity.RoleUser, other.Person.Role)
	require.Equal(t, "administers ana", w.state(t, "corp:#1"))
}

func TestAdministrators_NobodyInheritsAnEntry(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.person(t, "carol", identity.RoleMember)
	w.list(t, "local:carol")
	require.Equal(t, "carol root", w.administer(t))
	require.NoError(t, w.RemovePerson(t.Context(), "root", "carol"))
	w.person(t, "carol", identity.RoleMember)
	require.Equal(t, "root", w.administer(t))
	require.Equal(t, "other", w.state(t, "local:carol"))

	w.list(t, "local:root")
	w.list(t, "local:root, local:carol")
	require.Equal(t, "carol root", w.administer(t), "taken off and put on again, it is the new one's")
}

func TestAdministrators_TheOneWhoAlwaysIsCanNotGo(t *testing.T) {
	w := newWorld(t)
	root := w.root(t)
	w.person(t, "dan", identity.RoleMember)
	w.list(t, "local:dan")
	off, member, administrator := true, identity.RoleMember, identity.RoleAdministrator
	_, err := w.UpdatePerson(t.Context(), "dan", "root", root.Version, identity.PersonEdit{Disabled: &off})
	require.ErrorContains(t, err, "the last administrator")
	_, err = w.UpdatePerson(t.Context(), "dan", "root", root.Version, identity.PersonEdit{Role: &member})
	require.ErrorContains(t, err, "the last administrator")
	require.ErrorContains(t, w.RemovePerson(t.Context(), "dan", "root"), "the last administrator")

	// Another takes the place: then the list can go without either.
	dan, err := w.Person(t.Context(), "dan")
	require.NoError(t, err)
	dan, err = w.UpdatePerson(t.Context(), "root", "dan", dan.Version, identity.PersonEdit{Role: &administrator})
	require.NoError(t, err)
	require.Equal(t, identity.RoleAdministrator, dan.GivenRole)
	require.NoError(t, w.RemovePerson(t.Context(), "dan", "root"))
	w.list(t, "github:alice")
	require.Equal(t, "dan", w.administer(t))
}

func TestAdministrators_ARoleIsGivenAndCountsWithoutTheList(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.list(t, "local:root")
	ana := w.person(t, "ana", identity.RoleAdministrator)
	require.Equal(t, identity.RoleMember, ana.Role, "a list says who administers")
	require.Equal(t, identity.RoleAdministrator, ana.GivenRole)
	bob := w.person(t, "bob", identity.RoleMember)
	administrator := identity.RoleAdministrator
	bob, err := w.UpdatePerson(t.Context(), "root", "bob", bob.Version, identity.PersonEdit{Role: &administrator})
	require.NoError(t, err)
	require.Equal(t, identity.RoleMember, bob.Role)
	changed := w.happened(t, identity.PersonUpdated)
	require.Equal(t, "administrator", about(t, changed[len(changed)-1], "given_role"))
	w.list(t, "")
	require.Equal(t, "ana bob root", w.administer(t))
}

func TestAdministrators_AnIdentityThatIsUnlinkedCountsNoMore(t *testing.T) {
	w := newWorld(t)
	w.root(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	w.list(t, "github:#9")
	one, err := w.LinkExternal(t.Context(), ana, identity.External{Provider: "github", Issuer: "https://github.com", ExternalID: "9"}, func(*sqlite.Tx, string) error { return nil })
	require.NoError(t, err)
	require.Equal(t, "ana root", w.administer(t))
	require.NoError(t, w.Unlink(t.Context(), ana, ana.Person.ID, one.ID))
	require.Equal(t, "root", w.administer(t))
}
