package registry

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

// blobRow is a blob as the registry knows it.
type blobRow struct {
	digest digest.Digest
	size   int64
}

// deleteLinksBefore takes the blobs that no manifest needs, and that came
// before a time, out of their repositories.
func deleteLinksBefore(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_repository_blobs
		WHERE linked_at < ?
			AND NOT EXISTS (
				SELECT 1
				FROM registry_references r
				WHERE r.digest = registry_repository_blobs.digest
					AND r.repository = registry_repository_blobs.repository)`,
		sqlite.Millis(before))
	return err
}

// deleteFreeBlobs forgets up to limit blobs that are in no repository.
func deleteFreeBlobs(ctx context.Context, tx *sqlite.Tx, limit int) ([]blobRow, error) {
	rows, err := tx.QueryContext(ctx, `
		DELETE FROM registry_blobs
		WHERE digest IN (
			SELECT b.digest
			FROM registry_blobs b
			WHERE NOT EXISTS (SELECT 1 FROM registry_repository_blobs l WHERE l.digest = b.digest)
			LIMIT ?)
		RETURNING digest, size`,
		limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []blobRow
	for rows.Next() {
		var b blobRow
		if err := rows.Scan(&b.digest, &b.size); err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, rows.Err()
}

func deleteEmptyRepositories(ctx context.Context, tx *sqlite.Tx) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_repositories
		WHERE NOT EXISTS (SELECT 1 FROM registry_manifests m WHERE m.repository = registry_repositories.name)
			AND NOT EXISTS (SELECT 1 FROM registry_repository_blobs l WHERE l.repository = registry_repositories.name)`)
	return err
}

func hasBlob(ctx context.Context, tx *sqlite.Tx, d digest.Digest) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_blobs WHERE digest = ?)`,
		d).Scan(&has)
	return has, err
}

func selectUploadsBefore(ctx context.Context, tx *sqlite.Tx, before time.Time) ([]string, error) {
	return texts(tx.QueryContext(ctx, `
		SELECT id
		FROM registry_uploads
		WHERE touched_at < ?`,
		sqlite.Millis(before)))
}

// deleteUploadBefore forgets an upload unless it was touched meanwhile.
func deleteUploadBefore(ctx context.Context, tx *sqlite.Tx, id string, before time.Time) (gone bool, err error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM registry_uploads
		WHERE id = ? AND touched_at < ?`,
		id, sqlite.Millis(before))
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func hasUpload(ctx context.Context, tx *sqlite.Tx, id string) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_uploads WHERE id = ?)`,
		id).Scan(&has)
	return has, err
}

// selectUnnamed gives manifests that neither a tag nor an index has and that
// are not about another, with the size of what is below each.
func selectUnnamed(ctx context.Context, tx *sqlite.Tx, before time.Time, limit int) ([]Unnamed, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (u Unnamed, err error) {
		var pushed int64
		err = row.Scan(&u.Repository, &u.Digest, &pushed, &u.Size)
		u.PushedAt = sqlite.Time(pushed)
		return u, err
	}, `
		SELECT m.repository, m.digest, m.created_at, COALESCE((
			SELECT SUM(b.size)
			FROM registry_references r
			JOIN registry_blobs b ON b.digest = r.digest
			WHERE r.repository = m.repository AND r.manifest = m.digest), 0)
		FROM registry_manifests m
		WHERE m.created_at < ? AND m.subject = ''
			AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.repository = m.repository AND t.digest = m.digest)
			AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.digest = m.digest AND r.repository = m.repository)
		ORDER BY m.created_at, m.digest
		LIMIT ?`, sqlite.Millis(before), limit)
}

// selectBelow gives the manifests that an index leads to.
func selectBelow(ctx context.Context, tx *sqlite.Tx, repository, d string) ([]string, error) {
	return texts(tx.QueryContext(ctx, `
		WITH RECURSIVE below (digest) AS (
			SELECT digest
			FROM registry_references
			WHERE repository = ?1 AND manifest = ?2
			UNION
			SELECT r.digest
			FROM below b
			JOIN registry_references r ON r.repository = ?1 AND r.manifest = b.digest)
		SELECT b.digest
		FROM below b
		JOIN registry_manifests m ON m.repository = ?1 AND m.digest = b.digest`,
		repository, d))
}
