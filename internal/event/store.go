package event

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"berth/internal/sqlite"
)

const columns = `id, at, kind, actor, project, stage, deployment, instance, data`

func insert(ctx context.Context, tx *sqlite.Tx, e Event) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO events (at, kind, actor, project, stage, deployment, instance, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		sqlite.Millis(e.At), string(e.Kind), e.Actor, e.Project, e.Stage, e.Deployment, e.Instance, string(e.Data))
	return err
}

// insertLink is insert of an event whose id is known, with its place in the
// chain.
func insertLink(ctx context.Context, tx *sqlite.Tx, e Event, at link) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO events (id, at, kind, actor, project, stage, deployment, instance, data, position, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, sqlite.Millis(e.At), string(e.Kind), e.Actor, e.Project, e.Stage, e.Deployment, e.Instance, string(e.Data), at.position, at.hash)
	return err
}

func last(ctx context.Context, tx *sqlite.Tx) (int64, error) {
	var id sql.NullInt64
	err := tx.QueryRowContext(ctx, `
		SELECT MAX(id)
		FROM events`).Scan(&id)
	return id.Int64, err
}

func since(ctx context.Context, tx *sqlite.Tx, after int64, f Filter, limit int) ([]Event, error) {
	conditions, args := f.where()
	conditions = append([]string{"id > ?"}, conditions...)
	args = append([]any{after}, args...)
	return list(ctx, tx, conditions, "ASC", append(args, limit))
}

func earlier(ctx context.Context, tx *sqlite.Tx, before int64, f Filter, limit int) ([]Event, error) {
	conditions, args := f.where()
	if before > 0 {
		conditions = append(conditions, "id < ?")
		args = append(args, before)
	}
	return list(ctx, tx, conditions, "DESC", append(args, limit))
}

func list(ctx context.Context, tx *sqlite.Tx, conditions []string, order string, args []any) ([]Event, error) {
	where := ""
	if len(conditions) > 0 {
		where = "\n\t\tWHERE " + strings.Join(conditions, " AND ")
	}
	rows, err := tx.QueryContext(ctx, `
		SELECT `+columns+`
		FROM events`+where+`
		ORDER BY id `+order+`
		LIMIT ?`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Event
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, rows.Err()
}

// scanEvent reads the columns, and those that follow them into others.
func scanEvent(row sqlite.Row, others ...any) (e Event, err error) {
	var at int64
	var data string
	into := []any{&e.ID, &at, &e.Kind, &e.Actor, &e.Project, &e.Stage, &e.Deployment, &e.Instance, &data}
	if err := row.Scan(append(into, others...)...); err != nil {
		return Event{}, err
	}
	e.At = sqlite.Time(at)
	e.Data = []byte(data)
	return e, nil
}

func recordsBefore(ctx context.Context, tx *sqlite.Tx, before int64, f Filter, limit int) ([]Record, error) {
	conditions, args := f.where()
	if before > 0 {
		conditions = append(conditions, "id < ?")
		args = append(args, before)
	}
	return records(ctx, tx, conditions, "DESC", append(args, limit))
}

func recordsBetween(ctx context.Context, tx *sqlite.Tx, after, upTo int64, f Filter, limit int) ([]Record, error) {
	conditions, args := f.where()
	return records(ctx, tx, append(conditions, "id > ?", "id <= ?"), "ASC", append(args, after, upTo, limit))
}

func records(ctx context.Context, tx *sqlite.Tx, conditions []string, order string, args []any) ([]Record, error) {
	scan := func(row sqlite.Row) (Record, error) {
		var position sql.NullInt64
		var hash []byte
		e, err := scanEvent(row, &position, &hash)
		return Record{Event: e, Category: e.Kind.Category(), Position: position.Int64, Hash: hex.EncodeToString(hash)}, err
	}
	where := ""
	if len(conditions) > 0 {
		where = "\n\t\tWHERE " + strings.Join(conditions, " AND ")
	}
	return sqlite.All(ctx, tx, scan, `
		SELECT `+columns+`, position, hash
		FROM events`+where+`
		ORDER BY id `+order+`
		LIMIT ?`, args...)
}

// notLogLine is the condition that the index events_facts is made for.
const notLogLine = "kind <> 'deployment.log'"

// pruneLines removes up to limit log lines older than before. They are in the
// order of their ids by their times, too, as far as the clock was never set
// back: it stops at the first that is young enough.
func pruneLines(ctx context.Context, tx *sqlite.Tx, before time.Time, limit int) (int64, error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM events
		WHERE id IN (
			SELECT id
			FROM (SELECT id, at FROM events WHERE kind = 'deployment.log' ORDER BY id LIMIT ?)
			WHERE at < ?)`,
		limit, sqlite.Millis(before))
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// deleteFacts removes all events up to an id but log lines.
func deleteFacts(ctx context.Context, tx *sqlite.Tx, upTo int64) (int64, error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM events
		WHERE `+notLogLine+` AND id <= ?`, upTo)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// eachLink gives all events but log lines, in the order of their ids, until f
// says that it is enough. The link of an event outside of the chain is zero.
func eachLink(ctx context.Context, tx *sqlite.Tx, f func(Event, link) bool) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT `+columns+`, position, hash
		FROM events
		WHERE `+notLogLine+`
		ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var position sql.NullInt64
		var at link
		e, err := scanEvent(rows, &position, &at.hash)
		if err != nil {
			return err
		}
		at.id, at.position = e.ID, position.Int64
		if !f(e, at) {
			break
		}
	}
	return rows.Err()
}

// selectChain reads the record of the chain's ends, and the newest id that any
// event has had.
func selectChain(ctx context.Context, tx *sqlite.Tx) (c chain, found bool, last int64, err error) {
	var began int64
	err = tx.QueryRowContext(ctx, `
		SELECT seq, began_at, anchor_id, anchor_position, anchor_hash, anchor_mac, head_id, head_position, head_hash, head_mac
		FROM event_chain, sqlite_sequence
		WHERE name = 'events'`).Scan(&last, &began,
		&c.anchor.id, &c.anchor.position, &c.anchor.hash, &c.anchorMAC, &c.head.id, &c.head.position, &c.head.hash, &c.headMAC)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `
			SELECT COALESCE(MAX(seq), 0)
			FROM sqlite_sequence
			WHERE name = 'events'`).Scan(&last)
		return chain{}, false, last, err
	}
	c.began = sqlite.Time(began)
	return c, err == nil, last, err
}

func insertChain(ctx context.Context, tx *sqlite.Tx, c chain) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO event_chain (id, began_at, anchor_id, anchor_position, anchor_hash, anchor_mac, head_id, head_position, head_hash, head_mac)
		VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		sqlite.Millis(c.began), c.anchor.id, c.anchor.position, c.anchor.hash, c.anchorMAC, c.head.id, c.head.position, c.head.hash, c.headMAC)
	return err
}

func updateHead(ctx context.Context, tx *sqlite.Tx, c chain) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE event_chain
		SET head_id = ?, head_position = ?, head_hash = ?, head_mac = ?`,
		c.head.id, c.head.position, c.head.hash, c.headMAC)
	return err
}

func updateAnchor(ctx context.Context, tx *sqlite.Tx, c chain) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE event_chain
		SET anchor_id = ?, anchor_position = ?, anchor_hash = ?, anchor_mac = ?`,
		c.anchor.id, c.anchor.position, c.anchor.hash, c.anchorMAC)
	return err
}
