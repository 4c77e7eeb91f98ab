package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const deliveryColumns = `d.id, d.event_id, d.notice, d.state, d.attempts, d.next_at, d.error, d.created_at, d.queued_at, d.sent_at, ` + channelColumns

func scanDelivery(r sqlite.Row) (Delivery, error) {
	var d Delivery
	var notice string
	var next, created, queued, sent int64
	to, done := channelFields()
	err := r.Scan(append([]any{&d.ID, &d.event, &notice, &d.State, &d.Attempts, &next, &d.Error, &created, &queued, &sent}, to...)...)
	if err != nil {
		return Delivery{}, err
	}
	if d.channel, err = done(); err != nil {
		return Delivery{}, err
	}
	if err := json.Unmarshal([]byte(notice), &d.Notice); err != nil {
		return Delivery{}, fmt.Errorf("read delivery %s: %w", d.ID, err)
	}
	d.Channel, d.Service = d.channel.Name, d.channel.Service
	d.NextAt, d.SentAt = sqlite.Time(next), sqlite.Time(sent)
	d.CreatedAt, d.queuedAt = sqlite.Time(created), sqlite.Time(queued)
	return d, nil
}

func selectDeliveries(ctx context.Context, tx *sqlite.Tx, rest string, args ...any) ([]Delivery, error) {
	return sqlite.All(ctx, tx, scanDelivery, `
		SELECT `+deliveryColumns+`
		FROM notify_deliveries d
		JOIN notify_channels c ON c.id = d.channel_id
		`+rest, args...)
}

// selectSent lists deliveries below an id, the newest first.
func selectSent(ctx context.Context, tx *sqlite.Tx, f SentFilter, limit int) ([]Delivery, error) {
	return selectDeliveries(ctx, tx, `
		WHERE (? = '' OR d.id < ?)
		AND ? IN ('', c.name)
		AND ? IN ('', c.project)
		AND ? IN ('', d.state)
		ORDER BY d.id DESC
		LIMIT ?`, f.Before, f.Before, f.Channel, f.Project, f.State, limit)
}

func findDelivery(ctx context.Context, tx *sqlite.Tx, id string) (Delivery, error) {
	list, err := selectDeliveries(ctx, tx, `
		WHERE d.id = ?`, id)
	if err == nil && len(list) == 0 {
		err = fault.NotFound("there is no message %q in the record", id)
	}
	if err != nil {
		return Delivery{}, err
	}
	return list[0], nil
}

// selectDue lists what may be sent now, one to each channel that is not busy,
// the oldest first.
func selectDue(ctx context.Context, tx *sqlite.Tx, now time.Time, busy []string, limit int) ([]Delivery, error) {
	in, args := sqlite.Placeholders(busy)
	args = append([]any{sqlite.Millis(now)}, args...)
	return selectDeliveries(ctx, tx, `
		WHERE d.id IN (
			SELECT MIN(p.id)
			FROM notify_deliveries p
			WHERE p.state = 'pending'
			AND p.next_at <= ?
			AND p.channel_id NOT IN (`+in+`)
			GROUP BY p.channel_id)
		AND c.enabled
		ORDER BY d.id
		LIMIT ?`, append(args, limit)...)
}

// nextDue says when the next delivery of an enabled channel is due; zero when
// none waits.
func nextDue(ctx context.Context, tx *sqlite.Tx, after time.Time) (time.Time, error) {
	var next sql.NullInt64
	err := tx.QueryRowContext(ctx, `
		SELECT MIN(d.next_at)
		FROM notify_deliveries d
		JOIN notify_channels c ON c.id = d.channel_id
		WHERE d.state = 'pending'
		AND d.next_at > ?
		AND c.enabled`, sqlite.Millis(after)).Scan(&next)
	return sqlite.Time(next.Int64), err
}

func insertDelivery(ctx context.Context, tx *sqlite.Tx, d Delivery) error {
	notice, err := json.Marshal(d.Notice)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO notify_deliveries (id, channel_id, event_id, about, notice, state, attempts, next_at, error, created_at, queued_at, sent_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`,
		d.ID, d.channel.ID, d.event, d.Notice.about, string(notice), d.State, d.Attempts,
		sqlite.Millis(d.NextAt), d.Error, sqlite.Millis(d.CreatedAt), sqlite.Millis(d.queuedAt), sqlite.Millis(d.SentAt))
	return err
}

// updateDelivery stores how far a delivery is; false when it is gone.
func updateDelivery(ctx context.Context, tx *sqlite.Tx, d Delivery) (bool, error) {
	done, err := tx.ExecContext(ctx, `
		UPDATE notify_deliveries
		SET state = ?, attempts = ?, next_at = ?, error = ?, queued_at = ?, sent_at = ?
		WHERE id = ?`,
		d.State, d.Attempts, sqlite.Millis(d.NextAt), d.Error, sqlite.Millis(d.queuedAt), sqlite.Millis(d.SentAt), d.ID)
	if err != nil {
		return false, err
	}
	changed, err := done.RowsAffected()
	return changed == 1, err
}

// toldSince says whether a channel was told about something since then.
func toldSince(ctx context.Context, tx *sqlite.Tx, channel, about string, since time.Time) (told bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (
			SELECT 1
			FROM notify_deliveries
			WHERE about = ?
			AND created_at > ?
			AND channel_id = ?)`, about, sqlite.Millis(since), channel).Scan(&told)
	return told, err
}

func countPending(ctx context.Context, tx *sqlite.Tx, channel string) (count int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM notify_deliveries
		WHERE state = 'pending'
		AND ? IN ('', channel_id)`, channel).Scan(&count)
	return count, err
}

// pruneDeliveries removes from the record up to limit of what is older than
// before, and of what is more than so many, oldest first. What waits to be sent
// stays.
func pruneDeliveries(ctx context.Context, tx *sqlite.Tx, before time.Time, most, limit int) (int64, error) {
	var oldest string
	err := tx.QueryRowContext(ctx, `
		SELECT id
		FROM notify_deliveries
		ORDER BY id DESC
		LIMIT 1
		OFFSET ?`, most).Scan(&oldest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	done, err := tx.ExecContext(ctx, `
		DELETE FROM notify_deliveries
		WHERE id IN (
			SELECT id
			FROM notify_deliveries
			WHERE state <> 'pending'
			AND (created_at < ? OR id <= ?)
			LIMIT ?)`, sqlite.Millis(before), oldest, limit)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// expire gives up what has waited too long: that of disabled channels too.
func expire(ctx context.Context, tx *sqlite.Tx, before time.Time, why string) (int64, error) {
	done, err := tx.ExecContext(ctx, `
		UPDATE notify_deliveries
		SET state = 'failed', next_at = 0, error = CASE error WHEN '' THEN ? ELSE error END
		WHERE state = 'pending'
		AND queued_at < ?`, why, sqlite.Millis(before))
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
