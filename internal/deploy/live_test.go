package deploy_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(body)
}

func TestStart_NeverLetsAnOlderGenerationOvertake(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "slow", appGood)
	w.images.push("shop", "fast", appGood)
	begun, go1 := make(chan struct{}), make(chan struct{})
	// Two Berths at one database, as when an old process lives on: the first
	// one is slow to switch, the second one is asked for something newer.
	slow := w.start(options{hook: func(_ *berth, _ string, step deploy.StepName, when string) {
		if step == deploy.ProbeStep && when == "after" {
			close(begun)
			<-go1
		}
	}})
	slow.shop(nil)
	old := slow.deploy("slow")
	<-begun

	// The newer one is live before the older one goes on.
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			UPDATE stages
			SET generation = 2, live_generation = 2`)
		return err
	}))
	close(go1)
	d := slow.end(old.ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.SwitchRoute, d.FailedStep)
	require.Contains(t, d.Error, "newer")
	require.Empty(t, slow.engine.all())
}

func TestStart_EndsWithTheNewestOfMany(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "slow", appSlow)
	b.shop(nil)
	ids := []string{b.deploy("slow").ID}
	for n := range 8 {
		tag := strconv.Itoa(n)
		w.images.push("shop", tag, appGood)
		ids = append(ids, b.deploy(tag).ID)
	}
	last := b.end(ids[8])
	require.Equal(t, deploy.Live, last.State)
	b.servesOnly("image-shop-7", 1)
	states := map[deploy.State]int{}
	for _, id := range ids {
		d := b.end(id)
		states[d.State]++
	}
	require.Equal(t, 1, states[deploy.Live])
	require.Equal(t, 9, states[deploy.Live]+states[deploy.Replaced]+states[deploy.Superseded])
	require.Positive(t, states[deploy.Superseded])
}

func TestStart_DoesNotPullWhatTheEngineHas(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	b.goLive("1")
	d := b.goLive("1")
	require.Equal(t, deploy.StepSkipped, d.Steps[stepIndex(deploy.PullImage)].State)
	require.Equal(t, 1, b.engine.called("Pull"))
	releases, _, err := b.Releases(t.Context(), "shop", "prod", deploy.Page{})
	require.NoError(t, err)
	require.Len(t, releases, 1, "the same image and configuration are one release")
}

func TestStage_SaysThatASecretWasSetAnew(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(func(s *deploy.StageSpec) {
		s.Secrets = map[string]deploy.SecretRef{"PASSWORD": {Context: "shop", Name: "password"}}
	})
	w.setAt = map[string]time.Time{"shop/password": time.Now().Add(-time.Hour)}
	b.goLive("1")
	require.Empty(t, b.status().Changes)
	w.setAt = map[string]time.Time{"shop/password": time.Now().Add(time.Second), "shop/other": time.Now().Add(time.Second)}
	require.Equal(t, []deploy.Change{{Field: "spec.secrets.PASSWORD", From: "shop/password", To: "shop/password (set anew)"}}, b.status().Changes)
	w.setAt = map[string]time.Time{"shop/password": time.Now()}
	b.eventually(func() bool { return time.Now().After(w.setAt["shop/password"]) }, "time passes")
	d, err := b.Redeploy(t.Context(), "ana", "shop", "prod", deploy.TriggerAPI)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Empty(t, b.status().Changes)
}

func TestRollback_NeedsNoRegistryAndTakesTheReleasesConfiguration(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(func(s *deploy.StageSpec) { s.Env = map[string]string{"LEVEL": "info"} })
	first := b.goLive("1")
	status := b.status()
	status.Spec.Env = map[string]string{"LEVEL": "debug"}
	_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", status.Version, status.Spec)
	require.NoError(t, err)
	require.Equal(t, []deploy.Change{{Field: "spec.env.LEVEL", From: "info", To: "debug"}}, b.status().Changes)
	b.goLive("2")
	require.Empty(t, b.status().Changes)

	changes, err := b.Compare(t.Context(), "shop", "prod", first.Release)
	require.NoError(t, err)
	require.Equal(t, deploy.Change{Field: "image", From: "shop:2", To: "shop:1"}, changes[0])
	require.Equal(t, deploy.Change{Field: "spec.env.LEVEL", From: "debug", To: "info"}, changes[2])

	w.images.away = true
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.KindRollback, d.Kind)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	b.servesOnly("image-shop-1", 1)
	require.Equal(t, "info", b.engine.specOf(b.engine.all()[0].ID).Env["LEVEL"])

	// A redeploy takes the saved configuration to the live image.
	d, err = b.Redeploy(t.Context(), "ana", "shop", "prod", deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	b.servesOnly("image-shop-1", 1)
	require.Equal(t, "debug", b.engine.specOf(b.engine.all()[0].ID).Env["LEVEL"])
}

func TestRollback_SaysWhenTheImageIsGone(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	first := b.goLive("1")
	b.goLive("2")
	w.engine.mu.Lock()
	delete(w.engine.images, "image-shop-1")
	w.engine.mu.Unlock()
	_, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.ErrorContains(t, err, "no longer in the container engine")
	releases, _, err := b.Releases(t.Context(), "shop", "prod", deploy.Page{})
	require.NoError(t, err)
	require.True(t, releases[0].Available)
	require.False(t, releases[1].Available)
}

func TestRun_DrainsBeforeItStops(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	first := b.goLive("1")
	drain := make(chan struct{})
	b.router.mu.Lock()
	b.router.drain, b.router.cut = drain, 2
	b.router.mu.Unlock()
	second := b.deploy("2")
	b.eventually(func() bool { d, _ := b.Deployment(t.Context(), second.ID); return d.State == deploy.Live }, "it is live before the old one drained")
	require.Len(t, b.engine.all(), 2)
	require.Equal(t, []string{"image-shop-2"}, b.ask("shop.test"))
	close(drain)
	d := b.end(second.ID)
	require.Contains(t, d.Steps[stepIndex(deploy.DrainOld)].Detail, "2 ")
	b.servesOnly("image-shop-2", 1)
	b.router.mu.Lock()
	defer b.router.mu.Unlock()
	require.Equal(t, []string{first.ID}, b.router.drained)
}

func TestStart_DoesNotWaitForTheReleaseBeforeToGiveWay(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for _, tag := range []string{"1", "2", "3"} {
		w.images.push("shop", tag, appGood)
	}
	b.shop(nil)
	first := b.goLive("1")
	drain := b.router.holdDrains()
	second := b.deploy("2")
	b.eventually(func() bool { return len(b.router.drains()) == 1 }, "the first release drains")
	third := b.deploy("3")
	b.eventually(func() bool { return b.status().LiveDeployment == third.ID && b.status().State == deploy.StageHealthy }, "the third is live meanwhile")
	b.eventually(func() bool { d, _ := b.Deployment(t.Context(), third.ID); return d.State == deploy.Live }, "and told so")
	require.Equal(t, []string{"image-shop-3"}, b.ask("shop.test"))
	require.Len(t, b.engine.all(), 3, "what drains is there still")
	close(drain)
	b.servesOnly("image-shop-3", 1)
	require.Equal(t, deploy.Live, b.end(third.ID).State)
	require.Equal(t, deploy.Replaced, b.end(second.ID).State)
	require.Equal(t, deploy.Replaced, b.end(first.ID).State)
	require.Equal(t, []string{first.ID, second.ID}, b.router.drains())
}

func TestRun_KeepsOldInstancesForTheirTimeEvenOverARestart(t *testing.T) {
	w := newWorld(t)
	clock, hourLater := shifted(time.Now)
	b := w.start(options{clock: clock})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(func(s *deploy.StageSpec) { s.KeepOld = deploy.Duration(time.Hour + 2*time.Second) })
	first := b.goLive("1")
	second := b.goLive("2")
	require.Equal(t, deploy.StepSkipped, second.Steps[stepIndex(deploy.StopOld)].State)
	require.Len(t, b.engine.all(), 2)
	require.Equal(t, deploy.Replaced, b.end(first.ID).State, "a stage has one live release")
	b.stop()
	require.Len(t, w.engine.all(), 2)
	b = w.start(options{clock: clock})
	<-b.Ready()
	require.Len(t, b.engine.all(), 2)
	require.Equal(t, []string{"image-shop-2"}, b.ask("shop.test"))
	b.stop()
	hourLater()
	b = w.start(options{clock: clock})
	b.eventually(func() bool { return len(b.engine.all()) == 1 }, "the old one is stopped when its time has come")
}

func TestRun_RestartsWhatDiedAndRoutesWithoutItMeanwhile(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 2 })
	b.goLive("1")
	b.servesOnly("image-shop-1", 2)
	was := b.status().Instances[0]
	b.engine.crash(was.Container, 7)
	b.eventually(func() bool {
		i, err := b.Instance(t.Context(), was.ID)
		require.NoError(t, err)
		return i.State == deploy.InstanceReady && i.Address != was.Address
	}, "the instance comes back at another address")
	b.servesOnly("image-shop-1", 2)
	list, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"instance.state"}}, 100)
	require.NoError(t, err)
	require.NotEmpty(t, list)

	require.NoError(t, b.engine.Remove(t.Context(), was.Container))
	b.eventually(func() bool {
		i, err := b.Instance(t.Context(), was.ID)
		require.NoError(t, err)
		return i.State == deploy.InstanceReady && i.Container != was.Container
	}, "the instance is made anew")
	b.servesOnly("image-shop-1", 2)
}

func TestRun_KeepsRoutesWhileTheEngineIsAway(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	b.goLive("1")
	was := b.status().Instances[0]
	b.engine.leave()
	failed := b.end(b.deploy("1").ID)
	require.Equal(t, deploy.Failed, failed.State)
	require.Equal(t, deploy.Preflight, failed.FailedStep)
	require.Contains(t, failed.Error, "container engine does not answer")
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"), "the route stays as it was")

	// The engine comes back with everything stopped.
	b.engine.stopAll()
	b.engine.comeBack()
	b.eventually(func() bool {
		i, err := b.Instance(t.Context(), was.ID)
		require.NoError(t, err)
		return i.State == deploy.InstanceReady && i.Address != was.Address
	}, "the release comes back")
	b.servesOnly("image-shop-1", 1)
}

func TestRun_WorksOnceTheEngineIsThere(t *testing.T) {
	w := newWorld(t)
	w.engine.leave()
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	d := b.deploy("1")
	require.Equal(t, deploy.StageDeploying, b.status().State)
	w.engine.comeBack()
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	b.servesOnly("image-shop-1", 1)
}

func TestRun_MakesAContainerAnewWhosePortWasTaken(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 2 })
	w.engine.takePorts(3)
	b.goLive("1")
	b.servesOnly("image-shop-1", 2)

	w.engine.takePorts(100)
	d := b.end(b.deploy("2").ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.StartStep, d.FailedStep)
	require.Contains(t, d.Error, "address already in use")
	b.servesOnly("image-shop-1", 2)

	w.engine.takePorts(2)
	b.engine.crash(b.status().Instances[0].Container, 1)
	b.servesOnly("image-shop-1", 2)
}

func TestRun_StopsOldInstancesLaterWhenTheEngineRefuses(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	first := b.goLive("1")
	w.engine.refuseWith("Stop", errEngineAway)
	second := b.goLive("2")
	require.Equal(t, deploy.StepFailed, second.Steps[stepIndex(deploy.StopOld)].State)
	w.engine.refuseWith("Stop", nil)
	b.eventually(func() bool { return b.end(first.ID).State == deploy.Replaced }, "the old one is stopped when that works")
	b.servesOnly("image-shop-2", 1)
}

func TestRun_DeploysAPushOnceEvenAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1.0.0", appGood)
	w.images.push("shop", "1.1.0", appGood)
	idle := w.start(options{idle: true})
	idle.shop(func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"} })
	push := func(repository, tag string) {
		require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			return w.events.Append(t.Context(), tx, event.Event{Kind: "image.pushed", Actor: "ana"},
				map[string]string{"repository": repository, "tag": tag, "digest": "sha256:1"})
		}))
	}
	push("shop", "1.0.0") // while no Berth runs
	push("shop", "2.0.0")
	push("other", "1.0.0")
	for range 3 {
		b := w.start(options{})
		b.servesOnly("image-shop-1.0.0", 1)
		b.stop()
	}
	b := w.start(options{})
	push("shop", "1.1.0")
	b.servesOnly("image-shop-1.1.0", 1)
	list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop"}, deploy.Page{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, deploy.TriggerPush, list[0].Trigger)
	require.Equal(t, "ana", list[0].Actor)
}

func TestRemoveStage_LeavesOnlyVolumes(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appDeaf)
	b.shop(func(s *deploy.StageSpec) { s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}} })
	b.goLive("1")
	require.Equal(t, []container.Mount{{Kind: container.MountVolume, Source: "berth_shop_prod_data", Path: "/data"}},
		b.engine.specOf("container-1").Mounts)
	b.deploy("2")
	b.eventually(func() bool { return len(b.engine.all()) == 2 }, "a deployment is under way")
	kept, err := b.RemoveProject(t.Context(), "ana", "shop")
	require.NoError(t, err)
	require.Equal(t, []string{"berth_shop_prod_data"}, kept)
	require.Empty(t, b.engine.all())
	_, routed := b.router.of("shop.test")
	require.False(t, routed)
	_, err = b.Project(t.Context(), "shop")
	require.Equal(t, fault.Missing, fault.KindOf(err))
	b.shop(nil) // all names are free again
	b.goLive("1")
	b.servesOnly("image-shop-1", 1)
}

func TestStart_IsRefusedAnAddressThatAnotherStageServes(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	first := b.goLive("1")
	status := b.status()
	status.Spec.Hostname = "moved.test"
	_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", status.Version, status.Spec)
	require.NoError(t, err)
	_, err = b.CreateStage(t.Context(), "ana", "shop", "dev", deploy.StageSpec{Hostname: "shop.test"})
	require.ErrorContains(t, err, "shop.test/ is the address of shop/prod", "its live release serves it still")
	b.goLive("1")
	_, err = b.CreateStage(t.Context(), "ana", "shop", "dev", deploy.StageSpec{Hostname: "shop.test"})
	require.NoError(t, err)
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	back := b.end(d.ID)
	require.Equal(t, deploy.Failed, back.State)
	require.Contains(t, back.Error, "shop.test/ is the address of shop/dev")
}
