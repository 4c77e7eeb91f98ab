package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// TestJobs_AreRunReadAndCanceledByTheCommandLine runs a job that ends, one that
// fails and one that would never end.
func TestJobs_AreRunReadAndCanceledByTheCommandLine(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.StopTimeout = deploy.Duration(time.Second)
			for _, name := range []string{"tidy", "fail", "wait"} {
				s.Jobs = append(s.Jobs, deploy.Job{Name: name, Command: []string{name}})
			}
		})
		b.push(project, "1", image(t, "1"))
		b.live(project, "1")

		_, errs, code := b.command("", "job", "run", project, "prod", "tidy", "--wait")
		require.Zero(t, code, errs)
		require.Contains(t, errs, "version 1 runs tidy")
		_, errs, code = b.command("", "job", "run", project, "prod", "fail", "--wait")
		require.Equal(t, 10, code)
		require.Contains(t, errs, "fatal: told to fail")

		out, errs, code := b.command("", "--json", "job", "run", project, "prod", "wait")
		require.Zero(t, code, errs)
		var run deploy.JobRun
		require.NoError(t, json.Unmarshal([]byte(out), &run))
		b.eventually("it runs", func() error {
			if out, errs, _ = b.command("", "job", "logs", project, "prod", run.ID); !strings.Contains(out, "version 1 runs wait") {
				return fmt.Errorf("it wrote %q %s", out, errs)
			}
			return nil
		})
		_, errs, code = b.command("", "job", "cancel", project, "prod", run.ID)
		require.Zero(t, code, errs)
		_, _, code = b.command("", "job", "logs", project, "prod", run.ID, "-f") // to its end
		require.Zero(t, code)
		out, errs, code = b.command("", "job", "runs", project, "prod")
		require.Zero(t, code, errs)
		require.Regexp(t, `(?s)wait .*canceled.*fail .*failed.*tidy .*succeeded`, out)
		b.eventually("its containers are gone", func() error { return b.onlyContainer(project) })
	})
}
