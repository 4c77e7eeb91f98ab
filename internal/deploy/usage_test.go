package deploy_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

const quickMeasure = 5 * time.Millisecond

// dial is a clock that a test sets: it stands, at first in an hour, so that no
// container seems to be started after its instance was written.
type dial struct{ ahead atomic.Int64 }

var inAnHour = time.Now().UTC().Truncate(time.Minute).Add(time.Hour)

func (d *dial) now() time.Time           { return inAnHour.Add(time.Duration(d.ahead.Load())) }
func (d *dial) forward(by time.Duration) { d.ahead.Add(int64(by)) }

func (b *berth) usage() deploy.Usage {
	b.t.Helper()
	u, err := b.Usage(b.t.Context(), "shop", "prod", 60, 1)
	require.NoError(b.t, err)
	return u
}

// used waits until a stage's newest minute has a figure of so many instances.
func (b *berth) used(memory int64) (u deploy.Usage) {
	b.t.Helper()
	b.eventually(func() bool {
		u = b.usage()
		return len(u.Minutes) > 0 && u.Minutes[len(u.Minutes)-1].Memory == memory
	}, "it is measured")
	return u
}

func (w *world) storedMinutes() (n int) {
	w.t.Helper()
	require.NoError(w.t, w.db.Read(w.t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(w.t.Context(), "SELECT COUNT(*) FROM instance_minutes").Scan(&n)
	}))
	return n
}

func TestUsage_IsToldByTheMinuteOfEachInstanceAndOfAllTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clock dial
	w.engine.uses(container.Stats{CPU: .25, Memory: 100, MemoryLimit: 1000})
	w.images.push("shop", "1", appGood)
	b := w.start(options{measure: quickMeasure, clock: clock.now})
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 2 })
	require.Equal(t, deploy.Usage{Step: 1, Available: true, Minutes: []deploy.UsageMinute{}, Instances: []deploy.InstanceUsage{}}, b.usage())
	first := b.goLive("1")
	minute := inAnHour
	u := b.used(200)
	require.True(t, u.Available)
	require.Equal(t, []deploy.UsageMinute{{At: minute, CPU: .5, CPUMax: .5, Memory: 200, MemoryLimit: 2000}}, u.Minutes)
	require.Len(t, u.Instances, 2)
	for n, i := range u.Instances {
		require.Equal(t, n, i.Ordinal)
		require.Equal(t, first.ID, i.Deployment)
		require.Equal(t, deploy.InstanceReady, i.State)
		require.Equal(t, []deploy.UsageMinute{{At: minute, CPU: .25, CPUMax: .25, Memory: 100, MemoryLimit: 1000}}, i.Minutes)
	}
	require.Zero(t, w.storedMinutes(), "the minute is not over")
	require.Contains(t, b.figures(), "berth_instance_cpu_cores "+u.Instances[0].Instance+" shop prod 0.25")
	require.Contains(t, b.figures(), "berth_instance_memory_bytes "+u.Instances[1].Instance+" shop prod 100")

	w.engine.uses(container.Stats{CPU: 1, Memory: 300, MemoryLimit: 1000})
	clock.forward(time.Minute)
	require.Len(t, b.used(600).Minutes, 2)
	b.eventually(func() bool { return w.storedMinutes() == 2 }, "the minute before is kept")
	b.stop()
	require.Equal(t, 4, w.storedMinutes(), "the end keeps what the running minute has")

	w.engine.uses(container.Stats{CPU: 1, Memory: 400, MemoryLimit: 1000})
	again := w.start(options{measure: quickMeasure, clock: clock.now})
	u = again.used(800)
	require.Len(t, u.Minutes, 2, "the minute goes on")
	require.InDelta(t, .5, u.Minutes[0].CPU, 0)
	require.InDelta(t, 2, u.Minutes[1].CPU, 1e-9)
	_, err := again.Usage(t.Context(), "shop", "nope", 60, 1)
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestUsage_KeepsTheMinutesOfInstancesThatAreGoneUntilTheirStageIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clock dial
	w.engine.uses(container.Stats{CPU: 1, Memory: 100})
	w.images.push("shop", "1", appGood)
	w.images.push("shop", "2", appGood)
	b := w.start(options{measure: quickMeasure, clock: clock.now})
	b.shop(nil)
	first := b.goLive("1")
	b.used(100)
	clock.forward(time.Minute)
	b.used(100)
	clock.forward(time.Minute)
	second := b.goLive("2")
	clock.forward(time.Minute)
	w.engine.uses(container.Stats{CPU: 1, Memory: 50})
	u := b.used(50)
	require.Len(t, u.Instances, 2)
	require.Equal(t, []string{second.ID, first.ID}, []string{u.Instances[0].Deployment, u.Instances[1].Deployment})
	require.Equal(t, deploy.InstanceStopped, u.Instances[1].State)
	require.GreaterOrEqual(t, len(u.Instances[1].Minutes), 2)
	require.False(t, slices.ContainsFunc(b.counted("berth_instance_cpu"), func(line string) bool {
		return line == "berth_instance_cpu_cores "+u.Instances[1].Instance+" shop prod 1"
	}), "of one that is gone no figure is told")

	_, err := b.RemoveStage(t.Context(), "ana", "shop", "prod")
	require.NoError(t, err)
	clock.forward(time.Minute)
	b.stop()
	require.Zero(t, w.storedMinutes())
}

func TestUsage_IsNotAskedForWhereTheEngineDoesNotTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.lacks = []container.Lack{container.LacksStats}
	w.images.push("shop", "1", appGood)
	b := w.start(options{measure: quickMeasure})
	b.shop(nil)
	b.goLive("1")
	b.eventually(func() bool { return !b.usage().Available }, "it says so")
	require.Contains(t, b.usage().Reason, "does not tell what containers use")
	before := w.engine.called("Info")
	b.goLive("1")
	require.Zero(t, w.engine.called("Stats"))
	require.LessOrEqual(t, w.engine.called("Info"), before+1, "nor is that asked again and again")
}

func TestUsage_GoesOnWhenTheEngineIsBackAndPastReadingsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.uses(container.Stats{CPU: 1, Memory: 100})
	w.images.push("shop", "1", appGood)
	b := w.start(options{measure: quickMeasure})
	b.shop(nil)
	b.goLive("1")
	b.used(100)
	w.engine.refuseWith("Stats", errors.New("no"))
	asked := w.engine.called("Stats")
	b.eventually(func() bool { return w.engine.called("Stats") > asked+3 }, "it goes on asking")
	require.True(t, b.usage().Available)
	w.engine.refuseWith("Stats", nil)

	w.engine.leave()
	b.eventually(func() bool { return !b.usage().Available }, "it says that the engine is away")
	require.Contains(t, b.usage().Reason, "does not answer")
	require.NotEmpty(t, b.usage().Minutes, "what was before is told")
	require.Empty(t, b.counted("berth_instance"))
	w.engine.comeBack()
	w.engine.uses(container.Stats{CPU: 1, Memory: 900})
	b.used(900)
	require.True(t, b.usage().Available)
}

func TestUsage_OfTwoWeeksIsToldInSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clock dial
	w.engine.uses(container.Stats{CPU: .25, Memory: 100, MemoryLimit: 1000})
	w.images.push("shop", "1", appGood)
	b := w.start(options{measure: quickMeasure, clock: clock.now})
	b.shop(func(s *deploy.StageSpec) { s.Replicas = 2 })
	b.goLive("1")
	b.used(200)
	id := b.usage().Instances[1].Instance
	b.stop()
	now := clock.now()
	keep := func(ago time.Duration, cpu, most float64, memory int64) {
		require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			at := sqlite.Millis(now.Add(-ago))
			_, err := tx.ExecContext(t.Context(), `
				INSERT INTO instance_minutes (stage_id, minute, instance_id, since, readings, cpu, cpu_max, memory, memory_limit)
				SELECT stage_id, ?1, ?2, ?1, 4, ?3, ?4, ?5, 500
				FROM instance_minutes
				LIMIT 1`, at, id, cpu, most, memory)
			return err
		}))
	}
	far := now.Sub(now.Add(-13 * 24 * time.Hour).Truncate(time.Hour))
	keep(far, 1, 3, 70)
	keep(far-10*time.Minute, 2, 2.5, 80)
	keep(far-59*time.Minute, 3, 3.5, 60)
	keep(far-60*time.Minute, 4, 4, 50)
	w.engine.refuseWith("Stats", errors.New("no"))
	u, err := w.start(options{clock: clock.now}).Usage(t.Context(), "shop", "prod", 14*24*60, 60)
	require.NoError(t, err)
	require.Equal(t, 60, u.Step)
	longAgo := []deploy.UsageMinute{
		{At: now.Add(-far), CPU: 2, CPUMax: 3.5, Memory: 80, MemoryLimit: 500},
		{At: now.Add(time.Hour - far), CPU: 4, CPUMax: 4, Memory: 50, MemoryLimit: 500},
	}
	at := now.Truncate(time.Hour)
	require.Equal(t, append(longAgo, deploy.UsageMinute{At: at, CPU: .5, CPUMax: .5, Memory: 200, MemoryLimit: 2000}), u.Minutes)
	require.Len(t, u.Instances, 2)
	require.Len(t, u.Instances[0].Minutes, 1)
	require.Equal(t, append(longAgo, deploy.UsageMinute{At: at, CPU: .25, CPUMax: .25, Memory: 100, MemoryLimit: 1000}), u.Instances[1].Minutes)
}

func TestUsage_IsKeptForTwoWeeks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clock dial
	w.engine.uses(container.Stats{CPU: 1, Memory: 100})
	w.images.push("shop", "1", appGood)
	b := w.start(options{measure: quickMeasure, clock: clock.now})
	b.shop(nil)
	b.goLive("1")
	b.used(100)
	clock.forward(time.Minute)
	b.eventually(func() bool { return w.storedMinutes() == 1 }, "it is kept")
	b.stop()
	kept := w.storedMinutes()
	w.engine.refuseWith("Stats", errors.New("no"))
	sweep := func() {
		again := w.start(options{clock: clock.now, measure: quickMeasure})
		<-again.Ready()
		again.stop() // by then it has swept
	}
	clock.forward(14*24*time.Hour - 5*time.Minute)
	sweep()
	require.Equal(t, kept, w.storedMinutes())
	clock.forward(10 * time.Minute)
	sweep()
	require.Zero(t, w.storedMinutes())
}
