package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/sqlite"
)

// before gives a stage a command before the switch, after one after it.
func before(command ...string) func(*deploy.StageSpec) {
	return func(s *deploy.StageSpec) { s.BeforeSwitch = deploy.Task{Command: command} }
}

func after(command ...string) func(*deploy.StageSpec) {
	return func(s *deploy.StageSpec) { s.AfterSwitch = deploy.AfterTask{Command: command} }
}

func TestBeforeSwitch_RunsOnceBeforeAnyInstanceIsMade(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{hook: func(b *berth, _ string, step deploy.StepName, when string) {
		if step == deploy.CreateStep && when == "before" {
			require.Len(b.t, b.engine.commands(), 1, "it has run when the first instance is made")
		}
	}})
	b.shop(func(s *deploy.StageSpec) {
		before("migrate", "up")(s)
		s.Replicas, s.Env = 2, map[string]string{"MODE": "test"}
		s.Secrets = map[string]deploy.SecretRef{"PASSWORD": {Context: "shop", Name: "password"}}
		s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}}
	})
	d := b.goLive("1")
	require.Equal(t, []string{"container-1 migrate up"}, b.engine.commands())
	require.Equal(t, deploy.StepDone, b.step(d.ID, deploy.BeforeStep).State)
	require.Empty(t, b.step(d.ID, deploy.AfterStep).Name, "it asks for none after")
	require.Contains(t, b.log(d.ID), `"step":"before_switch","stream":"stdout","text":"migrated image-shop-1"`)
	b.servesOnly("image-shop-1", 2)
}

func TestBeforeSwitch_HasTheStagesEnvironment(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) {
		before("slow")(s)
		s.Env, s.Memory = map[string]string{"MODE": "test"}, 64<<20
		s.Secrets = map[string]deploy.SecretRef{"PASSWORD": {Context: "shop", Name: "password"}}
		s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}}
	})
	d := b.deploy("1")
	b.eventually(func() bool { return len(b.engine.commands()) == 1 }, "the command runs")
	spec := b.engine.specOf("container-1")
	require.Equal(t, map[string]string{"MODE": "test", "PASSWORD": "hunter2"}, spec.Env)
	require.Equal(t, "berth_shop_prod_data", spec.Mounts[0].Source)
	require.EqualValues(t, 64<<20, spec.Memory)
	require.Equal(t, "image-shop-1", spec.Image)
	require.Zero(t, spec.Publish)
	// Its lines can be read while it runs.
	b.eventually(func() bool { return slices.Contains(b.lines(d.ID), "working") }, "the first line is in the log")
	close(b.engine.release)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Contains(t, b.lines(d.ID), "done")
}

func TestBeforeSwitch_FailsTheDeploymentAndLeavesTheOldReleaseAlone(t *testing.T) {
	for name, c := range map[string]struct {
		task  deploy.Task
		error string
	}{
		"exit code":  {deploy.Task{Command: []string{"fail"}}, "the command before the switch exited with code 3; it last said: no such table"},
		"time limit": {deploy.Task{Command: []string{"slow"}, Timeout: deploy.Duration(time.Second)}, "the command before the switch took longer than 1s and was ended; it last said: working"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, first := twoReleases(t, nil)
			b.edit(func(s *deploy.StageSpec) { s.BeforeSwitch = c.task })
			d := b.end(b.deploy("2").ID)
			require.Equal(t, deploy.Failed, d.State)
			require.Equal(t, deploy.BeforeStep, d.FailedStep)
			require.Equal(t, c.error, d.Error)
			require.Empty(t, b.step(d.ID, deploy.CreateStep).StartedAt, "no instance was made")
			b.servesOnly("image-shop-1", 1)
			require.Equal(t, first.ID, b.status().LiveDeployment)
		})
	}
}

func TestBeforeSwitch_IsCanceledWithTheDeployment(t *testing.T) {
	b, first := twoReleases(t, nil)
	b.edit(before("slow"))
	d := b.deploy("2")
	b.eventually(func() bool { return len(b.engine.commands()) == 1 }, "the command runs")
	require.NoError(t, b.Cancel(t.Context(), "bea", d.ID))
	require.Equal(t, deploy.Canceled, b.end(d.ID).State)
	require.Positive(t, b.engine.called("Stop"), "it got its stop signal")
	b.servesOnly("image-shop-1", 1)
	require.Equal(t, first.ID, b.status().LiveDeployment)
}

func TestCommands_AreNotRunByARollBack(t *testing.T) {
	b, first := twoReleases(t, func(s *deploy.StageSpec) { before("migrate")(s); after("migrate", "after")(s) })
	b.goLive("2")
	require.Len(t, b.engine.commands(), 4)
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Len(t, b.engine.commands(), 4)
	require.Equal(t, deploy.StepSkipped, b.step(d.ID, deploy.BeforeStep).State)
	require.Equal(t, deploy.StepSkipped, b.step(d.ID, deploy.AfterStep).State)
}

func TestAfterSwitch_LeavesTheReleaseLiveAndSaysWhatIsWrong(t *testing.T) {
	b, _ := twoReleases(t, nil)
	b.edit(after("fail"))
	d := b.goLive("2")
	step := b.step(d.ID, deploy.AfterStep)
	require.Equal(t, deploy.StepFailed, step.State)
	require.Equal(t, "the command after the switch exited with code 3; it last said: no such table", step.Detail)
	warnings, err := b.events.Since(t.Context(), 0, event.Filter{Deployment: d.ID, Kinds: []event.Kind{"deployment.warning"}}, 10)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, string(warnings[0].Data), "no such table")
	b.servesOnly("image-shop-2", 1)
}

func TestAfterSwitch_IsJudgedByOneWorkerAlone(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(after("slow"))
	d := b.deploy("1")
	b.eventually(func() bool { return slices.Contains(b.lines(d.ID), "working") }, "the command runs")
	// The sweep looks for what is not at its end.
	swept := b.engine.called("List")
	b.engine.lose()
	b.eventually(func() bool { return b.engine.called("List") > swept }, "it is swept")
	close(b.engine.release)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.NotContains(t, b.log(d.ID), "it is not run again", "nobody else took it up meanwhile")
	require.Equal(t, deploy.StepDone, b.step(d.ID, deploy.AfterStep).State)
}

func TestAfterSwitch_GoesBackWhereTheStageSaysSo(t *testing.T) {
	b, first := twoReleases(t, nil)
	b.edit(func(s *deploy.StageSpec) {
		s.AfterSwitch = deploy.AfterTask{Command: []string{"fail"}, GoBack: true}
	})
	d := b.end(b.deploy("2").ID)
	require.Equal(t, deploy.Reverted, d.State)
	require.Equal(t, deploy.AfterStep, d.FailedStep)
	require.Contains(t, d.Error, "no such table")
	require.Equal(t, first.ID, b.status().LiveDeployment)
	b.servesOnly("image-shop-1", 1)
}

func TestAfterSwitch_StaysLiveWhenThereIsNothingToGoBackTo(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) {
		s.AfterSwitch = deploy.AfterTask{Command: []string{"fail"}, GoBack: true}
	})
	d := b.goLive("1")
	require.Contains(t, b.step(d.ID, deploy.AfterStep).Detail, "no release before it to go back to")
	b.servesOnly("image-shop-1", 1)
}

// commandMoments are when a Berth can be killed around a command.
var commandMoments = []string{"before", "command", "runs", "after"}

// crashedAround has a Berth killed around a command of the second release.
func crashedAround(t *testing.T, step deploy.StepName, when string, command ...string) (w *world, second deploy.Deployment) {
	t.Helper()
	edit := before(command...)
	if step == deploy.AfterStep {
		edit = after(command...)
	}
	w, _, second = crashed(t, step, when, edit)
	return w, second
}

func TestCommands_RunOnceThroughACrash(t *testing.T) {
	for _, step := range []deploy.StepName{deploy.BeforeStep, deploy.AfterStep} {
		for _, when := range commandMoments {
			t.Run(string(step)+" "+when, func(t *testing.T) {
				t.Parallel()
				w, second := crashedAround(t, step, when, "migrate")
				b := w.start(options{})
				require.Equal(t, deploy.Live, b.end(second.ID).State)
				require.Equal(t, deploy.StepDone, b.step(second.ID, step).State)
				require.Len(t, b.engine.commands(), 2, "one for each release")
				require.Equal(t, 1, strings.Count(b.log(second.ID), "migrated image-shop-2"), "no line is told twice")
				b.servesOnly("image-shop-2", 1)
			})
		}
	}
}

func TestCommands_AreNotRunTwiceWhenNobodyKnowsHowTheyEnded(t *testing.T) {
	for _, step := range []deploy.StepName{deploy.BeforeStep, deploy.AfterStep} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			w, second := crashedAround(t, step, "runs", "migrate")
			for _, c := range w.engine.all() {
				if c.Labels["berth.command"] != "" {
					require.NoError(t, w.engine.Remove(t.Context(), c.ID))
				}
			}
			b := w.start(options{})
			d := b.end(second.ID)
			require.Contains(t, b.step(second.ID, step).Detail, "it is not run twice")
			require.Len(t, b.engine.commands(), 2)
			if step == deploy.BeforeStep {
				require.Equal(t, deploy.Failed, d.State)
				b.servesOnly("image-shop-1", 1)
				return
			}
			require.Equal(t, deploy.Live, d.State)
			b.servesOnly("image-shop-2", 1)
		})
	}
}

func TestCommands_OutliveAnOrderlyStop(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{shutdown: 1})
	b.shop(before("slow"))
	d := b.deploy("1")
	b.eventually(func() bool { return slices.Contains(b.lines(d.ID), "working") }, "the command runs")
	b.stop()
	require.Equal(t, container.StateRunning, w.engine.all()[0].State)
	b = w.start(options{})
	close(w.engine.release)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
	require.Len(t, w.engine.commands(), 1)
}

func TestCommands_WaitForAnEngineThatIsAway(t *testing.T) {
	b, _ := twoReleases(t, nil)
	b.edit(before("slow"))
	d := b.deploy("2")
	b.eventually(func() bool { return b.engine.called("Wait") > 1 && len(b.engine.commands()) == 1 }, "the command runs and is waited for")
	b.engine.refuseWith("Inspect", errors.New("not now"))
	close(b.engine.release)
	b.engine.refuseWith("Inspect", nil)
	require.Equal(t, deploy.Live, b.end(d.ID).State)
}

// lines gives the texts of a deployment's log.
func (b *berth) lines(id string) (texts []string) {
	b.t.Helper()
	list, err := b.events.Since(b.t.Context(), 0, event.Filter{Deployment: id, Kinds: []event.Kind{event.DeploymentLog}}, 1000)
	require.NoError(b.t, err)
	for _, e := range list {
		texts = append(texts, text(e))
	}
	return texts
}

func text(e event.Event) string {
	var l struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(e.Data, &l)
	return l.Text
}

func TestCommands_OnRealEngines(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		project := "c" + sqlite.NewID(time.Now())[:18]
		w := newWorld(t)
		h := openHarbour(t, w.db, engine, loaded{"1": loadImage(t, engine, "localhost/"+project+":1", project)})
		<-h.Ready()
		_, err := h.CreateProject(t.Context(), "ana", deploy.Project{Name: project, Image: "shop"})
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := h.RemoveProject(context.WithoutCancel(t.Context()), "ana", project)
			require.NoError(t, err)
		})
		spec := deploy.StageSpec{
			Hostname: "shop.test", Env: map[string]string{"MODE": "test"}, StopTimeout: deploy.Duration(time.Second),
			BeforeSwitch: deploy.Task{Command: []string{"migrate"}}, AfterSwitch: deploy.AfterTask{Command: []string{"fail"}},
			Jobs: []deploy.Job{
				{Name: "announce", Command: []string{"announce"}},
				{Name: "broken", Command: []string{"fail"}},
				{Name: "long", Command: []string{"sleep"}, Timeout: deploy.Duration(4 * time.Second)},
			},
		}
		st, err := h.CreateStage(t.Context(), "ana", project, "prod", spec)
		require.NoError(t, err)
		b := &berth{world: w, Service: h.Service}
		run := func() deploy.Deployment {
			d, err := h.Start(t.Context(), deploy.StartRequest{Project: project, Stage: "prod", Reference: "1", Trigger: deploy.TriggerAPI, Actor: "ana"})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				d, err = h.Deployment(t.Context(), d.ID)
				require.NoError(t, err)
				return !d.FinishedAt.IsZero()
			}, time.Minute, 5*time.Millisecond)
			return d
		}
		d := run()
		require.Equal(t, deploy.Live, d.State, d.Error)
		require.Contains(t, b.lines(d.ID), "migrate with test")
		require.Contains(t, b.step(d.ID, deploy.AfterStep).Detail, "exited with code 4; it last said: told to fail")
		left, err := engine.List(t.Context(), map[string]string{"berth.project": project, "berth.command": ""})
		require.NoError(t, err)
		require.Empty(t, left)

		for job, want := range map[string]deploy.RunState{"announce": deploy.RunSucceeded, "broken": deploy.RunFailed, "long": deploy.RunFailed} {
			r, err := h.RunJob(t.Context(), "ana", project, "prod", job, deploy.RunByPerson)
			require.NoError(t, err)
			r = b.runEnd(r.ID)
			require.Equal(t, want, r.State, r.Detail)
		}
		require.Contains(t, b.runLines(b.runs(project, "announce")[0].ID), "announce with test")
		require.Equal(t, 4, *b.runs(project, "broken")[0].ExitCode)
		require.Equal(t, "the command took longer than 4s and was ended; it last said: sleep with test", b.runs(project, "long")[0].Detail)
		b.eventually(func() bool { // a run is over before its container is gone
			left, err = engine.List(t.Context(), map[string]string{"berth.project": project, "berth.command": ""})
			require.NoError(t, err)
			return len(left) == 0
		}, "no container of a run is left")

		spec.BeforeSwitch = deploy.Task{Command: []string{"sleep"}, Timeout: deploy.Duration(4 * time.Second)}
		_, err = h.UpdateStage(t.Context(), "ana", project, "prod", st.Version, spec)
		require.NoError(t, err)
		d = run()
		require.Equal(t, deploy.Failed, d.State)
		require.Contains(t, d.Error, "took longer than 4s and was ended")
	})
}
