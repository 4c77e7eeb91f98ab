package identity

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

//nolint:gosec // the names of columns, no credentials
const tokenColumns = `api_tokens.id, api_tokens.person_id, api_tokens.name, api_tokens.scope,
		api_tokens.created_at, api_tokens.last_used_at, api_tokens.expires_at`

type tokenRow struct {
	Token
	created       int64
	used, expires sql.NullInt64
}

func (r *tokenRow) into() []any {
	return []any{&r.ID, &r.PersonID, &r.Name, &r.Scope, &r.created, &r.used, &r.expires}
}

func (r *tokenRow) token() Token {
	one := r.Token
	one.CreatedAt = sqlite.Time(r.created)
	if r.used.Valid {
		used := sqlite.Time(r.used.Int64)
		one.LastUsedAt = &used
	}
	if r.expires.Valid {
		expires := sqlite.Time(r.expires.Int64)
		one.ExpiresAt = &expires
	}
	return one
}

func insertToken(ctx context.Context, tx *sqlite.Tx, one Token, hash digest) error {
	var expires sql.NullInt64
	if one.ExpiresAt != nil {
		expires = sql.NullInt64{Int64: sqlite.Millis(*one.ExpiresAt), Valid: true}
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO api_tokens (id, token_hash, person_id, name, scope, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		one.ID, hash[:], one.PersonID, one.Name, string(one.Scope), sqlite.Millis(one.CreatedAt), expires)
	return err
}

func tokenByHash(ctx context.Context, tx *sqlite.Tx, hash digest) (Token, Person, error) {
	var r tokenRow
	var p personRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+tokenColumns+`, `+personColumns+`
		FROM api_tokens
		JOIN people ON people.id = api_tokens.person_id
		WHERE api_tokens.token_hash = ?`, hash[:]).Scan(append(r.into(), p.into()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, Person{}, errNoToken()
	}
	return r.token(), p.person(), err
}

func tokenByID(ctx context.Context, tx *sqlite.Tx, personID, id string) (Token, error) {
	var r tokenRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+tokenColumns+`
		FROM api_tokens
		WHERE id = ? AND person_id = ?`, id, personID).Scan(r.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, fault.NotFound("you have no such API token")
	}
	return r.token(), err
}

func selectTokens(ctx context.Context, tx *sqlite.Tx, personID string) ([]Token, error) {
	return listTokens(ctx, tx, `
		SELECT `+tokenColumns+`
		FROM api_tokens
		WHERE person_id = ?
		ORDER BY name`, personID)
}

func expiredTokens(ctx context.Context, tx *sqlite.Tx, before time.Time) ([]Token, error) {
	return listTokens(ctx, tx, `
		SELECT `+tokenColumns+`
		FROM api_tokens
		WHERE expires_at <= ?
		LIMIT 1000`, sqlite.Millis(before))
}

func listTokens(ctx context.Context, tx *sqlite.Tx, query string, args ...any) ([]Token, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Token{}
	for rows.Next() {
		var r tokenRow
		if err := rows.Scan(r.into()...); err != nil {
			return nil, err
		}
		list = append(list, r.token())
	}
	return list, rows.Err()
}

func touchToken(ctx context.Context, tx *sqlite.Tx, id string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE api_tokens
		SET last_used_at = ?
		WHERE id = ?`, sqlite.Millis(at), id)
	return err
}

func deleteToken(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM api_tokens
		WHERE id = ?`, id)
	return err
}
