package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

func TestPreview_SaysOfEverybodyWhatTheGateWould(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bo", identity.RoleMember)
	w.person(t, "cy", identity.RoleMember)
	cy, err := w.Person(t.Context(), "cy")
	require.NoError(t, err)
	gone := true
	_, err = w.UpdatePerson(t.Context(), "root", "cy", cy.Version, identity.PersonEdit{Disabled: &gone})
	require.NoError(t, err)
	_, err = w.CreateGroup(t.Context(), "root", identity.Group{Name: "ops", Members: []string{"bo"}})
	require.NoError(t, err)
	ana, err := w.Person(t.Context(), "ana")
	require.NoError(t, err)
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO identities (id, person_id, provider, issuer, external_id, groups, claims, created_at, synced_at)
			VALUES ('one', ?, 'corp', 'https://corp.example', '7', '["corp:devs"]', '{"level":"3"}', 0, 0)`, ana.ID)
		return err
	}))

	type seen struct {
		who string
		why identity.Why
		by  string
	}
	see := func(r identity.Rule) []seen {
		g, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{r}})
		require.NoError(t, err)
		list, next, err := w.Preview(t.Context(), g, visit("GET", "/"), "", 0)
		require.NoError(t, err)
		require.Empty(t, next)
		var all []seen
		for _, one := range list {
			all = append(all, seen{one.Person.Username, one.Verdict.Why, one.Subject.Provider})
		}
		return all
	}
	const local = identity.ProviderLocal
	require.Equal(t, []seen{{"ana", identity.WhyNamed, local}, {"bo", identity.WhyNamed, local}, {"cy", identity.WhyNobody, local}}, see(identity.Rule{Allow: identity.Who{SignedIn: true}}))
	require.Equal(t, []seen{{"ana", identity.WhyNotNamed, local}, {"bo", identity.WhyNamed, local}, {"cy", identity.WhyNobody, local}}, see(identity.Rule{Allow: identity.Who{Groups: []string{"ops"}}}))
	require.Equal(t, seen{"ana", identity.WhyNamed, "corp"}, see(identity.Rule{Allow: identity.Who{Groups: []string{"corp:devs"}}})[0], "what a provider told long ago counts until it tells anew")
	require.Equal(t, seen{"ana", identity.WhyNamed, "corp"}, see(identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3", Provider: "corp"}}}})[0])
	require.Equal(t, seen{"ana", identity.WhyNotNamed, local}, see(identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3", Provider: "github"}}}})[0])
	old := identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3"}}}}
	require.Equal(t, seen{"ana", identity.WhyWhoseClaim, local}, see(old)[0])
	w.KnowProviders([]string{"corp"})
	require.Equal(t, seen{"ana", identity.WhyNamed, "corp"}, see(old)[0])
	require.Equal(t, seen{"bo", identity.WhyNamed, local}, see(identity.Rule{Allow: identity.Who{SignedIn: true}, Strength: identity.StrengthPasskey, Within: identity.Duration(time.Minute)})[1], "they could prove it")
	require.Equal(t, seen{"bo", identity.WhyNoRule, local}, see(identity.Rule{Paths: []string{"/admin"}, Allow: identity.Who{SignedIn: true}})[1])
}

func TestPreviewOf_TakesTheStrengthThatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for strength, need := range map[identity.Strength]identity.Need{
		identity.StrengthAny: identity.NeedStronger, identity.StrengthSecondFactor: identity.NeedNothing, identity.StrengthPasskey: identity.NeedNothing,
	} {
		g, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana"}}, Strength: identity.StrengthSecondFactor}}})
		require.NoError(t, err)
		one, err := w.PreviewOf(t.Context(), g, visit("GET", "/"), "ana", strength)
		require.NoError(t, err)
		require.Equal(t, need, one.Verdict.Need, strength)
		require.Equal(t, need == identity.NeedNothing, one.Verdict.Allowed, strength)
	}
	_, err := w.PreviewOf(t.Context(), &identity.Gate{}, visit("GET", "/"), "eve", "")
	requireKind(t, fault.Missing, err)
}
