package manifest

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

func wasSeeded(ctx context.Context, tx *sqlite.Tx) (seeded bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM manifest_seed)`).Scan(&seeded)
	return seeded, err
}

func setSeeded(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO manifest_seed (id, at)
		VALUES (1, ?)`, sqlite.Millis(now))
	return err
}
