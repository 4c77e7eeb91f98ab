package registry

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

var errNameUnknown = refuse(http.StatusNotFound, "NAME_UNKNOWN", "there is no such repository in this registry")

func insertRepository(ctx context.Context, tx *sqlite.Tx, name string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_repositories (name, created_at)
		VALUES (?, ?)
		ON CONFLICT (name) DO NOTHING`,
		name, sqlite.Millis(now))
	return err
}

func hasRepository(ctx context.Context, tx *sqlite.Tx, name string) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_repositories WHERE name = ?)`,
		name).Scan(&has)
	return has, err
}

func deleteRepository(ctx context.Context, tx *sqlite.Tx, name string) (found bool, err error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM registry_repositories
		WHERE name = ?`,
		name)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func selectRepositoryNames(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]string, error) {
	return texts(tx.QueryContext(ctx, `
		SELECT name
		FROM registry_repositories
		WHERE name > ?
		ORDER BY name
		LIMIT ?`,
		after, limit))
}

func selectRepositories(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]Repository, error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT r.name,
			(SELECT COUNT(*) FROM registry_tags t WHERE t.repository = r.name),
			(SELECT COALESCE(SUM(b.size), 0)
				FROM registry_repository_blobs l
				JOIN registry_blobs b ON b.digest = l.digest
				WHERE l.repository = r.name),
			(SELECT MAX(m.created_at) FROM registry_manifests m WHERE m.repository = r.name)
		FROM registry_repositories r
		WHERE r.name > ?
			AND EXISTS (SELECT 1 FROM registry_manifests m WHERE m.repository = r.name)
		ORDER BY r.name
		LIMIT ?`,
		after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Repository{}
	for rows.Next() {
		var r Repository
		var pushed int64
		if err := rows.Scan(&r.Name, &r.Tags, &r.Size, &pushed); err != nil {
			return nil, err
		}
		r.PushedAt = sqlite.Time(pushed)
		list = append(list, r)
	}
	return list, rows.Err()
}

func selectUsage(ctx context.Context, tx *sqlite.Tx) (u Usage, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT
			(SELECT COUNT(*) FROM registry_repositories),
			(SELECT COUNT(*) FROM registry_tags),
			(SELECT COUNT(*) FROM registry_blobs),
			(SELECT COALESCE(SUM(size), 0) FROM registry_blobs),
			(SELECT COUNT(*) FROM registry_uploads)`,
	).Scan(&u.Repositories, &u.Tags, &u.Blobs, &u.Bytes, &u.Uploads)
	return u, err
}

// texts reads rows of one text column, and gives an empty list for none.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// unknown is what is said of something that is not in a repository: that,
// or that there is no such repository.
func unknown(ctx context.Context, tx *sqlite.Tx, repository string, otherwise error) error {
	has, err := hasRepository(ctx, tx, repository)
	switch {
	case err != nil:
		return err
	case !has:
		return errNameUnknown
	}
	return otherwise
}

func insertBlob(ctx context.Context, tx *sqlite.Tx, d digest.Digest, size int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_blobs (digest, size, created_at)
		VALUES (?, ?, ?)
		ON CONFLICT (digest) DO UPDATE SET size = excluded.size`,
		d, size, sqlite.Millis(now))
	return err
}

// linkBlob makes a blob one of a repository, or starts its time anew.
func linkBlob(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest, now time.Time) error {
	if err := insertRepository(ctx, tx, repository, now); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_repository_blobs (repository, digest, linked_at)
		VALUES (?, ?, ?)
		ON CONFLICT (repository, digest) DO UPDATE SET linked_at = excluded.linked_at`,
		repository, d, sqlite.Millis(now))
	return err
}

func unlinkBlob(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_repository_blobs
		WHERE repository = ? AND digest = ?`,
		repository, d)
	return err
}

// blobLink is a blob as one of a repository.
type blobLink struct {
	size       int64
	linkedAt   time.Time
	referenced bool // by a manifest of the repository
}

func selectLink(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) (l blobLink, err error) {
	var linked int64
	err = tx.QueryRowContext(ctx, `
		SELECT b.size, l.linked_at,
			EXISTS (SELECT 1 FROM registry_references r WHERE r.digest = l.digest AND r.repository = l.repository)
		FROM registry_repository_blobs l
		JOIN registry_blobs b ON b.digest = l.digest
		WHERE l.repository = ? AND l.digest = ?`,
		repository, d).Scan(&l.size, &linked, &l.referenced)
	if errors.Is(err, sql.ErrNoRows) {
		return l, unknown(ctx, tx, repository, errBlobUnknown)
	}
	l.linkedAt = sqlite.Time(linked)
	return l, err
}

// uploadRow is how far an upload has been hashed.
type uploadRow struct {
	hashed int64
	hash   []byte
}

func insertUpload(ctx context.Context, tx *sqlite.Tx, id, repository string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_uploads (id, repository, started_at, touched_at)
		VALUES (?, ?, ?, ?)`,
		id, repository, sqlite.Millis(now), sqlite.Millis(now))
	return err
}

// countUploads gives how many there are, and how many of them to a repository.
func countUploads(ctx context.Context, tx *sqlite.Tx, repository string) (all, own int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*), COUNT(*) FILTER (WHERE repository = ?)
		FROM registry_uploads`,
		repository).Scan(&all, &own)
	return all, own, err
}

func selectUpload(ctx context.Context, tx *sqlite.Tx, repository, id string) (row uploadRow, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT hashed, hash
		FROM registry_uploads
		WHERE id = ? AND repository = ?`,
		id, repository).Scan(&row.hashed, &row.hash)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errUploadUnknown
	}
	return row, err
}

func touchUpload(ctx context.Context, tx *sqlite.Tx, id string, row uploadRow, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE registry_uploads
		SET hashed = ?, hash = ?, touched_at = ?
		WHERE id = ?`,
		row.hashed, row.hash, sqlite.Millis(now), id)
	return err
}

func deleteUpload(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_uploads
		WHERE id = ?`,
		id)
	return err
}
