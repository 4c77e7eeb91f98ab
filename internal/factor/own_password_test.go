package factor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

const chosen = "a password of my own"

// comer is somebody who came by a provider, and has no password.
func (w *world) comer(tb testing.TB) identity.Subject {
	tb.Helper()
	w.person(tb, "first", identity.RoleMember) // a provider makes nobody before
	ext := identity.External{Provider: "home", Issuer: "https://id.example.org", ExternalID: "1001", Username: "cy", Create: true, NewRole: identity.RoleMember}
	_, cy, err := w.people.SignInExternal(tb.Context(), ext, home, func(*sqlite.Tx, string) error { return nil })
	require.NoError(tb, err)
	return cy
}

// byToken is the subject as an API token of theirs brings them.
func (w *world) byToken(tb testing.TB, subject identity.Subject) identity.Subject {
	tb.Helper()
	subject.Via = identity.ViaSession
	text, _, err := w.people.CreateToken(tb.Context(), subject, sqlite.NewID(w.clock()), identity.ScopeAdmin, time.Time{})
	require.NoError(tb, err)
	by, err := w.people.ByToken(tb.Context(), text)
	require.NoError(tb, err)
	return by
}

func TestAddPassword_TakesAFreshProof(t *testing.T) {
	w := newWorld(t)
	cy := w.comer(t)
	add := func(s identity.Subject, by factor.Proof) error {
		return w.AddPassword(t.Context(), s, by, secret.New(chosen), home)
	}
	w.wait(11 * time.Minute)
	requireKind(t, fault.NotProved, add(cy, factor.Proof{}))
	requireKind(t, fault.Denied, add(w.byToken(t, cy), factor.Proof{}))
	requireKind(t, fault.Denied, add(w.byToken(t, cy), factor.Proof{Method: identity.MethodTOTP, Code: secret.New("000000")}))

	w.wait(-11 * time.Minute)
	codes, in := w.app(t, cy)
	by := w.byToken(t, in.Subject)
	requireKind(t, fault.BadInput, add(by, factor.Proof{}))
	requireKind(t, fault.BadInput, add(by, factor.Proof{Method: identity.MethodTOTP, Code: secret.New("000000")}))
	failed := w.happened(t, identity.SignInFailed)
	require.Equal(t, []any{"totp"}, about(t, failed[len(failed)-1], "methods"), "a wrong code is written down")
	requireKind(t, fault.BadInput, add(by, factor.Proof{Method: identity.MethodPassword, Code: secret.New("x")}))
	require.NoError(t, add(by, factor.Proof{Method: identity.MethodTOTP, Code: secret.New(codes.code(t))}))
	begun, err := w.SignIn(t.Context(), "cy", secret.New(chosen), home)
	require.NoError(t, err)
	require.True(t, begun.Session.Empty(), "the password alone is half of a sign-in")
}

func TestAddPassword_BoundsHowOftenACodeMayBeGuessed(t *testing.T) {
	w := newWorld(t)
	_, in := w.app(t, w.comer(t))
	by := w.byToken(t, in.Subject)
	for range 100 {
		err := w.AddPassword(t.Context(), by, factor.Proof{Method: identity.MethodTOTP, Code: secret.New("000000")}, secret.New(chosen), home)
		if fault.KindOf(err) == fault.TooOften {
			return
		}
		requireKind(t, fault.BadInput, err)
	}
	t.Fatal("nobody was held up")
}

func TestRemovePassword_TakesAFreshProof(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "bo", identity.RoleMember)
	bo := w.begin(t, "bo").Subject
	remove := func(s identity.Subject, by factor.Proof) error { return w.RemovePassword(t.Context(), s, by, home) }
	requireKind(t, fault.Clash, remove(bo, factor.Proof{}))
	requireKind(t, fault.BadInput, remove(w.byToken(t, bo), factor.Proof{Password: secret.New("wrong")}))
	requireKind(t, fault.Clash, remove(w.byToken(t, bo), factor.Proof{Password: secret.New(password)}))

	_, _, in := w.passkey(t, bo, "phone")
	by := w.byToken(t, in.Subject)
	requireKind(t, fault.BadInput, remove(by, factor.Proof{Password: secret.New(password)})) // which proves less than they have
	w.wait(11 * time.Minute)
	requireKind(t, fault.NotProved, remove(in.Subject, factor.Proof{}))
	w.wait(-11 * time.Minute)
	require.NotEmpty(t, in.Codes)
	require.NoError(t, remove(by, factor.Proof{Method: identity.MethodRecovery, Code: secret.New(in.Codes[0])}))
	has, err := w.Of(t.Context(), bo.Person.ID)
	require.NoError(t, err)
	require.Equal(t, 9, has.Recovery.Left, "a code counts with what is done")
	_, err = w.SignIn(t.Context(), "bo", secret.New(password), home)
	requireKind(t, fault.Unauthenticated, err)
	requireKind(t, fault.Missing, remove(in.Subject, factor.Proof{}))
	// The passkey is the last way in by now.
	requireKind(t, fault.Clash, w.RemovePasskey(t.Context(), in.Subject, has.Passkeys[0].ID))
}
