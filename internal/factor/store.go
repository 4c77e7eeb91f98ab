package factor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

const keyColumns = `id, name, record, created_at, last_used_at`

func scanPasskey(from sqlite.Row) (Passkey, error) {
	var key Passkey
	var record string
	var created int64
	var used sql.NullInt64
	if err := from.Scan(&key.ID, &key.Name, &record, &created, &used); err != nil {
		return Passkey{}, err
	}
	if err := json.Unmarshal([]byte(record), &key.record); err != nil {
		return Passkey{}, fmt.Errorf("read the passkey %s: %w", key.ID, err)
	}
	key.CreatedAt, key.LastUsedAt = sqlite.Time(created), lastUsed(used.Valid, used.Int64)
	key.Synced = key.record.Flags.BackupState
	return key, nil
}

func passkeysOf(ctx context.Context, tx *sqlite.Tx, personID string) ([]Passkey, error) {
	return sqlite.All(ctx, tx, scanPasskey, `
		SELECT `+keyColumns+`
		FROM passkeys
		WHERE person_id = ?
		ORDER BY created_at, id`, personID)
}

// byPasskey says whether somebody has a passkey, whatever provider is there.
// Each signs in by itself: none is taken that can't be found without a username.
func byPasskey(ctx context.Context, tx *sqlite.Tx, personID, _ string) ([]identity.Way, error) {
	var has bool
	err := tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM passkeys WHERE person_id = ?)`, personID).Scan(&has)
	if err != nil || !has {
		return nil, err
	}
	return []identity.Way{{Provider: identity.ProviderLocal, Method: identity.MethodPasskey}}, nil
}

func passkeyByID(ctx context.Context, tx *sqlite.Tx, personID, id string) (Passkey, error) {
	return onePasskey(tx.QueryRowContext(ctx, `
		SELECT `+keyColumns+`
		FROM passkeys
		WHERE id = ? AND person_id = ?`, id, personID))
}

func passkeyByCredential(ctx context.Context, tx *sqlite.Tx, personID string, credential []byte) (Passkey, error) {
	return onePasskey(tx.QueryRowContext(ctx, `
		SELECT `+keyColumns+`
		FROM passkeys
		WHERE credential_id = ? AND person_id = ?`, credential, personID))
}

func onePasskey(row *sql.Row) (Passkey, error) {
	key, err := scanPasskey(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Passkey{}, fault.NotFound("you have no such passkey")
	}
	return key, err
}

func insertPasskey(ctx context.Context, tx *sqlite.Tx, personID string, key Passkey) error {
	record, err := json.Marshal(key.record)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO passkeys (id, person_id, name, credential_id, record, created_at, last_used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		key.ID, personID, key.Name, key.record.ID, string(record), sqlite.Millis(key.CreatedAt), sqlite.Millis(*key.LastUsedAt))
	return err
}

func updatePasskey(ctx context.Context, tx *sqlite.Tx, key Passkey) error {
	record, err := json.Marshal(key.record)
	if err != nil {
		return err
	}
	var used sql.NullInt64
	if key.LastUsedAt != nil {
		used = sql.NullInt64{Int64: sqlite.Millis(*key.LastUsedAt), Valid: true}
	}
	_, err = tx.ExecContext(ctx, `
		UPDATE passkeys
		SET name = ?, record = ?, last_used_at = ?
		WHERE id = ?`, key.Name, string(record), used, key.ID)
	return err
}

func deletePasskey(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM passkeys
		WHERE id = ?`, id)
	return err
}

func deletePasskeys(ctx context.Context, tx *sqlite.Tx, personID string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM passkeys
		WHERE person_id = ?`, personID)
	return err
}

// factorsOf reads all that somebody has, but for what is set for their role.
func factorsOf(ctx context.Context, tx *sqlite.Tx, personID string) (has Factors, err error) {
	if has.Passkeys, err = passkeysOf(ctx, tx, personID); err != nil {
		return Factors{}, err
	}
	if has.TOTP, err = totpOf(ctx, tx, personID); err != nil {
		return Factors{}, err
	}
	if has.Recovery.Left, err = codesLeft(ctx, tx, personID); err != nil {
		return Factors{}, err
	}
	has.Reset, err = resetOf(ctx, tx, personID)
	return has, err
}

func totpOf(ctx context.Context, tx *sqlite.Tx, personID string) (*TOTP, error) {
	var created int64
	var used sql.NullInt64
	err := tx.QueryRowContext(ctx, `
		SELECT created_at, last_used_at
		FROM totp
		WHERE person_id = ? AND confirmed_at IS NOT NULL`, personID).Scan(&created, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &TOTP{CreatedAt: sqlite.Time(created), LastUsedAt: lastUsed(used.Valid, used.Int64)}, nil
}

func totpState(ctx context.Context, tx *sqlite.Tx, personID string) (confirmed, begun bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT confirmed_at IS NOT NULL
		FROM totp
		WHERE person_id = ?`, personID).Scan(&confirmed)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return confirmed, err == nil, err
}

func beginTOTP(ctx context.Context, tx *sqlite.Tx, personID string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO totp (person_id, created_at)
		VALUES (?, ?)
		ON CONFLICT (person_id) DO UPDATE
		SET created_at = excluded.created_at, last_step = 0`, personID, sqlite.Millis(now))
	return err
}

func confirmTOTP(ctx context.Context, tx *sqlite.Tx, personID string, step int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE totp
		SET confirmed_at = ?2, last_used_at = ?2, last_step = ?3
		WHERE person_id = ?1`, personID, sqlite.Millis(now), step)
	return err
}

// takeStep says whether the step was free, and takes it and all before it.
func takeStep(ctx context.Context, tx *sqlite.Tx, personID string, step int64, now time.Time) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE totp
		SET last_step = ?, last_used_at = ?
		WHERE person_id = ? AND confirmed_at IS NOT NULL AND last_step < ?`, step, sqlite.Millis(now), personID, step))
}

func deleteTOTP(ctx context.Context, tx *sqlite.Tx, personID string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM totp
		WHERE person_id = ?`, personID)
	return err
}

// orphanedSecrets lists people who are gone, and whose secrets are not.
func orphanedSecrets(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (person string, err error) {
		err = from.Scan(&person)
		return person, err
	}, `
		SELECT name
		FROM slots
		WHERE context = ? AND name NOT IN (SELECT person_id FROM totp)
		LIMIT 1000`, totpContext)
}

func insertCode(ctx context.Context, tx *sqlite.Tx, personID string, hash []byte) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO recovery_codes (person_id, code_hash)
		VALUES (?, ?)`, personID, hash)
	return err
}

func useCode(ctx context.Context, tx *sqlite.Tx, personID string, hash []byte, now time.Time) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE recovery_codes
		SET used_at = ?
		WHERE person_id = ? AND code_hash = ? AND used_at IS NULL`, sqlite.Millis(now), personID, hash))
}

func codesLeft(ctx context.Context, tx *sqlite.Tx, personID string) (left int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM recovery_codes
		WHERE person_id = ? AND used_at IS NULL`, personID).Scan(&left)
	return left, err
}

func deleteCodes(ctx context.Context, tx *sqlite.Tx, personID string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM recovery_codes
		WHERE person_id = ?`, personID)
	return err
}

func insertAttempt(ctx context.Context, tx *sqlite.Tx, one attempt) error {
	proof, err := json.Marshal(one.proof)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sign_in_attempts (token_hash, person_id, proof, stamp, set_up, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		one.hash[:], one.person, string(proof), one.stamp[:], one.setUp, sqlite.Millis(one.createdAt), sqlite.Millis(one.expiresAt))
	return err
}

func attemptByHash(ctx context.Context, tx *sqlite.Tx, hash digest) (attempt, error) {
	one := attempt{hash: hash}
	var proof string
	var stamp []byte
	var created, expires int64
	err := tx.QueryRowContext(ctx, `
		SELECT person_id, proof, stamp, set_up, tries, created_at, expires_at
		FROM sign_in_attempts
		WHERE token_hash = ?`, hash[:]).Scan(&one.person, &proof, &stamp, &one.setUp, &one.tries, &created, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return attempt{}, errNoAttempt()
	}
	if err != nil {
		return attempt{}, err
	}
	if err := json.Unmarshal([]byte(proof), &one.proof); err != nil {
		return attempt{}, fmt.Errorf("read a sign-in's proof: %w", err)
	}
	if len(stamp) != len(identity.Stamp{}) {
		return attempt{}, errNoAttempt()
	}
	one.stamp = identity.Stamp(stamp)
	one.createdAt, one.expiresAt = sqlite.Time(created), sqlite.Time(expires)
	return one, nil
}

func countTry(ctx context.Context, tx *sqlite.Tx, hash digest) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE sign_in_attempts
		SET tries = tries + 1
		WHERE token_hash = ?`, hash[:])
	return err
}

func deleteAttempt(ctx context.Context, tx *sqlite.Tx, hash digest) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM sign_in_attempts
		WHERE token_hash = ?`, hash[:])
	return err
}

// takeAttempt ends an attempt that comes to a session, which it does once.
func takeAttempt(ctx context.Context, tx *sqlite.Tx, hash digest) error {
	taken, err := changed(tx.ExecContext(ctx, `
		DELETE FROM sign_in_attempts
		WHERE token_hash = ?`, hash[:]))
	if err == nil && !taken {
		err = errNoAttempt()
	}
	return err
}

func deleteOldAttempts(ctx context.Context, tx *sqlite.Tx, personID string, keep int) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM sign_in_attempts
		WHERE person_id = ?1 AND token_hash NOT IN (
			SELECT token_hash
			FROM sign_in_attempts
			WHERE person_id = ?1
			ORDER BY created_at DESC
			LIMIT ?2)`, personID, keep)
	return err
}

// deleteAttemptsOf removes those that what ended began.
func deleteAttemptsOf(ctx context.Context, tx *sqlite.Tx, e identity.Ended) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM sign_in_attempts
		WHERE (?1 = '' OR person_id = ?1)
			AND (?2 = '' OR proof ->> 'Provider' = ?2)
			AND (?3 = '' OR proof ->> 'IdentityID' = ?3)
			AND (?4 = '' OR proof ->> 'UpstreamSID' = ?4)`, e.PersonID, e.Provider, e.IdentityID, e.UpstreamSID)
	return err
}

func deleteExpiredAttempts(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM sign_in_attempts
		WHERE expires_at <= ?`, sqlite.Millis(now))
	return err
}

func noteReset(ctx context.Context, tx *sqlite.Tx, personID, by string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO factor_notices (person_id, reset_by, reset_at)
		VALUES (?, ?, ?)
		ON CONFLICT (person_id) DO UPDATE
		SET reset_by = excluded.reset_by, reset_at = excluded.reset_at, declined_at = NULL`, personID, by, sqlite.Millis(now))
	return err
}

func resetOf(ctx context.Context, tx *sqlite.Tx, personID string) (*ResetNotice, error) {
	var notice ResetNotice
	var at sql.NullInt64
	err := tx.QueryRowContext(ctx, `
		SELECT reset_by, reset_at
		FROM factor_notices
		WHERE person_id = ?`, personID).Scan(&notice.By, &at)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !at.Valid) {
		return nil, nil
	}
	notice.At = sqlite.Time(at.Int64)
	return &notice, err
}

func dismissReset(ctx context.Context, tx *sqlite.Tx, personID string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE factor_notices
		SET reset_by = '', reset_at = NULL
		WHERE person_id = ?`, personID)
	return err
}

func hasDeclined(ctx context.Context, tx *sqlite.Tx, personID string) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM factor_notices WHERE person_id = ? AND declined_at IS NOT NULL)`, personID).Scan(&has)
	return has, err
}

func decline(ctx context.Context, tx *sqlite.Tx, personID string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO factor_notices (person_id, declined_at)
		VALUES (?, ?)
		ON CONFLICT (person_id) DO UPDATE
		SET declined_at = excluded.declined_at`, personID, sqlite.Millis(now))
	return err
}

// changed says whether a statement changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}
