package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/internal/sqlite"
)

const (
	// minutesKept is how far the charts look back.
	minutesKept = 14 * 24 * time.Hour
	// seriesMost bounds the items of one answer.
	seriesMost = 1000
)

// Minute is what passed through a stage's route within one minute, or within
// the minutes of a step.
type Minute struct {
	At       time.Time `json:"at"` // its start
	Requests int64     `json:"requests"`
	Errors   int64     `json:"errors"`    // answers of 500 and above
	BytesIn  int64     `json:"bytes_in"`  // of requests' bodies
	BytesOut int64     `json:"bytes_out"` // of answers' bodies
	// Milliseconds that half, 95 and 99 of a hundred requests did not take
	// longer than; estimates within a histogram's bucket. Of a stream it is
	// the time to its beginning.
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// row is a minute as it is stored.
type row struct {
	stageID  string
	instance string // its id, of one's minute
	at       time.Time
	requests int64
	errors   int64
	in, out  int64
	latency  histogram
}

func (r row) minute() Minute {
	return Minute{
		At: r.at, Requests: r.requests, Errors: r.errors, BytesIn: r.in, BytesOut: r.out,
		P50: r.latency.percentile(.50), P95: r.latency.percentile(.95), P99: r.latency.percentile(.99),
	}
}

func rowOf(of *meter, at time.Time, c counts) row {
	return row{stageID: of.stageID, instance: of.instance, at: at, requests: c.requests(), errors: c.classes[5], in: c.in, out: c.out, latency: c.latency}
}

// minutes turns what the meters count into a row a minute.
type minutes struct {
	db    *sqlite.DB
	table *Table
	clock func() time.Time

	mu    sync.Mutex
	since time.Time // the minute that is running
	last  map[*meter]counts

	swept time.Time // of whoever rolls, who is one at a time
}

func newMinutes(db *sqlite.DB, table *Table, clock func() time.Time) *minutes {
	return &minutes{db: db, table: table, clock: clock, since: clock().Truncate(time.Minute), last: map[*meter]counts{}}
}

// Run writes each minute to the database when it is over, and what the last
// one has so far when ctx ends; what could not be written is counted to the
// next minute. It writes down who was refused, and lets go of what is kept for
// seconds.
func (g *Gateway) Run(ctx context.Context) error {
	second, minute := time.NewTicker(time.Second), time.NewTimer(g.minutes.left())
	defer second.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return errors.Join(g.minutes.roll(ending), g.refused.write(ending, true))
		case <-second.C:
			g.assertions.sweep(g.clock())
			if err := g.refused.write(ctx, false); err != nil && ctx.Err() == nil {
				g.log.ErrorContext(ctx, "could not write down who was refused", "error", err)
			}
		case <-minute.C:
			if err := g.minutes.roll(ctx); err != nil {
				g.log.ErrorContext(ctx, "could not keep the minute's request figures", "error", err)
			}
			minute.Reset(g.minutes.left())
		}
	}
}

// left is how long the minute that is running still is.
func (m *minutes) left() time.Duration {
	now := m.clock()
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// roll stores what was counted since the last time, begins a minute, and once
// an hour removes what is kept no longer. What can not be removed does not keep
// the minute from being stored.
func (m *minutes) roll(ctx context.Context) error {
	return errors.Join(m.store(ctx), m.sweep(ctx))
}

func (m *minutes) store(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	m.table.remember()
	var (
		rows, served []row
		idle         []*meter
	)
	next := map[*meter]counts{}
	for _, meter := range m.table.allMeters() {
		count := meter.read()
		next[meter] = count
		if r := m.running(meter, count); r.requests > 0 {
			rows = append(rows, r)
		} else if count.inFlight == 0 {
			m.table.forgetMeter(meter)
		}
	}
	for _, meter := range m.table.servedMeters() {
		count := meter.read()
		next[meter] = count
		if r := m.running(meter, count); r.requests > 0 {
			served = append(served, r)
		} else {
			idle = append(idle, meter)
		}
	}
	m.table.forgetServed(idle)
	if m.db != nil {
		err := m.db.Write(ctx, func(tx *sqlite.Tx) error {
			for _, r := range rows {
				if err := addMinute(ctx, tx, r); err != nil {
					return err
				}
			}
			for _, r := range served {
				if err := addServed(ctx, tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("store minutes: %w", err)
		}
	}
	m.last, m.since = next, now.Truncate(time.Minute)
	return nil
}

// sweep removes what is kept no longer, when it has not for an hour. m.mu is
// not held: of many minutes it takes a while.
func (m *minutes) sweep(ctx context.Context) error {
	now := m.clock()
	if m.db == nil || now.Sub(m.swept) < time.Hour {
		return nil
	}
	err := m.db.Write(ctx, func(tx *sqlite.Tx) error { return removeMinutes(ctx, tx, now.Add(-minutesKept)) })
	if err := errors.Join(err, m.sweepServed(ctx, now)); err != nil {
		return fmt.Errorf("remove old minutes: %w", err)
	}
	m.swept = now
	return nil
}

// Series gives what passed through a stage's route in steps of so many minutes,
// from from (whose step is in it) to before to, without gaps; the running
// minute is as it stands. Percentiles are those of all requests of a step. A
// stage that nobody knows has only empty steps.
func (g *Gateway) Series(ctx context.Context, stageID string, from, to time.Time, step time.Duration) ([]Minute, error) {
	from = from.Truncate(step).UTC()
	if most := from.Add(seriesMost * step); to.After(most) {
		to = most
	}
	sums, err := g.minutes.between(ctx, stageID, from, to, step)
	if err != nil {
		return nil, err
	}
	var series []Minute
	for at := from; at.Before(to); at = at.Add(step) {
		series = append(series, sums.at(at).minute())
	}
	return series, nil
}

// between sums up the minutes from from to before to by step.
func (m *minutes) between(ctx context.Context, stageID string, from, to time.Time, step time.Duration) (steps, error) {
	sums := steps{step, map[time.Time]*row{}}
	running := func() { m.eachRunning(m.table.allMeters(), stageID, from, to, sums.add) }
	err := m.asOfNow(ctx, running, func(tx *sqlite.Tx) error {
		return eachMinute(ctx, tx, stageID, from, to, sums.add)
	})
	if err != nil {
		return sums, fmt.Errorf("read minutes: %w", err)
	}
	return sums, nil
}

// asOfNow has running read the minute that is running, with m.mu held, and
// then stored the database as it was at that moment, without: no minute is both
// running and stored, and none waits for a long read to be stored.
func (m *minutes) asOfNow(ctx context.Context, running func(), stored func(*sqlite.Tx) error) error {
	if m.db == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		running()
		return nil
	}
	return m.db.Read(ctx, func(tx *sqlite.Tx) error {
		if err := m.fix(ctx, tx, running); err != nil {
			return err
		}
		return stored(tx)
	})
}

// fix has tx see the database as it is now from here on, as SQLite promises of
// a transaction once it has read, and running what is not in there yet.
func (m *minutes) fix(ctx context.Context, tx *sqlite.Tx, running func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var some bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM route_minutes)").Scan(&some); err != nil {
		return err
	}
	running()
	return nil
}

// eachRunning hands over the minute that is running of those meters that are
// the stage's, where it is from from to before to. m.mu is held.
func (m *minutes) eachRunning(meters []*meter, stageID string, from, to time.Time, use func(row)) {
	if at := m.since.UTC(); at.Before(from) || !at.Before(to) {
		return
	}
	for _, meter := range meters {
		if meter.stageID == stageID {
			use(m.running(meter, meter.read()))
		}
	}
}

// running gives what a meter has counted of the minute that is running. m.mu is
// held.
func (m *minutes) running(of *meter, now counts) row {
	return rowOf(of, m.since.UTC(), now.since(m.last[of]))
}

// steps are sums of minutes, by the start of the step that they are in.
type steps struct {
	step time.Duration
	sums map[time.Time]*row
}

func (s steps) add(r row) { s.at(r.at.Truncate(s.step)).add(r) }

// at gives the sum of the step that begins then.
func (s steps) at(start time.Time) *row {
	if s.sums[start] == nil {
		s.sums[start] = &row{at: start}
	}
	return s.sums[start]
}

// add adds what other counted.
func (r *row) add(other row) {
	r.requests += other.requests
	r.errors += other.errors
	r.in += other.in
	r.out += other.out
	r.latency.add(other.latency)
}
