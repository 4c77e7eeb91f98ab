package event

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"berth/internal/sqlite"
)

const columns = `id, at, kind, actor, project, stage, deployment, instance, data`

func insert(ctx context.Context, tx *sqlite.Tx, e Event) error {
	if len(e.Data) == 0 {
		e.Data = []byte("{}")
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO events (at, kind, actor, project, stage, deployment, instance, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		sqlite.Millis(e.At), string(e.Kind), e.Actor, e.Project, e.Stage, e.Deployment, e.Instance, string(e.Data))
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
		var e Event
		var at int64
		var data string
		if err := rows.Scan(&e.ID, &at, &e.Kind, &e.Actor, &e.Project, &e.Stage, &e.Deployment, &e.Instance, &data); err != nil {
			return nil, err
		}
		e.At = sqlite.Time(at)
		e.Data = []byte(data)
		found = append(found, e)
	}
	return found, rows.Err()
}

// notLogLine is the condition that the index events_facts is made for.
const notLogLine = "kind <> 'deployment.log'"

// prune removes up to limit events older than before: log lines, or all the
// others. Events are in the order of their ids by their times, too, as far as
// the clock was never set back: it stops at the first that is young enough.
func prune(ctx context.Context, tx *sqlite.Tx, lines bool, before time.Time, limit int) (int64, error) {
	condition := notLogLine
	if lines {
		condition = "kind = 'deployment.log'"
	}
	done, err := tx.ExecContext(ctx, `
		DELETE FROM events
		WHERE id IN (
			SELECT id
			FROM (SELECT id, at FROM events WHERE `+condition+` ORDER BY id LIMIT ?)
			WHERE at < ?)`,
		limit, sqlite.Millis(before))
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
