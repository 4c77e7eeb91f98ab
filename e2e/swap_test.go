package e2e

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// swaps is how often the no-request-is-lost test replaces the release: a few
// in `make test`, BERTH_SOAK_SWAPS in `make soak`.
func swaps(t *testing.T) int {
	t.Helper()
	said := os.Getenv("BERTH_SOAK_SWAPS")
	if said == "" {
		return 5
	}
	n, err := strconv.Atoi(said)
	require.NoError(t, err, "BERTH_SOAK_SWAPS")
	return n
}

func TestSwap_LosesNoRequest(t *testing.T) {
	onEachEngineInTurn(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, func(s *deploy.StageSpec) {
			s.Replicas = 2
			s.DrainTimeout = deploy.Duration(10 * time.Second)
			s.StreamDrainTimeout = deploy.Duration(10 * time.Second)
		})
		b.push(project, "0", image(t, "0"))
		b.live(project, "0")

		l := startLoad(t.Context(), b.address, project+".localhost")
		n := swaps(t)
		firstAnswers := make([]time.Duration, 0, n)
		for i := 1; i <= n; i++ {
			tag := strconv.Itoa(i)
			b.push(project, tag, image(t, tag))
			triggered := time.Now()
			d := b.deploy(project, tag)
			b.eventually("version "+tag+" answers", func() error { return b.answers(project, tag) })
			firstAnswers = append(firstAnswers, time.Since(triggered))
			done := b.wait(d.ID)
			require.Equal(t, deploy.Live, done.State, "%s: %s", done.FailedStep, done.Error)
		}
		l.end()

		slices.Sort(firstAnswers)
		t.Logf("%s: %d swaps, %d requests %v, %d failed; trigger to first answer of the new release: median %d ms, worst %d ms",
			e.name, n, l.requests.Load(), l.byKind, l.failed,
			firstAnswers[n/2].Milliseconds(), firstAnswers[n-1].Milliseconds())
		require.Zero(t, l.failed, "failed requests: %v", l.failures)
		for kind, requests := range l.byKind {
			require.Positive(t, requests, kind)
		}
	})
}
