package sqlite_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestNewID_SortsByTimeAndRepeatsNever(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := sqlite.NewID(now)
	require.Len(t, last, 26)
	require.Regexp(t, `^[0-9a-v]{26}$`, last)
	seen := map[string]bool{}
	for i := range 1000 {
		id := sqlite.NewID(now.Add(time.Duration(i+1) * time.Millisecond))
		require.Greater(t, id, last)
		last = id
		same := sqlite.NewID(now)
		require.False(t, seen[same])
		seen[same] = true
	}
	require.Greater(t, sqlite.NewID(time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)), last)
}

func TestTime_ReadsWhatMillisStored(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	require.Equal(t, at, sqlite.Time(sqlite.Millis(at)))
	require.Equal(t, at, sqlite.Time(sqlite.Millis(at.In(time.FixedZone("there", 7200)))))
	require.Zero(t, sqlite.Millis(time.Time{}))
	require.True(t, sqlite.Time(0).IsZero())
}
