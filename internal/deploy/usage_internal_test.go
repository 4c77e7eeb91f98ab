package deploy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestUsage_CountsReadingsToTheirMinute(t *testing.T) {
	var u usage
	m := measured{stageID: "s", instance: "a", container: "c"}
	u.follow([]measured{m}, "")
	for _, reading := range []struct {
		at     time.Duration
		cpu    float64
		memory int64
	}{{50 * time.Second, 9, 9}, {65 * time.Second, .5, 300}, {80 * time.Second, 1, 200}, {95 * time.Second, 0, 100}, {125 * time.Second, 2, 50}} {
		u.add(m, noon.Add(reading.at), container.Stats{CPU: reading.cpu, Memory: reading.memory, MemoryLimit: 1000})
	}
	second := usageRow{
		stageID: "s", instance: "a", at: noon.Add(time.Minute), since: noon.Add(50 * time.Second),
		readings: 3, cpu: .5, cpuMax: 1, memory: 300, limit: 1000,
	}
	rows, _ := u.take(noon.Add(125*time.Second), false)
	require.Equal(t, []usageRow{second}, rows, "the first reading tells of no span, and the newest minute is not over")
	rows, _ = u.take(noon.Add(3*time.Minute), false)
	require.Len(t, rows, 1)
	require.InDelta(t, 2, rows[0].cpu, 0)
	require.Equal(t, noon.Add(95*time.Second), rows[0].since)
	rows, _ = u.take(noon.Add(time.Hour), true)
	require.Empty(t, rows)
}

func TestUsage_BeginsAnewWithAnotherContainer(t *testing.T) {
	var u usage
	m := measured{stageID: "s", instance: "a", container: "c"}
	for n := range 2 {
		u.add(m, noon.Add(time.Duration(n)*time.Second), container.Stats{CPU: 1})
	}
	m.container = "d"
	u.follow([]measured{m}, "")
	u.add(m, noon.Add(40*time.Second), container.Stats{CPU: 7})
	u.add(m, noon.Add(41*time.Second), container.Stats{CPU: 3})
	rows := u.running("s")
	require.Len(t, rows, 2)
	of := byInstance(rows)["a"]
	require.Len(t, of, 1, "it is one minute")
	require.InDelta(t, 2, of[0].cpu, 0)
	require.InDelta(t, 3, of[0].cpuMax, 0)
	require.Equal(t, noon, of[0].since)
	u.forget("s")
	u.add(m, noon.Add(42*time.Second), container.Stats{CPU: 3})
	require.Len(t, u.running("s"), 1, "what was over is not stored: its stage is gone")
}

func TestSpread_FillsWhatAReadingTellsOfAndNoMore(t *testing.T) {
	row := func(at, since time.Duration, cpu float64) usageRow {
		return usageRow{at: noon.Add(at).Truncate(time.Minute), since: noon.Add(since), cpu: cpu}
	}
	at := func(minute int, cpu float64) UsageMinute {
		return UsageMinute{At: noon.Add(time.Duration(minute) * time.Minute), CPU: cpu}
	}
	minutes := spread([]usageRow{
		row(2*time.Minute, -time.Hour, 1),      // from before the time that is asked for
		row(5*time.Minute, 130*time.Second, 2), // since a reading in minute 2
		row(9*time.Minute, 8*time.Minute, 3),
	}, noon.Add(time.Minute))
	require.Equal(t, []UsageMinute{at(1, 1), at(2, 1), at(3, 2), at(4, 2), at(5, 2), at(8, 3), at(9, 3)}, minutes)
}

func TestTogether_AddsUpInstancesAndTheirLimits(t *testing.T) {
	minute := func(n int, cpu float64, limit int64) UsageMinute {
		return UsageMinute{noon.Add(time.Duration(n) * time.Minute), cpu, 2 * cpu, 100, limit}
	}
	sums := together(map[string][]UsageMinute{
		"a": {minute(0, .5, 0), minute(1, .5, 400), minute(2, 1, 400)},
		"b": {minute(0, .25, 400), minute(1, .25, 400)},
	})
	require.Equal(t, []UsageMinute{
		{noon, .75, 1.5, 200, 0},
		{noon.Add(time.Minute), .75, 1.5, 200, 800},
		{noon.Add(2 * time.Minute), 1, 2, 100, 400},
	}, sums)
}

func TestCutOf_LeavesAboutTheMost(t *testing.T) {
	require.Zero(t, CutOf(100, 100, noon.Add(-time.Hour), noon))
	require.Equal(t, noon.Add(-15*time.Minute), CutOf(400, 100, noon.Add(-time.Hour), noon))
}
