package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// creating has an engine be in the middle of making the container of tag 2.
func creating(t *testing.T) (b *berth, d deploy.Deployment, finish chan struct{}) {
	t.Helper()
	w := newWorld(t)
	b = w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	b.goLive("1")
	finish = w.engine.holdCreates()
	d = b.deploy("2")
	b.eventually(func() bool { return w.engine.called("Create") == 2 }, "the engine is asked for a container")
	return b, d, finish
}

func TestCancel_LeavesNoContainerThatTheEngineMadeAfterwards(t *testing.T) {
	t.Parallel()
	b, d, finish := creating(t)
	require.NoError(t, b.Cancel(t.Context(), "ana", d.ID))
	close(finish)
	require.Equal(t, deploy.Canceled, b.end(d.ID).State)
	b.engine.creating.Wait()
	require.Zero(t, b.engine.abandoned, "nobody knew the container that was being made")
	b.servesOnly("image-shop-1", 1)
}

func TestRemoveStage_LeavesNoContainerThatTheEngineMadeAfterwards(t *testing.T) {
	t.Parallel()
	b, _, finish := creating(t)
	stage, removed := b.status().ID, make(chan error, 1)
	go func() {
		_, err := b.RemoveStage(t.Context(), "ana", "shop", "prod")
		removed <- err
	}()
	b.eventually(func() bool { return b.Removing(stage) }, "the stage's jobs are told to end")
	close(finish)
	require.NoError(t, <-removed)
	b.engine.creating.Wait()
	require.Zero(t, b.engine.abandoned, "nobody knew the container that was being made")
	require.Empty(t, b.engine.all())
}
