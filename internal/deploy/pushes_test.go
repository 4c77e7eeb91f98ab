package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/registry"
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

// TestRun_DoesNotDeployAnOlderImageThatAPollFindsLater has images found in
// another order than they were created in.
func TestRun_DoesNotDeployAnOlderImageThatAPollFindsLater(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"sha-b", "sha-c", "sha-a", "sha-d", "sha-e"} {
		w.images.push("shop", tag, appGood)
	}
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagGlob, Pattern: "sha-*"} })
	at := func(minute int) time.Time { return time.Date(2026, 11, 20, 8, minute, 0, 0, time.UTC) }
	find := func(f registry.Found) {
		f.Repository, f.Digest = "shop", "sha256:"+strings.Repeat("a", 64)
		require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			return w.events.Append(t.Context(), tx, event.Event{Kind: registry.ImageFound, Actor: f.By}, f)
		}))
	}
	live := func(tag string) {
		t.Helper()
		b.eventually(func() bool {
			list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop", Stage: "prod"}, deploy.Page{})
			require.NoError(t, err)
			return len(list) > 0 && list[0].Reference == tag && list[0].State == deploy.Live
		}, tag+" is live")
	}
	poll := func(tag string, created time.Time) registry.Found {
		return registry.Found{Tag: tag, By: registry.ByPoll, New: true, Created: created}
	}
	find(poll("sha-b", at(30)))
	live("sha-b")
	find(poll("sha-a", at(10)))
	find(poll("sha-c", at(40)))
	live("sha-c")
	list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop", Stage: "prod"}, deploy.Page{})
	require.NoError(t, err)
	require.Len(t, list, 2, "the older one was passed over")

	// What somebody asked for counts too, once it is known when it was made.
	w.images.created("shop", "sha-d", at(50))
	b.goLive("sha-d")
	find(poll("sha-a", at(45)))
	moved := poll("sha-b", at(30))
	moved.New = false
	find(moved)
	live("sha-b") // a tag that was moved is somebody's will
	find(registry.Found{Tag: "sha-a", By: registry.ByWebhook, New: true, Created: at(10)})
	live("sha-a") // and so is a push that is told of
	find(poll("sha-e", time.Time{}))
	live("sha-e") // of which it is not known when it was made
	list, _, err = b.Deployments(t.Context(), deploy.DeploymentFilter{Project: "shop", Stage: "prod"}, deploy.Page{})
	require.NoError(t, err)
	require.Len(t, list, 6)
}
