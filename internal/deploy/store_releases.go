package deploy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// release is a release with what only deploy knows of it.
type release struct {
	Release
	stageID    string
	repository string
	imageID    string // the engine's; empty until it was there once
	// imageCreated is when the image was made; the zero time when it does not
	// say.
	imageCreated time.Time
}

const releaseColumns = `r.id, r.stage_id, p.name, s.name, r.repository, r.reference, r.digest, r.image_id, r.spec, r.spec_hash, r.created_at, r.image_created`

const releaseFrom = `
		FROM releases r
		JOIN stages s ON s.id = r.stage_id
		JOIN projects p ON p.id = s.project_id`

func scanRelease(row sqlite.Row) (r release, err error) {
	var created, made int64
	var spec string
	err = row.Scan(&r.ID, &r.stageID, &r.Project, &r.Stage, &r.repository, &r.Reference, &r.Digest, &r.imageID, &spec, &r.SpecHash, &created, &made)
	if err != nil {
		return r, err
	}
	r.CreatedAt, r.imageCreated = sqlite.Time(created), sqlite.Time(made)
	if err := json.Unmarshal([]byte(spec), &r.Spec); err != nil {
		return r, fmt.Errorf("decode the configuration of release %s: %w", r.ID, err)
	}
	return r, nil
}

// saveRelease stores r, or finds the one that is the same and gives its id.
func saveRelease(ctx context.Context, tx *sqlite.Tx, r release) (id string, err error) {
	spec, err := r.Spec.Canonical()
	if err != nil {
		return "", err
	}
	err = tx.QueryRowContext(ctx, `
		INSERT INTO releases (id, stage_id, repository, reference, digest, image_id, spec_hash, spec, created_at, image_created)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (stage_id, repository, digest, spec_hash) DO UPDATE
		SET reference = excluded.reference, image_id = CASE excluded.image_id WHEN '' THEN image_id ELSE excluded.image_id END,
			image_created = CASE excluded.image_created WHEN 0 THEN image_created ELSE excluded.image_created END
		RETURNING id`,
		r.ID, r.stageID, r.repository, r.Reference, r.Digest, r.imageID, r.SpecHash, string(spec), sqlite.Millis(r.CreatedAt), sqlite.Millis(r.imageCreated)).Scan(&id)
	return id, err
}

func setImageID(ctx context.Context, tx *sqlite.Tx, releaseID, imageID string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE releases
		SET image_id = ?
		WHERE id = ?`, imageID, releaseID)
	return err
}

// releaseByID gives sql.ErrNoRows when there is none.
func releaseByID(ctx context.Context, tx *sqlite.Tx, id string) (release, error) {
	return scanRelease(tx.QueryRowContext(ctx, `
		SELECT `+releaseColumns+releaseFrom+`
		WHERE r.id = ?`, id))
}

func findRelease(ctx context.Context, tx *sqlite.Tx, s stage, id string) (release, error) {
	r, err := releaseByID(ctx, tx, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && r.stageID != s.ID) {
		return r, fault.NotFound("no release %q in %s/%s", id, s.Project, s.Name)
	}
	return r, err
}

func releasesOf(ctx context.Context, tx *sqlite.Tx, stageID, before string, limit int) ([]release, error) {
	return sqlite.All(ctx, tx, scanRelease, `
		SELECT `+releaseColumns+releaseFrom+`
		WHERE r.stage_id = ? AND (? = '' OR r.id < ?)
		ORDER BY r.id DESC
		LIMIT ?`, stageID, before, before, limit)
}

func releasesByID(ctx context.Context, tx *sqlite.Tx, ids []string) (map[string]release, error) {
	in, args := sqlite.Placeholders(ids)
	list, err := sqlite.All(ctx, tx, scanRelease, `
		SELECT `+releaseColumns+releaseFrom+`
		WHERE r.id IN (`+in+`)`, args...)
	found := make(map[string]release, len(list))
	for _, r := range list {
		found[r.ID] = r
	}
	return found, err
}
