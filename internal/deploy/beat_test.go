package deploy_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
)

const quickBeat = 20 * time.Millisecond

// quick gives a stage that notices soon what does not answer.
func quick(replicas int, startDeadline time.Duration) func(*deploy.StageSpec) {
	return func(s *deploy.StageSpec) {
		s.Replicas = replicas
		s.Probe.Timeout, s.Probe.StartDeadline = deploy.Duration(500*time.Millisecond), deploy.Duration(startDeadline)
	}
}

func TestRun_EndsWithoutAnErrorWhenToldToStopBeforeItBegan(t *testing.T) {
	b := newWorld(t).start(options{idle: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, b.Run(ctx))
}

func TestRun_RoutesWithoutAnInstanceThatStopsAnsweringUntilItAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{beat: quickBeat})
	w.images.push("shop", "1", appGood)
	b.shop(quick(2, time.Minute))
	b.goLive("1")
	b.servesOnly("image-shop-1", 2)
	was := b.status().Instances[0]
	w.engine.hang(was.Container, true)
	b.eventually(func() bool { return b.status().State == deploy.StageDegraded }, "the stage shows it")
	now := b.status().Instances[0]
	require.Equal(t, deploy.InstanceDown, now.State)
	require.Equal(t, "it does not answer its probe: GET /: no answer in time", now.Detail)
	b.eventually(func() bool { return len(b.ask("shop.test")) == 1 }, "the other one has all requests")
	require.Contains(t, b.figures(), "berth_instances_lost_total shop prod 1")

	w.engine.hang(was.Container, false)
	b.servesOnly("image-shop-1", 2)
	require.Contains(t, b.figures(), "berth_instances_lost_total shop prod 1", "counted once")
	now = b.status().Instances[0]
	require.Equal(t, was.Address, now.Address, "it was not started anew")
	require.Empty(t, now.Detail)
	list, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"instance.state"}}, 100)
	require.NoError(t, err)
	var told []string
	for _, e := range list {
		if e.Instance == was.ID {
			told = append(told, string(e.Data))
		}
	}
	require.Contains(t, strings.Join(told, " "), "it does not answer its probe")
	_, err = b.RemoveStage(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	require.Empty(t, b.figures(), "of a stage that is gone nothing is told")
}

// figures gives what Prometheus gets: a name, its labels' values in the order
// of their names, and the value; of a histogram how many it saw.
func (b *berth) figures() (told []string) {
	b.t.Helper()
	metrics := prometheus.NewPedanticRegistry()
	require.NoError(b.t, metrics.Register(b.Collector()))
	families, err := metrics.Gather()
	require.NoError(b.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			line := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				line = append(line, l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			line = append(line, strconv.FormatFloat(value, 'f', -1, 64))
			told = append(told, strings.Join(line, " "))
		}
	}
	return told
}

func TestRun_StartsAnInstanceAnewThatGoesOnNotAnswering(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{beat: quickBeat})
	w.images.push("shop", "1", appGood)
	b.shop(quick(1, 2*time.Second))
	b.goLive("1")
	was := b.status().Instances[0]
	w.engine.hang(was.Container, true)
	b.eventually(func() bool { return b.status().State == deploy.StageDown }, "the stage shows it")
	b.eventually(func() bool { return b.status().Instances[0].Address != was.Address }, "it is started anew")
	b.servesOnly("image-shop-1", 1)
}

func TestRun_DoesNotPutOffTheEndOfATrialForWhatElseHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{beat: quickBeat})
	w.images.push("shop", "1", appGood)
	b.shop(quick(1, 2*time.Second))
	b.goLive("1")
	was := b.status().Instances[0]
	w.engine.hang(was.Container, true)
	b.eventually(func() bool { return b.status().State == deploy.StageDown }, "the stage shows it")
	b.eventually(func() bool {
		w.engine.nudge(was.Container)
		return b.status().Instances[0].Address != was.Address
	}, "it is started anew though there is always something to look at")
	b.servesOnly("image-shop-1", 1)
}

func TestRun_DoesNotProbeInstancesThatAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(options{beat: quickBeat})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b.shop(func(s *deploy.StageSpec) { s.KeepOld = deploy.Duration(time.Hour) })
	b.goLive("1")
	old := b.status().Instances[0].Container
	b.goLive("2")
	live := b.status().Instances[0].Container
	before, beats := w.engine.asked(old), w.engine.asked(live)
	b.eventually(func() bool { return w.engine.asked(live) > beats+5 }, "what is live is probed")
	require.LessOrEqual(t, w.engine.asked(old), before+1, "but for a probe that was under way")
}
