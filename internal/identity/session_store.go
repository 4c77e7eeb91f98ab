package identity

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const sessionColumns = `sessions.id, sessions.person_id, sessions.address, sessions.user_agent,
		sessions.provider, sessions.identity_id, sessions.methods, sessions.upstream_sid,
		sessions.created_at, sessions.last_seen_at, sessions.expires_at, sessions.authenticated_at, sessions.strong_at, sessions.passkey_at`

type sessionRow struct {
	Session
	identity                              sql.NullString
	methods                               string
	created, seen, expires, authenticated int64
	strong, passkey                       sql.NullInt64
}

func (r *sessionRow) into() []any {
	return []any{
		&r.ID, &r.PersonID, &r.Address, &r.UserAgent, &r.Provider, &r.identity, &r.methods, &r.upstreamSID,
		&r.created, &r.seen, &r.expires, &r.authenticated, &r.strong, &r.passkey,
	}
}

func (r *sessionRow) session() Session {
	one := r.Session
	one.CreatedAt, one.LastSeenAt, one.ExpiresAt = sqlite.Time(r.created), sqlite.Time(r.seen), sqlite.Time(r.expires)
	one.AuthenticatedAt = sqlite.Time(r.authenticated)
	if r.strong.Valid {
		one.StrongAt = sqlite.Time(r.strong.Int64)
	}
	if r.passkey.Valid {
		one.PasskeyAt = sqlite.Time(r.passkey.Int64)
	}
	one.identityID = r.identity.String
	one.Methods = []Method{}
	for m := range strings.FieldsSeq(r.methods) {
		one.Methods = append(one.Methods, Method(m))
	}
	return one
}

func insertSession(ctx context.Context, tx *sqlite.Tx, one Session, hash digest) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO sessions (id, token_hash, person_id, address, user_agent, provider, identity_id, methods, upstream_sid,
			created_at, last_seen_at, expires_at, authenticated_at, strong_at, passkey_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		one.ID, hash[:], one.PersonID, one.Address, one.UserAgent, one.Provider,
		sql.NullString{String: one.identityID, Valid: one.identityID != ""}, joined(one.Methods), one.upstreamSID,
		sqlite.Millis(one.CreatedAt), sqlite.Millis(one.LastSeenAt), sqlite.Millis(one.ExpiresAt), sqlite.Millis(one.AuthenticatedAt),
		orNever(one.StrongAt), orNever(one.PasskeyAt))
	return err
}

// strengthenSession writes what a proof changes of a session.
func strengthenSession(ctx context.Context, tx *sqlite.Tx, one Session, hash digest) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE sessions
		SET token_hash = ?, methods = ?, authenticated_at = ?, strong_at = ?, passkey_at = ?
		WHERE id = ?`,
		hash[:], joined(one.Methods), sqlite.Millis(one.AuthenticatedAt),
		orNever(one.StrongAt), orNever(one.PasskeyAt), one.ID)
	return err
}

// orNever is NULL for the zero time.
func orNever(at time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: sqlite.Millis(at), Valid: !at.IsZero()}
}

func joined(methods []Method) string {
	list := make([]string, len(methods))
	for i, m := range methods {
		list[i] = string(m)
	}
	return strings.Join(list, " ")
}

func sessionByHash(ctx context.Context, tx *sqlite.Tx, hash digest) (Session, Person, error) {
	var r sessionRow
	var p personRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+sessionColumns+`, `+personColumns+`
		FROM sessions
		JOIN people ON people.id = sessions.person_id
		WHERE sessions.token_hash = ?`, hash[:]).Scan(append(r.into(), p.into()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, Person{}, errNoSession()
	}
	return r.session(), p.person(), err
}

// sessionByHostHash finds a session by the token of an app's host.
func sessionByHostHash(ctx context.Context, tx *sqlite.Tx, hash digest) (Session, Person, error) {
	var r sessionRow
	var p personRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+sessionColumns+`, `+personColumns+`
		FROM host_sessions
		JOIN sessions ON sessions.id = host_sessions.session_id
		JOIN people ON people.id = sessions.person_id
		WHERE host_sessions.token_hash = ?`, hash[:]).Scan(append(r.into(), p.into()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, Person{}, errNoSession()
	}
	return r.session(), p.person(), err
}

// insertHostSession adds a host's token to a session, and takes away the
// oldest of those above most.
func insertHostSession(ctx context.Context, tx *sqlite.Tx, sessionID, host string, hash digest, now time.Time, most int) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO host_sessions (token_hash, session_id, host, created_at)
		VALUES (?, ?, ?, ?)`, hash[:], sessionID, host, sqlite.Millis(now))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		DELETE FROM host_sessions
		WHERE session_id = ?1 AND token_hash NOT IN (
			SELECT token_hash
			FROM host_sessions
			WHERE session_id = ?1
			ORDER BY created_at DESC
			LIMIT ?2
		)`, sessionID, most)
	return err
}

func sessionByID(ctx context.Context, tx *sqlite.Tx, personID, id string) (Session, error) {
	var r sessionRow
	err := tx.QueryRowContext(ctx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE id = ? AND person_id = ?`, id, personID).Scan(r.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, fault.NotFound("there is no such session")
	}
	return r.session(), err
}

// selectSessions lists a person's sessions, the newest first.
func selectSessions(ctx context.Context, tx *sqlite.Tx, personID string) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE person_id = ?
		ORDER BY created_at DESC, id DESC`, personID)
}

// personSession is a session with whose it is.
type personSession struct {
	session Session
	person  Person
}

// allSessions lists every session there is.
func allSessions(ctx context.Context, tx *sqlite.Tx) ([]personSession, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (personSession, error) {
		var r sessionRow
		var p personRow
		err := from.Scan(append(r.into(), p.into()...)...)
		return personSession{r.session(), p.person()}, err
	}, `
		SELECT `+sessionColumns+`, `+personColumns+`
		FROM sessions
		JOIN people ON people.id = sessions.person_id
		ORDER BY sessions.id`)
}

// expiredSessions lists some of those past a limit, so that no sweep holds up
// the writers for long; the next one takes more.
func expiredSessions(ctx context.Context, tx *sqlite.Tx, now time.Time, idle time.Duration) ([]Session, error) {
	return listSessions(ctx, tx, `
		SELECT `+sessionColumns+`
		FROM sessions
		WHERE expires_at <= ? OR last_seen_at <= ?
		LIMIT 1000`, sqlite.Millis(now), sqlite.Millis(now.Add(-idle)))
}

func listSessions(ctx context.Context, tx *sqlite.Tx, query string, args ...any) ([]Session, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (Session, error) {
		var r sessionRow
		err := from.Scan(r.into()...)
		return r.session(), err
	}, query, args...)
}

// hasSessionFrom says whether a person has a session that began at an address.
func hasSessionFrom(ctx context.Context, tx *sqlite.Tx, personID, address string) (has bool, err error) {
	if address == "" {
		return false, nil
	}
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM sessions WHERE person_id = ? AND address = ?)`, personID, address).Scan(&has)
	return has, err
}

func touchSession(ctx context.Context, tx *sqlite.Tx, id string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE sessions
		SET last_seen_at = MAX(last_seen_at, ?)
		WHERE id = ?`, sqlite.Millis(at), id)
	return err
}

func deleteSession(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM sessions
		WHERE id = ?`, id)
	return err
}

// The link that makes the first administrator.

func insertSetupLink(ctx context.Context, tx *sqlite.Tx, hash digest, now, expires time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO setup_links (token_hash, created_at, expires_at)
		VALUES (?, ?, ?)`, hash[:], sqlite.Millis(now), sqlite.Millis(expires))
	return err
}

func hasSetupLink(ctx context.Context, tx *sqlite.Tx, hash digest, now time.Time) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM setup_links WHERE token_hash = ? AND expires_at > ?)`,
		hash[:], sqlite.Millis(now)).Scan(&has)
	return has, err
}

func deleteSetupLinks(ctx context.Context, tx *sqlite.Tx) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM setup_links`)
	return err
}

func deleteExpiredSetupLinks(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM setup_links
		WHERE expires_at <= ?`, sqlite.Millis(now))
	return err
}
