package deploy_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// counted gives the figures whose names begin with a text.
func (b *berth) counted(prefix string) []string {
	return slices.DeleteFunc(b.figures(), func(line string) bool { return !strings.HasPrefix(line, prefix) })
}

func TestCollector_CountsWhatDeploymentsCameTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(nil)
	require.Empty(t, b.figures(), "what did not happen has no figure")
	first := b.goLive("1")
	b.goLive("2")
	require.Equal(t, deploy.Failed, b.end(b.deploy("none").ID).State)
	back, err := b.Rollback(t.Context(), "ana", "shop", "prod", first.Release, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Equal(t, deploy.Live, b.end(back.ID).State)
	require.Equal(t, []string{
		"berth_deployment_live_seconds shop prod 3",
		"berth_deployments_total deploy shop prod failed 1",
		"berth_deployments_total deploy shop prod live 2",
		"berth_deployments_total rollback shop prod live 1",
	}, b.counted("berth_deployment"), "not that they ran, nor that they were replaced")

	_, err = b.RemoveStage(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	require.Empty(t, b.figures(), "of a stage that is gone nothing is told")
}

func TestCollector_CountsWhoStandsInLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteApproval = true })
	staged := b.goStaging("1")
	held, err := b.promote(staged.Release)
	require.NoError(t, err)
	require.Equal(t, []string{"berth_deployments_in_line shop prod held 1"}, b.counted("berth_deployments_in_line"))
	b.stop()

	idle := w.start(options{idle: true})
	for range 2 {
		_, err = idle.Start(t.Context(), deploy.StartRequest{Project: "shop", Stage: "staging", Reference: "1", Trigger: deploy.TriggerAPI, Actor: "ana"})
		require.NoError(t, err)
	}
	_, err = idle.Approve(t.Context(), "ben", held.ID)
	require.NoError(t, err)
	require.Equal(t, []string{
		"berth_deployments_in_line shop prod waiting 1",
		"berth_deployments_in_line shop staging waiting 1",
	}, idle.counted("berth_deployments_in_line"))
	require.Equal(t, []string{"berth_deployments_total deploy shop staging superseded 1"}, idle.counted("berth_deployments_total"))
}

func TestCollector_CountsTheImagesThatAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ahead atomic.Int64
	b := w.start(options{
		keep:  deploy.KeepRule{Releases: 1, For: time.Hour},
		clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	w.images.push("shop", "3", appGood)
	b.shop(nil)
	for _, tag := range []string{"1", "2", "3"} {
		b.goLive(tag)
	}
	b.servesOnly("image-shop-3", 1)
	ahead.Store(int64(2 * time.Hour))
	left, err := b.KeepHouse(context.WithoutCancel(t.Context()), "")
	require.NoError(t, err)
	require.NotEmpty(t, left.Items)
	gone := 0
	for _, l := range left.Items {
		require.Empty(t, l.Stays)
		gone++
	}
	require.Equal(t, gone, w.engine.called("RemoveImage"))
	require.Equal(t, []string{"berth_images_removed_total engine " + string(rune('0'+gone))}, b.counted("berth_images"))
}
