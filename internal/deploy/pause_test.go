package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

func TestPause_LetsNothingInAndRemembersWhatItMissed(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"1", "2"} {
		w.images.push("shop", tag, appGood)
	}
	w.images.push("shop", "slow", appSlow)
	b := w.start(options{})
	b.shop(func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagGlob, Pattern: "*"} })
	first := b.goLive("1")
	running := b.deploy("slow")
	b.eventually(func() bool { return len(b.engine.all()) == 2 }, "it is under way")
	waiting := b.deploy("2")

	_, err := b.Pause(t.Context(), "ana", "shop", "prod", " holidays ")
	require.NoError(t, err)
	require.Equal(t, deploy.Live, orReplaced(b.end(running.ID).State), "what is under way is finished")
	for _, ask := range []func() error{
		func() error {
			_, err := b.Start(t.Context(), deploy.StartRequest{Project: "shop", Stage: "prod", Reference: "1", Actor: "ben"})
			return err
		},
		func() error {
			_, err := b.Redeploy(t.Context(), "ben", "shop", "prod", deploy.TriggerPerson)
			return err
		},
		func() error {
			_, err := b.Rollback(t.Context(), "ben", "shop", "prod", first.Release, deploy.TriggerPerson)
			return err
		},
	} {
		err := ask()
		require.Equal(t, fault.Clash, fault.KindOf(err))
		require.ErrorContains(t, err, "shop/prod has been paused by ana since")
		require.ErrorContains(t, err, "(holidays); resume it first")
	}
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return w.events.Append(t.Context(), tx, event.Event{Kind: registry.Pushed, Actor: "registry"}, map[string]string{"repository": "shop", "tag": "2"})
	}))
	b.eventually(func() bool { return b.status().Paused.Missed == "2" }, "a push is missed")
	d, err := b.Deployment(t.Context(), waiting.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Waiting, d.State, "what waits begins when the pause is over")

	b.stop()
	b = w.start(options{})
	<-b.Ready()
	_, err = b.Pause(t.Context(), "ben", "shop", "prod", "still")
	require.NoError(t, err)
	require.Equal(t, "2", b.status().Paused.Missed)
	require.Equal(t, "still", b.status().Paused.Reason)
	_, err = b.Resume(t.Context(), "ben", "shop", "prod")
	require.NoError(t, err)
	require.Nil(t, b.status().Paused)
	require.Equal(t, deploy.Live, b.end(waiting.ID).State)
	b.servesOnly("image-shop-2", 1)
	_, err = b.Pause(t.Context(), "ana", "shop", "prod", strings.Repeat("x", 301))
	require.Equal(t, fault.BadInput, fault.KindOf(err))
}

func TestMaintenance_StaysThroughDeploymentsAndRestarts(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b := w.start(options{})
	b.shop(nil)
	begin := func(m deploy.Maintenance) error {
		_, err := b.BeginMaintenance(t.Context(), "ana", "shop", "prod", m)
		return err
	}
	require.Equal(t, fault.Clash, fault.KindOf(begin(deploy.Maintenance{})), "nothing is live, so it has no address")
	b.goLive("1")
	for _, m := range []deploy.Maintenance{{Message: "two\nlines"}, {RetryAfter: deploy.Duration(time.Millisecond)}, {Message: strings.Repeat("x", 301)}} {
		require.Equal(t, fault.BadInput, fault.KindOf(begin(m)))
	}
	require.NoError(t, begin(deploy.Maintenance{Message: "Back at noon."}))
	maintained := func() bool {
		route, ok := b.router.of("shop.test")
		return ok && route.Maintenance != nil && route.Maintenance.Message == "Back at noon." && len(route.Instances) == 1
	}
	require.True(t, maintained())
	b.goLive("2")
	require.True(t, maintained(), "a deployment does not end it")
	b.stop()
	b = w.start(options{})
	b.eventually(maintained, "nor does a restart")
	_, err := b.EndMaintenance(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	require.False(t, maintained())
	require.Nil(t, b.status().Maintenance)
	b.servesOnly("image-shop-2", 1)
}
