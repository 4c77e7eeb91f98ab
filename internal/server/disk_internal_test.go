package server

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/settings"
	"berth/internal/sqlite"
)

func TestDisk_IsToldOfOnceWhenItGetsLowAndOnceWhenItIsNot(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	const gib = 1 << 30
	s := &Server{settings: &settings.Settings{DiskLow: 10 * gib}, db: db, events: event.New(event.Config{DB: db}), log: slog.New(slog.DiscardHandler)}
	for _, free := range []int64{50, 9, 5, 9, 14, 15, 40, 3} { // of 1000 GiB
		require.NoError(t, s.lookAtDisk(t.Context(), diskState{Path: "/data", Total: 1000 * gib, Free: free * gib}))
		require.NoError(t, s.lookAtDisk(t.Context(), diskState{Path: "/images", Total: 1000 * gib, Free: 500 * gib}), "another one has room all the time")
	}
	list, err := s.events.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	var kinds []event.Kind
	for _, e := range list {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []event.Kind{diskLow, diskRecovered, diskLow}, kinds)
	require.JSONEq(t, `{"path": "/data", "total": 1073741824000, "free": 9663676416}`, string(list[0].Data))

	require.Equal(t, diskLow, diskState{Total: 20 * gib, Free: 1 * gib}.turned("", 10*gib), "a tenth of a small one")
	require.Empty(t, diskState{Total: 20 * gib, Free: 3 * gib}.turned("", 10*gib))
	require.Empty(t, diskState{}.turned("", 10*gib), "nothing is known of it")
	require.Positive(t, api.DiskAt(t.TempDir()).Total)
}
