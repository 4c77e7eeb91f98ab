package identity

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const personColumns = `people.id, people.username, people.display_name, people.name_by, people.email, people.email_by, people.email_state,
		people.role, people.given_role,
		people.second_factor, people.password_hash IS NOT NULL, people.local, people.disabled_at, people.created_at, people.updated_at, people.version`

// personRow is where a person's columns are read into.
type personRow struct {
	Person
	disabled         sql.NullInt64
	created, updated int64
}

func (r *personRow) into() []any {
	return []any{&r.ID, &r.Username, &r.DisplayName, &r.nameBy, &r.Email, &r.emailBy, &r.EmailState, &r.Role, &r.GivenRole, &r.SecondFactor, &r.HasPassword, &r.Local, &r.disabled, &r.created, &r.updated, &r.Version}
}

func (r *personRow) person() Person {
	p := r.Person
	p.Disabled = r.disabled.Valid
	p.CreatedAt, p.UpdatedAt = sqlite.Time(r.created), sqlite.Time(r.updated)
	return p
}

func selectPeople(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]Person, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Person, error) {
		var r personRow
		err := from.Scan(r.into()...)
		return r.person(), err
	}, `
		SELECT `+personColumns+`
		FROM people
		WHERE username > ?
		ORDER BY username
		LIMIT ?`, after, limit)
}

// personByName finds a person and the hash of their password.
func personByName(ctx context.Context, tx *sqlite.Tx, username string) (Person, []byte, error) {
	p, hash, err := onePerson(ctx, tx, "username", username)
	if errors.Is(err, sql.ErrNoRows) {
		return Person{}, nil, fault.NotFound("nobody is named %q", shortened(username, 100))
	}
	return p, hash, err
}

// personByID finds a person and the hash of their password.
func personByID(ctx context.Context, tx *sqlite.Tx, id string) (Person, []byte, error) {
	p, hash, err := onePerson(ctx, tx, "id", id)
	if errors.Is(err, sql.ErrNoRows) {
		return Person{}, nil, fault.NotFound("there is no such person")
	}
	return p, hash, err
}

func onePerson(ctx context.Context, tx *sqlite.Tx, column, value string) (Person, []byte, error) {
	var r personRow
	var hash []byte
	err := tx.QueryRowContext(ctx, `
		SELECT `+personColumns+`, people.password_hash
		FROM people
		WHERE `+column+` = ?`, value).Scan(append(r.into(), &hash)...)
	if err != nil {
		return Person{}, nil, err
	}
	return r.person(), hash, nil
}

func anyPerson(ctx context.Context, tx *sqlite.Tx) (anybody bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM people)`).Scan(&anybody)
	return anybody, err
}

// countAdministrators counts those who were made one here and can sign in with
// a password, without one of them: some of these administers whatever a list says.
func countAdministrators(ctx context.Context, tx *sqlite.Tx, without string) (n int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*)
		FROM people
		WHERE given_role = ? AND local AND disabled_at IS NULL AND password_hash IS NOT NULL AND id <> ?`,
		string(RoleAdministrator), without).Scan(&n)
	return n, err
}

func insertPerson(ctx context.Context, tx *sqlite.Tx, p Person, hash []byte) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO people (id, username, display_name, email, email_state, role, given_role, password_hash, local, disabled_at, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Username, p.DisplayName, p.Email, string(p.EmailState), string(p.Role), string(p.GivenRole), hash, hash != nil,
		disabledAt(p), sqlite.Millis(p.CreatedAt), sqlite.Millis(p.UpdatedAt), p.Version)
	return err
}

func updatePerson(ctx context.Context, tx *sqlite.Tx, p Person) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE people
		SET display_name = ?, name_by = ?, email = ?, email_by = ?, email_state = ?, role = ?, given_role = ?, updated_at = ?, version = ?,
			disabled_at = CASE WHEN ? IS NULL THEN NULL ELSE COALESCE(disabled_at, ?) END
		WHERE id = ?`,
		p.DisplayName, p.nameBy, p.Email, p.emailBy, string(p.EmailState), string(p.Role), string(p.GivenRole), sqlite.Millis(p.UpdatedAt), p.Version,
		disabledAt(p), disabledAt(p), p.ID)
	return err
}

func disabledAt(p Person) sql.NullInt64 {
	return sql.NullInt64{Int64: sqlite.Millis(p.UpdatedAt), Valid: p.Disabled}
}

func updatePassword(ctx context.Context, tx *sqlite.Tx, id string, hash []byte, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE people
		SET password_hash = ?, updated_at = ?
		WHERE id = ?`, hash, sqlite.Millis(now), id)
	return err
}

// makeLocal makes an account one of Berth's own.
func makeLocal(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE people
		SET local = 1
		WHERE id = ?`, id)
	return err
}

func updateSecondFactor(ctx context.Context, tx *sqlite.Tx, id string, has bool, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE people
		SET second_factor = ?, updated_at = ?
		WHERE id = ?`, has, sqlite.Millis(now), id)
	return err
}

func deletePerson(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM people
		WHERE id = ?`, id)
	return err
}

func selectSignInMode(ctx context.Context, tx *sqlite.Tx) (mode SignInMode, err error) {
	var updated int64
	err = tx.QueryRowContext(ctx, `
		SELECT passwords, COALESCE(straight_to, ''), version, updated_at
		FROM sign_in_mode`).Scan(&mode.Passwords, &mode.StraightTo, &mode.Version, &updated)
	if updated > 0 {
		mode.UpdatedAt = sqlite.Time(updated)
	}
	return mode, err
}

func updateSignInMode(ctx context.Context, tx *sqlite.Tx, mode SignInMode) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE sign_in_mode
		SET passwords = ?, straight_to = NULLIF(?, ''), version = ?, updated_at = ?`,
		mode.Passwords.String(), mode.StraightTo, mode.Version, sqlite.Millis(mode.UpdatedAt))
	return err
}

func selectRequirement(ctx context.Context, tx *sqlite.Tx) (rule SecondFactorRule, err error) {
	var updated int64
	err = tx.QueryRowContext(ctx, `
		SELECT required_of, version, updated_at
		FROM second_factor_rule`).Scan(&rule.RequiredOf, &rule.Version, &updated)
	if updated > 0 {
		rule.UpdatedAt = sqlite.Time(updated)
	}
	return rule, err
}

func updateRequirement(ctx context.Context, tx *sqlite.Tx, rule SecondFactorRule) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE second_factor_rule
		SET required_of = ?, version = ?, updated_at = ?`, rule.RequiredOf.String(), rule.Version, sqlite.Millis(rule.UpdatedAt))
	return err
}
