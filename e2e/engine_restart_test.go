package e2e

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// TestCrash_WithTheEngineRestarted kills the server at several steps of a
// deployment, restarts the engine too, and starts the server again; and then
// restarts the engine under the running server. Docker ends every container
// when it stops, Podman's run on without its service. The engine is this
// test's own, and the one beside it notices nothing.
func TestCrash_WithTheEngineRestarted(t *testing.T) {
	onEachEngineInTurn(t, func(t *testing.T, e engine) {
		beside := start(t, e)
		neighbour := projectPrefix(t)
		beside.stage(neighbour, nil)
		beside.push(neighbour, "1", image(t, "1"))
		beside.push(neighbour, "2", image(t, "2"))
		beside.live(neighbour, "1")
		rules := beside.rules(neighbour)

		t.Run("own", func(t *testing.T) { restartEngine(t, ownEngine(t, e.name)) })

		require.NoError(t, beside.answers(neighbour, "1"))
		require.Equal(t, rules, beside.rules(neighbour))
		beside.live(neighbour, "2")
	})
}

// rules gives the kernel's rules for packets to the port of a project's only
// instance; none where the engine makes none, or this user may not read them.
func (b *berth) rules(project string) (rules []string) {
	b.t.Helper()
	c := b.containers(project)
	require.Len(b.t, c, 1)
	_, port, err := net.SplitHostPort(c[0].Address)
	require.NoError(b.t, err)
	out, _ := exec.Command("iptables-save").Output()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "--dport "+port+" ") {
			rules = append(rules, line)
		}
	}
	return rules
}

// engineRestarts are the moments at which the server is killed, and its engine
// restarted. Each engine has a third of them, for the sake of time.
var engineRestarts = map[string][]string{
	"docker":   {"probe:before", "switch:after"},
	"podman":   {"pull:before", "start:after", "stop:before"},
	"rootless": {"create:after", "switch:before", "drain:before"},
}

func restartEngine(t *testing.T, own *restartable) {
	t.Helper()
	b := start(t, own.engine)
	project := projectPrefix(t)
	b.stage(project, func(s *deploy.StageSpec) { s.StopTimeout = deploy.Duration(2 * time.Second) })
	serves := "0"
	b.push(project, serves, image(t, serves))
	b.live(project, serves)

	for n, at := range engineRestarts[own.name] {
		t.Logf("killed at %s", at)
		tag := strconv.Itoa(n + 1)
		b.push(project, tag, image(t, tag))
		b.stop()
		b.launch("BERTH_TEST_CRASH_AT=" + at)
		b.eventually("the release is back", func() error { return b.answers(project, serves) })
		b.dies(project, tag)
		own.restart()
		b.launch()
		done := b.wait(b.newest(project, tag).ID)
		b.oneLive(project, serves, tag, done)
		serves = liveVersion(done, serves, tag)
	}

	own.restart()
	b.eventually("version "+serves+" answers again", func() error { return b.answers(project, serves) })
	b.eventually("one container is left", func() error { return b.onlyContainer(project) })
	require.NoError(t, b.answers(project, serves))
}

// restartable is an engine of this test alone.
type restartable struct {
	engine

	t     *testing.T
	state string
}

// ownEngine starts an engine with scripts/engines.sh, beside the machine's own
// where there is one, and ends it with the test.
func ownEngine(t *testing.T, name string) *restartable {
	t.Helper()
	state, err := os.MkdirTemp("", "be") //nolint:usetesting // as in start: sockets want a short path
	require.NoError(t, err)
	require.NoError(t, os.Chmod(state, 0o755)) // rootless Podman's user has to come by
	r := &restartable{t: t, state: state, engine: engine{name: name}}
	t.Cleanup(func() {
		r.script("stop")
		_ = os.RemoveAll(state)
	})
	r.socket = r.script("start")
	return r
}

// script calls engines.sh and gives the socket that it names, if any.
func (r *restartable) script(command string) (socket string) {
	r.t.Helper()
	var said strings.Builder
	run := exec.Command("../scripts/engines.sh", "--own", command, r.name, r.state)
	run.Stderr = &said
	out, err := run.Output()
	require.NoError(r.t, err, "%s", said.String())
	_, socket, _ = strings.Cut(strings.TrimSpace(string(out)), "=")
	return socket
}

// restart ends the engine's process and starts it again.
func (r *restartable) restart() {
	r.t.Helper()
	require.Equal(r.t, r.socket, r.script("restart"))
}
