package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/sqlite"
)

// How instances are measured.
const (
	measureEvery  = 15 * time.Second
	measureGap    = 200 * time.Millisecond // between two readings, at least
	measureAtOnce = 4
	readingTime   = 10 * time.Second
	// usageKept is how far the charts look back, and usageMost how many
	// minutes are kept of all instances together.
	usageKept = 14 * 24 * time.Hour
	usageMost = 1_000_000
	usageTime = 5 * time.Second // to keep a minute, also when Run's context ends
)

// usage turns readings of the running instances into a row a minute.
type usage struct {
	every time.Duration
	// keeping is held while minutes go to the database, and before mu.
	keeping sync.Mutex

	mu    sync.Mutex
	why   string               // nothing is measured; empty when it is
	of    map[string]*measured // by instance
	over  []usageRow           // minutes that are over, or of instances that are gone
	swept time.Time
}

// measured is an instance that is measured again and again.
type measured struct {
	stageID, project, stage string
	instance, container     string

	// last is when it was read last; its readings tell of the span since then.
	last   time.Time
	told   bool // that it has readings
	cpu    float64
	memory int64
	row    usageRow // of its newest minute
}

// usageRow is a minute of an instance as it is stored.
type usageRow struct {
	stageID, instance string
	at                time.Time
	since             time.Time // where the span begins that its readings tell of
	readings          int64
	cpu, cpuMax       float64
	memory, limit     int64
}

// add adds what other has of the same minute.
func (r *usageRow) add(other usageRow) {
	all := r.readings + other.readings
	r.cpu = (r.cpu*float64(r.readings) + other.cpu*float64(other.readings)) / float64(max(all, 1))
	r.readings = all
	if other.since.Before(r.since) {
		r.since = other.since
	}
	r.cpuMax, r.memory = max(r.cpuMax, other.cpuMax), max(r.memory, other.memory)
	r.limit = other.limit
}

// measure reads what the instances use, again and again, until ctx ends: each
// every 15 seconds, or rarer where they are many.
func (s *Service) measure(ctx context.Context) {
	defer s.keepUsage(ctx, true)
	for {
		round, err := s.toMeasure(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "instances not measured; trying again later", "error", err)
		}
		gap := max(s.usage.every/time.Duration(max(len(round), 1)), min(measureGap, s.usage.every))
		if len(round) == 0 {
			if !pause(ctx, gap, nil) {
				return
			}
			s.keepUsage(ctx, false)
			continue
		}
		var hands errgroup.Group
		hands.SetLimit(measureAtOnce)
		for _, m := range round {
			if !pause(ctx, gap, nil) {
				break
			}
			s.keepUsage(ctx, false)
			hands.Go(func() error { s.readUsage(ctx, m); return nil })
		}
		_ = hands.Wait() // none fails
		if ctx.Err() != nil {
			return
		}
	}
}

// toMeasure gives the instances that may run; none where the engine does not
// tell what containers use, which it is not asked for then.
func (s *Service) toMeasure(ctx context.Context) (round []measured, err error) {
	info, err := s.engine.info(ctx, s.runtime)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		s.usage.follow(nil, "the container engine does not answer")
		return nil, nil // whoever watches the engine says so
	case slices.Contains(info.Lacks, container.LacksStats):
		s.usage.follow(nil, "the container engine does not tell what containers use: rootless Podman needs cgroup v2 for it")
		return nil, nil
	}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		round, err = instancesToMeasure(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the instances to measure: %w", err)
	}
	s.usage.follow(round, "")
	return round, nil
}

// readUsage reads what one instance uses.
func (s *Service) readUsage(ctx context.Context, m measured) {
	reading, stop := context.WithTimeout(ctx, readingTime)
	defer stop()
	stats, err := s.runtime.Stats(reading, m.container)
	switch {
	case err == nil:
		s.usage.add(m, s.clock().UTC(), stats)
	case errors.Is(err, container.ErrNotFound), errors.Is(err, container.ErrConflict):
		s.usage.pass(m.instance) // it does not run
	case ctx.Err() == nil:
		s.log.DebugContext(ctx, "instance not measured", "project", m.project, "stage", m.stage, "instance", m.instance, "error", err)
	}
}

func (u *usage) whyNot() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.why
}

// follow measures these from now on, and no others; none at all has a reason.
func (u *usage) follow(round []measured, why string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.why = why
	now := make(map[string]*measured, len(round))
	for _, m := range round {
		if before := u.of[m.instance]; before != nil && before.container == m.container {
			now[m.instance] = before
		}
	}
	for instance, m := range u.of {
		if now[instance] != m {
			u.end(m)
		}
	}
	u.of = now
}

// end has the minute that m has begun be its last; mu is held.
func (u *usage) end(m *measured) {
	if m.row.readings > 0 {
		u.over = append(u.over, m.row)
	}
	m.row = usageRow{}
}

// pass measures an instance no longer that does not run.
func (u *usage) pass(instance string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := u.of[instance]; m != nil {
		u.end(m)
		delete(u.of, instance)
	}
}

// forget keeps nothing of a stage that is gone.
func (u *usage) forget(stageID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for instance, m := range u.of {
		if m.stageID == stageID {
			delete(u.of, instance)
		}
	}
}

// add takes a reading down. The CPU time is told from one reading to the next,
// so the first one of a container only begins a span.
func (u *usage) add(m measured, now time.Time, stats container.Stats) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.of[m.instance]
	if of == nil || of.container != m.container {
		m.last = now
		if u.of == nil {
			u.of = map[string]*measured{}
		}
		u.of[m.instance] = &m
		return
	}
	row := usageRow{
		stageID: of.stageID, instance: of.instance, at: now.Truncate(time.Minute), since: of.last, readings: 1,
		cpu: stats.CPU, cpuMax: stats.CPU, memory: stats.Memory, limit: stats.MemoryLimit,
	}
	if of.row.readings > 0 && of.row.at.Equal(row.at) {
		of.row.add(row)
	} else {
		u.end(of)
		of.row = row
	}
	of.last, of.told, of.cpu, of.memory = now, true, stats.CPU, stats.Memory
}

// running gives what is not in the database yet of a stage.
func (u *usage) running(stageID string) (rows []usageRow) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range u.over {
		if r.stageID == stageID {
			rows = append(rows, r)
		}
	}
	for _, m := range u.of {
		if m.stageID == stageID && m.row.readings > 0 {
			rows = append(rows, m.row)
		}
	}
	return rows
}

// take gives the minutes that are over, or all, and says whether it is time to
// remove old ones.
func (u *usage) take(now time.Time, all bool) (rows []usageRow, sweep bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.of {
		if all || m.row.at.Before(now.Truncate(time.Minute)) {
			u.end(m)
		}
	}
	rows, u.over = u.over, nil
	if sweep = now.Sub(u.swept) >= time.Hour; sweep {
		u.swept = now
	}
	return rows, sweep
}

// keepUsage writes the minutes that are over, or all there is, to the
// database, and now and then removes those that are too old or too many.
// What can't be written is lost: the next minutes come. It goes on past ctx.
func (s *Service) keepUsage(ctx context.Context, all bool) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), usageTime)
	defer stop()
	s.usage.keeping.Lock()
	defer s.usage.keeping.Unlock()
	now := s.clock().UTC()
	rows, sweep := s.usage.take(now, all)
	if len(rows) == 0 && !sweep {
		return
	}
	before := now.Add(-usageKept)
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if !sweep {
			return nil
		}
		count, oldest, err := countUsage(ctx, tx)
		if cut := CutOf(count, usageMost, oldest, now); cut.After(before) {
			before = cut
		}
		return err
	})
	if err == nil {
		err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
			for _, r := range rows {
				if err := addUsage(ctx, tx, r); err != nil {
					return err
				}
			}
			if !sweep {
				return nil
			}
			return removeUsage(ctx, tx, before)
		})
	}
	if err != nil {
		s.log.ErrorContext(ctx, "could not keep what the instances used", "error", err)
	}
}

// CutOf gives the time before which minutes go so that about the most are left
// of so many, as if they were spread evenly over the time since the oldest.
func CutOf(count, most int64, oldest, now time.Time) time.Time {
	if count <= most {
		return time.Time{}
	}
	return now.Add(-time.Duration(float64(now.Sub(oldest)) * float64(most) / float64(count)))
}
