// Package needs says what a test needs of the machine: programs, container
// engines and addresses to listen on. Where something is missing the test is
// skipped, with the reason; with BERTH_TEST_ENGINES=required, as in `make test`
// and CI, which install and start everything, that is a failure.
//
// Start with [Program], [Engine], [Registry] and [Address].
package needs

import (
	"fmt"
	"math/rand/v2"
	"net"
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

// Address gives an address of loopback that nobody listens on. Its port is
// below those that the kernel gives to outgoing connections and to listeners
// that name none, so that a server finds it free also later, and again.
func Address(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))) //nolint:gosec // nobody has to be kept from guessing it
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	tb.Fatal("no free port on 127.0.0.1")
	return ""
}
