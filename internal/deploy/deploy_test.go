package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestStart_BringsAnImageToLife(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	id := w.images.push("shop", "1", appGood)
	b.shop(nil)

	d := b.deploy("1")
	require.Equal(t, deploy.Waiting, d.State)
	require.EqualValues(t, 1, d.Generation)
	require.Len(t, d.Steps, len(deploy.Steps))

	d = b.end(d.ID)
	require.Equal(t, deploy.Live, d.State, d.Error)
	for _, step := range d.Steps {
		require.Contains(t, []deploy.StepState{deploy.StepDone, deploy.StepSkipped}, step.State, step.Name)
		require.False(t, step.StartedAt.IsZero(), step.Name)
		require.False(t, step.FinishedAt.IsZero(), step.Name)
	}
	b.servesOnly(id, 1)
}
