package vault

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/sqlite"
)

func selectGrant(ctx context.Context, tx *sqlite.Tx, identityID string) (one Grant, found bool, err error) {
	var expires sql.NullInt64
	var updated int64
	err = tx.QueryRowContext(ctx, `
		SELECT provider, identity_id, external_id, version, sealed, renewable, expires_at, ended, updated_at
		FROM grants
		WHERE identity_id = ?`, identityID).Scan(
		&one.Provider, &one.IdentityID, &one.ExternalID, &one.Version, &one.sealed, &one.Renewable, &expires, &one.Ended, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return Grant{}, false, nil
	}
	if expires.Valid {
		one.ExpiresAt = sqlite.Time(expires.Int64)
	}
	one.UpdatedAt = sqlite.Time(updated)
	return one, err == nil, err
}

func goodGrants(ctx context.Context, tx *sqlite.Tx, now time.Time) (map[string]bool, error) {
	list, err := sqlite.All(ctx, tx, func(from sqlite.Row) (one Grant, err error) {
		err = from.Scan(&one.IdentityID, &one.Renewable)
		return one, err
	}, `
		SELECT identity_id, renewable
		FROM grants
		WHERE sealed IS NOT NULL AND (renewable = 1 OR expires_at IS NULL OR expires_at > ?)`, sqlite.Millis(now))
	good := make(map[string]bool, len(list))
	for _, one := range list {
		good[one.IdentityID] = one.Renewable
	}
	return good, err
}

// upsertGrant also takes the slot from an identity that had it before: of the
// issuer that the provider was pointed at by then.
func upsertGrant(ctx context.Context, tx *sqlite.Tx, one Grant) error {
	if _, err := tx.ExecContext(ctx, `
		DELETE FROM grants
		WHERE provider = ? AND name = ? OR identity_id = ?`, one.Provider, slotOf(one.ExternalID), one.IdentityID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO grants (provider, name, identity_id, external_id, version, sealed, renewable, expires_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		one.Provider, slotOf(one.ExternalID), one.IdentityID, one.ExternalID, one.Version, one.sealed, one.Renewable,
		orNull(one.ExpiresAt), sqlite.Millis(one.UpdatedAt))
	return err
}

func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return sqlite.Millis(t)
}

func deleteGrant(ctx context.Context, tx *sqlite.Tx, identityID string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM grants
		WHERE identity_id = ?`, identityID)
	return err
}

const releaseAll = `
		UPDATE grants
		SET claimed_at = NULL
		WHERE claimed_at IS NOT NULL`

// releaseClaims frees what a process claimed that is no more.
func releaseClaims(ctx context.Context, tx *sqlite.Tx) error {
	_, err := tx.ExecContext(ctx, releaseAll)
	return err
}

// claimGrant is the compare-and-swap by which one refresh at a time is made of
// a grant; a claim from before dead is nobody's any more.
func claimGrant(ctx context.Context, tx *sqlite.Tx, was Grant, now, dead time.Time) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE grants
		SET claimed_at = ?
		WHERE identity_id = ? AND version = ? AND sealed IS NOT NULL AND (claimed_at IS NULL OR claimed_at <= ?)`,
		sqlite.Millis(now), was.IdentityID, was.Version, sqlite.Millis(dead)))
}

func renewGrant(ctx context.Context, tx *sqlite.Tx, was, next Grant) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE grants
		SET version = ?, sealed = ?, renewable = ?, expires_at = ?, claimed_at = NULL, updated_at = ?
		WHERE identity_id = ? AND version = ? AND claimed_at = ?`,
		next.Version, next.sealed, next.Renewable, orNull(next.ExpiresAt), sqlite.Millis(next.UpdatedAt),
		was.IdentityID, was.Version, sqlite.Millis(was.claimedAt)))
}

func releaseGrant(ctx context.Context, tx *sqlite.Tx, was Grant) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE grants
		SET claimed_at = NULL
		WHERE identity_id = ? AND version = ? AND claimed_at = ?`, was.IdentityID, was.Version, sqlite.Millis(was.claimedAt)))
}

// endGrant ends the grant that was claimed, or the one that was just kept,
// whoever has claimed it since.
func endGrant(ctx context.Context, tx *sqlite.Tx, was Grant, why string, now time.Time) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE grants
		SET version = version + 1, sealed = NULL, renewable = 0, claimed_at = NULL, ended = ?1, updated_at = ?2
		WHERE identity_id = ?3 AND version = ?4 AND (?5 IS NULL OR claimed_at = ?5)`, why, sqlite.Millis(now),
		was.IdentityID, was.Version, orNull(was.claimedAt)))
}

func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}
