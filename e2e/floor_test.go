//go:build bench

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
)

// TestFloor prints how long a deployment takes from its trigger to the first
// answer of the new release, beside what the engine alone takes to create and
// start a container of the same image and to give its first answer, measured
// in turn in one run, each when the one before has settled. It is a measurement, not a proof, so `make bench` alone
// builds it.
func TestFloor(t *testing.T) {
	onEachEngineInTurn(t, func(t *testing.T, e engine) {
		const rounds = 15
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		b.push(project, "0", image(t, "0"))
		b.live(project, "0")
		runtime, err := docker.Open(t.Context(), docker.Config{Socket: e.socket})
		require.NoError(t, err)
		defer runtime.Close()
		id := b.containers(project)[0].Image

		var floor, berth, there []time.Duration // there: as if the image had been in the engine
		steps := map[deploy.StepName][]time.Duration{}
		for i := 1; i <= rounds; i++ {
			b.settled(runtime, project)
			floor = append(floor, engineAlone(t, runtime, id, fmt.Sprintf("%s-floor-%d", project, i)))

			tag := strconv.Itoa(i)
			b.push(project, tag, image(t, tag))
			b.settled(runtime, project)
			triggered := time.Now()
			d := b.deploy(project, tag)
			for b.answers(project, tag) != nil {
				time.Sleep(time.Millisecond)
			}
			took := time.Since(triggered)
			berth = append(berth, took)
			done := b.wait(d.ID)
			require.Equal(t, deploy.Live, done.State)
			pull := done.Steps[slices.Index(deploy.Steps, deploy.PullImage)]
			there = append(there, took-pull.FinishedAt.Sub(pull.StartedAt))
			for _, step := range done.Steps {
				if !step.FinishedAt.IsZero() {
					steps[step.Name] = append(steps[step.Name], step.FinishedAt.Sub(step.StartedAt))
				}
			}
		}
		slices.Sort(floor)
		slices.Sort(berth)
		slices.Sort(there)
		t.Logf("%s: engine create+start+first answer: median %d ms; Berth trigger to first answer of the new release: median %d ms, ratio %.2f; without the pull %d ms, ratio %.2f (%d rounds in turn)",
			e.name, floor[rounds/2].Milliseconds(), berth[rounds/2].Milliseconds(),
			float64(berth[rounds/2])/float64(floor[rounds/2]),
			there[rounds/2].Milliseconds(), float64(there[rounds/2])/float64(floor[rounds/2]), rounds)
		for _, name := range []deploy.StepName{deploy.Preflight, deploy.PullImage, deploy.CreateStep, deploy.StartStep, deploy.ProbeStep, deploy.SwitchRoute} {
			slices.Sort(steps[name])
			t.Logf("%s: %s: median %d ms", e.name, name, steps[name][len(steps[name])/2].Milliseconds())
		}
	})
}

// calm is how long an engine must have had nothing to tell to count as quiet.
const calm = 500 * time.Millisecond

// settled waits until one container of a project is left and the engine is
// quiet: a deployment is live before the old container is stopped and removed,
// and what is measured meanwhile waits for that.
func (b *berth) settled(runtime container.Runtime, project string) {
	b.t.Helper()
	b.eventually("one container is left and the engine is quiet", func() error {
		ctx, stop := context.WithTimeout(b.t.Context(), calm)
		defer stop()
		for event, err := range runtime.Events(ctx, nil) {
			if err != nil {
				return err
			}
			return fmt.Errorf("the engine tells of container %s: %s", event.Container, event.Action)
		}
		if left := len(b.containers(project)); left != 1 {
			return fmt.Errorf("%d containers are left", left)
		}
		return nil
	})
}

// engineAlone is the time the engine takes from create to the first answer.
func engineAlone(t *testing.T, runtime container.Runtime, image, name string) time.Duration {
	t.Helper()
	ctx := t.Context()
	began := time.Now()
	id, err := runtime.Create(ctx, container.Spec{Name: name, Image: image, Publish: 8080})
	require.NoError(t, err)
	defer func() { require.NoError(t, runtime.Remove(ctx, id)) }()
	require.NoError(t, runtime.Start(ctx, id))
	c, err := runtime.Inspect(ctx, id)
	require.NoError(t, err)
	for {
		response, err := http.Get("http://" + c.Address + "/health")
		if err == nil {
			response.Body.Close()
			return time.Since(began)
		}
		require.Less(t, time.Since(began), time.Minute, "no answer: %v", err)
		time.Sleep(time.Millisecond)
	}
}
