package identity

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/settings"
	"berth/internal/sqlite"
)

func selectListed(ctx context.Context, tx *sqlite.Tx) ([]Listed, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (one Listed, err error) {
		var issuer, externalID sql.NullString
		var bound sql.NullInt64
		if err := from.Scan(&one.Provider, &one.Kind, &one.Value, &issuer, &externalID, &bound); err != nil {
			return Listed{}, err
		}
		if bound.Valid {
			one.Issuer, one.ExternalID, one.BoundAt = issuer.String, externalID.String, sqlite.Time(bound.Int64)
		}
		return one, nil
	}, `
		SELECT provider, kind, value, issuer, external_id, bound_at
		FROM administrators
		ORDER BY position`)
}

func upsertListed(ctx context.Context, tx *sqlite.Tx, one settings.Admin, position int) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO administrators (provider, kind, value, position)
		VALUES (?, ?, ?, ?)
		ON CONFLICT (provider, kind, value) DO UPDATE
		SET position = excluded.position`, one.Provider, string(one.Kind), one.Value, position)
	return err
}

func deleteListed(ctx context.Context, tx *sqlite.Tx, one settings.Admin) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM administrators
		WHERE provider = ? AND kind = ? AND value = ?`, one.Provider, string(one.Kind), one.Value)
	return err
}

func bindListed(ctx context.Context, tx *sqlite.Tx, one settings.Admin, to whose, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE administrators
		SET issuer = ?, external_id = ?, bound_at = ?
		WHERE provider = ? AND kind = ? AND value = ?`,
		to.issuer, to.externalID, sqlite.Millis(now), one.Provider, string(one.Kind), one.Value)
	return err
}

// identitiesListed finds the identities that an entry fits.
func identitiesListed(ctx context.Context, tx *sqlite.Tx, one settings.Admin) ([]whose, error) {
	fits := `identities.external_id = ?`
	switch one.Kind {
	case settings.AdminByID:
	case settings.AdminByName:
		fits = `identities.username = ?`
	case settings.AdminByEmail:
		fits = `lower(identities.email) = ? AND identities.email_verified`
	}
	return sqlite.All(ctx, tx, scanWhose, `
		SELECT people.id, people.username, identities.issuer, identities.external_id
		FROM identities
		JOIN people ON people.id = identities.person_id
		WHERE identities.provider = ? AND `+fits, one.Provider, one.Value)
}

// accountsListed finds the account of Berth's own that an entry fits. A
// provider's people get the names that they have there, and nobody becomes
// somebody else by one, with a password that they set themselves or without.
func accountsListed(ctx context.Context, tx *sqlite.Tx, one settings.Admin) ([]whose, error) {
	fits := `username = ? AND local`
	if one.Kind == settings.AdminByID {
		fits = `id = ?`
	}
	return sqlite.All(ctx, tx, scanWhose, `
		SELECT id, username, '', id
		FROM people
		WHERE `+fits, one.Value)
}

func scanWhose(from sqlite.Row) (one whose, err error) {
	err = from.Scan(&one.personID, &one.username, &one.issuer, &one.externalID)
	return one, err
}

// breakGlass finds who administers whatever a list says: "" when there is nobody.
func breakGlass(ctx context.Context, tx *sqlite.Tx) (id string, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT id
		FROM people
		WHERE given_role = 'administrator' AND local AND password_hash IS NOT NULL AND disabled_at IS NULL
		ORDER BY created_at, id
		LIMIT 1`).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

func selectAdministrators(ctx context.Context, tx *sqlite.Tx) ([]Person, error) {
	return selectPeopleWho(ctx, tx, `role = 'administrator'`)
}

func selectWithOtherRole(ctx context.Context, tx *sqlite.Tx) ([]Person, error) {
	return selectPeopleWho(ctx, tx, `role <> given_role`)
}

func selectPeopleWho(ctx context.Context, tx *sqlite.Tx, are string, args ...any) ([]Person, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Person, error) {
		var r personRow
		err := from.Scan(r.into()...)
		return r.person(), err
	}, `
		SELECT `+personColumns+`
		FROM people
		WHERE `+are+`
		ORDER BY username`, args...)
}

func hasList(ctx context.Context, tx *sqlite.Tx) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM administrators)`).Scan(&has)
	return has, err
}
