package deploy

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAfterBeat_LosesWhatMissedThreeInARow(t *testing.T) {
	silent := errors.New("no answer in time")
	missed := 0
	for n, c := range []struct {
		err    error
		missed int
		lost   bool
	}{
		{silent, 1, false},
		{silent, 2, false},
		{nil, 0, false},
		{silent, 1, false},
		{silent, 2, false},
		{silent, 3, true},
		{silent, 4, true},
		{nil, 0, false},
	} {
		var lost bool
		missed, lost = afterBeat(missed, c.err)
		require.Equal(t, c.missed, missed, "beat %d", n)
		require.Equal(t, c.lost, lost, "beat %d", n)
	}
}

func TestGapOf_SpreadsTheTurnsAndBoundsTheirNumber(t *testing.T) {
	for _, c := range []struct {
		turns int
		gap   time.Duration
	}{{0, 10 * time.Second}, {1, 10 * time.Second}, {4, 2500 * time.Millisecond}, {200, 50 * time.Millisecond}, {3000, 50 * time.Millisecond}} {
		require.Equal(t, c.gap, gapOf(10*time.Second, c.turns), "%d turns", c.turns)
	}
}

// heart is beats with instances whose answers a test gives.
type heart struct {
	beats
	told sync.Mutex
	seen seen
}

// seen is what became of the instances.
type seen struct {
	asked map[string][]time.Duration // when each was, since the start
	lost  []string
}

// after lets d go by, and gives all that was seen until then.
func (h *heart) after(d time.Duration) seen {
	time.Sleep(d)
	synctest.Wait()
	h.told.Lock()
	defer h.told.Unlock()
	asked := make(map[string][]time.Duration, len(h.seen.asked))
	for instance, times := range h.seen.asked {
		asked[instance] = slices.Clone(times)
	}
	return seen{asked, slices.Clone(h.seen.lost)}
}

// beating runs beats until test ends, in a bubble of its own.
func beating(t *testing.T, answer func(ctx context.Context, instance string) error, test func(*testing.T, *heart)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		h := &heart{seen: seen{asked: map[string][]time.Duration{}}}
		h.every = beatEvery
		h.lost = func(_ context.Context, lost target, _ error) {
			h.told.Lock()
			defer h.told.Unlock()
			h.seen.lost = append(h.seen.lost, lost.Instance)
		}
		h.ask = func(ctx context.Context, asked target) error {
			h.told.Lock()
			h.seen.asked[asked.Instance] = append(h.seen.asked[asked.Instance], time.Since(began))
			h.told.Unlock()
			return answer(ctx, asked.Instance)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.run(ctx) }()
		synctest.Wait() // it has begun to wait for the first round
		test(t, h)
		stop()
		<-done
	})
}

func routeTo(stage, deployment string, instances ...string) Route {
	r := Route{StageID: stage, Deployment: deployment}
	for _, i := range instances {
		r.Instances = append(r.Instances, Endpoint{Instance: i, Container: "of " + i, Address: "127.0.0.1:1"})
	}
	return r
}

func well(context.Context, string) error { return nil }

func TestBeats_AskEachInstanceOnceInTenSecondsAndNotAllAtOnce(t *testing.T) {
	beating(t, well, func(t *testing.T, h *heart) {
		t.Helper()
		h.follow(routeTo("s", "d", "a", "b"), StageSpec{})
		seen := h.after(41 * time.Second)
		for _, times := range seen.asked {
			require.Len(t, times, 3)
			for n := range 2 {
				require.Equal(t, 10*time.Second, times[n+1]-times[n])
			}
		}
		require.Equal(t, 5*time.Second, seen.asked["b"][0]-seen.asked["a"][0])
	})
}

func TestBeats_AskTwentyTimesASecondAtMost(t *testing.T) {
	beating(t, well, func(t *testing.T, h *heart) {
		t.Helper()
		for n := range 3000 {
			h.follow(routeTo(strconv.Itoa(n), "d", strconv.Itoa(n)), StageSpec{})
		}
		seen := h.after(10*time.Second + 150*time.Second + time.Millisecond)
		require.Len(t, seen.asked, 3000)
		for _, times := range seen.asked {
			require.Len(t, times, 1)
		}
	})
}

func TestBeats_AskOnlyWhatRequestsGoToAndCanBeProbed(t *testing.T) {
	beating(t, well, func(t *testing.T, h *heart) {
		t.Helper()
		h.follow(routeTo("s", "old", "a"), StageSpec{})
		h.follow(routeTo("none", "d", "n"), StageSpec{Probe: Probe{Kind: ProbeNone}})
		h.follow(routeTo("gone", "d", "g"), StageSpec{})
		h.forget("gone")
		seen := h.after(25 * time.Second)
		require.Len(t, seen.asked["a"], 1)
		h.follow(routeTo("s", "new", "b"), StageSpec{})
		seen = h.after(time.Minute)
		require.Len(t, seen.asked["a"], 1, "it has given way to the next release")
		require.NotEmpty(t, seen.asked["b"])
		require.NotContains(t, seen.asked, "n")
		require.NotContains(t, seen.asked, "g")
	})
}

func TestBeats_LoseOneThatMissesThreeAndForgetWhatItMissedWhenItAnswers(t *testing.T) {
	var silent atomic.Bool
	answer := func(context.Context, string) error {
		if silent.Load() {
			return errors.New("no answer in time")
		}
		return nil
	}
	beating(t, answer, func(t *testing.T, h *heart) {
		t.Helper()
		h.follow(routeTo("s", "d", "a"), StageSpec{})
		silent.Store(true)
		seen := h.after(35 * time.Second) // the first beat comes after 20
		require.Empty(t, seen.lost)
		silent.Store(false)
		h.follow(routeTo("s", "d", "a", "b"), StageSpec{}) // what it missed is not forgotten for that
		require.Empty(t, h.after(20*time.Second).lost)
		silent.Store(true)
		h.follow(routeTo("s", "d", "a"), StageSpec{})
		seen = h.after(19 * time.Second)
		require.Empty(t, seen.lost)
		seen = h.after(20 * time.Second)
		require.Equal(t, []string{"a"}, seen.lost[:1])
	})
}

func TestBeats_AskOneThatDoesNotAnswerAgainSoonInALongRound(t *testing.T) {
	answer := func(_ context.Context, instance string) error {
		if instance == "0" {
			return errors.New("no answer in time")
		}
		return nil
	}
	beating(t, answer, func(t *testing.T, h *heart) {
		t.Helper()
		for n := range 3000 {
			h.follow(routeTo(strconv.Itoa(n), "d", strconv.Itoa(n)), StageSpec{})
		}
		seen := h.after(31 * time.Second)
		require.Equal(t, []string{"0"}, seen.lost)
	})
}

func TestBeats_DoNotWaitForOneThatHangs(t *testing.T) {
	answer := func(ctx context.Context, instance string) error {
		if instance != "a" {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	beating(t, answer, func(t *testing.T, h *heart) {
		t.Helper()
		h.follow(routeTo("s", "d", "a", "b"), StageSpec{})
		seen := h.after(2 * time.Minute)
		require.Len(t, seen.asked["a"], 1, "its turn is not over")
		require.Greater(t, len(seen.asked["b"]), 9)
		require.Empty(t, seen.lost)
	})
}
