package signin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
)

func (r *rig) mode() signin.Mode {
	r.t.Helper()
	mode, err := r.Mode(r.t.Context())
	require.NoError(r.t, err)
	return mode
}

func (r *rig) setMode(passwords identity.Passwords, straightTo string, force bool) error {
	r.t.Helper()
	want := identity.SignInMode{Passwords: passwords, StraightTo: straightTo, Version: r.mode().Version}
	_, err := r.SetMode(r.t.Context(), identity.Local(), want, force)
	return err
}

func TestMode_LeavesNobodyOutUnlessThatIsMeant(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.root()
	bo, err := r.identity.CreatePerson(t.Context(), "root", identity.Person{Username: "bo", Role: identity.RoleMember}, secret.New("correct horse battery"))
	require.NoError(t, err)
	r.provider("home", home)
	b := r.browser("1001")
	b.signIn("home")
	cy := b.subject().Person
	require.NoError(t, r.identity.SetPassword(t.Context(), "root", cy.Username, secret.New("correct horse battery")))

	left, err := r.ModeLeavesOut(t.Context(), identity.PasswordsOfAdministrators)
	require.NoError(t, err)
	require.Equal(t, identity.LeftOut{People: 1, Usernames: []string{"bo"}}, left, "cy has a provider")
	err = r.setMode(identity.PasswordsOfAdministrators, "", false)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.ErrorContains(t, err, "bo would have no way in left: have them add a passkey or link another identity first")
	require.Equal(t, identity.PasswordsOfEverybody, r.mode().Passwords)
	require.True(t, r.canSignIn(bo))

	require.NoError(t, r.setMode(identity.PasswordsOfAdministrators, "", true))
	require.False(t, r.canSignIn(bo))
	require.True(t, r.canSignIn(cy))
	require.Contains(t, string(r.happened(identity.SignInModeChanged)[0].Data), `"left_out":1`)

	// By now the provider is all that cy has, whatever password there is.
	left, err = r.LeftOut(t.Context(), "home")
	require.NoError(t, err)
	require.Equal(t, identity.LeftOut{People: 1, Usernames: []string{cy.Username}}, left)
	err = r.Remove(t.Context(), "root", "home", false)
	require.ErrorContains(t, err, cy.Username+" would have no way in left: have them add a passkey")
}

func TestMode_LeadsStraightOnlyToAProviderThatIsOn(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.root()
	r.provider("home", home)
	to := func() string {
		slug, err := r.StraightTo(t.Context())
		require.NoError(t, err)
		return slug
	}
	require.Empty(t, to())
	err := r.setMode(identity.PasswordsOfEverybody, "away", false)
	require.Equal(t, "straight_to", fault.FieldsOf(err)[0].Name)
	require.NoError(t, r.setMode(identity.PasswordsOfEverybody, "home", false))
	require.Equal(t, "home", to())

	on, off := true, false
	require.NoError(t, r.edit("home", signin.ProviderEdit{Enabled: &off}))
	require.Empty(t, to(), "the page")
	require.Equal(t, "home", r.mode().StraightTo)
	require.NoError(t, r.edit("home", signin.ProviderEdit{Enabled: &on}))
	require.Equal(t, "home", to())

	seen := r.mode().Version
	require.NoError(t, r.Remove(t.Context(), "root", "home", false))
	require.Empty(t, to())
	require.Equal(t, seen+1, r.mode().Version, "whoever saw the mode before has to look again")
	changed := r.happened(identity.SignInModeChanged)
	require.JSONEq(t, `{"passwords":"everybody","passwords_before":"everybody","straight_to_before":"home"}`, string(changed[len(changed)-1].Data))
	r.provider("home", home)
	require.Empty(t, to(), "another one of its name leads nobody straight")
}

// The set-up link is good until it made somebody: a mode of a seed leads nobody past it.
func TestMode_LeadsNobodyToAProviderBeforeTheSetUp(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.provider("home", home)
	require.NoError(t, r.identity.RemovePerson(t.Context(), "berth", firstPerson))
	require.NoError(t, r.setMode(identity.PasswordsOfAdministrators, "home", false))
	slug, err := r.StraightTo(t.Context())
	require.NoError(t, err)
	require.Empty(t, slug)
	b := r.browser("1001")
	b.requireRefused(b.signIn("home"), signin.ReasonNotSetUp)
	require.Empty(t, r.others())
	needed, err := r.identity.NeedsSetup(t.Context())
	require.NoError(t, err)
	require.True(t, needed)

	r.root()
	slug, err = r.StraightTo(t.Context())
	require.NoError(t, err)
	require.Equal(t, "home", slug)
}
