package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// atCorp has somebody known at a provider, where they can sign in.
func (w *world) atCorp(t *testing.T, p identity.Person) {
	t.Helper()
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO identities (id, person_id, provider, issuer, external_id, groups, claims, created_at, synced_at)
			VALUES ('one', ?, 'corp', 'https://corp.example', '7', '["corp:devs"]', '{"level":"3"}', 0, 0)`, p.ID)
		return err
	}))
	w.OnWayIn(func(_ context.Context, _ *sqlite.Tx, personID, _ string) ([]identity.Way, error) {
		if personID != p.ID {
			return nil, nil
		}
		return []identity.Way{{Provider: "corp", IdentityID: "one", Method: identity.MethodProvider}}, nil
	})
}

// passwordless takes somebody's password from them.
func (w *world) passwordless(t *testing.T, p identity.Person) {
	t.Helper()
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE people SET password_hash = NULL WHERE id = ?", p.ID)
		return err
	}))
}

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
	w.atCorp(t, ana)

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
	require.Equal(t, []seen{{"ana", identity.WhyNamed, "corp"}, {"bo", identity.WhyNamed, local}, {"cy", identity.WhyNobody, local}}, see(identity.Rule{Allow: identity.Who{SignedIn: true}}))
	require.Equal(t, []seen{{"ana", identity.WhyNotNamed, "corp"}, {"bo", identity.WhyNamed, local}, {"cy", identity.WhyNobody, local}}, see(identity.Rule{Allow: identity.Who{Groups: []string{"ops"}}}))
	require.Equal(t, seen{"ana", identity.WhyNamed, "corp"}, see(identity.Rule{Allow: identity.Who{Groups: []string{"corp:devs"}}})[0], "what a provider told long ago counts until it tells anew")
	require.Equal(t, seen{"ana", identity.WhyNamed, "corp"}, see(identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3", Provider: "corp"}}}})[0])
	require.Equal(t, seen{"ana", identity.WhyNotNamed, "corp"}, see(identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3", Provider: "github"}}}})[0])
	old := identity.Rule{Allow: identity.Who{Claims: []identity.Claim{{Name: "level", Operator: identity.ClaimEquals, Value: "3"}}}}
	require.Equal(t, seen{"ana", identity.WhyWhoseClaim, "corp"}, see(old)[0])
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
		one, err := w.PreviewOf(t.Context(), g, visit("GET", "/"), "ana", identity.Imagined{Strength: strength})
		require.NoError(t, err)
		require.Equal(t, need, one.Verdict.Need, strength)
		require.Equal(t, need == identity.NeedNothing, one.Verdict.Allowed, strength)
	}
	_, err := w.PreviewOf(t.Context(), &identity.Gate{}, visit("GET", "/"), "eve", identity.Imagined{})
	requireKind(t, fault.Missing, err)
}

func TestPreviewOf_ImaginesTheWaysThatThereAre(t *testing.T) {
	w := newWorld(t)
	ana, bo, cy := w.person(t, "ana", identity.RoleMember), w.person(t, "bo", identity.RoleMember), w.person(t, "cy", identity.RoleMember)
	w.atCorp(t, ana)
	w.passwordless(t, ana)
	w.passwordless(t, bo)
	w.passwordless(t, cy)
	w.OnWayIn(func(_ context.Context, _ *sqlite.Tx, personID, _ string) ([]identity.Way, error) {
		if personID != bo.ID {
			return nil, nil
		}
		return []identity.Way{{Provider: identity.ProviderLocal, Method: identity.MethodPasskey}}, nil
	})
	g, err := identity.NewGate(identity.SignedIn())
	require.NoError(t, err)
	see := func(username string, by identity.Imagined) (identity.Preview, error) {
		return w.PreviewOf(t.Context(), g, visit("GET", "/"), username, by)
	}

	one, err := see("ana", identity.Imagined{})
	require.NoError(t, err)
	require.True(t, one.Verdict.Allowed)
	require.Equal(t, "corp", one.Subject.Provider)
	require.Equal(t, "7", one.Subject.ExternalID)
	require.Equal(t, []string{"corp:devs"}, one.Subject.Groups)
	require.Equal(t, map[string]any{"level": "3"}, one.Subject.Claims)
	_, err = see("ana", identity.Imagined{Provider: identity.ProviderLocal})
	requireKind(t, fault.BadInput, err)

	one, err = see("bo", identity.Imagined{})
	require.NoError(t, err)
	require.Equal(t, identity.ProviderLocal, one.Subject.Provider)
	require.Equal(t, []identity.Method{identity.MethodPasskey}, one.Subject.Methods)

	one, err = see("cy", identity.Imagined{})
	require.NoError(t, err)
	require.False(t, one.WayIn)
	require.False(t, one.Verdict.Allowed, "whoever cannot sign in is let in nowhere")
	g, err = identity.NewGate(identity.Public())
	require.NoError(t, err)
	one, err = see("cy", identity.Imagined{})
	require.NoError(t, err)
	require.True(t, one.Verdict.Allowed, "but where everybody is")
}

func TestPreviewOf_ImaginesWhereAndHowLongAgo(t *testing.T) {
	w := newWorld(t)
	w.atCorp(t, w.person(t, "ana", identity.RoleMember))
	see := func(r identity.Rule, by identity.Imagined) identity.Preview {
		g, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{r}})
		require.NoError(t, err)
		one, err := w.PreviewOf(t.Context(), g, visit("GET", "/"), "ana", by)
		require.NoError(t, err)
		return one
	}
	devs, recent := identity.Rule{Allow: identity.Who{Groups: []string{"corp:devs"}}}, identity.Rule{Allow: identity.Who{SignedIn: true}, Within: identity.Duration(time.Hour)}
	require.True(t, see(devs, identity.Imagined{Provider: "corp"}).Verdict.Allowed)
	require.Equal(t, identity.WhyNotNamed, see(devs, identity.Imagined{Provider: identity.ProviderLocal}).Verdict.Why)
	require.True(t, see(recent, identity.Imagined{Age: 59 * time.Minute}).Verdict.Allowed)
	require.Equal(t, identity.WhyTooLongAgo, see(recent, identity.Imagined{Age: time.Hour}).Verdict.Why)
	require.True(t, see(devs, identity.Imagined{Age: 23 * time.Hour}).Verdict.Allowed)
	require.Equal(t, identity.WhyStale, see(devs, identity.Imagined{Age: 24 * time.Hour}).Verdict.Why, "nothing was told since")
	for _, age := range []time.Duration{-time.Second, 1000 * 24 * time.Hour} {
		_, err := w.PreviewOf(t.Context(), &identity.Gate{}, visit("GET", "/"), "ana", identity.Imagined{Age: age})
		requireKind(t, fault.BadInput, err)
	}
}
