package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/sqlite"
)

const identityColumns = `identities.id, identities.person_id, identities.provider, identities.issuer, identities.external_id,
		identities.username, identities.email, identities.email_verified, identities.groups, identities.claims,
		identities.created_at, identities.last_sign_in_at, identities.synced_at, identities.held_email`

func scanIdentity(r sqlite.Row) (Identity, error) {
	var one Identity
	var groups, claims string
	var created, synced int64
	var last sql.NullInt64
	err := r.Scan(&one.ID, &one.PersonID, &one.Provider, &one.Issuer, &one.ExternalID,
		&one.Username, &one.Email, &one.EmailVerified, &groups, &claims, &created, &last, &synced, &one.held)
	if err != nil {
		return Identity{}, err
	}
	if err := json.Unmarshal([]byte(groups), &one.Groups); err != nil {
		return Identity{}, fmt.Errorf("read the groups of identity %s: %w", one.ID, err)
	}
	if err := json.Unmarshal([]byte(claims), &one.claims); err != nil {
		return Identity{}, fmt.Errorf("read the claims of identity %s: %w", one.ID, err)
	}
	one.CreatedAt, one.LastSignInAt, one.SyncedAt = sqlite.Time(created), sqlite.Time(last.Int64), sqlite.Time(synced)
	return one, nil
}

// findIdentity finds an identity by what never changes of it.
func findIdentity(ctx context.Context, tx *sqlite.Tx, ext External) (Identity, error) {
	one, err := scanIdentity(tx.QueryRowContext(ctx, `
		SELECT `+identityColumns+`
		FROM identities
		WHERE provider = ? AND issuer = ? AND external_id = ?`, ext.Provider, ext.Issuer, ext.ExternalID))
	if errors.Is(err, sql.ErrNoRows) {
		return Identity{}, ErrUnknownIdentity
	}
	return one, err
}

func selectIdentities(ctx context.Context, tx *sqlite.Tx, personID string) ([]Identity, error) {
	return sqlite.All(ctx, tx, scanIdentity, `
		SELECT `+identityColumns+`
		FROM identities
		WHERE person_id = ?
		ORDER BY created_at, id`, personID)
}

func (i Identity) encoded() (groups, claims string, err error) {
	rawGroups, err := json.Marshal(i.Groups)
	if err != nil {
		return "", "", err
	}
	rawClaims, err := json.Marshal(i.claims)
	return string(rawGroups), string(rawClaims), err
}

func insertIdentity(ctx context.Context, tx *sqlite.Tx, one Identity) error {
	groups, claims, err := one.encoded()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO identities (id, person_id, provider, issuer, external_id, username, email, email_verified, groups, claims, created_at, synced_at, held_email)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		one.ID, one.PersonID, one.Provider, one.Issuer, one.ExternalID, one.Username, one.Email, one.EmailVerified, groups, claims,
		sqlite.Millis(one.CreatedAt), sqlite.Millis(one.SyncedAt), one.held)
	return err
}

func updateIdentity(ctx context.Context, tx *sqlite.Tx, one Identity) error {
	groups, claims, err := one.encoded()
	if err != nil {
		return err
	}
	last := sql.NullInt64{Int64: sqlite.Millis(one.LastSignInAt), Valid: !one.LastSignInAt.IsZero()}
	_, err = tx.ExecContext(ctx, `
		UPDATE identities
		SET username = ?, email = ?, email_verified = ?, groups = ?, claims = ?, last_sign_in_at = ?, synced_at = ?, held_email = ?
		WHERE id = ?`, one.Username, one.Email, one.EmailVerified, groups, claims, last, sqlite.Millis(one.SyncedAt), one.held, one.ID)
	return err
}

func deleteIdentity(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM identities
		WHERE id = ?`, id)
	return err
}

func sessionsOfIdentity(ctx context.Context, tx *sqlite.Tx, id string) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE identity_id = ?`, id)
}

// livingIdentities finds those with a session that neither expired by now nor
// was last used by idle.
func livingIdentities(ctx context.Context, tx *sqlite.Tx, id string, now, idle time.Time) ([]Living, error) {
	const living = `
		SELECT identities.id, identities.provider, identities.synced_at
		FROM identities
		WHERE EXISTS (
			SELECT 1
			FROM sessions
			WHERE sessions.identity_id = identities.id AND sessions.expires_at > ? AND sessions.last_seen_at > ?
		)`
	query, args := living, []any{sqlite.Millis(now), sqlite.Millis(idle)}
	if id != "" {
		query, args = living+`
		AND identities.id = ?`, append(args, id)
	}
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Living, error) {
		var one Living
		var synced int64
		err := from.Scan(&one.ID, &one.Provider, &synced)
		one.SyncedAt = sqlite.Time(synced)
		return one, err
	}, query, args...)
}

func sessionsOfProvider(ctx context.Context, tx *sqlite.Tx, provider string) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE provider = ?`, provider)
}

// sessionsTrusting finds those of a provider's people that were proved by more
// than one factor as a provider says.
func sessionsTrusting(ctx context.Context, tx *sqlite.Tx, provider string) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE ' ' || methods || ' ' LIKE '% mfa %'
			AND (provider = ?1 OR person_id IN (SELECT person_id FROM identities WHERE provider = ?1))`, provider)
}

// sessionsUpstream finds what a provider means by a session of its own, a
// person, or both.
func sessionsUpstream(ctx context.Context, tx *sqlite.Tx, provider, issuer, externalID, sid string) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		JOIN identities ON identities.id = sessions.identity_id
		WHERE identities.provider = ?1 AND identities.issuer = ?2
			AND (?3 = '' OR identities.external_id = ?3)
			AND (?4 = '' OR sessions.upstream_sid = ?4)
			AND (?3 <> '' OR ?4 <> '')`, provider, issuer, externalID, sid)
}

// peopleOfProvider finds the people whom a provider knows, who are not disabled.
func peopleOfProvider(ctx context.Context, tx *sqlite.Tx, provider string) ([]Person, error) {
	return selectPeopleWho(ctx, tx, `disabled_at IS NULL
			AND id IN (SELECT person_id FROM identities WHERE provider = ?)`, provider)
}

// peopleWithPassword finds the people who have a password and are not disabled.
func peopleWithPassword(ctx context.Context, tx *sqlite.Tx) ([]Person, error) {
	return selectPeopleWho(ctx, tx, `password_hash IS NOT NULL AND disabled_at IS NULL`)
}

func administratorsWithPassword(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (name string, err error) {
		err = from.Scan(&name)
		return name, err
	}, `
		SELECT username
		FROM people
		WHERE role = ? AND local AND disabled_at IS NULL AND password_hash IS NOT NULL
		ORDER BY username
		LIMIT 20`, string(RoleAdministrator))
}
