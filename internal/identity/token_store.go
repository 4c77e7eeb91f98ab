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
		api_tokens.created_at, api_tokens.last_used_at, api_tokens.expires_at,
		api_tokens.project_id, projects.name, projects.image, stages.name`

//nolint:gosec // the names of tables
const tokenTables = `api_tokens
		LEFT JOIN projects ON projects.id = api_tokens.project_id
		LEFT JOIN stages ON stages.id = api_tokens.stage_id`

type tokenRow struct {
	Token
	created       int64
	used, expires sql.NullInt64

	bound, project, image, stage sql.NullString
}

func (r *tokenRow) into() []any {
	return []any{&r.ID, &r.PersonID, &r.Name, &r.Scope, &r.created, &r.used, &r.expires, &r.bound, &r.project, &r.image, &r.stage}
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
	if r.bound.Valid {
		one.Bounds = &Bounds{Project: r.project.String, Stage: r.stage.String, Repository: r.image.String}
	}
	return one
}

// bounded are the ids of what a token is bound to.
type bounded struct{ project, stage sql.NullString }

// findBounds finds them by their names; what is not there stays NULL.
func findBounds(ctx context.Context, tx *sqlite.Tx, b Bounds) (ids bounded, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT projects.id, stages.id
		FROM projects
		LEFT JOIN stages ON stages.project_id = projects.id AND stages.name = ?
		WHERE projects.name = ?`, b.Stage, b.Project).Scan(&ids.project, &ids.stage)
	if errors.Is(err, sql.ErrNoRows) {
		return ids, nil
	}
	return ids, err
}

func insertToken(ctx context.Context, tx *sqlite.Tx, one Token, ids bounded, hash digest) error {
	var expires sql.NullInt64
	if one.ExpiresAt != nil {
		expires = sql.NullInt64{Int64: sqlite.Millis(*one.ExpiresAt), Valid: true}
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO api_tokens (id, token_hash, person_id, name, scope, created_at, expires_at, project_id, stage_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		one.ID, hash[:], one.PersonID, one.Name, string(one.Scope), sqlite.Millis(one.CreatedAt), expires, ids.project, ids.stage)
	return err
}

func tokenByHash(ctx context.Context, tx *sqlite.Tx, hash digest) (Token, Person, error) {
	var r tokenRow
	var p personRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+tokenColumns+`, `+personColumns+`
		FROM `+tokenTables+`
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
		FROM `+tokenTables+`
		WHERE api_tokens.id = ? AND api_tokens.person_id = ?`, id, personID).Scan(r.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, fault.NotFound("there is no such API token")
	}
	return r.token(), err
}

func selectTokens(ctx context.Context, tx *sqlite.Tx, personID string) ([]Token, error) {
	return listTokens(ctx, tx, `
		SELECT `+tokenColumns+`
		FROM `+tokenTables+`
		WHERE api_tokens.person_id = ?
		ORDER BY api_tokens.name`, personID)
}

func expiredTokens(ctx context.Context, tx *sqlite.Tx, before time.Time) ([]Token, error) {
	return listTokens(ctx, tx, `
		SELECT `+tokenColumns+`
		FROM `+tokenTables+`
		WHERE api_tokens.expires_at <= ?
		LIMIT 1000`, sqlite.Millis(before))
}

func tokensBoundTo(ctx context.Context, tx *sqlite.Tx, projectOrStage string) ([]Token, error) {
	return listTokens(ctx, tx, `
		SELECT `+tokenColumns+`
		FROM `+tokenTables+`
		WHERE api_tokens.project_id = ?1 OR api_tokens.stage_id = ?1`, projectOrStage)
}

func listTokens(ctx context.Context, tx *sqlite.Tx, query string, args ...any) ([]Token, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Token, error) {
		var r tokenRow
		err := from.Scan(r.into()...)
		return r.token(), err
	}, query, args...)
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
