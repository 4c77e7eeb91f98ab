package signin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
)

// unlink takes an identity at a provider from whoever has it, for an administrator.
func (r *rig) unlink(admin identity.Subject, of identity.Person, provider string) error {
	r.t.Helper()
	list, err := r.identity.Identities(r.t.Context(), of.ID)
	require.NoError(r.t, err)
	for _, one := range list {
		if one.Provider == provider {
			return r.identity.Unlink(r.t.Context(), admin, of.ID, one.ID)
		}
	}
	r.t.Fatalf("nothing at %s", provider)
	return nil
}

// root is an administrator with a password.
func (r *rig) root() identity.Subject {
	r.t.Helper()
	p, err := r.identity.CreatePerson(r.t.Context(), "berth", identity.Person{Username: "root", Role: identity.RoleAdministrator}, secret.New("correct horse battery"))
	require.NoError(r.t, err)
	return identity.Subject{Person: p, Via: identity.ViaLocal}
}

// linked is somebody whom "home" made, and "work" knows as well.
func (r *rig) linked(home, work *issuer) identity.Person {
	r.t.Helper()
	r.provider("home", home)
	r.provider("work", work)
	b := r.browser("1001")
	b.signIn("home")
	require.NoError(r.t, b.begin("work", signin.ToLink))
	return b.subject().Person
}

func (r *rig) edit(slug string, e signin.ProviderEdit) error {
	r.t.Helper()
	p, err := r.Provider(r.t.Context(), slug)
	require.NoError(r.t, err)
	_, err = r.Update(r.t.Context(), "root", slug, p.Version, e)
	return err
}

func (r *rig) canSignIn(p identity.Person) bool {
	r.t.Helper()
	can, err := r.identity.CanSignIn(r.t.Context(), p.ID)
	require.NoError(r.t, err)
	return can
}

// TestUnlink_CountsOnlyWaysThatLeadInNow goes through what keeps an identity
// from being a way in.
func TestUnlink_CountsOnlyWaysThatLeadInNow(t *testing.T) {
	off, on := false, true
	for name, shut := range map[string]struct{ close, open func(*rig, *issuer) error }{
		"switched off": {
			close: func(r *rig, _ *issuer) error { return r.edit("work", signin.ProviderEdit{Enabled: &off}) },
			open:  func(r *rig, _ *issuer) error { return r.edit("work", signin.ProviderEdit{Enabled: &on}) },
		},
		"removed": {
			close: func(r *rig, _ *issuer) error { return r.Remove(r.t.Context(), "root", "work", false) },
			open: func(r *rig, work *issuer) error {
				r.provider("work", work)
				return nil
			},
		},
		"pointed elsewhere": {
			close: func(r *rig, _ *issuer) error {
				elsewhere := newIssuer(r.t).name
				return r.edit("work", signin.ProviderEdit{Issuer: &elsewhere, ClientSecret: secret.New(clientSecret)})
			},
			open: func(r *rig, work *issuer) error {
				return r.edit("work", signin.ProviderEdit{Issuer: &work.name, ClientSecret: secret.New(clientSecret)})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, home, work := newRig(t), newIssuer(t), newIssuer(t)
			root := r.root()
			ana := r.linked(home, work)

			require.NoError(t, shut.close(r, work))
			err := r.unlink(root, ana, "home")
			require.Equal(t, fault.Clash, fault.KindOf(err), "the identity at %q was taken for a way in", "work")
			require.ErrorContains(t, err, "set a password for them first")
			list, err := r.identity.Identities(t.Context(), ana.ID)
			require.NoError(t, err)
			require.Len(t, list, 2, "a refusal takes nothing")
			require.Empty(t, r.happened(identity.IdentityUnlinked))

			require.NoError(t, shut.open(r, work))
			require.NoError(t, r.unlink(root, ana, "home"))
			b := r.browser("1001")
			b.signIn("work")
			require.Equal(t, ana.ID, b.subject().Person.ID)
		})
	}
}

func TestProvider_IsNotTakenFromWhoHasNoOtherWayInUnlessThatIsMeant(t *testing.T) {
	off := false
	for name, take := range map[string]func(r *rig, force bool) error{
		"switched off": func(r *rig, force bool) error {
			return r.edit("home", signin.ProviderEdit{Enabled: &off, Force: force})
		},
		"removed": func(r *rig, force bool) error { return r.Remove(r.t.Context(), "root", "home", force) },
		"pointed elsewhere": func(r *rig, force bool) error {
			elsewhere := newIssuer(r.t).name
			return r.edit("home", signin.ProviderEdit{Issuer: &elsewhere, ClientSecret: secret.New(clientSecret), Force: force})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, home, work := newRig(t), newIssuer(t), newIssuer(t)
			r.root()
			both := r.linked(home, work)
			b := r.browser("1002")
			b.signIn("home")
			bo := b.subject().Person

			left, err := r.LeftOut(t.Context(), "home")
			require.NoError(t, err)
			require.Equal(t, identity.LeftOut{People: 1, Usernames: []string{bo.Username}}, left, "of two, one has another way in")
			none, err := r.LeftOut(t.Context(), "work")
			require.NoError(t, err)
			require.Zero(t, none.People)
			require.NoError(t, r.edit("home", signin.ProviderEdit{SignOut: new(bool)}), "what leaves nobody out takes no force")

			err = take(r, false)
			require.Equal(t, fault.Clash, fault.KindOf(err))
			require.ErrorContains(t, err, bo.Username+" would have no way in left")
			require.NotNil(t, b.subject(), "a refusal ends nothing")
			require.True(t, r.canSignIn(bo))

			require.NoError(t, take(r, true))
			require.Nil(t, b.subject())
			require.False(t, r.canSignIn(bo))
			require.True(t, r.canSignIn(both))
			changed := append(r.happened(signin.ProviderUpdated), r.happened(signin.ProviderRemoved)...)
			require.Contains(t, string(changed[len(changed)-1].Data), `"left_out":1`)

			// Whoever is left out stays an account that administrators see to.
			require.NoError(t, r.identity.SetPassword(t.Context(), "root", bo.Username, secret.New("correct horse battery")))
			require.True(t, r.canSignIn(bo))
			_, in, err := r.identity.SignIn(t.Context(), bo.Username, secret.New("correct horse battery"), identity.Origin{})
			require.NoError(t, err)
			require.Equal(t, bo.ID, in.Person.ID)
		})
	}
}

func TestLeftOut_CountsNobodyWhoIsDisabledOrHasAPassword(t *testing.T) {
	r, home := newRig(t), newIssuer(t)
	r.provider("home", home)
	for _, subject := range []string{"1001", "1002"} {
		r.browser(subject).signIn("home")
	}
	people := r.others()
	require.Len(t, people, 2)
	yes := true
	_, err := r.identity.UpdatePerson(t.Context(), "root", people[0].Username, people[0].Version, identity.PersonEdit{Disabled: &yes})
	require.NoError(t, err)
	require.NoError(t, r.identity.SetPassword(t.Context(), "root", people[1].Username, secret.New("correct horse battery")))
	left, err := r.LeftOut(t.Context(), "home")
	require.NoError(t, err)
	require.Zero(t, left.People)
	require.NoError(t, r.Remove(t.Context(), "root", "home", false))
	_, err = r.LeftOut(t.Context(), "home")
	require.Equal(t, fault.Missing, fault.KindOf(err))
}
