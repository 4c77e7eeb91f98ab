package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
