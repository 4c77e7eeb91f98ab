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

// addMinute adds r to what is stored of its minute, which there is after a
// restart within it. A stage that was removed meanwhile is left out.
func addMinute(ctx context.Context, tx *sqlite.Tx, r row) error {
	before, err := scanMinute(tx.QueryRowContext(ctx, `
		SELECT stage_id, minute, requests, errors, bytes_in, bytes_out, latency
		FROM route_minutes
		WHERE stage_id = ? AND minute = ?`,
		r.stageID, sqlite.Millis(r.at)))
	switch {
	case err == nil:
		r.add(before)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	latency, err := json.Marshal(r.latency)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT OR REPLACE INTO route_minutes (stage_id, minute, requests, errors, bytes_in, bytes_out, latency)
		SELECT id, ?, ?, ?, ?, ?, ?
		FROM stages
		WHERE id = ?`,
		sqlite.Millis(r.at), r.requests, r.errors, r.in, r.out, string(latency), r.stageID)
	return err
}

// minutesBetween gives a stage's minutes from from to before to.
func minutesBetween(ctx context.Context, tx *sqlite.Tx, stageID string, from, to time.Time) (list []row, err error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT stage_id, minute, requests, errors, bytes_in, bytes_out, latency
		FROM route_minutes
		WHERE stage_id = ? AND minute >= ? AND minute < ?
		ORDER BY minute`,
		stageID, sqlite.Millis(from), sqlite.Millis(to))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := scanMinute(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func scanMinute(from interface{ Scan(...any) error }) (r row, err error) {
	var (
		at      int64
		latency string
	)
	if err := from.Scan(&r.stageID, &at, &r.requests, &r.errors, &r.in, &r.out, &latency); err != nil {
		return r, err
	}
	r.at = sqlite.Time(at)
	if err := json.Unmarshal([]byte(latency), &r.latency); err != nil {
		return r, fmt.Errorf("latency of stage %s at %s: %w", r.stageID, r.at, err)
	}
	return r, nil
}

// removeMinutes removes what is older than before. It goes stage by stage,
// which is how the table is ordered.
func removeMinutes(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM route_minutes
		WHERE stage_id IN (SELECT id FROM stages) AND minute < ?`,
		sqlite.Millis(before))
	return err
}
