package server

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/fault"
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

func TestFull_SaysWhichDiskKeepsDeploymentsAway(t *testing.T) {
	const gib = 1 << 30
	data, images := t.TempDir(), "/dev/shm" // another file system, which every Linux has
	room := map[string]api.Disk{}
	s := &Server{
		settings: &settings.Settings{DataDir: data, DiskLow: 10 * gib, DiskFull: gib}, engine: &engine{images: images},
		diskAt: func(path string) api.Disk { d := room[path]; d.Path = path; return d },
	}
	for _, c := range []struct {
		total, free int64
		state       api.DiskState
	}{
		{1000 * gib, 10 * gib, api.DiskOK},
		{1000 * gib, 10*gib - 1, api.DiskLow},
		{1000 * gib, gib, api.DiskLow},
		{1000 * gib, gib - 1, api.DiskFull},
		{50 * gib, 5 * gib, api.DiskOK}, // a tenth of a small one
		{50 * gib, gib / 2, api.DiskLow},
		{50 * gib, gib/2 - 1, api.DiskFull}, // a hundredth
		{0, 0, api.DiskUnknown},
	} {
		for _, path := range []string{data, images} {
			room[data], room[images] = api.Disk{Total: 1000 * gib, Free: 500 * gib}, api.Disk{Total: 1000 * gib, Free: 500 * gib}
			room[path] = api.Disk{Total: c.total, Free: c.free}
			require.Equal(t, c.state, s.room(path, "data").State, "%d of %d", c.free, c.total)
			err := s.full(t.Context())
			if c.state != api.DiskFull {
				require.NoError(t, err, "%d of %d", c.free, c.total)
				continue
			}
			require.Equal(t, fault.NotNow, fault.KindOf(err))
			require.ErrorContains(t, err, "MiB are free at "+path)
		}
	}

	room[data], room[images] = api.Disk{Total: 100, Free: 40}, api.Disk{Total: 50, Free: 3}
	metrics := prometheus.NewPedanticRegistry()
	require.NoError(t, metrics.Register(newDiskCollector(s.disks)))
	families, err := metrics.Gather()
	require.NoError(t, err)
	told := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			told[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	require.Equal(t, map[string]float64{
		"berth_disk_free_bytes data": 40, "berth_disk_free_bytes images": 3,
		"berth_disk_size_bytes data": 100, "berth_disk_size_bytes images": 50,
	}, told)
}
