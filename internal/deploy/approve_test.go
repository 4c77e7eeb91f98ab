package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
)

func TestPromote_WaitsForAnotherPerson(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteApproval = true })
	staged := b.goStaging("1")
	d, err := b.promote(staged.Release)
	require.NoError(t, err)
	require.Equal(t, deploy.Held, d.State)
	require.Equal(t, deploy.ApprovalOther, d.Approval)
	require.Equal(t, d.ID, b.status().Held.ID)
	require.Nil(t, b.status().Deployment)
	require.Equal(t, deploy.StageEmpty, b.status().State)

	_, err = b.Approve(t.Context(), "ana", d.ID)
	require.Equal(t, fault.Denied, fault.KindOf(err))
	require.ErrorContains(t, err, "another person has to approve it")
	b.edit(func(prod *deploy.StageSpec) { prod.PromoteApproval = false })
	_, err = b.Approve(t.Context(), "ana", d.ID)
	require.Equal(t, fault.Denied, fault.KindOf(err), "what was asked for under the rule stays under it")

	b.stop()
	b = w.start(options{})
	d, err = b.Deployment(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Held, d.State, "it is held over a restart")
	d, err = b.Approve(t.Context(), "ben", d.ID)
	require.NoError(t, err)
	require.Equal(t, "ben", d.ApprovedBy)
	require.False(t, d.ApprovedAt.IsZero())
	d = b.end(d.ID)
	require.Equal(t, deploy.Live, d.State, d.Error)
	require.Equal(t, "ana", d.Actor)
	require.Equal(t, "ben", d.ApprovedBy)
	_, err = b.Approve(t.Context(), "cleo", d.ID)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.ErrorContains(t, err, "ben approved this deployment already; it is live")

	told, err := w.events.Since(t.Context(), 0, event.Filter{Deployment: d.ID, Kinds: []event.Kind{"deployment.state"}}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"ana", "ben", "ana", "ana"}, []string{told[0].Actor, told[1].Actor, told[2].Actor, told[3].Actor})
	require.Contains(t, string(told[0].Data), `"state":"held"`)
	require.Contains(t, string(told[0].Data), `"approval":"other"`)
	require.Contains(t, string(told[1].Data), `"state":"waiting"`)
	require.Contains(t, string(told[1].Data), `"approved_by":"ben"`)
}

func TestApprove_IsRefusedWhenTheStageNoLongerTakesIt(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.pair(func(prod *deploy.StageSpec) { prod.PromoteApproval = true })
	staged := b.goStaging("1")
	d, err := b.promote(staged.Release)
	require.NoError(t, err)
	b.goStaging("2")
	_, err = b.Approve(t.Context(), "ben", d.ID)
	require.ErrorContains(t, err, "1 is not live in staging", "it may have turned out bad")
	require.NoError(t, b.Cancel(t.Context(), "ben", d.ID))
	require.Equal(t, deploy.Canceled, b.end(d.ID).State)
	require.Nil(t, b.status().Held)
	_, err = b.Approve(t.Context(), "ben", d.ID)
	require.ErrorContains(t, err, "waits for nobody's approval: it is canceled")
}

func TestApprove_HoldsAMatchForAClickUntilANewerOneComes(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		w.images.push("shop", tag, appGood)
	}
	b.shop(func(s *deploy.StageSpec) {
		s.Tags, s.Approve = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"}, true
	})
	live := b.goLive("1.0.0") // by hand, which waits for nobody
	held := func(tag string) (d deploy.Deployment) {
		b.eventually(func() bool {
			if b.status().Held == nil {
				return false
			}
			d = *b.status().Held
			return d.Reference == tag
		}, tag+" is held")
		return d
	}
	w.push("1.1.0")
	first := held("1.1.0")
	require.Equal(t, deploy.ApprovalAny, first.Approval)
	require.Equal(t, live.ID, b.status().Deployment.ID)
	require.Equal(t, deploy.StageHealthy, b.status().State)
	w.push("1.2.0")
	second := held("1.2.0")
	require.Equal(t, deploy.Superseded, b.end(first.ID).State)
	list, _, err := b.Deployments(t.Context(), deploy.DeploymentFilter{State: deploy.Held}, deploy.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	_, err = b.Approve(t.Context(), "ana", second.ID)
	require.NoError(t, err, "who pushed may approve: it is a click that is asked for")
	require.Equal(t, deploy.Live, b.end(second.ID).State)
	require.Equal(t, []string{"image-shop-1.2.0"}, b.ask("shop.test"))
}

func TestApprove_TakesTheImageThatWasFoundWhereverItsTagPointsByNow(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "evil", appGood)
	b.shop(func(s *deploy.StageSpec) {
		s.Tags, s.Approve = deploy.TagRule{Kind: deploy.TagExact, Pattern: "1"}, true
	})
	seen := w.images.tags["shop:1"].Digest
	w.push("1")
	b.eventually(func() bool { return b.status().Held != nil }, "it is held")
	held := *b.status().Held
	require.Equal(t, seen, held.Digest, "who approves sees what they approve")
	w.images.move("shop", "1", "evil")
	_, err := b.Approve(t.Context(), "ben", held.ID)
	require.NoError(t, err)
	live := b.end(held.ID)
	require.Equal(t, deploy.Live, live.State, live.Error)
	require.Equal(t, seen, live.Digest)
	require.Equal(t, "1", live.Reference)
	require.Equal(t, []string{"image-shop-1"}, b.ask("shop.test"))
}

func TestApprove_LeavesWhatSomebodyAskedForToGoOn(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for tag, kind := range map[string]app{"slow": appDeaf, "mine": appGood, "1.0.0": appGood} {
		w.images.push("shop", tag, kind)
	}
	b.shop(func(s *deploy.StageSpec) {
		s.Tags, s.Approve = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1"}, true
	})
	slow := b.deploy("slow")
	b.eventually(func() bool { return b.stateOf(slow.ID) == deploy.Running }, "it runs")
	mine := b.deploy("mine")
	w.push("1.0.0")
	b.eventually(func() bool { return b.status().Held != nil }, "the match is held")
	held := *b.status().Held
	require.Equal(t, deploy.Waiting, b.stateOf(mine.ID), "a match that nobody approved takes nobody's place")

	_, err := b.Approve(t.Context(), "ben", held.ID)
	require.NoError(t, err)
	require.Equal(t, deploy.Superseded, b.end(mine.ID).State, "what is approved is newer than what waits")
	require.NoError(t, b.Cancel(t.Context(), "ana", slow.ID))
	require.Equal(t, deploy.Live, b.end(held.ID).State)
}

func (b *berth) stateOf(id string) deploy.State {
	b.t.Helper()
	d, err := b.Deployment(b.t.Context(), id)
	require.NoError(b.t, err)
	return d.State
}
