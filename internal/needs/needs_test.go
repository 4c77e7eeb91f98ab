package needs_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
)

func TestMissing_SkipsUnlessNothingMayBeMissing(t *testing.T) {
	program := func(w *witness) { needs.Program(w, "go", "no-such-program") }
	engine := func(w *witness) { needs.Engine(w, "nosuch", "none") }

	t.Setenv("BERTH_TEST_ENGINES", "")
	require.Contains(t, verdict(t, program), "skipped: no-such-program is not installed")
	require.Contains(t, verdict(t, engine), "skipped: BERTH_TEST_NOSUCH or BERTH_TEST_NONE is not set")
	require.Equal(t, "went on", verdict(t, func(w *witness) { needs.Program(w, "go") }))

	t.Setenv("BERTH_TEST_ENGINES", "required")
	require.Contains(t, verdict(t, program), "failed: no-such-program is not installed")
	require.Contains(t, verdict(t, engine), "failed: BERTH_TEST_NOSUCH or BERTH_TEST_NONE is not set")
}

func TestEngine_GivesTheFirstThatIsThere(t *testing.T) {
	t.Setenv("BERTH_TEST_NOSUCH", "")
	t.Setenv("BERTH_TEST_PODMAN", "unix:///podman.sock")
	t.Setenv("BERTH_TEST_DOCKER", "unix:///docker.sock")
	require.Equal(t, "unix:///podman.sock", needs.Engine(t, "nosuch", "podman", "docker"))
}

// verdict tells how a test with that need ends.
func verdict(t *testing.T, need func(*witness)) string {
	t.Helper()
	w := &witness{TB: t, said: "went on"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		need(w)
	}()
	<-done
	return w.said
}

// witness is a test that only notes how it was ended.
type witness struct {
	testing.TB

	said string
}

func (w *witness) Skip(args ...any) {
	w.said = "skipped: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (w *witness) Fatalf(format string, args ...any) {
	w.said = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
