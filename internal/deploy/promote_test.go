package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// pair makes project shop with the stage staging, which deploys by hand, and
// prod, which promotes from it.
func (b *berth) pair(edit func(prod *deploy.StageSpec)) {
	b.t.Helper()
	b.shop(func(prod *deploy.StageSpec) { prod.Env = map[string]string{"LEVEL": "warn"} })
	_, err := b.CreateStage(b.t.Context(), "ana", "shop", "staging", deploy.StageSpec{
		Hostname: "staging.test", Env: map[string]string{"LEVEL": "debug", "TRACE": "1"},
		Probe: deploy.Probe{Interval: deploy.Duration(20 * time.Millisecond)},
	})
	require.NoError(b.t, err)
	b.edit(func(prod *deploy.StageSpec) {
		prod.PromoteFrom = "staging"
		if edit != nil {
			edit(prod)
		}
	})
}

// edit saves a change of shop's stage prod.
func (b *berth) edit(change func(prod *deploy.StageSpec)) {
	b.t.Helper()
	st := b.status()
	change(&st.Spec)
	_, err := b.UpdateStage(b.t.Context(), "ana", "shop", "prod", st.Version, st.Spec)
	require.NoError(b.t, err)
}

// goStaging deploys a tag to staging and waits until it is live.
func (b *berth) goStaging(tag string) deploy.Deployment {
	b.t.Helper()
	d, err := b.Start(b.t.Context(), deploy.StartRequest{Project: "shop", Stage: "staging", Reference: tag, Trigger: deploy.TriggerAPI, Actor: "ana"})
	require.NoError(b.t, err)
	d = b.end(d.ID)
	require.Equal(b.t, deploy.Live, d.State, d.Error)
	return d
}

// promote has ana ask for a release of staging in prod.
func (b *berth) promote(release string) (deploy.Deployment, error) {
	return b.Promote(b.t.Context(), deploy.PromoteRequest{Project: "shop", Stage: "prod", Release: release, Trigger: deploy.TriggerPerson, Actor: "ana"})
}

// push says that a tag of shop was pushed, as the registry does.
func (w *world) push(tag string) {
	w.t.Helper()
	w.images.mu.Lock()
	push := map[string]string{"repository": "shop", "tag": tag, "digest": w.images.tags["shop:"+tag].Digest}
	w.images.mu.Unlock()
	require.NoError(w.t, w.db.Write(w.t.Context(), func(tx *sqlite.Tx) error {
		return w.events.Append(w.t.Context(), tx, event.Event{Kind: "image.pushed", Actor: "ana"}, push)
	}))
}

// move points a tag at the image of another.
func (f *fakeImages) move(repository, tag, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	moved := f.tags[repository+":"+to]
	moved.Reference = repository + ":" + tag
	f.tags[repository+":"+tag] = moved
}

func TestPromote_TakesTheImageWhereverItsTagPointsByNow(t *testing.T) {
	for _, inEngine := range []bool{true, false} {
		w := newWorld(t)
		b := w.start(options{})
		w.images.push("shop", "1", appGood)
		w.images.push("shop", "other", appGood)
		b.pair(nil)
		staged := b.goStaging("1")
		w.images.move("shop", "1", "other")
		if !inEngine {
			w.engine.mu.Lock()
			delete(w.engine.images, "image-shop-1")
			w.engine.mu.Unlock()
		}
		w.images.away = inEngine // no registry is asked for what the engine has
		d, err := b.promote(staged.Release)
		require.NoError(t, err)
		require.Equal(t, deploy.KindPromote, d.Kind)
		require.Equal(t, &deploy.Source{Stage: "staging", Deployment: staged.ID, Release: staged.Release}, d.Source)
		d = b.end(d.ID)
		require.Equal(t, deploy.Live, d.State, d.Error)
		require.Equal(t, staged.Digest, d.Digest)
		require.Equal(t, "1", d.Reference)
		require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
		require.Equal(t, map[string]string{"LEVEL": "warn"}, b.status().Release.Spec.Env, "prod keeps its own variables")
		require.Equal(t, "shop:1", b.status().Release.Reference)
		b.stop()
	}
}

func TestPromote_IsRefusedWhenTheSourceHasMoved(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.pair(nil)
	_, err := b.promote("anything")
	require.ErrorContains(t, err, "nothing is live in shop/staging to promote")
	seen := b.goStaging("1")
	b.goStaging("2")
	_, err = b.promote(seen.Release)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.ErrorContains(t, err, "staging has moved on: 2 (sha256:")
	list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Stage: "prod"}, deploy.Page{})
	require.NoError(t, err)
	require.Empty(t, list)
	releases, _, err := b.Releases(t.Context(), "shop", "prod", deploy.Page{})
	require.NoError(t, err)
	require.Empty(t, releases, "what was refused leaves nothing")
}

func TestPromote_IsTheOnlyWayInButBack(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for _, tag := range []string{"1", "2", "3"} {
		w.images.push("shop", tag, appGood)
	}
	w.images.push("shop", "bad", appExits)
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteFrom = "" })
	before := b.goLive("1") // while prod took anything
	never := b.end(b.deploy("bad").ID)
	require.Equal(t, deploy.Failed, never.State)
	b.edit(func(prod *deploy.StageSpec) { prod.PromoteFrom = "staging" })
	staged := b.goStaging("2")
	d, err := b.promote(staged.Release)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)

	for _, reference := range []string{"3", "2", "sha256:" + strings.Repeat("0", 64)} {
		_, err = b.Start(t.Context(), deploy.StartRequest{Project: "shop", Stage: "prod", Reference: reference, Trigger: deploy.TriggerAPI, Actor: "ana"})
		require.Equal(t, fault.Clash, fault.KindOf(err), reference)
		require.ErrorContains(t, err, "shop/prod takes only what is promoted from staging")
	}
	_, err = b.Rollback(t.Context(), "ana", "shop", "prod", never.Release, deploy.TriggerPerson)
	require.ErrorContains(t, err, "was never live in shop/prod")

	// The live release with new settings, and what was live here before.
	b.edit(func(prod *deploy.StageSpec) { prod.Env["LEVEL"] = "error" })
	d, err = b.Redeploy(t.Context(), "ana", "shop", "prod", deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Equal(t, []string{"image-shop-2"}, b.ask("shop.test"))
	d, err = b.Rollback(t.Context(), "ana", "shop", "prod", before.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
}

func TestPromote_KeepsPushesOutWhateverTheStoredRuleSays(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.pair(nil)
	// No settings that are saved say both; a row of a database that was mended
	// by hand may.
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			UPDATE stages
			SET spec = json_set(spec, '$.tags.kind', 'glob', '$.tags.pattern', '*')`)
		return err
	}))
	w.push("1")
	b.eventually(func() bool {
		st, err := b.Stage(t.Context(), "shop", "staging")
		require.NoError(t, err)
		return st.Release != nil
	}, "the push deploys to staging")
	require.Nil(t, b.status().Deployment)
}

func TestPromote_RefusesWhatWasAskedForBeforeTheStagePromoted(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{idle: true})
	b.pair(func(prod *deploy.StageSpec) {
		prod.PromoteFrom = ""
		prod.Tags, prod.Approve = deploy.TagRule{Kind: deploy.TagExact, Pattern: "1"}, true
	})
	waits := b.deploy("1")
	b.edit(func(prod *deploy.StageSpec) {
		prod.Tags, prod.Approve, prod.PromoteFrom = deploy.TagRule{Kind: deploy.TagNone}, false, "staging"
	})
	b = w.start(options{})
	d := b.end(waits.ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.Preflight, d.FailedStep)
	require.Contains(t, d.Error, "takes only what is promoted from staging")
}

func TestPromote_TakesOnlyWhatWasHealthyForItsTime(t *testing.T) {
	w := newWorld(t)
	clock, hourLater := shifted(time.Now)
	b := w.start(options{clock: clock})
	for _, tag := range []string{"1", "2"} {
		w.images.push("shop", tag, appGood)
	}
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteAfter = deploy.Duration(time.Hour) })
	first := b.goStaging("1")
	_, err := b.promote(first.Release)
	require.ErrorContains(t, err, "1 has been healthy in staging for")
	hourLater()
	p, err := b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.Empty(t, p.Refused, "it has been healthy for its time")
	second := b.goStaging("2")
	p, err = b.Promotion(t.Context(), "shop", "prod", first.Release)
	require.NoError(t, err)
	require.Empty(t, p.Refused)
	require.Len(t, p.Earlier, 1)
	require.Equal(t, first.Release, p.Earlier[0].ID)
	_, err = b.promote(first.Release)
	require.ErrorContains(t, err, "staging has moved on", "not without having seen what is live")
	d, err := b.Promote(t.Context(), deploy.PromoteRequest{
		Project: "shop", Stage: "prod", Release: first.Release, Seen: second.Release, Trigger: deploy.TriggerPerson, Actor: "ana",
	})
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
}

func TestPromotion_TellsWhatChangesAndWhatStaysDifferent(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.pair(nil)
	p, err := b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.Equal(t, "nothing is live in shop/staging to promote", p.Refused)
	first := b.goStaging("1")
	p, err = b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.Empty(t, p.Refused)
	require.Equal(t, first.Release, p.Release.ID)
	require.Equal(t, []deploy.Change{{Field: "image", To: "shop:1"}, {Field: "digest", To: first.Digest}}, p.Changes)
	require.Equal(t, []deploy.Change{
		{Field: "spec.env.LEVEL", From: "debug", To: "warn"}, {Field: "spec.env.TRACE", From: "1"},
	}, p.Differs)
	d, err := b.promote(first.Release)
	require.NoError(t, err)
	b.end(d.ID)
	b.goStaging("2")
	b.edit(func(prod *deploy.StageSpec) { prod.Env["LEVEL"] = "error" })
	p, err = b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	fields := []string{}
	for _, c := range p.Changes {
		fields = append(fields, c.Field)
	}
	require.Equal(t, []string{"image", "digest", "spec.env.LEVEL"}, fields, "with the image goes what is saved")
	_, err = b.Promotion(t.Context(), "shop", "staging", "")
	require.ErrorContains(t, err, "shop/staging promotes from no stage")
}

func TestAutoPromote_TakesWhatIsHealthyForItsTimeAlsoOverARestart(t *testing.T) {
	w := newWorld(t)
	clock, hourLater := shifted(time.Now)
	b := w.start(options{clock: clock})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.pair(func(prod *deploy.StageSpec) {
		prod.PromoteAfter, prod.AutoPromote = deploy.Duration(time.Hour), true
	})
	first := b.goStaging("1")
	p, err := b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.False(t, p.DueAt.IsZero())
	b.stop()
	require.Nil(t, b.status().Deployment, "not before its time")
	hourLater()
	b = w.start(options{clock: clock})
	b.eventually(func() bool { return slices.Equal(b.ask("shop.test"), []string{"image-shop-1"}) }, "it is promoted")
	status := b.status()
	d := b.end(status.Deployment.ID)
	require.Equal(t, deploy.KindPromote, d.Kind)
	require.Equal(t, deploy.TriggerPromote, d.Trigger)
	require.Equal(t, "berth", d.Actor)
	require.Equal(t, first.ID, d.Source.Deployment)
	require.False(t, status.Release.CreatedAt.Before(p.DueAt), "%s is before %s", status.Release.CreatedAt, p.DueAt)

	// A person goes back; what was promoted once is not promoted again.
	b.goStaging("2")
	hourLater()
	b.lookAgain()
	b.eventually(func() bool { return slices.Equal(b.ask("shop.test"), []string{"image-shop-2"}) }, "the next one is promoted")
	b.end(b.status().Deployment.ID)
	back, err := b.Rollback(t.Context(), "ana", "shop", "prod", d.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	b.end(back.ID)
	p, err = b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.True(t, p.DueAt.IsZero())
	require.Empty(t, p.Refused, "by hand it may be")
}

func TestAutoPromote_LooksOnceMoreAtWhatItTakes(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.pair(nil)
	staged := b.goStaging("1")
	status, err := b.Stage(t.Context(), "shop", "staging")
	require.NoError(t, err)
	// The engine is away when the container ends, so nobody has seen that.
	b.stop()
	w.engine.crash(status.Instances[0].Container, 9)
	b = w.start(options{idle: true})
	b.edit(func(prod *deploy.StageSpec) { prod.AutoPromote = true })
	b = w.start(options{})
	b.eventually(func() bool { return b.status().Release != nil }, "it is promoted once it is up again")
	p, err := b.Promotion(t.Context(), "shop", "prod", "")
	require.NoError(t, err)
	require.True(t, p.HealthySince.After(staged.FinishedAt), "the time before it was found dead proves nothing")
}

func TestPromoteFrom_NamesAnotherStageAndNeverGoesRound(t *testing.T) {
	b := newWorld(t).start(options{idle: true})
	b.pair(nil)
	refused := func(stage, from, message string) {
		t.Helper()
		st, err := b.Stage(t.Context(), "shop", stage)
		require.NoError(t, err)
		st.Spec.PromoteFrom = from
		for _, check := range []func() error{
			func() error { _, err := b.CheckStage(t.Context(), "shop", stage, st.Spec); return err },
			func() error {
				_, err := b.UpdateStage(t.Context(), "ana", "shop", stage, st.Version, st.Spec)
				return err
			},
		} {
			err := check()
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			require.Equal(t, []fault.Field{{Name: "spec.promote_from", Message: message}}, fault.FieldsOf(err))
		}
	}
	refused("prod", "prod", "a stage does not promote from itself")
	refused("prod", "nowhere", `there is no stage named "nowhere" in project "shop"`)
	refused("staging", "prod", "it would go round: staging from prod from staging")
	_, err := b.CreateStage(t.Context(), "ana", "shop", "last", deploy.StageSpec{Hostname: "last.test", PromoteFrom: "prod"})
	require.NoError(t, err, "a chain is fine")
	refused("staging", "last", "it would go round: staging from last from prod from staging")
	_, err = b.CreateStage(t.Context(), "ana", "shop", "self", deploy.StageSpec{Hostname: "self.test", PromoteFrom: "self"})
	require.Equal(t, "spec.promote_from", fault.FieldsOf(err)[0].Name)

	_, err = b.RemoveStage(t.Context(), "ana", "shop", "staging")
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.ErrorContains(t, err, "prod promotes from shop/staging: change that first")
	_, err = b.RemoveProject(t.Context(), "ana", "shop")
	require.NoError(t, err, "all go together")
}

func TestPromoteFrom_IsNoChangeToDeploy(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteFrom = "" })
	b.goLive("1")
	b.edit(func(prod *deploy.StageSpec) {
		prod.PromoteFrom, prod.PromoteAfter, prod.AutoPromote, prod.PromoteApproval = "staging", deploy.Duration(time.Minute), true, true
	})
	require.Empty(t, b.status().Changes, "it counts as soon as it is saved")
}

func TestPush_OfALowerVersionDoesNotReplaceAHigherOne(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for _, tag := range []string{"1.3.9", "1.4.0", "1.4.1"} {
		w.images.push("shop", tag, appGood)
	}
	b.shop(func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"} })
	b.goLive("1.4.0")
	w.push("1.3.9")
	w.push("1.4.0") // again, which may be another image
	w.push("1.4.1")
	b.servesOnly("image-shop-1.4.1", 1)
	list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{}, deploy.Page{})
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(list, func(d deploy.Deployment) bool { return d.Reference == "1.3.9" }))
}
