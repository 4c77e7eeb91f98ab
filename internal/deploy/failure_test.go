package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
)

func TestStart_LeavesTheOldReleaseAloneWhenTheNewOneFails(t *testing.T) {
	for _, c := range []struct {
		name string
		app  app
		edit func(*deploy.StageSpec)
		step deploy.StepName
		says string
	}{
		{"exits", appExits, nil, deploy.ProbeStep, "exited with code 3 before it was ready; it last said: no database"},
		{"does not listen", appDeaf, nil, deploy.ProbeStep, "connection refused"},
		{"answers 500", appBroken, nil, deploy.ProbeStep, "answered 500, expected 200 to 299"},
		{"redirects", appStrays, nil, deploy.ProbeStep, "answered 302, expected 200 to 299"},
		{"one of two exits", appOneOnly, func(s *deploy.StageSpec) { s.Replicas = 2 }, deploy.ProbeStep, "exited with code 3"},
		{"is nowhere", "", nil, deploy.Preflight, "no image shop:2"},
		{"lacks a secret", appGood, func(s *deploy.StageSpec) {
			s.Secrets = map[string]deploy.SecretRef{"KEY": {Context: "shop", Name: "key"}}
		}, deploy.Preflight, `there is no secret "key" in "shop"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.start(options{})
			w.images.push("shop", "1", appGood)
			if c.app != "" {
				w.images.push("shop", "2", c.app)
			}
			b.shop(nil)
			first := b.goLive("1")
			status := b.status()
			status.Spec.Probe.StartDeadline = deploy.Duration(2 * time.Second) // in which a slow machine sees how it fails
			if c.edit != nil {
				c.edit(&status.Spec)
			}
			_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", status.Version, status.Spec)
			require.NoError(t, err)
			before := b.engine.all()

			d := b.end(b.deploy("2").ID)
			require.Equal(t, deploy.Failed, d.State)
			require.Equal(t, c.step, d.FailedStep)
			require.Contains(t, d.Error, c.says)
			require.Equal(t, before, b.engine.all(), "the old container was not touched, and no other is left")
			b.servesOnly("image-shop-1", 1)
			require.Equal(t, first.ID, b.status().LiveDeployment)
			if c.app == appExits {
				require.Contains(t, b.log(d.ID), `"stream":"stderr","text":"no database"`)
			}
		})
	}
}

func TestDeployments_AreLoggedWithAllThatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var logged bytes.Buffer
	b := w.start(options{log: slog.New(slog.NewJSONHandler(&logged, nil))})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	w.engine.portsTaken = 1
	live := b.goLive("1")
	w.images.push("shop", "2", appExits)
	failed := b.end(b.deploy("2").ID)
	require.Equal(t, deploy.Failed, failed.State)
	b.stop()
	for message, d := range map[string]deploy.Deployment{
		"port taken before the container started; making another": live, "deployment failed": failed,
	} {
		at := strings.Index(logged.String(), `"msg":"`+message+`"`)
		require.Positive(t, at, message)
		line, _, _ := strings.Cut(logged.String()[at:], "\n")
		require.Contains(t, line, `"project":"shop","stage":"prod","tag":"`+d.Reference+`","deployment":"`+d.ID+`","generation":`, line)
	}
	require.Regexp(t, `"msg":"port taken[^\n]*"instance":"[^"]+"`, logged.String())
}

func TestStart_IsRefusedOnAFullDiskAndARollBackIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var full atomic.Bool
	b := w.start(options{diskFull: func(context.Context) error {
		if full.Load() {
			return fault.Unavailable("the disk is full")
		}
		return nil
	}})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	w.images.push("shop", "3", appGood)
	b.shop(nil)
	first := b.goLive("1")
	b.goLive("2")
	full.Store(true)
	pulled := w.engine.called("Pull")
	d := b.end(b.deploy("3").ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.Preflight, d.FailedStep)
	require.Equal(t, "the disk is full", d.Error)
	require.Equal(t, pulled, w.engine.called("Pull"))
	b.servesOnly("image-shop-2", 1)

	back, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(back.ID).State)
	b.servesOnly("image-shop-1", 1)
}

func TestStart_IsRefusedAnImageThatDoesNotFitWhereTheEngineKeepsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.dataDir = t.TempDir()
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	large := w.images.tags["shop:2"]
	large.Size = 1 << 50
	w.images.tags["shop:2"] = large
	b.shop(nil)
	b.goLive("1")
	d := b.end(b.deploy("2").ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.Preflight, d.FailedStep)
	require.Contains(t, d.Error, "the disk is too full: the image may need 3221225728 MiB in "+w.engine.dataDir)
	require.Equal(t, 1, w.engine.called("Pull"))
	b.servesOnly("image-shop-1", 1)
}

func TestStart_IsRefusedAnImageWithTwoPortsAndNoneChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood, 8080, 9090)
	b.shop(nil)
	d := b.end(b.deploy("1").ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.Preflight, d.FailedStep)
	require.Contains(t, d.Error, "the image exposes the ports 8080, 9090: say in the stage which one takes requests")
	require.Zero(t, w.engine.called("Pull"))
	b.edit(func(s *deploy.StageSpec) { s.Port = 9090 })
	require.Contains(t, b.log(b.goLive("1").ID), "requests go to its port 9090")
}

func TestStart_FailsInWordsWhenTheEngineRefuses(t *testing.T) {
	for method, step := range map[string]deploy.StepName{
		"Pull": deploy.PullImage, "Create": deploy.CreateStep, "EnsureVolume": deploy.CreateStep, "Volume": deploy.Preflight, "Start": deploy.StartStep,
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.start(options{})
			w.images.push("shop", "1", appGood)
			b.shop(func(s *deploy.StageSpec) { s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}} })
			w.engine.refuseWith(method, errors.New("no room left"))
			d := b.end(b.deploy("1").ID)
			require.Equal(t, deploy.Failed, d.State)
			require.Equal(t, step, d.FailedStep)
			require.Contains(t, d.Error, "no room left")
			require.Empty(t, b.engine.all())
			require.Equal(t, deploy.StageFailed, b.status().State)
			require.Equal(t, deploy.StepFailed, d.Steps[stepIndex(step)].State)
		})
	}
}

func TestStart_IsRefusedAVolumeThatIsNotThisBerths(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		says   string
	}{
		"another Berth's": {map[string]string{"berth.server": "other"}, "is another Berth's: its label is berth.server=other, and this one is "},
		"nobody's":        {nil, "is not Berth's: it has no label berth.server="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.start(options{})
			w.images.push("shop", "1", appGood)
			require.NoError(t, w.engine.EnsureVolume(t.Context(), "berth_shop_prod_data", c.labels))
			b.shop(func(s *deploy.StageSpec) { s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}} })
			d := b.end(b.deploy("1").ID)
			require.Equal(t, deploy.Failed, d.State)
			require.Equal(t, deploy.Preflight, d.FailedStep)
			require.Contains(t, d.Error, "berth_shop_prod_data")
			require.Contains(t, d.Error, c.says)
			require.Contains(t, d.Error, "give the stage's volume another name")
			require.Zero(t, w.engine.called("Create"))

			status := b.status()
			status.Spec.Volumes[0].Name = "files"
			_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", status.Version, status.Spec)
			require.NoError(t, err)
			b.goLive("1")
			b.goLive("1") // its own is there now
		})
	}
}

func TestStart_IsRefusedAVolumeThatAnotherBerthMakesMeanwhile(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{hook: func(b *berth, _ string, step deploy.StepName, when string) {
		if step == deploy.Preflight && when == "after" {
			require.NoError(b.t, b.engine.EnsureVolume(b.t.Context(), "berth_shop_prod_data", map[string]string{"berth.server": "other"}))
		}
	}})
	w.images.push("shop", "1", appGood)
	b.shop(func(s *deploy.StageSpec) { s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}} })
	d := b.end(b.deploy("1").ID)
	require.Equal(t, deploy.CreateStep, d.FailedStep)
	require.Contains(t, d.Error, "another Berth's")
	require.Zero(t, w.engine.called("Create"))
}

func stepIndex(name deploy.StepName) int {
	for n, step := range deploy.Steps {
		if step == name {
			return n
		}
	}
	return -1
}

func TestStart_GivesTheRouteBackWhenTheRouterRefuses(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	first := b.goLive("1")
	b.router.mu.Lock()
	b.router.fails = errors.New("router is away")
	b.router.mu.Unlock()
	d := b.end(b.deploy("2").ID)
	require.Equal(t, deploy.Failed, d.State)
	require.Equal(t, deploy.SwitchRoute, d.FailedStep)
	require.Equal(t, first.ID, b.status().LiveDeployment)
	b.router.mu.Lock()
	b.router.fails = nil
	b.router.mu.Unlock()
	b.servesOnly("image-shop-1", 1)
	b.goLive("2")
	b.servesOnly("image-shop-2", 1)
}

func TestCancel_UndoesARunningDeployment(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appDeaf)
	b.shop(nil)
	b.goLive("1")
	d := b.deploy("2")
	b.eventually(func() bool { return len(b.engine.all()) == 2 }, "the container is made")
	require.NoError(t, b.Cancel(t.Context(), "bea", d.ID))
	require.Equal(t, deploy.Canceled, b.end(d.ID).State)
	require.Contains(t, b.log(d.ID), "asked to cancel by bea")
	require.Equal(t, "bea", b.told(d.ID, deploy.Canceled), "not who asked for the deployment")
	b.servesOnly("image-shop-1", 1)
}

// told gives the actor of the event that says that a deployment is in a state.
func (b *berth) told(id string, state deploy.State) string {
	b.t.Helper()
	list, err := b.events.Since(b.t.Context(), 0, event.Filter{Deployment: id, Kinds: []event.Kind{"deployment.state"}}, 100)
	require.NoError(b.t, err)
	n := slices.IndexFunc(list, func(e event.Event) bool { return strings.Contains(string(e.Data), `"state":"`+string(state)+`"`) })
	require.GreaterOrEqual(b.t, n, 0, "%s: no event says that it is %s", id, state)
	return list[n].Actor
}

func TestCancel_TakesBackARequestThatWaits(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{idle: true})
	b.shop(nil)
	d := b.deploy("1")
	require.NoError(t, b.Cancel(t.Context(), "bea", d.ID))
	require.Equal(t, deploy.Canceled, b.end(d.ID).State)
	require.Equal(t, "bea", b.told(d.ID, deploy.Canceled))
	require.Equal(t, fault.Clash, fault.KindOf(b.Cancel(t.Context(), "ana", d.ID)))
	require.Equal(t, fault.Missing, fault.KindOf(b.Cancel(t.Context(), "ana", "no-such")))
}

func TestCancel_IsRefusedAfterTheSwitch(t *testing.T) {
	w := newWorld(t)
	var refused error
	b := w.start(options{hook: func(b *berth, id string, step deploy.StepName, when string) {
		if step == deploy.SwitchRoute && when == "before" {
			refused = b.Cancel(b.t.Context(), "ana", id)
		}
	}})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	d := b.goLive("1")
	require.Equal(t, fault.Clash, fault.KindOf(refused))
	require.ErrorContains(t, refused, "roll back")
	require.ErrorContains(t, b.Cancel(t.Context(), "ana", d.ID), "roll back")
}

func TestCancel_EndsAtOnceWhateverTheStep(t *testing.T) {
	for _, step := range deploy.Steps[:5] {
		for _, when := range []string{"before", "after"} {
			t.Run(string(step)+" "+when, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				b := w.start(options{hook: func(b *berth, id string, at deploy.StepName, moment string) {
					if at == step && moment == when {
						require.NoError(b.t, b.Cancel(b.t.Context(), "ana", id))
					}
				}})
				w.images.push("shop", "1", appGood)
				b.shop(nil)
				require.Equal(t, deploy.Canceled, b.end(b.deploy("1").ID).State)
				require.Empty(t, b.engine.all())
				require.Equal(t, deploy.StageEmpty, b.status().State)
			})
		}
	}
}

func TestRun_NeverWritesASecretDown(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(func(s *deploy.StageSpec) {
		s.Env = map[string]string{"LEVEL": "info"}
		s.Secrets = map[string]deploy.SecretRef{"PASSWORD": {Context: "shop", Name: "password"}}
	})
	b.goLive("1")
	require.Equal(t, map[string]string{"LEVEL": "info", "PASSWORD": "hunter2"}, b.engine.specOf("container-1").Env)
	path := t.TempDir() + "/copy.db"
	require.NoError(t, w.db.CopyTo(t.Context(), path))
	require.Contains(t, readFile(t, path), "LEVEL")
	require.NotContains(t, readFile(t, path), "hunter2")
}
