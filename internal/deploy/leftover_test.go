package deploy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestLeftovers_KeepsByTheStagesOwnRuleWhereThatIsShorter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tag := range []string{"1", "2", "3"} {
		w.images.push("shop", tag, appGood)
	}
	var ahead atomic.Int64
	b := w.start(options{clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	b.shop(func(s *deploy.StageSpec) { s.KeepReleases, s.KeepFor = 1, deploy.Duration(time.Second) })
	for _, tag := range []string{"1", "2", "3"} {
		b.goLive(tag)
	}
	b.servesOnly("image-shop-3", 1)
	ahead.Store(int64(time.Minute))
	left, err := b.Leftovers(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	require.Len(t, left.Items, 1, "the server's thirty days are not the stage's")
	require.Equal(t, "image-shop-1", left.Items[0].Image)
	require.Equal(t, 2, left.Kept)

	// Of what no release has any more, the server's rule is the only one.
	_, err = b.RemoveStage(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	left, err = b.Leftovers(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	require.Empty(t, left.Items)
	require.Equal(t, 3, left.Kept)
}
