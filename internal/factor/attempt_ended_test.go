package factor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/factor"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Half a sign-in, which would set up a first factor and then be a session, is
// over with everything that ends sessions.
func TestAttempt_EndsWithWhatEndsSessions(t *testing.T) {
	const issuer = "https://corp.example"
	for name, end := range map[string]func(ctx context.Context, w *world, tx *sqlite.Tx) error{
		"the provider is switched off": func(ctx context.Context, w *world, tx *sqlite.Tx) error {
			_, err := w.people.EndProviderSessions(ctx, tx, "root", "corp", "off")
			return err
		},
		"the provider says who left": func(ctx context.Context, w *world, tx *sqlite.Tx) error {
			_, err := w.people.EndUpstream(ctx, tx, "corp", issuer, "1", "")
			return err
		},
		"the provider says which session is over": func(ctx context.Context, w *world, tx *sqlite.Tx) error {
			_, err := w.people.EndUpstream(ctx, tx, "corp", issuer, "", "there")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, identity.RequireOfEverybody)
			w.person(t, "root", identity.RoleAdministrator)
			half := func(externalID, sid string) factor.Outcome {
				ext := identity.External{Provider: "corp", Issuer: issuer, ExternalID: externalID, UpstreamSID: sid, Username: "ana", Create: true}
				token, s, err := w.people.SignInExternal(t.Context(), ext, home, func(*sqlite.Tx, string) error { return nil })
				out, err := w.Open(t.Context(), token, s, err)
				require.NoError(t, err)
				require.False(t, out.Attempt.Empty())
				return out
			}
			over, other := half("1", "there"), half("2", "elsewhere")
			require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error { return end(t.Context(), w, tx) }))
			_, err := w.SetUpTOTP(t.Context(), over.Attempt)
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
			_, err = w.SetUpTOTP(t.Context(), other.Attempt)
			if name == "the provider is switched off" {
				require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
			} else {
				require.NoError(t, err, "nobody else's ends")
			}
		})
	}

	w := newWorld(t, identity.RequireOfEverybody)
	ana := w.person(t, "ana", identity.RoleMember)
	half := w.begin(t, "ana")
	require.False(t, half.Attempt.Empty())
	_, _, err := w.people.SignOutEverywhere(t.Context(), identity.Local(), ana.ID)
	require.NoError(t, err)
	_, err = w.SetUpTOTP(t.Context(), half.Attempt)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "an administrator signed them out everywhere")
}

// A right code says nothing wrong of its owner where the mode ended the sign-in.
func TestAttempt_EndsWithTheSignInModeAndIsNoFailedFactor(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	w.person(t, "bo", identity.RoleMember)
	codes, _ := w.app(t, w.begin(t, "bo").Subject)
	half := w.begin(t, "bo")
	require.False(t, half.Attempt.Empty())
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return w.people.UseSignInMode(t.Context(), tx, identity.Local(), identity.SignInMode{Passwords: identity.PasswordsOfAdministrators}, 0)
	}))
	_, err := w.SecondFactor(t.Context(), half.Attempt, identity.MethodTOTP, codes.code(t), home)
	require.ErrorContains(t, err, "begin again")
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
	require.Empty(t, w.happened(t, identity.SignInFailed))
}
