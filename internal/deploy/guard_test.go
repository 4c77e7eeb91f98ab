package deploy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
)

func guarded(s *deploy.StageSpec) { s.Guard = deploy.Guard{Window: deploy.Duration(time.Hour)} }

func tried(s *deploy.StageSpec) {
	s.Canary = deploy.CanaryRule{Share: 10, Duration: deploy.Duration(time.Hour)}
}

// step gives a step of a deployment; one that is not in its journal is empty.
func (b *berth) step(id string, name deploy.StepName) deploy.Step {
	b.t.Helper()
	d, err := b.Deployment(b.t.Context(), id)
	require.NoError(b.t, err)
	for _, s := range d.Steps {
		if s.Name == name {
			return s
		}
	}
	return deploy.Step{}
}

// reaches waits until a step of a deployment runs and what it watches is
// watched.
func (b *berth) reaches(id string, name deploy.StepName) {
	b.t.Helper()
	b.eventually(func() bool {
		d, err := b.Deployment(b.t.Context(), id)
		require.NoError(b.t, err)
		return b.step(id, name).State == deploy.StepRunning && len(d.Watches) > 0 &&
			d.Watches[len(d.Watches)-1].State == deploy.Watching
	}, "it reaches "+string(name))
}

// twoReleases makes shop with release 1 live.
func twoReleases(t *testing.T, edit func(*deploy.StageSpec)) (*berth, deploy.Deployment) {
	t.Helper()
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	w.images.push("shop", "3", appGood)
	b := w.start(options{})
	b.shop(edit)
	first := b.goLive("1")
	w.meter.count(first.ID, 1000, 1)
	return b, first
}

func TestGuard_GivesTheStageBackToTheOldInstances(t *testing.T) {
	b, first := twoReleases(t, func(s *deploy.StageSpec) { guarded(s); s.Replicas = 2 })
	require.Equal(t, deploy.StepSkipped, b.step(first.ID, deploy.GuardStep).State, "nothing was live before the first one")
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	require.Len(t, b.engine.all(), 4, "the old instances are kept while the new ones are watched")
	require.ElementsMatch(t, []string{"image-shop-2", "image-shop-2"}, b.ask("shop.test"))

	made := b.engine.called("Create")
	b.meter.count(second.ID, 50, 0)
	b.meter.count(second.ID, 0, 40)
	breach := time.Now()
	d := b.end(second.ID)
	require.Less(t, time.Since(breach), 5*time.Second)
	require.Equal(t, deploy.Reverted, d.State)
	require.Equal(t, deploy.GuardStep, d.FailedStep)
	require.Contains(t, d.Error, "40 of 90 answers were errors (44\u00a0%), where the release before had 0.1\u00a0%")
	b.servesOnly("image-shop-1", 2)
	require.Equal(t, made, b.engine.called("Create"), "no container is made for it")
	require.Equal(t, first.ID, b.status().LiveDeployment)
	require.Equal(t, deploy.Live, b.end(first.ID).State)
	require.Len(t, d.Watches, 1)
	require.Equal(t, deploy.Breached, d.Watches[0].State)
	require.Contains(t, b.figures(), "berth_watches_total guard shop prod breached 1")
	require.Equal(t, int64(40), d.Watches[0].Seen.Errors)

	// The next one goes its way, and only forward.
	b.meter.count(first.ID, 1000, 1)
	third := b.deploy("3")
	b.reaches(third.ID, deploy.GuardStep)
	require.NoError(t, b.GoOn(t.Context(), "ana", third.ID))
	require.Equal(t, deploy.Live, b.end(third.ID).State)
	require.Greater(t, third.Generation, d.Generation)
	b.servesOnly("image-shop-3", 1*2)
	require.Equal(t, deploy.Replaced, b.end(first.ID).State)
}

func TestGuard_TakesAReleaseBackWhoseContainerEnds(t *testing.T) {
	b, _ := twoReleases(t, guarded)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	route, _ := b.router.of("shop.test")
	b.engine.crash(route.Instances[0].Container, 9)
	d := b.end(second.ID)
	require.Equal(t, deploy.Reverted, d.State)
	require.Contains(t, d.Error, "its containers ended once")
	require.Contains(t, d.Error, "exited with code 9")
	b.servesOnly("image-shop-1", 1)
}

// The beats alone would take half a minute.
func TestGuard_TakesAReleaseBackThatHangs(t *testing.T) {
	t.Parallel()
	b, _ := twoReleases(t, func(s *deploy.StageSpec) { guarded(s); s.Probe.Timeout = deploy.Duration(500 * time.Millisecond) })
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	route, _ := b.router.of("shop.test")
	hung := time.Now()
	b.engine.hang(route.Instances[0].Container, true)
	d := b.end(second.ID)
	require.Less(t, time.Since(hung), 8*time.Second)
	require.Equal(t, deploy.Reverted, d.State)
	require.Equal(t, "its instances stopped answering once: GET /: no answer in time", d.Error)
	b.servesOnly("image-shop-1", 1)
}

func TestGuard_CountsOneFallOnce(t *testing.T) {
	t.Parallel()
	b, _ := twoReleases(t, func(s *deploy.StageSpec) {
		guarded(s)
		s.Guard.Restarts, s.Replicas, s.Probe.Timeout = 1, 2, deploy.Duration(300*time.Millisecond)
	})
	b.stop()
	b = b.start(options{beat: 700 * time.Millisecond}) // about as often as the guard asks
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	route, _ := b.router.of("shop.test")
	b.engine.hang(route.Instances[0].Container, true)
	seen := func() int { d, _ := b.Deployment(t.Context(), second.ID); return d.Watches[0].Seen.Silent }
	b.eventually(func() bool { return seen() > 0 }, "it is noticed")
	// Nothing is asked meanwhile: one that hangs answers nobody.
	has := func(n int) func() bool {
		return func() bool { route, _ := b.router.of("shop.test"); return len(route.Instances) == n }
	}
	b.eventually(has(1), "the other one has all requests")
	require.Never(t, func() bool { return seen() > 1 }, 5*time.Second, 100*time.Millisecond, "by whichever asks")
	b.engine.hang(route.Instances[0].Container, false)
	b.eventually(has(2), "it answers again")
	b.engine.hang(route.Instances[0].Container, true)
	d := b.end(second.ID)
	require.Equal(t, deploy.Reverted, d.State)
	require.Equal(t, 2, d.Watches[0].Seen.Silent, "another fall is another")
	b.servesOnly("image-shop-1", 2)
}

func TestGuard_DoesNotWaitForAnOldInstanceThatHangs(t *testing.T) {
	t.Parallel()
	b, first := twoReleases(t, func(s *deploy.StageSpec) { guarded(s); s.Replicas, s.Probe.Timeout = 2, deploy.Duration(time.Minute) })
	old := b.engine.all()[0].ID
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	b.engine.hang(old, true)
	b.meter.count(second.ID, 0, 100)
	breach := time.Now()
	require.Equal(t, deploy.Reverted, b.end(second.ID).State)
	require.Less(t, time.Since(breach), 5*time.Second)
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
	b.engine.hang(old, false)
	require.Equal(t, first.ID, b.status().LiveDeployment)
}

func TestGuard_WaitsForAnOldInstanceThatIsSlowWhereItIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	b, _ := twoReleases(t, func(s *deploy.StageSpec) { guarded(s); s.Probe.Timeout = deploy.Duration(time.Minute) })
	old := b.engine.all()[0].ID
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	b.engine.hang(old, true)
	asked := b.engine.asked(old)
	b.meter.count(second.ID, 0, 100)
	b.eventually(func() bool { return b.engine.asked(old) > asked }, "it is asked on the way back")
	b.engine.hang(old, false)
	require.Equal(t, deploy.Reverted, b.end(second.ID).State)
	b.servesOnly("image-shop-1", 1)
}

func TestGuard_JudgesWhileAnOldInstanceIsStarted(t *testing.T) {
	t.Parallel()
	b, _ := twoReleases(t, func(s *deploy.StageSpec) { guarded(s); s.Replicas = 2 })
	old := b.engine.all()[0].ID
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	starts := b.engine.called("Start")
	held := b.engine.holdStarts()
	b.engine.crash(old, 1)
	b.eventually(func() bool { return b.engine.called("Start") > starts }, "it is being started")
	b.meter.count(second.ID, 0, 100)
	breach := time.Now()
	b.eventually(func() bool {
		d, err := b.Deployment(t.Context(), second.ID)
		require.NoError(t, err)
		return d.State == deploy.Reverted
	}, "the engine keeps nobody from judging")
	require.Less(t, time.Since(breach), 5*time.Second)
	b.eventually(func() bool { return len(b.ask("shop.test")) == 1 && b.ask("shop.test")[0] == "image-shop-1" }, "the other old one has all requests")
	close(held)
	b.servesOnly("image-shop-1", 2)
}

func TestGuard_KeepsTheReleaseWhenTheOldOneCanNotTakeOver(t *testing.T) {
	b, first := twoReleases(t, guarded)
	old := b.engine.all()[0].ID
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	b.engine.refuseWith("Start", fault.Unavailable("no"))
	b.engine.crash(old, 1)
	b.meter.count(second.ID, 0, 100)
	d := b.end(second.ID)
	require.Equal(t, deploy.Live, d.State, "a release that fails is better than none")
	require.Contains(t, b.step(second.ID, deploy.GuardStep).Detail, "could not be given back")
	b.engine.refuseWith("Start", nil)
	b.servesOnly("image-shop-2", 1)
	require.Equal(t, deploy.Replaced, b.end(first.ID).State)
}

func TestGuard_StartsAnOldInstanceAgainThatEnds(t *testing.T) {
	b, _ := twoReleases(t, guarded)
	old := b.engine.all()[0].ID
	b.engine.crash(old, 1)
	b.servesOnly("image-shop-1", 1)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	b.engine.crash(old, 1)
	b.eventually(func() bool {
		for _, c := range b.engine.all() {
			if c.ID == old {
				return c.State == "running"
			}
		}
		return false
	}, "it is started again though it serves nothing")
	b.meter.count(second.ID, 0, 100)
	require.Equal(t, deploy.Reverted, b.end(second.ID).State)
	b.servesOnly("image-shop-1", 1)
}

func TestGuard_LetsAPersonsRequestInAndAPushWait(t *testing.T) {
	b, _ := twoReleases(t, guarded)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	third := b.deploy("3")
	require.Equal(t, deploy.Live, orReplaced(b.end(second.ID).State))
	require.Contains(t, b.step(second.ID, deploy.GuardStep).Detail, "a newer request came")
	b.reaches(third.ID, deploy.GuardStep)
	require.NoError(t, b.GoOn(t.Context(), "ana", third.ID))
	b.end(third.ID)
	b.servesOnly("image-shop-3", 1)
	err := b.GoOn(t.Context(), "ana", third.ID)
	require.Equal(t, fault.Clash, fault.KindOf(err), "nothing is watched any more")
}

func orReplaced(s deploy.State) deploy.State {
	if s == deploy.Replaced {
		return deploy.Live
	}
	return s
}

func TestRollback_UsesTheInstancesThatStillRun(t *testing.T) {
	b, first := twoReleases(t, guarded)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.GuardStep)
	made := b.engine.called("Create")
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, first.ID, d.ID, "it is the deployment whose instances still run")
	require.Equal(t, deploy.Live, d.State)
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"), "at once")
	back := b.end(second.ID)
	require.Equal(t, deploy.Reverted, back.State)
	require.Contains(t, back.Error, "ana rolled back to shop:1")
	require.Equal(t, deploy.Ended, back.Watches[0].State)
	b.servesOnly("image-shop-1", 1)
	require.Equal(t, made, b.engine.called("Create"))
}

func TestRollback_UsesTheInstancesThatAreKept(t *testing.T) {
	b, first := twoReleases(t, func(s *deploy.StageSpec) { s.KeepOld = deploy.Duration(time.Hour) })
	second := b.goLive("2")
	require.Len(t, b.engine.all(), 2)
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, first.ID, d.ID)
	require.Equal(t, deploy.Reverted, b.end(second.ID).State)
	b.servesOnly("image-shop-1", 1)
	require.Empty(t, b.step(second.ID, deploy.GuardStep).Name)

	// Back and forth: of the second one nothing is left, so it is made anew.
	d, err = b.Rollback(t.Context(), "ana", "shop", "prod", second.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.KindRollback, d.Kind)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
}

func TestCanary_GoesToAFewAndThenToAll(t *testing.T) {
	b, first := twoReleases(t, tried)
	require.Equal(t, deploy.StepSkipped, b.step(first.ID, deploy.CanaryStep).State)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.CanaryStep)
	b.eventually(func() bool {
		route, _ := b.router.of("shop.test")
		return route.Canary != nil
	}, "some go to the canary")
	route, _ := b.router.of("shop.test")
	require.Equal(t, first.ID, route.Deployment)
	require.Equal(t, second.ID, route.Canary.Deployment)
	require.Equal(t, 10, route.Canary.Share)
	require.Len(t, route.Canary.Instances, 1)
	require.Equal(t, first.ID, b.status().LiveDeployment)

	b.meter.count(second.ID, 100, 0)
	require.NoError(t, b.GoOn(t.Context(), "ana", second.ID))
	d := b.end(second.ID)
	require.Equal(t, deploy.Live, d.State)
	require.Equal(t, "0 of 100 answers were errors; ana ended the canary early", b.step(second.ID, deploy.CanaryStep).Detail)
	require.Empty(t, b.step(second.ID, deploy.GuardStep).Name, "it asks for no guard")
	b.servesOnly("image-shop-2", 1)
	route, _ = b.router.of("shop.test")
	require.Nil(t, route.Canary)
}

func TestCanary_GoesBackWhenItDoesWorse(t *testing.T) {
	b, first := twoReleases(t, tried)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.CanaryStep)
	withdrawn := b.stateAtEnd(second.ID)
	b.meter.count(first.ID, 1000, 0)
	b.meter.count(second.ID, 60, 40)
	d := b.end(second.ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.CanaryStep, d.FailedStep)
	require.Contains(t, d.Error, "40 of 100 answers were errors (40\u00a0%), where the release before had 0\u00a0%")
	require.Equal(t, deploy.Running, <-withdrawn, "its clients are gone before anybody reads that it failed")
	b.servesOnly("image-shop-1", 1)
	route, _ := b.router.of("shop.test")
	require.Nil(t, route.Canary)
	require.Contains(t, b.router.drained, second.ID, "what it still answered was waited for")
}

func TestCanary_GoesBackWhenItsContainerEnds(t *testing.T) {
	b, _ := twoReleases(t, tried)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.CanaryStep)
	for _, c := range b.engine.all() {
		if c.Image == "image-shop-2" {
			b.engine.crash(c.ID, 4)
		}
	}
	d := b.end(second.ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Contains(t, d.Error, "exited with code 4")
	b.servesOnly("image-shop-1", 1)
}

func TestCanary_IsCanceledAndSuperseded(t *testing.T) {
	b, first := twoReleases(t, tried)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.CanaryStep)
	require.NoError(t, b.Cancel(t.Context(), "ana", second.ID))
	d := b.end(second.ID)
	require.Equal(t, deploy.Canceled, d.State)
	require.Equal(t, deploy.Ended, d.Watches[0].State)
	b.servesOnly("image-shop-1", 1)

	again := b.deploy("2")
	b.reaches(again.ID, deploy.CanaryStep)
	third := b.deploy("3")
	require.Equal(t, deploy.Superseded, b.end(again.ID).State)
	b.reaches(third.ID, deploy.CanaryStep)
	require.NoError(t, b.GoOn(t.Context(), "ana", third.ID))
	require.Equal(t, deploy.Live, b.end(third.ID).State)
	b.servesOnly("image-shop-3", 1)
	require.Equal(t, deploy.Replaced, b.end(first.ID).State)
}

func TestGuardAndCanary_GoOnAfterARestart(t *testing.T) {
	both := func(s *deploy.StageSpec) { guarded(s); tried(s) }
	b, first := twoReleases(t, both)
	second := b.deploy("2")
	b.reaches(second.ID, deploy.CanaryStep)
	b.stop()
	b = b.start(options{})
	b.reaches(second.ID, deploy.CanaryStep)
	b.eventually(func() bool {
		route, _ := b.router.of("shop.test")
		return route.Canary != nil && route.Deployment == first.ID
	}, "the canary is routed to again")
	require.NoError(t, b.GoOn(t.Context(), "ana", second.ID))
	b.reaches(second.ID, deploy.GuardStep)
	b.stop()
	b = b.start(options{})
	b.reaches(second.ID, deploy.GuardStep)
	require.Len(t, b.engine.all(), 2)
	b.meter.count(second.ID, 0, 100)
	d := b.end(second.ID)
	require.Equal(t, deploy.Reverted, d.State)
	require.Contains(t, d.Error, "where the release before had", "it is still compared with the one before")
	b.servesOnly("image-shop-1", 1)
}

// A Berth that is killed around the way back leaves one release live.
func TestGuard_CompletesTheWayBackThatACrashLeft(t *testing.T) {
	for _, when := range []string{"before", "breach", "back", "withdrawn"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			killed := make(chan struct{})
			b, first := twoReleases(t, guarded)
			b.stop()
			b = b.start(options{hook: func(b *berth, _ string, at deploy.StepName, moment string) {
				if at == deploy.GuardStep && moment == when {
					close(killed)
					b.kill()
				}
			}})
			second := b.deploy("2")
			if when != "before" {
				b.reaches(second.ID, deploy.GuardStep)
			}
			b.meter.count(second.ID, 0, 100)
			<-killed
			b.stop()
			b = b.start(options{})
			require.Equal(t, deploy.Reverted, b.end(second.ID).State)
			b.servesOnly("image-shop-1", 1)
			require.Equal(t, first.ID, b.status().LiveDeployment)
			require.Equal(t, deploy.Live, b.end(first.ID).State)
			third := b.deploy("3")
			b.reaches(third.ID, deploy.GuardStep)
			require.NoError(t, b.GoOn(t.Context(), "ana", third.ID))
			require.Equal(t, deploy.Live, b.end(third.ID).State)
			b.servesOnly("image-shop-3", 1)
		})
	}
}
