package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestOvertake_SlowOldNeverReplacesFastNew(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		b.push(project, "1", image(t, "1"))
		b.push(project, "2", image(t, "2", "APP_START_DELAY=3s"))
		b.push(project, "3", image(t, "3"))
		b.live(project, "1")

		slow := b.deploy(project, "2")
		fast := b.deploy(project, "3")
		require.Less(t, slow.Generation, fast.Generation)
		require.Equal(t, deploy.Live, b.wait(fast.ID).State)
		require.NotEqual(t, deploy.Live, b.wait(slow.ID).State, "the older one must not be live beside the newer")
		require.NoError(t, b.answers(project, "3"))
		b.eventually("only the new release's container is left", func() error { return b.onlyContainer(project) })
		require.NoError(t, b.answers(project, "3"))
	})
}

// TestOvertake_WaitingIsSuperseded holds the queue to one place: of three
// requests made at once the middle one never begins.
func TestOvertake_WaitingIsSuperseded(t *testing.T) {
	e := anyEngine(t)
	b := start(t, e)
	project := projectPrefix(t)
	b.stage(project, nil)
	b.push(project, "1", image(t, "1", "APP_START_DELAY=1s"))
	b.push(project, "2", image(t, "2"))
	b.push(project, "3", image(t, "3"))

	b.deploy(project, "1")
	middle := b.deploy(project, "2")
	last := b.deploy(project, "3")
	require.Equal(t, deploy.Live, b.wait(last.ID).State)
	require.Equal(t, deploy.Superseded, b.wait(middle.ID).State)
	require.NoError(t, b.answers(project, "3"))
}
