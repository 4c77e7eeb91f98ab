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
	// seriesMost bounds the minutes of one answer.
	seriesMost = 7 * 24 * 60
)

// Minute is what passed through a stage's route within one minute.
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

func rowOf(stageID string, at time.Time, c counts) row {
	return row{stageID: stageID, at: at, requests: c.requests(), errors: c.classes[5], in: c.in, out: c.out, latency: c.latency}
}

// minutes turns what the meters count into a row a minute.
type minutes struct {
	db    *sqlite.DB
	table *Table
	clock func() time.Time

	mu    sync.Mutex
	since time.Time // the minute that is running
	last  map[*meter]counts
	swept time.Time
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

// roll stores what was counted since the last time, and begins a minute.
func (m *minutes) roll(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	m.table.remember()
	var rows []row
	next := map[*meter]counts{}
	for _, meter := range m.table.allMeters() {
		count := meter.read()
		next[meter] = count
		if r := rowOf(meter.stageID, m.since, count.since(m.last[meter])); r.requests > 0 {
			rows = append(rows, r)
		} else if count.inFlight == 0 {
			m.table.forgetMeter(meter)
		}
	}
	if m.db != nil {
		sweep := now.Sub(m.swept) >= time.Hour
		err := m.db.Write(ctx, func(tx *sqlite.Tx) error {
			for _, r := range rows {
				if err := addMinute(ctx, tx, r); err != nil {
					return err
				}
			}
			if !sweep {
				return nil
			}
			return removeMinutes(ctx, tx, now.Add(-minutesKept))
		})
		if err != nil {
			return fmt.Errorf("store minutes: %w", err)
		}
		if sweep {
			m.swept = now
		}
	}
	m.last, m.since = next, now.Truncate(time.Minute)
	return nil
}

// Series gives a stage's minutes from from (whose minute is in it) to before
// to, without gaps, up to seven days; the running minute is as it stands. A
// stage that nobody knows has only empty minutes.
func (g *Gateway) Series(ctx context.Context, stageID string, from, to time.Time) ([]Minute, error) {
	from = from.Truncate(time.Minute).UTC()
	if most := from.Add(seriesMost * time.Minute); to.After(most) {
		to = most
	}
	rows, err := g.minutes.between(ctx, stageID, from, to)
	if err != nil {
		return nil, err
	}
	var series []Minute
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		r, found := rows[at.UnixMilli()]
		if !found {
			r.at = at
		}
		series = append(series, r.minute())
	}
	return series, nil
}

// between gives the minutes that have requests, by their start.
func (m *minutes) between(ctx context.Context, stageID string, from, to time.Time) (map[int64]row, error) {
	m.mu.Lock() // so that no minute is both running and stored
	defer m.mu.Unlock()
	rows := map[int64]row{}
	if m.db != nil {
		err := m.db.Read(ctx, func(tx *sqlite.Tx) error {
			stored, err := minutesBetween(ctx, tx, stageID, from, to)
			for _, r := range stored {
				rows[r.at.UnixMilli()] = r
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read minutes: %w", err)
		}
	}
	at := m.since.UTC()
	if at.Before(from) || !at.Before(to) {
		return rows, nil
	}
	for _, meter := range m.table.allMeters() {
		if meter.stageID != stageID {
			continue
		}
		running := rowOf(stageID, at, meter.read().since(m.last[meter]))
		running.add(rows[at.UnixMilli()])
		rows[at.UnixMilli()] = running
	}
	return rows, nil
}

// add adds what other has of the same minute.
func (r *row) add(other row) {
	r.requests += other.requests
	r.errors += other.errors
	r.in += other.in
	r.out += other.out
	r.latency.add(other.latency)
}
