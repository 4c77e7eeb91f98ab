package registry

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/sqlite"
)

func selectAccounts(ctx context.Context, tx *sqlite.Tx) ([]RegistryAccount, error) {
	return sqlite.All(ctx, tx, scanAccount, `
		SELECT host, username, insecure, version, poll_interval, created_at, updated_at
		FROM registry_accounts
		ORDER BY host`)
}

func selectAccount(ctx context.Context, tx *sqlite.Tx, host string) (a RegistryAccount, found bool, err error) {
	a, err = scanAccount(tx.QueryRowContext(ctx, `
		SELECT host, username, insecure, version, poll_interval, created_at, updated_at
		FROM registry_accounts
		WHERE host = ?`,
		host))
	if errors.Is(err, sql.ErrNoRows) {
		return RegistryAccount{}, false, nil
	}
	return a, err == nil, err
}

func scanAccount(row sqlite.Row) (a RegistryAccount, err error) {
	var created, updated int64
	var interval sql.NullInt64
	err = row.Scan(&a.Host, &a.Username, &a.Insecure, &a.Version, &interval, &created, &updated)
	switch {
	case !interval.Valid:
	case interval.Int64 == 0:
		a.PollInterval = Never
	default:
		a.PollInterval = Interval(time.Duration(interval.Int64) * time.Millisecond)
	}
	a.CreatedAt, a.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	return a, err
}

// putAccount adds an account, or changes it and counts its version up.
func putAccount(ctx context.Context, tx *sqlite.Tx, a RegistryAccount, now time.Time) error {
	var interval any
	if a.PollInterval != 0 {
		interval = a.PollInterval.usual().Milliseconds()
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_accounts (host, username, insecure, poll_interval, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (host) DO UPDATE SET
			username = excluded.username,
			insecure = excluded.insecure,
			version = registry_accounts.version + 1,
			poll_interval = excluded.poll_interval,
			updated_at = excluded.updated_at`,
		a.Host, a.Username, a.Insecure, interval, sqlite.Millis(now), sqlite.Millis(now))
	return err
}

func deleteAccount(ctx context.Context, tx *sqlite.Tx, host string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_accounts
		WHERE host = ?`,
		host)
	return err
}
