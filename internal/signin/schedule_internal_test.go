package signin

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func living(n int, provider string, synced time.Time) (list []identity.Living, renewable map[string]bool) {
	renewable = map[string]bool{}
	for i := range n {
		id := provider + " " + strconv.Itoa(i)
		list = append(list, identity.Living{ID: id, Provider: provider, SyncedAt: synced})
		renewable[id] = true
	}
	return list, renewable
}

func in(ids map[string]bool) func(identity.Living) bool {
	return func(one identity.Living) bool { return ids[one.ID] }
}

func TestSchedule_SpreadsAThousandWhoAreDueAtOnceAndEachOnceAnInterval(t *testing.T) {
	const every = 15 * time.Minute
	s := newSchedule(every)
	all, renewable := living(1000, "home", noon.Add(-time.Hour)) // Berth was away for an hour
	s.watch(all, in(renewable), noon)
	last, looks := map[string]time.Time{}, 0
	longest, most, inMinute := time.Duration(0), 0, 0
	for now := noon; now.Before(noon.Add(2 * time.Hour)); now = now.Add(roundEvery) {
		if now.Truncate(time.Minute).Equal(now) {
			inMinute = 0
		}
		due := s.take(now)
		require.LessOrEqual(t, len(due), 12+1, "%s", now)
		for _, it := range due {
			if before, had := last[it.id]; had {
				require.GreaterOrEqual(t, now.Sub(before), every, "asked about too often")
				longest = max(longest, now.Sub(before))
			}
			last[it.id] = now
			s.went(it, now)
		}
		looks += len(due)
		inMinute += len(due)
		most = max(most, inMinute)
		if now.Equal(noon.Add(every/2 + 2*roundEvery)) {
			require.Len(t, last, 1000, "not all were asked about in half of the time")
		}
	}
	require.Less(t, longest, every+every/2)
	require.LessOrEqual(t, most, 1000*2*60/int(every.Seconds())+2*13, "a herd")
	require.InDelta(t, 8*1000, looks, 1000)
}

func TestSchedule_AsksAboutNobodyWhoIsNotSignedInOrCanNotBeAskedAbout(t *testing.T) {
	s := newSchedule(time.Minute)
	all, renewable := living(3, "home", noon.Add(-time.Hour))
	delete(renewable, all[1].ID)
	s.watch(all, in(renewable), noon)
	for range 3 {
		for _, it := range s.take(noon) {
			require.NotEqual(t, all[1].ID, it.id)
			s.went(it, noon)
		}
		noon := noon.Add(time.Minute)
		require.Empty(t, s.take(noon.Add(-time.Millisecond)))
	}
	s.watch(nil, in(nil), noon.Add(time.Minute))
	require.Empty(t, s.take(noon.Add(time.Hour)))
}

func TestSchedule_LeavesAProviderThatFailsInPeaceAndNobodyElse(t *testing.T) {
	const every = 15 * time.Minute
	s := newSchedule(every)
	home, renewable := living(20, "home", noon.Add(-time.Hour))
	work, more := living(20, "work", noon.Add(-time.Hour))
	for id := range more {
		renewable[id] = true
	}
	s.watch(append(home, work...), in(renewable), noon)
	var asked []time.Time
	other := 0
	for now := noon; now.Before(noon.Add(2 * time.Hour)); now = now.Add(roundEvery) {
		for _, it := range s.take(now) {
			if it.provider == "work" {
				other++
				s.went(it, now)
				continue
			}
			if s.halts("home", now) {
				continue
			}
			asked = append(asked, now)
			s.failed(it, failure{said: "it answered 503", wide: true}, now)
		}
	}
	require.InDelta(t, 8*20, other, 20)
	// 30 s, 1, 2, 4, 8, and then each quarter of an hour, give or take a quarter,
	// and for as long as others are before it.
	require.InDelta(t, 12, len(asked), 4)
	for i := 1; i < len(asked); i++ {
		wait := asked[i].Sub(asked[i-1])
		require.GreaterOrEqual(t, wait, min(every, haltFirst<<(i-1))*3/4, "look %d", i)
		require.LessOrEqual(t, wait, min(every, haltFirst<<(i-1))*5/4+40*gapMost, "look %d", i)
	}
	require.Equal(t, asked[0], s.halted["home"].since)
	require.Greater(t, s.overdue(noon.Add(2 * time.Hour))["home"], 2*time.Hour)

	// It answers again: all are asked about, spread as ever.
	s.heal("home")
	seen := map[string]bool{}
	for now := noon.Add(3 * time.Hour); now.Before(noon.Add(3*time.Hour + every/2)); now = now.Add(roundEvery) {
		for _, it := range s.take(now) {
			seen[it.id] = true
			s.went(it, now)
		}
	}
	require.Len(t, seen, 40)
}

func TestSchedule_WaitsAsLongAsAProviderAsksForButNotForEver(t *testing.T) {
	s := newSchedule(15 * time.Minute)
	all, renewable := living(1, "home", noon.Add(-time.Hour))
	s.watch(all, in(renewable), noon)
	it := s.take(noon)[0]
	s.failed(it, failure{wide: true, wait: 40 * time.Minute}, noon)
	require.Empty(t, s.take(noon.Add(40*time.Minute-time.Second)))
	require.Len(t, s.take(noon.Add(40*time.Minute)), 1)
	later := noon.Add(time.Hour)
	s.failed(it, failure{wide: true, wait: 1000 * time.Hour}, later)
	require.Empty(t, s.take(later.Add(haltMost-time.Second)))
	require.Len(t, s.take(later.Add(haltMost)), 1)
}

func TestSchedule_OnePersonWhoCanNotBeAskedAboutStopsNobodyElse(t *testing.T) {
	const every = 15 * time.Minute
	s := newSchedule(every)
	all, renewable := living(10, "home", noon.Add(-time.Hour))
	s.watch(all, in(renewable), noon)
	looks := map[string]int{}
	for now := noon; now.Before(noon.Add(time.Hour)); now = now.Add(roundEvery) {
		for _, it := range s.take(now) {
			looks[it.id]++
			if it.id == all[0].ID {
				s.failed(it, failure{said: "it answered 404"}, now)
				continue
			}
			require.False(t, s.halts("home", now))
			s.went(it, now)
		}
	}
	for _, one := range all[1:] {
		require.GreaterOrEqual(t, looks[one.ID], 4)
	}
	require.LessOrEqual(t, looks[all[0].ID], 12)
}
