package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
)

// TestCrash_LeavesExactlyOneLiveRelease kills the server with SIGKILL before
// and after each step of a deployment, starts it again, and looks at what is
// left: the release that should be live, one container of it, no other. Who
// visits the app meanwhile sees one of the two releases, as soon as the server
// lets anybody in again.
func TestCrash_LeavesExactlyOneLiveRelease(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) { s.StopTimeout = deploy.Duration(2 * time.Second) })
		version := 0
		next := func() string {
			version++
			tag := strconv.Itoa(version)
			b.push(project, tag, image(t, tag))
			return tag
		}
		old := next()
		b.live(project, old)

		for _, step := range deploy.Steps {
			for _, moment := range []string{"before", "after"} {
				t.Logf("killed %s %s", moment, step)
				tag := next()
				b.stop()
				b.launch("BERTH_TEST_CRASH_AT=" + string(step) + ":" + moment)
				b.eventually("the old release is back", func() error { return b.answers(project, old) })
				b.dies(project, tag)
				visited := b.visited(project)
				b.launch()
				done := b.wait(b.newest(project, tag).ID)
				require.Subset(t, []string{old, tag}, visited(), "the old release serves until the new one is live")
				b.oneLive(project, old, tag, done)
				old = liveVersion(done, old, tag)
			}
		}
	})
}

// TestCrash_RunsEachCommandOnce kills the server around the commands of a
// deployment, and counts how often they ran.
func TestCrash_RunsEachCommandOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.StopTimeout = deploy.Duration(2 * time.Second)
			s.BeforeSwitch = deploy.Task{Command: []string{"migrate"}}
			s.AfterSwitch = deploy.AfterTask{Command: []string{"announce"}}
		})
		b.push(project, "0", image(t, "0"))
		b.live(project, "0")
		for n, at := range []string{"before_switch:command", "before_switch:runs", "after_switch:before", "after_switch:runs"} {
			t.Logf("killed at %s", at)
			tag := strconv.Itoa(n + 1)
			b.push(project, tag, image(t, tag))
			b.stop()
			b.launch("BERTH_TEST_CRASH_AT=" + at)
			done := b.diesDeploying(project, tag)
			require.Equal(t, deploy.Live, done.State, done.Error)
			b.oneLive(project, "", tag, done)
			var page struct{ Items []event.Event }
			b.call("GET", "/api/deployments/"+done.ID+"/log?limit=1000", nil, &page)
			for _, command := range []string{"migrate", "announce"} {
				said := 0
				for _, e := range page.Items {
					if strings.Contains(string(e.Data), "version "+tag+" runs "+command) {
						said++
					}
				}
				require.Equal(t, 1, said, "%s ran once", command)
			}
		}
	})
}

// TestCrash_AroundCanaryAndGuard kills the server where a release is tried out
// and watched, and on the way back from one that breaks. Each engine has a
// third of it, for the sake of time.
func TestCrash_AroundCanaryAndGuard(t *testing.T) {
	good := map[string][]string{
		"docker": {"canary:before", "guard:after"}, "podman": {"canary:after"}, "rootless": {"guard:before"},
	}
	bad := map[string]string{"docker": "guard:breach", "podman": "guard:back", "rootless": "guard:withdrawn"}
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.StopTimeout = deploy.Duration(2 * time.Second)
			s.Canary = deploy.CanaryRule{Share: 50, Duration: deploy.Duration(5 * time.Second)}
			s.Guard = deploy.Guard{Window: deploy.Duration(5 * time.Second)}
		})
		old := "0"
		b.push(project, old, image(t, old))
		b.live(project, old)
		for n, at := range good[e.name] {
			t.Logf("killed at %s", at)
			tag := strconv.Itoa(n + 1)
			b.push(project, tag, image(t, tag))
			b.stop()
			b.launch("BERTH_TEST_CRASH_AT=" + at)
			done := b.diesDeploying(project, tag)
			require.Equal(t, deploy.Live, done.State, done.Error)
			b.oneLive(project, old, tag, done)
			old = tag
		}
		t.Logf("killed at %s", bad[e.name])
		b.edit(project, func(s *deploy.StageSpec) {
			s.Canary = deploy.CanaryRule{}
			s.Guard.Window = deploy.Duration(time.Minute)
		})
		b.push(project, "bad", image(t, "bad", "APP_FAIL_AFTER=1ms"))
		b.stop()
		b.launch("BERTH_TEST_CRASH_AT=" + bad[e.name])
		b.eventually("the old release is back", func() error { return b.answers(project, old) })
		b.visit(project, 10)
		b.diesDeploying(project, "bad")
		b.oneLive(project, old, "bad", b.reverted(project, "bad"))
	})
}

// TestCrash_WhileACanaryIsTried kills the server while some clients have the
// new release, and on the way back from a canary that breaks.
func TestCrash_WhileACanaryIsTried(t *testing.T) {
	b := start(t, anyEngine(t))
	project := projectPrefix(t)
	b.stage(project, func(s *deploy.StageSpec) {
		s.StopTimeout = deploy.Duration(2 * time.Second)
		s.Canary = deploy.CanaryRule{Share: 50, Duration: deploy.Duration(5 * time.Second)}
	})
	b.push(project, "0", image(t, "0"))
	b.push(project, "1", image(t, "1"))
	b.push(project, "bad", image(t, "bad", "APP_FAIL_AFTER=1ms"))
	b.live(project, "0")
	d := b.deploy(project, "1")
	b.eventually("the canary is watched", func() error {
		if d = b.newest(project, "1"); len(d.Watches) == 0 || d.Watches[0].State != deploy.Watching {
			return fmt.Errorf("it is %s", d.State)
		}
		return nil
	})
	b.kill()
	b.launch()
	done := b.wait(d.ID)
	require.Equal(t, deploy.Live, done.State, done.Error)
	b.oneLive(project, "0", "1", done)

	b.edit(project, func(s *deploy.StageSpec) { s.Canary.Duration = deploy.Duration(time.Minute) })
	b.stop()
	b.launch("BERTH_TEST_CRASH_AT=guard:withdrawn")
	b.eventually("the old release is back", func() error { return b.answers(project, "1") })
	b.visit(project, 10)
	done = b.diesDeploying(project, "bad")
	require.Equal(t, deploy.Failed, done.State)
	require.Equal(t, deploy.CanaryStep, done.FailedStep)
	b.oneLive(project, "1", "bad", done)
}

// TestReboot restarts nothing of Berth but stops every container
// behind its back, as a machine that restarts does.
func TestReboot_BringsEveryLiveReleaseBack(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) { s.Replicas = 2 })
		b.push(project, "1", image(t, "1"))
		b.live(project, "1")

		b.kill()
		b.stopContainers(project)
		b.launch()
		b.eventually("the release is back", func() error { return b.answers(project, "1") })
		require.Len(t, b.containers(project), 2)
	})
}

func (b *berth) oneLive(project, old, tag string, d deploy.Deployment) {
	b.t.Helper()
	want := liveVersion(d, old, tag)
	b.eventually("version "+want+" answers", func() error { return b.answers(project, want) })
	b.eventually("one container is left", func() error { return b.onlyContainer(project) })
	var page struct{ Items []deploy.Deployment }
	b.call("GET", "/api/deployments?project="+project+"&state=live", nil, &page)
	require.Len(b.t, page.Items, 1)
}

// diesDeploying asks for a deployment that the crash hook kills the server in,
// starts it again, and gives what came of the deployment.
func (b *berth) diesDeploying(project, tag string) deploy.Deployment {
	b.t.Helper()
	b.dies(project, tag)
	b.launch()
	return b.wait(b.newest(project, tag).ID)
}

// dies asks for a deployment that the crash hook kills the server in.
func (b *berth) dies(project, tag string) {
	b.t.Helper()
	// The answer may not arrive: the server dies while it is asked.
	_ = b.try("POST", "/api/projects/"+project+"/stages/prod/deployments", map[string]any{"reference": tag}, nil)
	select {
	case <-b.ended:
	case <-time.After(time.Minute):
		b.t.Fatalf("the crash hook did not fire\n%s", b.output)
	}
}

// visited has somebody ask for the app all the time until end, which gives the
// versions that answered. Whatever else came after the server's first answer,
// or as that, is among them, in words.
func (b *berth) visited(project string) (end func() []string) {
	done, all := make(chan struct{}), make(chan []string)
	go func() {
		var seen []string
		for {
			version, status, err := b.get(project, "/")
			switch {
			case err != nil && len(seen) > 0:
				version = err.Error()
			case err == nil && status != http.StatusOK:
				version = http.StatusText(status)
			}
			if version != "" && !slices.Contains(seen, version) {
				seen = append(seen, version)
			}
			select {
			case <-done:
				all <- seen
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() []string {
		close(done)
		return <-all
	}
}

// newest gives the newest deployment, which must be of tag.
func (b *berth) newest(project, tag string) deploy.Deployment {
	b.t.Helper()
	var page struct{ Items []deploy.Deployment }
	b.call("GET", "/api/deployments?project="+project+"&limit=1", nil, &page)
	require.Len(b.t, page.Items, 1)
	require.Equal(b.t, tag, page.Items[0].Reference)
	return page.Items[0]
}

// liveVersion is the version that must serve after d is over.
func liveVersion(d deploy.Deployment, old, tag string) string {
	if d.State == deploy.Live {
		return tag
	}
	return old
}

// onlyContainer says whether a project has one container, running or not.
func (b *berth) onlyContainer(project string) error {
	list := b.containers(project)
	if len(list) == 1 {
		return nil
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name + " " + string(c.State)
	}
	return fmt.Errorf("there are %d: %s", len(list), strings.Join(names, ", "))
}

// stopContainers stops a project's containers behind the server's back.
func (b *berth) stopContainers(project string) {
	b.t.Helper()
	runtime := b.runtime()
	defer runtime.Close()
	for _, c := range b.containers(project) {
		require.NoError(b.t, runtime.Stop(b.t.Context(), c.ID, time.Second))
	}
}
