package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"berth/internal/deploy"
	"berth/internal/sqlite"
)

// What each instance of a stage answered, beside what passed through its
// route. A request counts with the instance that had it last, and one that got
// to none with none.

const (
	// servedMost is about how many minutes are kept of all instances together.
	servedMost = 1_000_000
	// servedInstances bounds the instances that are told of one by one.
	servedInstances = 64
)

// Served is what one instance answered.
type Served struct {
	Instance string   // its id
	Steps    []Minute // those in which it answered nothing are left out
}

// servedKey is whom a meter of an instance is of.
type servedKey struct{ stageID, instance string }

// servedMeter gives an instance's meter; nil of a route that no stage makes,
// whose one target has the route's. The names on it stay right: a stage that
// is made again, by another name, has other instances. t.mu is held.
func (t *Table) servedMeter(r deploy.Route, instance string) *meter {
	if r.Fixed != nil {
		return nil
	}
	key := servedKey{r.StageID, instance}
	m := t.served[key]
	if m == nil {
		m = newMeter(r)
		m.instance = instance
		t.served[key] = m
	}
	return m
}

// servedMeters gives every instance's meter.
func (t *Table) servedMeters() []*meter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.served))
}

// forgetServed drops those of meters whose instances were gone the last time,
// too: a request that ended as its instance went may be counted a little later.
func (t *Table) forgetServed(meters []*meter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there := map[*meter]bool{}
	for _, instances := range t.instances {
		for _, in := range instances {
			there[in.meter] = true
		}
	}
	for _, m := range meters {
		if m.gone && !there[m] {
			delete(t.served, servedKey{m.stageID, m.instance})
		}
		m.gone = !there[m]
	}
}

// count counts a request that the instance had.
func (in *instance) count(status int, took time.Duration, received, sent int64) {
	if in.meter != nil {
		in.meter.begin().end(status, took, received, sent)
	}
}

// Served gives what a stage's instances answered in steps, as [Gateway.Series]
// has it of all together: of the 64 newest that answered anything, the newest
// first, also those that are gone.
func (g *Gateway) Served(ctx context.Context, stageID string, from, to time.Time, step time.Duration) ([]Served, error) {
	from = from.Truncate(step).UTC()
	if most := from.Add(seriesMost * step); to.After(most) {
		to = most
	}
	of, err := g.minutes.servedBetween(ctx, stageID, from, to, step)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(of)) // by when they were made
	slices.Reverse(ids)
	var list []Served
	for _, id := range ids[:min(len(ids), servedInstances)] {
		one := Served{Instance: id}
		for _, at := range slices.SortedFunc(maps.Keys(of[id].sums), time.Time.Compare) {
			one.Steps = append(one.Steps, of[id].at(at).minute())
		}
		list = append(list, one)
	}
	return list, nil
}

// servedBetween sums up the minutes of each instance from from to before to: of
// those that have some stored only of as many as are told of.
func (m *minutes) servedBetween(ctx context.Context, stageID string, from, to time.Time, step time.Duration) (map[string]steps, error) {
	of := map[string]steps{}
	add := func(r row) {
		if r.requests == 0 {
			return
		}
		if _, there := of[r.instance]; !there {
			of[r.instance] = steps{step, map[time.Time]*row{}}
		}
		of[r.instance].add(r)
	}
	running := func() { m.eachRunning(m.table.servedMeters(), stageID, from, to, add) }
	err := m.asOfNow(ctx, running, func(tx *sqlite.Tx) error {
		newest, err := newestServed(ctx, tx, stageID, from, to)
		if err != nil {
			return err
		}
		return eachServed(ctx, tx, stageID, newest, from, to, add)
	})
	return of, err
}

// addServed adds r to what is stored of its instance's minute. Of a stage that
// was removed meanwhile nothing is kept.
func addServed(ctx context.Context, tx *sqlite.Tx, r row) error {
	if err := eachServed(ctx, tx, r.stageID, []string{r.instance}, r.at, r.at.Add(time.Millisecond), func(before row) { r.add(before) }); err != nil {
		return err
	}
	latency, err := json.Marshal(r.latency)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT OR REPLACE INTO instance_route_minutes (stage_id, minute, instance_id, requests, errors, bytes_in, bytes_out, latency)
		SELECT id, ?, ?, ?, ?, ?, ?, ?
		FROM stages
		WHERE id = ?`,
		sqlite.Millis(r.at), r.instance, r.requests, r.errors, r.in, r.out, string(latency), r.stageID)
	return err
}

// newestServed gives the newest of a stage's instances that have minutes from
// from to before to.
func newestServed(ctx context.Context, tx *sqlite.Tx, stageID string, from, to time.Time) (ids []string, err error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT DISTINCT instance_id
		FROM instance_route_minutes
		WHERE stage_id = ? AND minute >= ? AND minute < ?
		ORDER BY instance_id DESC
		LIMIT ?`,
		stageID, sqlite.Millis(from), sqlite.Millis(to), servedInstances)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// eachServed hands over the minutes of a stage's instances from from to before
// to, one by one.
func eachServed(ctx context.Context, tx *sqlite.Tx, stageID string, instances []string, from, to time.Time, use func(row)) error {
	ids, err := json.Marshal(instances)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, `
		SELECT stage_id, instance_id, minute, requests, errors, bytes_in, bytes_out, latency
		FROM instance_route_minutes
		WHERE stage_id = ? AND minute >= ? AND minute < ? AND instance_id IN (SELECT value FROM json_each(?))`,
		stageID, sqlite.Millis(from), sqlite.Millis(to), string(ids))
	if err != nil {
		return err
	}
	return eachRow(rows, use)
}

// servedCut gives the time before which the minutes of instances go: they are
// kept as long as those of routes, or shorter where they are too many.
func (m *minutes) servedCut(ctx context.Context, now time.Time) (before time.Time, err error) {
	var count, oldest int64
	err = m.db.Read(ctx, func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(ctx, `
			SELECT COUNT(*), COALESCE(MIN(minute), 0)
			FROM instance_route_minutes`).Scan(&count, &oldest)
	})
	before = now.Add(-minutesKept)
	if cut := deploy.CutOf(count, servedMost, sqlite.Time(oldest), now); cut.After(before) {
		before = cut
	}
	return before, err
}

// sweepServed removes what is kept no longer of instances.
func (m *minutes) sweepServed(ctx context.Context, now time.Time) error {
	before, err := m.servedCut(ctx, now)
	if err != nil {
		return err
	}
	return m.db.Write(ctx, func(tx *sqlite.Tx) error { return removeServed(ctx, tx, before) })
}

// removeServed removes what is older than before, stage by stage.
func removeServed(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM instance_route_minutes
		WHERE stage_id IN (SELECT id FROM stages) AND minute < ?`,
		sqlite.Millis(before))
	return err
}
