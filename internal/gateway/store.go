package gateway

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/sqlite"
)

// minuteTables are where the minutes of routes are kept: of stages', and of
// those that no stage makes.
var minuteTables = []struct{ minutes, id, of string }{
	{"route_minutes", "stage_id", "stages"},
	{"fixed_route_minutes", "route_id", "fixed_routes"},
}

// addMinute adds r to what is stored of its minute, which there is after a
// restart within it. A route that was removed meanwhile is left out.
func addMinute(ctx context.Context, tx *sqlite.Tx, r row) error {
	if err := eachMinute(ctx, tx, r.stageID, r.at, r.at.Add(time.Millisecond), func(before row) { r.add(before) }); err != nil {
		return err
	}
	latency, err := json.Marshal(r.latency)
	if err != nil {
		return err
	}
	for _, t := range minuteTables {
		_, err := tx.ExecContext(ctx, `
			INSERT OR REPLACE INTO `+t.minutes+` (`+t.id+`, minute, requests, errors, bytes_in, bytes_out, latency)
			SELECT id, ?, ?, ?, ?, ?, ?
			FROM `+t.of+`
			WHERE id = ?`,
			sqlite.Millis(r.at), r.requests, r.errors, r.in, r.out, string(latency), r.stageID)
		if err != nil {
			return err
		}
	}
	return nil
}

// eachMinute hands over a route's minutes from from to before to, one by one.
func eachMinute(ctx context.Context, tx *sqlite.Tx, stageID string, from, to time.Time, use func(row)) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT stage_id, '', minute, requests, errors, bytes_in, bytes_out, latency
		FROM route_minutes
		WHERE stage_id = ?1 AND minute >= ?2 AND minute < ?3
		UNION ALL
		SELECT route_id, '', minute, requests, errors, bytes_in, bytes_out, latency
		FROM fixed_route_minutes
		WHERE route_id = ?1 AND minute >= ?2 AND minute < ?3`,
		stageID, sqlite.Millis(from), sqlite.Millis(to))
	if err != nil {
		return err
	}
	return eachRow(rows, use)
}

// eachRow hands over what was asked for, one by one, and closes it.
func eachRow(rows *sql.Rows, use func(row)) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := scanMinute(rows)
		if err != nil {
			return err
		}
		use(r)
	}
	return rows.Err()
}

func scanMinute(from interface{ Scan(...any) error }) (r row, err error) {
	var (
		at      int64
		latency string
	)
	if err := from.Scan(&r.stageID, &r.instance, &at, &r.requests, &r.errors, &r.in, &r.out, &latency); err != nil {
		return r, err
	}
	r.at = sqlite.Time(at)
	if err := json.Unmarshal([]byte(latency), &r.latency); err != nil {
		return r, fmt.Errorf("latency of stage %s at %s: %w", r.stageID, r.at, err)
	}
	return r, nil
}

// removeMinutes removes what is older than before. It goes route by route,
// which is how the tables are ordered.
func removeMinutes(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	for _, t := range minuteTables {
		_, err := tx.ExecContext(ctx, `
			DELETE FROM `+t.minutes+`
			WHERE `+t.id+` IN (SELECT id FROM `+t.of+`) AND minute < ?`,
			sqlite.Millis(before))
		if err != nil {
			return err
		}
	}
	return nil
}
