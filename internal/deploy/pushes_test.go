package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/sqlite"
)

// TestRun_DeploysAPushOnlyWhereWhoPushedMayDeploy has two stages that both
// take the tag, and pushes it with tokens that are bound to
// one, to none of them and to both, and by somebody without bounds.
func TestRun_DeploysAPushOnlyWhereWhoPushedMayDeploy(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1.0.0", appGood)
	b := w.start(options{idle: true})
	b.shop(func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"} })
	_, err := b.CreateStage(t.Context(), "ana", "shop", "staging", deploy.StageSpec{
		Hostname: "staging.example.com", Tags: deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"},
	})
	require.NoError(t, err)
	for _, bounds := range []map[string]string{
		{"project": "shop", "stage": "staging"},
		{"project": "blog"},
		{"project": "shop"},
		{},
	} {
		bounds["repository"], bounds["tag"] = "shop", "1.0.0"
		require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			return w.events.Append(t.Context(), tx, event.Event{Kind: "image.pushed", Actor: "ana"}, bounds)
		}))
	}
	b.stop()
	b = w.start(options{})
	b.eventually(func() bool {
		prod, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop", Stage: "prod"}, deploy.Page{})
		require.NoError(t, err)
		staging, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop", Stage: "staging"}, deploy.Page{})
		require.NoError(t, err)
		require.LessOrEqual(t, len(prod), 2)
		return len(prod) == 2 && len(staging) == 3
	}, "each push deploys where its token reaches")
}
