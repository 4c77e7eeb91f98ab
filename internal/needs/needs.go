// Package needs says what a test needs of the machine: programs and container
// engines. Where something is missing the test is skipped, with the reason;
// with BERTH_TEST_ENGINES=required, as in `make test` and CI, which install
// and start everything, that is a failure.
//
// Start with [Program] and [Engine].
package needs

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Required says that nothing may be missing.
func Required() bool { return os.Getenv("BERTH_TEST_ENGINES") == "required" }

// Missing ends the test: it is skipped, or has failed where nothing may be
// missing. why says what is missing and what brings it.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	if Required() {
		tb.Fatalf("%s; and BERTH_TEST_ENGINES=required", why)
	}
	tb.Skip(why)
}

// Program ends the test where one of the programs is not installed.
func Program(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Missing(tb, name+" is not installed: `make test` installs what tests need")
		}
	}
}

// EngineNames are the container engines that tests run on.
var EngineNames = []string{"docker", "podman", "rootless"}

// Engine gives the address of the first of the engines named that the
// environment has: BERTH_TEST_DOCKER, BERTH_TEST_PODMAN or
// BERTH_TEST_ROOTLESS.
func Engine(tb testing.TB, names ...string) (socket string) {
	tb.Helper()
	variables := make([]string, len(names))
	for i, name := range names {
		variables[i] = "BERTH_TEST_" + strings.ToUpper(name)
		if socket := os.Getenv(variables[i]); socket != "" {
			return socket
		}
	}
	Missing(tb, strings.Join(variables, " or ")+" is not set: `make test` starts the engines and names them, and so does env $(scripts/engines.sh start all DIR)")
	return ""
}
