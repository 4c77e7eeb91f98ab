package deploy_test

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
)

// crashed starts a Berth with release 1 live, has it killed at a step of the
// deployment of release 2, and gives the world it leaves.
func crashed(t *testing.T, step deploy.StepName, when string, edit func(*deploy.StageSpec)) (w *world, first, second deploy.Deployment) {
	t.Helper()
	w = newWorld(t)
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b := w.start(options{})
	b.shop(edit)
	first = b.goLive("1")
	b.stop()

	killed := make(chan struct{})
	b = w.start(options{hook: func(b *berth, _ string, at deploy.StepName, moment string) {
		if at == step && moment == when {
			close(killed)
			b.kill()
		}
	}})
	second = b.deploy("2")
	<-killed
	b.stop()
	return w, first, second
}

// everyCrash runs a test for each moment that a Berth can be killed at.
func everyCrash(t *testing.T, test func(t *testing.T, step deploy.StepName, when string)) {
	t.Helper()
	for _, step := range deploy.Steps {
		for _, when := range []string{"before", "after"} {
			t.Run(string(step)+" "+when, func(t *testing.T) {
				t.Parallel()
				test(t, step, when)
			})
		}
	}
}

// afterTheSwitch says whether a Berth killed then had given the route away.
func afterTheSwitch(step deploy.StepName) bool {
	return step == deploy.SwitchRoute || step == deploy.DrainOld || step == deploy.StopOld
}

func TestRun_CompletesWhatACrashLeft(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w, first, second := crashed(t, step, when, func(s *deploy.StageSpec) { s.Replicas = 2 })
		b := w.start(options{})
		require.Equal(t, deploy.Live, b.end(second.ID).State)
		b.servesOnly("image-shop-2", 2)
		require.Equal(t, deploy.Replaced, b.end(first.ID).State)
		require.Equal(t, second.ID, b.status().LiveDeployment)
		releases, _, err := b.Releases(t.Context(), "shop", "prod", deploy.Page{})
		require.NoError(t, err)
		require.Len(t, releases, 2)
		require.True(t, releases[0].Live)
		require.False(t, releases[1].Live)
	})
}

func TestRun_CompletesWhatACrashLeftWhileAnEarlierReleaseGaveWay(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w := newWorld(t)
		for _, tag := range []string{"1", "2", "3"} {
			w.images.push("shop", tag, appGood)
		}
		killed := make(chan struct{})
		var earlier atomic.Pointer[[]string] // the deployments that are not to crash
		b := w.start(options{hook: func(b *berth, id string, at deploy.StepName, moment string) {
			if ids := earlier.Load(); at == step && moment == when && ids != nil && !slices.Contains(*ids, id) {
				close(killed)
				b.kill()
			}
		}})
		b.shop(nil)
		first := b.goLive("1")
		drain := b.router.holdDrains()
		second := b.deploy("2")
		b.eventually(func() bool { return len(b.router.drains()) == 1 }, "the first release drains")
		earlier.Store(&[]string{first.ID, second.ID})
		third := b.deploy("3")
		if step == deploy.DrainOld || step == deploy.StopOld {
			close(drain) // its own turn to drain comes then
		}
		<-killed
		b.stop()
		b = w.start(options{})
		require.Equal(t, deploy.Live, b.end(third.ID).State)
		b.servesOnly("image-shop-3", 1)
		require.Equal(t, deploy.Replaced, b.end(second.ID).State)
		require.Equal(t, deploy.Replaced, b.end(first.ID).State)
	})
}

func TestRun_CompletesWhatACrashLeftAfterAReboot(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w, _, second := crashed(t, step, when, nil)
		w.engine.stopAll()
		b := w.start(options{})
		require.Equal(t, deploy.Live, b.end(second.ID).State)
		b.servesOnly("image-shop-2", 1)
	})
}

func TestRun_CompletesWhatASecondCrashLeft(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w, _, second := crashed(t, step, when, nil)
		killed := make(chan struct{})
		once := false
		b := w.start(options{hook: func(b *berth, _ string, _ deploy.StepName, moment string) {
			if moment == "after" && !once {
				once = true
				close(killed)
				b.kill()
			}
		}})
		<-killed
		b.stop()
		b = w.start(options{})
		require.Equal(t, deploy.Live, b.end(second.ID).State)
		b.servesOnly("image-shop-2", 1)
	})
}

func TestRun_UndoesWhatItCanNotResume(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w, first, second := crashed(t, step, when, nil)
		if afterTheSwitch(step) {
			return // there is nothing that it could not complete
		}
		// The registry is gone, and so are the image and what was made of it.
		w.images.away = true
		w.engine.mu.Lock()
		delete(w.engine.images, "image-shop-2")
		clear(w.engine.remote)
		w.engine.mu.Unlock()
		for _, c := range w.engine.all() {
			if c.Image == "image-shop-2" {
				require.NoError(t, w.engine.Remove(t.Context(), c.ID))
			}
		}
		b := w.start(options{})
		d := b.end(second.ID)
		require.Equal(t, deploy.Failed, d.State)
		require.NotEmpty(t, d.FailedStep)
		require.NotEmpty(t, d.Error)
		b.servesOnly("image-shop-1", 1)
		require.Equal(t, first.ID, b.status().LiveDeployment)
		require.Equal(t, deploy.Live, b.end(first.ID).State)
	})
}

func TestRun_UndoesACancelledDeploymentThatACrashLeft(t *testing.T) {
	everyCrash(t, func(t *testing.T, step deploy.StepName, when string) {
		t.Helper()
		w, first, second := crashed(t, step, when, nil)
		between := w.start(options{idle: true})
		err := between.Cancel(t.Context(), "bea", second.ID)
		b := w.start(options{})
		if afterTheSwitch(step) {
			require.Error(t, err)
			b.servesOnly("image-shop-2", 1)
			return
		}
		require.NoError(t, err)
		require.Equal(t, deploy.Canceled, b.end(second.ID).State)
		require.Equal(t, "bea", b.told(second.ID, deploy.Canceled))
		b.servesOnly("image-shop-1", 1)
		require.Equal(t, deploy.Live, b.end(first.ID).State)
	})
}

func TestRun_BringsLiveReleasesBackAfterAReboot(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appSlow)
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 3 })
	b.goLive("1")
	b.stop()

	w.engine.stopAll()
	b = w.start(options{})
	<-b.Ready()
	route, ok := b.router.of("shop.test")
	require.True(t, ok, "the router knows the route before the app is ready")
	require.Empty(t, route.Instances, "no request goes to an instance that was not probed")
	b.servesOnly("image-shop-1", 3)
}

func TestRun_ServesTheOthersWhenTheEngineCanNotLookAtOneContainer(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(nil)
	b.goLive("1")
	broken := b.engine.all()[0].ID
	spec := deploy.StageSpec{Hostname: "blog.test", Probe: deploy.Probe{Interval: deploy.Duration(20 * time.Millisecond)}}
	_, err := b.CreateStage(t.Context(), "ana", "shop", "blog", spec)
	require.NoError(t, err)
	deployBlog := func() {
		d, err := b.Start(t.Context(), deploy.StartRequest{Project: "shop", Stage: "blog", Reference: "1", Trigger: deploy.TriggerAPI, Actor: "ana"})
		require.NoError(t, err)
		require.Equal(t, deploy.Live, b.end(d.ID).State)
	}
	deployBlog()
	b.stop()

	w.engine.refuseWith("Inspect "+broken, errors.New("layer not known"))
	b = w.start(options{})
	b.eventually(func() bool { return len(b.ask("blog.test")) == 1 }, "the other stage is served")
	deployBlog()
	require.Empty(t, b.ask("shop.test"), "nothing is routed to a container that could not be looked at")
	w.engine.refuseWith("Inspect "+broken, nil)
	b.eventually(func() bool { return len(b.ask("shop.test")) == 1 }, "and this one when the engine can say")
}

func TestRun_LooksAfterTheOthersOfAStageWhenTheEngineCanNotLookAtOneContainer(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 3 })
	b.goLive("1")
	b.servesOnly("image-shop-1", 3)
	was := b.status().Instances
	broken, crashes := was[0], was[1]
	w.engine.refuseWith("Inspect "+broken.Container, errors.New("layer not known"))
	b.engine.crash(crashes.Container, 1)
	b.eventually(func() bool {
		now := b.status().Instances
		return now[1].State == deploy.InstanceReady && now[1].Address != crashes.Address && len(b.ask("shop.test")) == 2
	}, "the one that ended is started again, and routed to with the third")
	now := b.status()
	require.Equal(t, deploy.StageDegraded, now.State)
	require.Equal(t, deploy.InstanceDown, now.Instances[0].State)
	require.Equal(t, "the container engine can't tell how it is: layer not known", now.Instances[0].Detail)
	w.engine.refuseWith("Inspect "+broken.Container, nil)
	b.servesOnly("image-shop-1", 3)
	require.Equal(t, broken.Address, b.status().Instances[0].Address, "it ran all the time")
}

func TestRun_RemovesContainersThatBelongToNothingAndNoOthers(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(nil)
	b.goLive("1")
	own := b.engine.all()[0]
	b.stop()

	labels := func(change map[string]string) map[string]string {
		all := maps.Clone(own.Labels)
		maps.Copy(all, change)
		return all
	}
	for name, l := range map[string]map[string]string{
		"forgotten": labels(map[string]string{"berth.deployment": "no-such"}),
		"doubled":   labels(nil),
		"another's": labels(map[string]string{"berth.server": "another"}),
		"stranger":  {"berth.stage": "prod"},
	} {
		_, err := w.engine.Create(t.Context(), containerSpec(name, l))
		require.NoError(t, err)
	}
	b = w.start(options{})
	b.eventually(func() bool {
		names := map[string]bool{}
		for _, c := range b.engine.all() {
			names[c.Name] = true
		}
		return len(names) == 3 && names[own.Name] && names["another's"] && names["stranger"]
	}, "what belongs to nothing goes, and nothing else")
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
}

func containerSpec(name string, labels map[string]string) container.Spec {
	return container.Spec{Name: name, Image: "image-shop-1", Labels: labels}
}

func TestRun_NeverRoutesToAContainerThatTookTheID(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(nil)
	b.goLive("1")
	b.stop()
	// The labels of the container that runs under the known id are another's.
	w.engine.mu.Lock()
	for _, c := range w.engine.containers {
		c.Labels["berth.server"] = "another"
	}
	w.engine.mu.Unlock()
	b = w.start(options{})
	b.eventually(func() bool { return len(b.ask("shop.test")) == 1 }, "the release comes back")
	route, _ := b.router.of("shop.test")
	require.NotEqual(t, "container-1", route.Instances[0].Container)
	require.Len(t, b.engine.all(), 2, "the stranger is left alone")
}

func TestRun_LeavesADeploymentToBeResumedWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appDeaf)
	b := w.start(options{shutdown: 1})
	b.shop(nil)
	d := b.deploy("1")
	b.eventually(func() bool { return len(b.engine.all()) == 1 }, "the container is made")
	b.stop()
	left, err := b.Deployment(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Running, left.State)
	require.Len(t, b.engine.all(), 1)
}

func TestRun_LetsARunningDeploymentFinishAndTakesNoOther(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appSlow)
	b := w.start(options{})
	b.shop(nil)
	running := b.deploy("1")
	b.eventually(func() bool { return len(b.engine.all()) == 1 }, "the container is made")
	waiting := b.deploy("1")
	b.stop()
	d, err := b.Deployment(t.Context(), running.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, d.State)
	d, err = b.Deployment(t.Context(), waiting.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Waiting, d.State)
}
