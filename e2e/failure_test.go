package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
)

func TestFailure_LeavesTheOldReleaseAlone(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) { s.Probe.StartDeadline = deploy.Duration(3 * time.Second) })
		b.push(project, "good", image(t, "1"))
		b.push(project, "crashing", image(t, "2", "APP_CRASH=no database at db:5432"))
		b.push(project, "unhealthy", image(t, "3", "APP_UNHEALTHY=yes"))
		b.live(project, "good")

		for _, c := range []struct {
			tag  string
			step deploy.StepName // empty: whichever notices first
			says string          // in the deployment's log: what the container wrote
		}{
			{"crashing", "", "no database at db:5432"},
			{"unhealthy", deploy.ProbeStep, "the database is not there"},
			{"missing", deploy.Preflight, ""},
		} {
			d := b.wait(b.deploy(project, c.tag).ID)
			require.Equal(t, deploy.Failed, d.State, c.tag)
			if c.step != "" {
				require.Equal(t, c.step, d.FailedStep, "%s: %s", c.tag, d.Error)
			}
			require.NotEmpty(t, d.Error)
			if c.says != "" {
				require.Contains(t, d.Error, c.says)
				var log struct{ Items []event.Event }
				b.call("GET", "/api/deployments/"+d.ID+"/log", nil, &log)
				var lines []string
				for _, line := range log.Items {
					lines = append(lines, string(line.Data))
				}
				require.Contains(t, strings.Join(lines, "\n"), c.says)
			}
			require.NoError(t, b.answers(project, "1"))
			b.eventually("the failed release is gone", func() error { return b.onlyContainer(project) })
		}
	})
}

func TestRollback_NeedsNoRegistry(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		b.push(project, "1", image(t, "1"))
		b.push(project, "2", image(t, "2"))
		first := b.live(project, "1")
		b.live(project, "2")
		b.call("DELETE", "/api/images?repository="+project, nil, nil)

		var again deploy.Deployment
		b.call("POST", "/api/projects/"+project+"/stages/prod/rollback", map[string]any{"release": first.Release}, &again)
		require.Equal(t, deploy.Live, b.wait(again.ID).State)
		require.NoError(t, b.answers(project, "1"))
	})
}

func TestPush_DeploysTheStagesThatMatch(t *testing.T) {
	b := start(t, anyEngine(t))
	project := projectPrefix(t)
	b.stage(project, func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1.0"} })
	b.push(project, "1.0.0", image(t, "100"))
	b.eventually("1.0.0 answers", func() error { return b.answers(project, "100") })
	b.push(project, "2.0.0", image(t, "200"))
	b.push(project, "1.0.1", image(t, "101"))
	b.eventually("1.0.1 answers", func() error { return b.answers(project, "101") })
	var page struct{ Items []deploy.Deployment }
	b.call("GET", "/api/deployments?project="+project, nil, &page)
	require.Len(t, page.Items, 2, "2.0.0 is outside the range")
}

func TestApp_ThatClosesIdleConnectionsNeverBecomesABadGateway(t *testing.T) {
	b := start(t, anyEngine(t))
	project := projectPrefix(t)
	b.stage(project, nil)
	b.push(project, "1", image(t, "1", "APP_IDLE_TIMEOUT=20ms"))
	b.live(project, "1")
	l := &load{address: b.address, host: project + ".localhost", byKind: map[string]int{}}
	c := &client{load: l}
	defer c.close()
	// Pauses around the app's idle timeout make the two ends meet.
	for i := range 300 {
		_, err := c.post(t.Context())
		require.NoError(t, err, "request %d", i)
		time.Sleep(time.Duration(15+i%10) * time.Millisecond)
	}
}

func TestRoute_OfNobodyIs404(t *testing.T) {
	b := start(t, anyEngine(t))
	_, status, err := b.get("nobody", "/")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
}
