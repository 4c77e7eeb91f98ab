package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const channelColumns = `c.id, c.name, c.service, c.project, c.kinds, c.enabled, c.hint, c.inside, c.created_at, c.updated_at, c.version`

// channelFields gives what the columns of a channel are read into, and what
// makes a channel of them.
func channelFields() (to []any, done func() (Channel, error)) {
	var c Channel
	var kinds string
	var created, updated int64
	to = []any{
		&c.ID, &c.Name, &c.Service, &c.Project, &kinds, &c.Enabled, &c.Hint, &c.inside, &created, &updated, &c.Version,
	}
	return to, func() (Channel, error) {
		c.CreatedAt, c.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
		if err := json.Unmarshal([]byte(kinds), &c.Kinds); err != nil {
			return Channel{}, fmt.Errorf("read the kinds of channel %s: %w", c.Name, err)
		}
		return c, nil
	}
}

func scanChannel(r sqlite.Row) (Channel, error) {
	to, done := channelFields()
	if err := r.Scan(to...); err != nil {
		return Channel{}, err
	}
	return done()
}

func selectChannels(ctx context.Context, tx *sqlite.Tx, project string) ([]Channel, error) {
	return sqlite.All(ctx, tx, scanChannel, `
		SELECT `+channelColumns+`
		FROM notify_channels c
		WHERE ? IN ('', c.project)
		ORDER BY c.name`, project)
}

func findChannel(ctx context.Context, tx *sqlite.Tx, name string) (Channel, error) {
	c, err := scanChannel(tx.QueryRowContext(ctx, `
		SELECT `+channelColumns+`
		FROM notify_channels c
		WHERE c.name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return Channel{}, fault.NotFound("there is no channel named %q", name)
	}
	return c, err
}

func countChannels(ctx context.Context, tx *sqlite.Tx) (count int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM notify_channels`).Scan(&count)
	return count, err
}

func insertChannel(ctx context.Context, tx *sqlite.Tx, c Channel) error {
	kinds, err := json.Marshal(c.Kinds)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO notify_channels (id, name, service, project, kinds, enabled, hint, inside, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.ID, c.Name, c.Service, c.Project, string(kinds), c.Enabled, c.Hint, c.inside,
		sqlite.Millis(c.CreatedAt), sqlite.Millis(c.UpdatedAt), c.Version)
	return err
}

// updateChannel stores c over the version before its own; false when there is
// none.
func updateChannel(ctx context.Context, tx *sqlite.Tx, c Channel) (bool, error) {
	kinds, err := json.Marshal(c.Kinds)
	if err != nil {
		return false, err
	}
	done, err := tx.ExecContext(ctx, `
		UPDATE notify_channels
		SET name = ?, kinds = ?, enabled = ?, hint = ?, inside = ?, updated_at = ?, version = ?
		WHERE id = ?
		AND version = ?`,
		c.Name, string(kinds), c.Enabled, c.Hint, c.inside, sqlite.Millis(c.UpdatedAt), c.Version, c.ID, c.Version-1)
	if err != nil {
		return false, err
	}
	changed, err := done.RowsAffected()
	return changed == 1, err
}

func deleteChannel(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM notify_channels
		WHERE id = ?`, id)
	return err
}

// cursor gives the id up to which the event log has been read.
func cursor(ctx context.Context, tx *sqlite.Tx) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT event_id
		FROM notify_cursor`).Scan(&id)
	return id, err
}

func setCursor(ctx context.Context, tx *sqlite.Tx, id int64) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE notify_cursor
		SET event_id = ?`, id)
	return err
}
