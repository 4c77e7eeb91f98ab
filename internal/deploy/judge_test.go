package deploy

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answered gives answers of 10 ms, some of them errors, and some more of a
// second.
func answered(good, errors, slow int64) Answers {
	return Answers{
		Errors: errors, Took: []int64{good + errors, 0, slow, 0},
		Bounds: []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second},
	}
}

func TestJudge_ComparesWithTheReleaseBefore(t *testing.T) {
	standard := Guard{Window: 1, ErrorRate: 5, MinRequests: 20}
	latency := standard
	latency.LatencyFactor = 3
	patient := standard
	patient.Restarts = 2
	for _, c := range []struct {
		name   string
		w      Watched
		before Answers
		g      Guard
		breach bool
	}{
		{"nothing was asked", Watched{}, Answers{}, standard, false},
		{"three of three are errors", Watched{Spans: []Answers{answered(0, 3, 0)}}, answered(1000, 0, 0), standard, false},
		{"nineteen of nineteen are errors", Watched{Spans: []Answers{answered(0, 19, 0)}}, answered(1000, 0, 0), standard, false},
		{"twenty of twenty are errors", Watched{Spans: []Answers{answered(0, 20, 0)}}, answered(1000, 0, 0), standard, true},
		{"two of twenty are", Watched{Spans: []Answers{answered(18, 2, 0)}}, answered(1000, 0, 0), standard, false},
		{"six of twenty are", Watched{Spans: []Answers{answered(14, 6, 0)}}, answered(1000, 0, 0), standard, true},
		{"four of a hundred, where none were", Watched{Spans: []Answers{answered(9600, 400, 0)}}, answered(1000, 0, 0), standard, false},
		{"six of a hundred of many, where none were", Watched{Spans: []Answers{answered(9400, 600, 0)}}, answered(1000, 0, 0), standard, true},
		{"as bad as the one before", Watched{Spans: []Answers{answered(700, 300, 0)}}, answered(700, 300, 0), standard, false},
		{"a tenth, with nothing to compare with", Watched{Spans: []Answers{answered(900, 100, 0)}}, answered(2, 0, 0), standard, false},
		{"a fifth, with nothing to compare with", Watched{Spans: []Answers{answered(800, 200, 0)}}, answered(2, 0, 0), standard, true},
		{"bad of late, good in all", Watched{Spans: []Answers{answered(0, 30, 0), answered(9000, 30, 0)}}, answered(1000, 0, 0), standard, true},
		{"slow, and nobody looks", Watched{Spans: []Answers{answered(0, 0, 100)}}, answered(1000, 0, 0), standard, false},
		{"slow", Watched{Spans: []Answers{answered(50, 0, 50)}}, answered(1000, 0, 0), latency, true},
		{"as slow as the one before", Watched{Spans: []Answers{answered(50, 0, 50)}}, answered(500, 0, 500), latency, false},
		{"a few are slow", Watched{Spans: []Answers{answered(98, 0, 2)}}, answered(1000, 0, 0), latency, false},
		{"slow, with nothing to compare with", Watched{Spans: []Answers{answered(0, 0, 100)}}, Answers{}, latency, false},
		{"a container ended", Watched{Restarts: 1}, Answers{}, standard, true},
		{"two ended, which is borne", Watched{Restarts: 2}, Answers{}, patient, false},
		{"three ended", Watched{Restarts: 3}, Answers{}, patient, true},
		{"an instance is silent", Watched{Silent: 1}, Answers{}, standard, true},
	} {
		v := Judge(c.w, seenOf(c.before), c.g)
		require.Equal(t, c.breach, v.Breach, "%s: %s", c.name, v.Reason)
		require.Equal(t, c.breach, v.Reason != "", c.name)
	}
}

// A release that is just as good as the one before must not be taken back by
// chance: a guard looks hundreds of times.
func TestJudge_LeavesAReleaseThatIsAsGoodAlone(t *testing.T) {
	g := Guard{Window: 1, ErrorRate: 5, MinRequests: 20}
	random := rand.New(rand.NewPCG(1, 2))
	wrong := 0
	const guards, looks, each = 300, 240, 25
	for range guards {
		spans := make([]Answers, 0, looks)
		total := answered(0, 0, 0)
		for range looks {
			for range each {
				if random.IntN(100) < 2 {
					total = answered(total.Took[0]-total.Errors, total.Errors+1, 0)
				} else {
					total = answered(total.Took[0]-total.Errors+1, total.Errors, 0)
				}
			}
			spans = append(spans, total)
			last := total.Since(spans[max(0, len(spans)-10)])
			if Judge(Watched{Spans: []Answers{last, total}}, seenOf(answered(980, 20, 0)), g).Breach {
				wrong++
				break
			}
		}
	}
	require.Zero(t, wrong, "of %d releases that fail two of a hundred requests, as the one before did", guards)
}

func TestSurelyOver_WantsMoreThanBadLuck(t *testing.T) {
	require.False(t, surelyOver(0, 0, .05))
	require.False(t, surelyOver(1, 20, .05), "just at the limit")
	require.False(t, surelyOver(60, 1000, .05), "a point over it")
	require.True(t, surelyOver(90, 1000, .05))
	require.True(t, surelyOver(1, 1, .99), "all of it")
}

func TestNormalise_LeavesAStageWithoutAGuardAsItWas(t *testing.T) {
	before := StageSpec{Hostname: "shop.test"}.Normalise()
	canonical, err := before.Canonical()
	require.NoError(t, err)
	require.NotContains(t, string(canonical), "guard")
	require.NotContains(t, string(canonical), "canary")
	with := StageSpec{Hostname: "shop.test", Guard: Guard{Window: Duration(time.Minute)}}.Normalise()
	require.Equal(t, Guard{Window: Duration(time.Minute), ErrorRate: 5, MinRequests: 20}, with.Guard)
	with = StageSpec{Hostname: "shop.test", Canary: CanaryRule{Share: 10}}.Normalise()
	require.Equal(t, CanaryRule{10, Duration(5 * time.Minute)}, with.Canary)
	require.Equal(t, Guard{ErrorRate: 5, MinRequests: 20}, with.Guard, "a canary is judged by the same limits")
	require.Equal(t, with, with.Normalise())
}
