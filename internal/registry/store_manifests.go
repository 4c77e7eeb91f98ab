package registry

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/internal/sqlite"
)

// holds says whether a repository has a blob or a manifest of that digest.
func holds(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_repository_blobs WHERE repository = ?1 AND digest = ?2)
			OR EXISTS (SELECT 1 FROM registry_manifests WHERE repository = ?1 AND digest = ?2)`,
		repository, d).Scan(&has)
	return has, err
}

func insertManifest(ctx context.Context, tx *sqlite.Tx, repository string, m *storedManifest, doc document, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_manifests (repository, digest, media_type, artifact_type, subject, content, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (repository, digest) DO UPDATE SET
			media_type = excluded.media_type,
			artifact_type = excluded.artifact_type,
			created_at = excluded.created_at`,
		repository, m.digest, m.mediaType, doc.artifactType(), doc.subject(), m.content, sqlite.Millis(now))
	if err != nil {
		return err
	}
	for _, need := range doc.needs() {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO registry_references (repository, manifest, digest)
			VALUES (?, ?, ?)
			ON CONFLICT DO NOTHING`,
			repository, m.digest, need.Digest)
		if err != nil {
			return err
		}
	}
	return nil
}

func selectManifest(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) (*storedManifest, error) {
	m := &storedManifest{digest: d}
	err := tx.QueryRowContext(ctx, `
		SELECT media_type, content
		FROM registry_manifests
		WHERE repository = ? AND digest = ?`,
		repository, d).Scan(&m.mediaType, &m.content)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, unknown(ctx, tx, repository, errManifestUnknown)
	}
	return m, err
}

func deleteManifest(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_manifests
		WHERE repository = ? AND digest = ?`,
		repository, d)
	return err
}

// relinkReferences starts the time of the blobs that a manifest needs anew.
func relinkReferences(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE registry_repository_blobs
		SET linked_at = ?
		WHERE repository = ?
			AND digest IN (SELECT digest FROM registry_references WHERE repository = ? AND manifest = ?)`,
		sqlite.Millis(now), repository, repository, d)
	return err
}

// selectDependents gives the manifests that d lists, when it is an index, and
// those that are about it.
func selectDependents(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) (list []digest.Digest, err error) {
	found, err := texts(tx.QueryContext(ctx, `
		SELECT m.digest
		FROM registry_references r
		JOIN registry_manifests m ON m.repository = r.repository AND m.digest = r.digest
		WHERE r.repository = ?1 AND r.manifest = ?2
		UNION
		SELECT digest
		FROM registry_manifests
		WHERE repository = ?1 AND subject = ?2`,
		repository, d))
	for _, s := range found {
		list = append(list, digest.Digest(s))
	}
	return list, err
}

// isFree says that a manifest is there, and that neither a tag nor an index
// has it.
func isFree(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest) (free bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_manifests WHERE repository = ?1 AND digest = ?2)
			AND NOT EXISTS (SELECT 1 FROM registry_tags WHERE repository = ?1 AND digest = ?2)
			AND NOT EXISTS (SELECT 1 FROM registry_references WHERE digest = ?2 AND repository = ?1)`,
		repository, d).Scan(&free)
	return free, err
}

// referrerRow is a manifest that is about another.
type referrerRow struct {
	digest       digest.Digest
	mediaType    string
	artifactType string
	content      []byte
}

// eachReferrer gives the manifests about a subject, by digest, one at a time,
// until take has enough: each may be as large as a manifest may be.
func eachReferrer(ctx context.Context, tx *sqlite.Tx, repository string, subject digest.Digest, artifactType string, after digest.Digest, take func(referrerRow) bool) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT digest, media_type, artifact_type, content
		FROM registry_manifests
		WHERE repository = ? AND subject = ? AND subject <> '' AND digest > ? AND (? = '' OR artifact_type = ?)
		ORDER BY digest`,
		repository, subject, after, artifactType, artifactType)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r referrerRow
		if err := rows.Scan(&r.digest, &r.mediaType, &r.artifactType, &r.content); err != nil {
			return err
		}
		if !take(r) {
			return nil
		}
	}
	return rows.Err()
}

func selectTag(ctx context.Context, tx *sqlite.Tx, repository, tag string) (d digest.Digest, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT digest
		FROM registry_tags
		WHERE repository = ? AND tag = ?`,
		repository, tag).Scan(&d)
	if errors.Is(err, sql.ErrNoRows) {
		return "", unknown(ctx, tx, repository, errManifestUnknown)
	}
	return d, err
}

func putTag(ctx context.Context, tx *sqlite.Tx, repository, tag string, d digest.Digest, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_tags (repository, tag, digest, updated_at)
		VALUES (?, ?, ?, ?)
		ON CONFLICT (repository, tag) DO UPDATE SET
			digest = excluded.digest,
			updated_at = excluded.updated_at`,
		repository, tag, d, sqlite.Millis(now))
	return err
}

func deleteTag(ctx context.Context, tx *sqlite.Tx, repository, tag string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_tags
		WHERE repository = ? AND tag = ?`,
		repository, tag)
	return err
}

func selectTagNames(ctx context.Context, tx *sqlite.Tx, repository, after string, limit int) ([]string, error) {
	return texts(tx.QueryContext(ctx, `
		SELECT tag
		FROM registry_tags
		WHERE repository = ? AND tag > ?
		ORDER BY tag
		LIMIT ?`,
		repository, after, limit))
}

// selectTags gives tags with the size of all blobs below each, and when the
// image behind it was created: of several platforms, the last.
func selectTags(ctx context.Context, tx *sqlite.Tx, repository string, limit int) ([]Tag, error) {
	rows, err := tx.QueryContext(ctx, `
		WITH RECURSIVE
			tags AS (
				SELECT tag, digest, updated_at
				FROM registry_tags
				WHERE repository = ?1
				ORDER BY updated_at DESC, tag
				LIMIT ?2
			),
			below (tag, digest) AS (
				SELECT tag, digest FROM tags
				UNION
				SELECT b.tag, r.digest
				FROM below b
				JOIN registry_references r ON r.repository = ?1 AND r.manifest = b.digest
			),
			sizes AS (
				SELECT b.tag, SUM(blob.size) AS size
				FROM below b
				JOIN registry_blobs blob ON blob.digest = b.digest
				GROUP BY b.tag
			),
			dates AS (
				SELECT b.tag, MAX(m.image_created) AS created
				FROM below b
				JOIN registry_manifests m ON m.repository = ?1 AND m.digest = b.digest
				GROUP BY b.tag
			)
		SELECT t.tag, t.digest, m.media_type, COALESCE(s.size, 0), COALESCE(d.created, 0), t.updated_at
		FROM tags t
		JOIN registry_manifests m ON m.repository = ?1 AND m.digest = t.digest
		LEFT JOIN sizes s ON s.tag = t.tag
		LEFT JOIN dates d ON d.tag = t.tag
		ORDER BY t.updated_at DESC, t.tag`,
		repository, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Tag{}
	for rows.Next() {
		var t Tag
		var created, updated int64
		if err := rows.Scan(&t.Name, &t.Digest, &t.MediaType, &t.Size, &created, &updated); err != nil {
			return nil, err
		}
		t.CreatedAt, t.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
		list = append(list, t)
	}
	return list, rows.Err()
}
