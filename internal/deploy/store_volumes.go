package deploy

import (
	"context"

	"berth/internal/sqlite"
)

func scanCopy(row sqlite.Row) (c volumeCopy, err error) {
	var state string
	var began int64
	err = row.Scan(&c.volume, &c.number, &state, &c.restore, &c.project, &c.stage, &c.actor, &began)
	c.state, c.began = copyState(state), sqlite.Time(began)
	return c, err
}

// copiesOf gives what is known of the copies of one volume, or of all when it
// is "".
func copiesOf(ctx context.Context, tx *sqlite.Tx, volume string) (copies, error) {
	list, err := sqlite.All(ctx, tx, scanCopy, `
		SELECT volume, number, state, restore, project, stage, actor, began_at
		FROM volume_copies
		WHERE ? = '' OR volume = ?
		ORDER BY volume, number`, volume, volume)
	return list, err
}

func insertCopy(ctx context.Context, tx *sqlite.Tx, c volumeCopy) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO volume_copies (volume, number, state, restore, project, stage, actor, began_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		c.volume, c.number, string(c.state), c.restore, c.project, c.stage, c.actor, sqlite.Millis(c.began))
	return err
}

// moveCopy gives a copy a state, when it has another one, and says whether it
// had.
func moveCopy(ctx context.Context, tx *sqlite.Tx, c volumeCopy, from, to copyState) (moved bool, err error) {
	done, err := tx.ExecContext(ctx, `
		UPDATE volume_copies
		SET state = ?
		WHERE volume = ? AND number = ? AND state = ?`, string(to), c.volume, c.number, string(from))
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func deleteCopy(ctx context.Context, tx *sqlite.Tx, c volumeCopy) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM volume_copies
		WHERE volume = ? AND number = ?`, c.volume, c.number)
	return err
}
