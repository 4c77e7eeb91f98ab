package identity

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

// isHeld says whether an address is another person's: by what was given here,
// or by a provider.
func isHeld(ctx context.Context, tx *sqlite.Tx, key, personID string) (held bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM identities WHERE held_email = ?1 AND held_email <> '' AND person_id <> ?2)
			OR EXISTS (SELECT 1 FROM people WHERE email_state = 'given' AND lower(email) = lower(?1) AND id <> ?2)`, key, personID).Scan(&held)
	return held, err
}

// updateTold stores what a provider tells of a person's name and address.
func updateTold(ctx context.Context, tx *sqlite.Tx, p Person, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE people
		SET display_name = ?, name_by = ?, email = ?, email_by = ?, email_state = ?, updated_at = ?, version = version + 1
		WHERE id = ?`, p.DisplayName, p.nameBy, p.Email, p.emailBy, string(p.EmailState), sqlite.Millis(now), p.ID)
	return err
}

// releaseHeld has nobody but a person hold an address, and gives the ids of
// those who did.
func releaseHeld(ctx context.Context, tx *sqlite.Tx, key, personID string) ([]string, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (id string, err error) {
		err = from.Scan(&id)
		return id, err
	}, `
		UPDATE identities
		SET held_email = ''
		WHERE held_email = ? AND person_id <> ?
		RETURNING person_id`, key, personID)
}

// withdrawAddresses gives the ids, and whose they are, of the identities whose
// address counted.
func withdrawAddresses(ctx context.Context, tx *sqlite.Tx, provider string) ([]Identity, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (one Identity, err error) {
		err = from.Scan(&one.ID, &one.PersonID)
		return one, err
	}, `
		UPDATE identities
		SET email_verified = 0, held_email = ''
		WHERE provider = ? AND email_verified
		RETURNING id, person_id`, provider)
}
