package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
	"berth/internal/sqlite"
)

// A session that the provider's second factor began hours ago is proved anew
// by a password alone: who it is is fresh then, the second factor is not.
func TestGate_ASecondFactorIsFreshOnlyWhereItWasProvedAnew(t *testing.T) {
	w := newWorld(t)
	w.setUp(t)
	keep := func(*sqlite.Tx, string) error { return nil }
	ext := identity.External{
		Provider: "corp", Issuer: "https://corp.example", ExternalID: "1", Username: "ana", Create: true, Methods: []identity.Method{identity.MethodMFA},
	}
	_, s, err := w.SignInExternal(t.Context(), ext, home, keep)
	require.NoError(t, err)
	enter := func(strength identity.Strength) identity.Verdict {
		gate, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{{
			Allow: identity.Who{SignedIn: true}, Strength: strength, Within: identity.Duration(5 * time.Minute),
		}}})
		require.NoError(t, err)
		return gate.Enter(&s, identity.Visit{Path: "/", Method: "GET", At: w.clock()})
	}
	require.True(t, enter(identity.StrengthSecondFactor).Allowed)
	w.wait(3 * time.Hour)
	require.Equal(t, identity.WhyTooLongAgo, enter(identity.StrengthSecondFactor).Why)

	again := func(methods ...identity.Method) {
		ext.Methods = methods
		token, err := w.StrengthenExternal(t.Context(), s, ext, identity.StrengthAny, keep)
		require.NoError(t, err)
		s, err = w.BySession(t.Context(), token)
		require.NoError(t, err)
	}
	again()
	require.True(t, enter(identity.StrengthAny).Allowed)
	require.Equal(t, identity.WhyTooLongAgo, enter(identity.StrengthSecondFactor).Why)
	again(identity.MethodMFA)
	require.True(t, enter(identity.StrengthSecondFactor).Allowed)
}
