package deploy_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// access gives who may enter shop/prod, as its route has it.
func (b *berth) access() identity.Policy {
	b.router.mu.Lock()
	defer b.router.mu.Unlock()
	return b.router.routes[b.status().ID].Access
}

func (b *berth) letIn(p *identity.Policy) deploy.Stage {
	b.t.Helper()
	st := b.status()
	st.Spec.Access = p
	saved, err := b.UpdateStage(b.t.Context(), "ana", "shop", "prod", st.Version, st.Spec, deploy.AllowAccess)
	require.NoError(b.t, err)
	return saved
}

func TestAccess_CountsAsSoonAsItIsSavedAndIsNoPartOfARelease(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b := w.start(options{})
	b.shop(nil)
	first := b.goLive("1")
	require.Equal(t, identity.SignedIn(), b.access(), "what nobody chose")

	public := identity.Public()
	b.letIn(&public)
	require.Equal(t, public, b.access(), "when saving returns")
	require.Empty(t, b.status().Changes, "nothing is to be deployed for it")

	b.goLive("2")
	require.Equal(t, public, b.access())
	ops := identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{Groups: []string{"ops"}}}}}
	b.letIn(&ops)
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Equal(t, ops, b.access(), "a roll back brings no policy back")

	b.stop()
	b = w.start(options{})
	b.eventually(func() bool { return len(b.access().Rules) > 0 }, "it is routed again")
	require.Equal(t, ops, b.access())
	nobody := identity.Policy{Rules: []identity.Rule{}}
	b.letIn(&nobody)
	require.Equal(t, nobody, b.access(), "an empty policy is nobody, and not the default")
}

// knownPeople stands for identity.
type knownPeople []string

func (k knownPeople) Unknown(_ context.Context, _ *sqlite.Tx, usernames []string) (unknown []string, err error) {
	for _, name := range usernames {
		if !slices.Contains(k, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown, nil
}

func TestAccess_NamesOnlyPeopleWhoAreThere(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{people: knownPeople{"ana", "bo"}})
	b.shop(nil)
	b.goLive("1")
	st := b.status()
	st.Spec.Access = &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana", "eve"}}}}}
	_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", st.Version, st.Spec, deploy.AllowAccess)
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.ErrorContains(t, err, `nobody is named "eve"`)

	b.letIn(&identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana", "bo"}}}}})
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error { return b.ForgetPerson(t.Context(), tx, "root", "ana") }))
	require.Equal(t, []string{"bo"}, b.status().Spec.Access.People(), "whoever is named ana next has nothing of hers")
	b.eventually(func() bool { return slices.Equal(b.access().People(), []string{"bo"}) }, "the route knows")
}

// knownProviders stands for signin.
type knownProviders []string

func (k knownProviders) Slugs(context.Context, *sqlite.Tx) ([]string, error) { return k, nil }

func TestAccess_SaysOfANewClaimWhoseItIs(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{known: knownProviders{"corp", "github"}})
	b.shop(nil)
	by := func(provider string) *identity.Policy {
		return &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{Claims: []identity.Claim{{Name: "groups", Operator: identity.ClaimContains, Value: "ops", Provider: provider}}}}}}
	}
	const field = "spec.access.rules[0].allow.claims[0].provider"
	refused := func(err error, says string) {
		t.Helper()
		require.Contains(t, flaws(t, err)[field], says)
	}
	st := b.status()
	for provider, says := range map[string]string{"": "the providers are corp, github", "google": `no provider is named "google"`} {
		spec := st.Spec
		spec.Access = by(provider)
		_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", st.Version, spec, deploy.AllowAccess)
		refused(err, says)
		_, err = b.CheckStage(t.Context(), "shop", "prod", spec, deploy.AllowAccess)
		refused(err, says)
		spec.Hostname = "new.test"
		_, err = b.CreateStage(t.Context(), "ana", "shop", "new", spec, deploy.AllowAccess)
		refused(err, says)
		_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "nas.test", Access: by(provider)})
		refused(err, says)
	}
	b.letIn(by("corp"))

	// From before claims said whose they are. It stays as it is for as long as
	// nobody changes it.
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE stages SET spec = replace(spec, ',"provider":"corp"', '')`)
		return err
	}))
	require.Equal(t, by(""), b.status().Spec.Access)
	b.letIn(by(""))
	st = b.status()
	st.Spec.Access.Audience = "https://shop.test"
	_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", st.Version, st.Spec, deploy.AllowAccess)
	refused(err, "the providers are")
}

func TestAccess_TellsWhatItWasAndWhatItIs(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{people: knownPeople{"ana", "bo"}})
	b.shop(nil)
	told := func() []event.Event {
		list, err := w.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"access.changed"}}, 0)
		require.NoError(t, err)
		return list
	}
	b.letIn(b.status().Spec.Access)
	require.Empty(t, told(), "saved as it was")

	b.letIn(&identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana", "bo"}}}}})
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error { return b.ForgetPerson(t.Context(), tx, "root", "ana") }))
	list := told()
	require.Len(t, list, 2)
	require.Equal(t, "shop", list[0].Project)
	require.Equal(t, "prod", list[0].Stage)
	require.JSONEq(t, `{"hostname": "shop.test", "from": {"rules": [{"allow": {"signed_in": true}}]}, "to": {"rules": [{"allow": {"people": ["ana", "bo"]}}]}}`, string(list[0].Data))
	require.Equal(t, "root", list[1].Actor)
	require.Contains(t, string(list[1].Data), `"to":{"rules":[{"allow":{"people":["bo"]}}]}`)
}

func TestAccess_IsForThoseToChangeWhoMay(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	b.shop(nil)
	public, usual := identity.Public(), identity.SignedIn()
	withTokens := identity.SignedIn()
	withTokens.Audience, withTokens.TokensOf = "shop", "forge"
	requireDenied := func(err error) {
		t.Helper()
		require.Equal(t, fault.Denied, fault.KindOf(err))
		require.Equal(t, "spec.access", fault.FieldsOf(err)[0].Name)
	}
	st := b.status()
	for _, other := range []*identity.Policy{&public, &withTokens, {}} {
		edit := st.Spec
		edit.Access = other
		_, err := b.UpdateStage(t.Context(), "bo", "shop", "prod", st.Version, edit)
		requireDenied(err)
		edit.Hostname = "new.test"
		_, err = b.CreateStage(t.Context(), "bo", "shop", "new", edit)
		requireDenied(err)
		_, err = b.CheckStage(t.Context(), "shop", "prod", edit)
		require.ErrorContains(t, err, "spec.access: only administrators")
		_, err = b.CheckStage(t.Context(), "shop", "prod", edit, deploy.AllowAccess)
		require.NoError(t, err)
	}

	// What was chosen stays in the edit of another, and no edit drops it.
	saved := b.letIn(&public)
	edit := saved.Spec
	edit.Replicas = 2
	_, err := b.CheckStage(t.Context(), "shop", "prod", edit)
	require.NoError(t, err)
	saved, err = b.UpdateStage(t.Context(), "bo", "shop", "prod", saved.Version, edit)
	require.NoError(t, err)
	for _, narrower := range []*identity.Policy{nil, &usual} {
		edit.Access = narrower
		_, err = b.UpdateStage(t.Context(), "bo", "shop", "prod", saved.Version, edit)
		requireDenied(err)
	}

	edit.Hostname, edit.Access = "new.test", &usual
	_, err = b.CreateStage(t.Context(), "bo", "shop", "new", edit)
	require.NoError(t, err, "a new stage is as one of which nobody said who enters")
}
