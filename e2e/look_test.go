package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
)

// command runs the berth command against the server, as its administrator.
func (b *berth) command(stdin string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), binary, append([]string{"--data-dir", filepath.Join(b.dir, "data")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		require.NoError(b.t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestExec_RunsCommandsInAnInstance looks into a running app, as a person
// does: with a pipe, on a terminal, with a command that is not there.
func TestExec_RunsCommandsInAnInstance(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		b.push(project, "1", image(t, "one"))
		b.live(project, "1")

		out, errs, code := b.command("", "exec", project, "prod", "--", "sh", "-c", "echo hello --there")
		require.Zero(t, code, errs)
		require.Equal(t, "hello --there\n", out)

		out, errs, code = b.command("env APP_VERSION\nwarn careful\nexit 42\n", "exec", project, "prod")
		require.Equal(t, 42, code, errs)
		require.Equal(t, "one\n", out, "the streams stay apart")
		require.Equal(t, "careful\n", errs, "and nothing is added to them")

		out, _, code = b.command("echo on a terminal\nexit 3\n", "exec", "--tty", project, "prod")
		require.Equal(t, 3, code)
		require.Contains(t, out, "$ ")
		require.Contains(t, out, "on a terminal\r\n")

		_, errs, code = b.command("", "exec", project, "prod", "--", "bash")
		require.Equal(t, 127, code)
		require.Contains(t, errs, `the image has no "bash"`)

		_, errs, code = b.command("", "exec", project, "prod", "--instance", "7")
		require.Equal(t, 5, code, errs)

		var told struct{ Items []event.Event }
		b.call("GET", "/api/activity?project="+project, nil, &told)
		var seen []string
		for _, e := range told.Items {
			if strings.HasPrefix(string(e.Kind), "exec.") {
				require.Equal(t, "local", e.Actor)
				require.NotContains(t, string(e.Data), "APP_VERSION", "what was typed is nobody else's")
				seen = append(seen, fmt.Sprint(e.Kind, " ", string(e.Data)))
			}
		}
		require.Len(t, seen, 8, "%s", seen)
		require.Contains(t, seen[7], `exec.started {"command":"sh -c echo hello --there","ordinal":0}`)
		require.Contains(t, seen[4], `"code":42`)
		require.Contains(t, seen[3], `exec.started {"command":"sh","tty":true,"ordinal":0}`)
	})
}

// TestLogs_AreKeptWhenTheContainerIsGone follows a stage over a deployment:
// what the instance before wrote is there afterwards, once and in its order.
func TestLogs_AreKeptWhenTheContainerIsGone(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.StopTimeout, s.DrainTimeout = deploy.Duration(time.Second), deploy.Duration(time.Second)
		})
		b.push(project, "1", image(t, "one"))
		b.push(project, "2", image(t, "two"))
		b.live(project, "1")
		b.post(project, "/lines?n=2500")
		b.eventually("all lines are in the log", func() error {
			out, _, _ := b.command("", "logs", project, "prod", "--search", "LINE 2500 OF")
			if !strings.Contains(out, "line 2500 of the harbour's log") {
				return errors.New("not yet")
			}
			return nil
		})
		out, _, _ := b.command("", "logs", project, "prod", "--regexp", "--search", `error line \d+000 `, "-n", "2")
		require.Equal(t, 1, strings.Count(out, "line 1000 of"), out)
		require.Equal(t, 1, strings.Count(out, "line 2000 of"), out)
		_, errs, code := b.command("", "logs", project, "prod", "--regexp", "--search", "(")
		require.Equal(t, 2, code)
		require.Contains(t, errs, "search: is no regular expression")

		b.live(project, "2")
		var seen struct{ Items []deploy.SeenInstance }
		b.eventually("the first instance's log is kept", func() error {
			if err := b.try("GET", "/api/projects/"+project+"/stages/prod/instances", nil, &seen); err != nil {
				return err
			}
			if len(seen.Items) != 2 || seen.Items[1].Log != deploy.LogKept {
				return fmt.Errorf("%+v", seen.Items)
			}
			return nil
		})
		out, _, _ = b.command("", "logs", project, "prod", "--instance", seen.Items[1].ID, "-n", "0")
		require.Contains(t, out, "app version one starts")
		require.Contains(t, out, "app version one stops", "the last words, too")
		require.Equal(t, 2500, strings.Count(out, "of the harbour's log"))
		out, _, _ = b.command("", "logs", project, "prod", "--previous", "--search", "app version")
		require.Less(t, strings.Index(out, "one stops"), len(out))
		require.Contains(t, out, "two starts")

		// Nothing is twice and nothing is lost when Berth is killed.
		b.kill()
		b.launch()
		b.eventually("the engine is found again", func() error {
			if out, errs, code = b.command("", "logs", project, "prod", "--previous", "-n", "0"); code != 0 {
				return errors.New(errs)
			}
			return nil
		})
		require.Equal(t, 2500, strings.Count(out, "of the harbour's log"))
	})
}

// post asks the app for something that it does.
func (b *berth) post(project, path string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+b.address+path, nil)
	require.NoError(b.t, err)
	request.Host = project + ".localhost"
	response, err := http.DefaultClient.Do(request)
	require.NoError(b.t, err)
	defer response.Body.Close()
	require.Equal(b.t, http.StatusOK, response.StatusCode)
}
