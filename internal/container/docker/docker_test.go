package docker_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/container/containertest"
	"berth/internal/container/docker"
)

// engines are the variables that name the engines to test with.
var engines = []struct{ name, variable string }{
	{"docker", "BERTH_TEST_DOCKER"},
	{"podman", "BERTH_TEST_PODMAN"},
	{"rootless", "BERTH_TEST_ROOTLESS"},
}

func TestEngine_BehavesAsPromised(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			containertest.Run(t, open(t, e.variable))
		})
	}
}

// open opens the engine that a variable names.
func open(t *testing.T, variable string) *docker.Engine {
	t.Helper()
	socket := os.Getenv(variable)
	if socket == "" {
		say := t.Skipf
		if os.Getenv("BERTH_TEST_ENGINES") == "required" {
			say = t.Fatalf
		}
		say("%s is not set: env $(scripts/engines.sh start all DIR) go test ./... starts and names the engines", variable)
	}
	engine, err := docker.Open(t.Context(), docker.Config{Socket: socket})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return engine
}
