package server

import (
	"context"
	"time"

	"berth/internal/api"
	"berth/internal/event"
	"berth/internal/sqlite"
)

// The kinds of events that say that the data folder's disk is nearly full, and
// that it has room again. Their data is a diskState.
const (
	diskLow       event.Kind = "disk.low"
	diskRecovered event.Kind = "disk.recovered"
)

// diskState is how much room a disk has.
type diskState api.Disk

const (
	diskEvery = time.Minute
	// diskLeast is how much free room is enough on any disk.
	diskLeast = 10 << 30
)

// turned gives the kind of event that d is after the one before; "" when it is
// none. A disk is low with less than a tenth free, and less than diskLeast; it
// has room again with half as much more, so that it does not come and go.
func (d diskState) turned(before event.Kind) event.Kind {
	least := min(d.Total/10, diskLeast)
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

// watchDisk writes an event when the data folder's disk gets low, and one when
// it no longer is, until ctx ends. The log says what the last one was.
func (s *Server) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		if err := s.lookAtDisk(ctx, diskState(api.DiskAt(s.settings.DataDir))); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "disk not looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Server) lookAtDisk(ctx context.Context, d diskState) error {
	last, err := s.events.Before(ctx, 0, event.Filter{Kinds: []event.Kind{diskLow, diskRecovered}}, 1)
	if err != nil {
		return err
	}
	var before event.Kind
	if len(last) > 0 {
		before = last[0].Kind
	}
	kind := d.turned(before)
	if kind == "" {
		return nil
	}
	s.log.WarnContext(ctx, "room on the disk", "state", string(kind), "path", d.Path, "free", d.Free, "total", d.Total)
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: "berth"}, d)
	})
}
