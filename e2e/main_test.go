// Package e2e runs the built binary against real engines, real clients and a
// real browser.
//
// Each engine is named by an environment variable that scripts/engines.sh
// prints: BERTH_TEST_DOCKER, BERTH_TEST_PODMAN, BERTH_TEST_ROOTLESS. See
// [needs] for what becomes of a test where one is missing.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth/internal/needs"
)

// Built once for all tests.
var (
	binary  string // the berth command with its crash hook
	appFile string // the app that is deployed, static
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "berth")
	appFile = filepath.Join(dir, "app")
	for _, build := range []*exec.Cmd{
		exec.Command("go", "build", "-tags", "crashhook", "-o", binary, "berth/cmd/berth"),
		exec.Command("go", "build", "-ldflags", "-s -w", "-o", appFile, "berth/e2e/app"),
	} {
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
			return 1
		}
	}
	return m.Run()
}

// engine is one container engine to test with.
type engine struct {
	name   string
	socket string
}

// noEngine is for servers that run no app.
var noEngine = engine{"none", "unix:///nowhere/engine.sock"}

// onEachEngine runs test as a subtest for each engine this machine has, side by
// side: most of a test is waiting, and no two share a server or an engine.
func onEachEngine(t *testing.T, test func(*testing.T, engine)) {
	t.Helper()
	onEachEngineInTurn(t, func(t *testing.T, e engine) {
		t.Parallel()
		test(t, e)
	})
}

// onEachEngineInTurn is onEachEngine for what loads the machine or measures.
func onEachEngineInTurn(t *testing.T, test func(*testing.T, engine)) {
	t.Helper()
	for _, name := range needs.EngineNames {
		t.Run(name, func(t *testing.T) { test(t, engine{name, needs.Engine(t, name)}) })
	}
}

// anyEngine gives the first engine this machine has.
func anyEngine(t *testing.T) engine {
	t.Helper()
	return engine{"any", needs.Engine(t, "podman", "docker", "rootless")}
}
