package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// The kinds of events that say that a disk is nearly full, and that it has
// room again. Their data is a diskState.
const (
	diskLow       event.Kind = "disk.low"
	diskRecovered event.Kind = "disk.recovered"
)

// diskState is how much room a disk has.
type diskState api.Disk

const diskEvery = time.Minute

// turned gives the kind of event that d is after the one before; "" when it is
// none. A low disk has room again with half as much more than makes it low, so
// that it does not come and go.
func (d diskState) turned(before event.Kind, low int64) event.Kind {
	least := min(d.Total/10, low)
	switch {
	case d.Total <= 0:
		return ""
	case before != diskLow && d.Free < least:
		return diskLow
	case before == diskLow && d.Free >= least+least/2:
		return diskRecovered
	}
	return ""
}

// room says how a disk stands by the settings. It is low with less than a
// tenth free, and less than BERTH_DISK_LOW; full the same with a hundredth.
func (s *Server) room(path, holds string) api.Disk {
	d := s.diskAt(path)
	d.Holds = holds
	switch {
	case d.Total <= 0:
		d.State = api.DiskUnknown
	case d.Free < min(d.Total/100, s.settings.DiskFull):
		d.State = api.DiskFull
	case d.Free < min(d.Total/10, s.settings.DiskLow):
		d.State = api.DiskLow
	default:
		d.State = api.DiskOK
	}
	return d
}

// disks gives the data folder's disk, and the one where the engine keeps its
// images when that is another and can be seen from here.
func (s *Server) disks(ctx context.Context) []api.Disk {
	list := []api.Disk{s.room(s.settings.DataDir, "data")}
	if dir := s.engine.imagesAt(ctx); dir != "" && !sameDisk(dir, s.settings.DataDir) {
		if d := s.room(dir, "images"); d.Total > 0 {
			list = append(list, d)
		}
	}
	return list
}

// full says why nothing may be deployed: a disk has hardly any room left.
func (s *Server) full(ctx context.Context) error {
	for _, d := range s.disks(ctx) {
		if d.State == api.DiskFull {
			return fault.Unavailable("the disk is full: %d MiB are free at %s; nothing is deployed with less than BERTH_DISK_FULL, %d MiB, or a hundredth of the disk",
				d.Free>>20, d.Path, s.settings.DiskFull>>20)
		}
	}
	return nil
}

// diskCollector gives the room on the disks to Prometheus.
type diskCollector struct {
	disks      func(context.Context) []api.Disk
	free, size *prometheus.Desc
}

func newDiskCollector(disks func(context.Context) []api.Disk) *diskCollector {
	return &diskCollector{
		disks: disks,
		free:  prometheus.NewDesc("berth_disk_free_bytes", "Room on a disk, by what Berth keeps there.", []string{"holds"}, nil),
		size:  prometheus.NewDesc("berth_disk_size_bytes", "Size of a disk, by what Berth keeps there.", []string{"holds"}, nil),
	}
}

// Describe names the figures.
func (c *diskCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.free
	to <- c.size
}

// Collect gives the figures. A disk that says nothing has none.
func (c *diskCollector) Collect(to chan<- prometheus.Metric) {
	for _, d := range c.disks(context.Background()) {
		if d.Total > 0 {
			to <- prometheus.MustNewConstMetric(c.free, prometheus.GaugeValue, float64(d.Free), d.Holds)
			to <- prometheus.MustNewConstMetric(c.size, prometheus.GaugeValue, float64(d.Total), d.Holds)
		}
	}
}

// sameDisk says whether two folders are on one file system.
func sameDisk(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}

// watchDisk writes an event when a disk gets low, and one when it no longer
// is, until ctx ends. The log says what the last one was.
func (s *Server) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		for _, d := range s.disks(ctx) {
			if err := s.lookAtDisk(ctx, diskState(d)); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "disk not looked at", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// fewDisks is how many events back what a disk was is looked for: there are
// two disks at most, and each tells only what is new.
const fewDisks = 20

func (s *Server) lookAtDisk(ctx context.Context, d diskState) error {
	last, err := s.events.Before(ctx, 0, event.Filter{Kinds: []event.Kind{diskLow, diskRecovered}}, fewDisks)
	if err != nil {
		return err
	}
	var before event.Kind
	for _, e := range last {
		var of diskState
		if json.Unmarshal(e.Data, &of) == nil && of.Path == d.Path {
			before = e.Kind
			break
		}
	}
	kind := d.turned(before, s.settings.DiskLow)
	if kind == "" {
		return nil
	}
	s.log.WarnContext(ctx, "room on the disk", "state", string(kind), "path", d.Path, "free", d.Free, "total", d.Total)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: "berth"}, d)
	})
}
