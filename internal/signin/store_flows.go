package signin

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/sqlite"
)

func countFlows(ctx context.Context, tx *sqlite.Tx) (n int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM signin_flows`).Scan(&n)
	return n, err
}

func insertFlow(ctx context.Context, tx *sqlite.Tx, state digest, f flow) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO signin_flows (state_hash, browser_hash, provider_id, version, purpose, person_id, session_id, return_to, strength, expires_at, site)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		state[:], f.browser[:], f.provider, f.version, string(f.purpose), f.personID, f.sessionID, f.returnTo, string(f.strength), sqlite.Millis(f.expires), f.site)
	return err
}

// deleteOldestFlow removes the oldest of the site that has most.
func deleteOldestFlow(ctx context.Context, tx *sqlite.Tx) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM signin_flows
		WHERE state_hash = (
			SELECT state_hash
			FROM signin_flows
			WHERE site = (SELECT site FROM signin_flows GROUP BY site ORDER BY COUNT(*) DESC, site LIMIT 1)
			ORDER BY expires_at
			LIMIT 1)`)
	return err
}

// takeFlow gives the flow of a state and removes it: nobody takes it again.
func takeFlow(ctx context.Context, tx *sqlite.Tx, state digest) (f flow, found bool, err error) {
	var browser []byte
	var expires int64
	err = tx.QueryRowContext(ctx, `
		DELETE FROM signin_flows
		WHERE state_hash = ?
		RETURNING browser_hash, provider_id, version, purpose, person_id, session_id, return_to, strength, expires_at`, state[:]).
		Scan(&browser, &f.provider, &f.version, &f.purpose, &f.personID, &f.sessionID, &f.returnTo, &f.strength, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return flow{}, false, nil
	}
	copy(f.browser[:], browser)
	f.expires = sqlite.Time(expires)
	return f, err == nil, err
}

func deleteExpiredFlows(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM signin_flows
		WHERE expires_at <= ?`, sqlite.Millis(now))
	return err
}

// insertLogout keeps that a logout token was taken; false when it was before.
func insertLogout(ctx context.Context, tx *sqlite.Tx, provider string, token digest, expires time.Time) (bool, error) {
	done, err := tx.ExecContext(ctx, `
		INSERT INTO signin_logouts (provider_id, token_hash, expires_at)
		VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`, provider, token[:], sqlite.Millis(expires))
	if err != nil {
		return false, err
	}
	added, err := done.RowsAffected()
	return added == 1, err
}

func deleteExpiredLogouts(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM signin_logouts
		WHERE expires_at <= ?`, sqlite.Millis(now))
	return err
}
