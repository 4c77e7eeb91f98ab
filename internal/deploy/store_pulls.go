package deploy

import (
	"context"
	"fmt"
	"time"

	"berth/internal/sqlite"
)

// pull is an image that Berth had the engine fetch.
type pull struct {
	reference, digest, imageID string
	at                         time.Time
}

// savePull remembers, before it is done, that the engine is to fetch an image.
func savePull(ctx context.Context, tx *sqlite.Tx, p pull) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO pulled_images (reference, digest, pulled_at)
		VALUES (?, ?, ?)
		ON CONFLICT (reference) DO UPDATE
		SET pulled_at = excluded.pulled_at`,
		p.reference, p.digest, sqlite.Millis(p.at))
	return err
}

// setPulled says as what the engine has an image that it was to fetch.
func setPulled(ctx context.Context, tx *sqlite.Tx, digest, imageID string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE pulled_images
		SET image_id = ?
		WHERE digest = ? AND image_id <> ?`, imageID, digest, imageID)
	return err
}

func scanPull(row sqlite.Row) (p pull, err error) {
	var at int64
	err = row.Scan(&p.reference, &p.digest, &p.imageID, &at)
	p.at = sqlite.Time(at)
	return p, err
}

// pulls lists what the engine was to fetch, the oldest first.
func pulls(ctx context.Context, tx *sqlite.Tx) ([]pull, error) {
	return sqlite.All(ctx, tx, scanPull, `
		SELECT reference, digest, image_id, pulled_at
		FROM pulled_images
		ORDER BY pulled_at, reference`)
}

// forgetPulled forgets an image that the engine no longer has.
func forgetPulled(ctx context.Context, tx *sqlite.Tx, imageID string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM pulled_images
		WHERE image_id = ?`, imageID)
	return err
}

// forgetUnpulled forgets pulls that never came to an end.
func forgetUnpulled(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM pulled_images
		WHERE image_id = '' AND pulled_at < ?`, sqlite.Millis(before))
	return err
}

// usesOf lists all releases and what they were used for, with the rule of
// their stage where it has one.
func usesOf(ctx context.Context, tx *sqlite.Tx, standard KeepRule) ([]Use, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (u Use, err error) {
		var deployed int64
		var releases int
		var within string
		err = row.Scan(&u.Release, &u.Stage, &u.Repository, &u.Digest, &u.Image, &deployed, &u.Live, &u.WasLive, &u.Busy, &releases, &within)
		if err != nil {
			return u, err
		}
		u.Deployed, u.Rule = sqlite.Time(deployed), standard
		if releases > 0 {
			u.Rule.Releases = releases
		}
		if within != "" {
			var d Duration
			if err := d.UnmarshalText([]byte(within)); err != nil {
				return u, fmt.Errorf("stage %s: %w", u.Stage, err)
			}
			u.Rule.For = time.Duration(d)
		}
		return u, nil
	}, `
		SELECT r.id, r.stage_id, r.repository, r.digest, r.image_id,
			MAX(r.created_at, COALESCE(MAX(d.created_at), 0)),
			COALESCE(MAX(d.id = s.live_deployment), 0),
			COALESCE(MAX(d.state IN ('live', 'replaced', 'reverted')), 0),
			COALESCE(MAX(d.finished_at IS NULL OR d.state = 'live'), 0)
				OR EXISTS (SELECT 1 FROM deployments h WHERE h.finished_at IS NULL AND h.source_release = r.id),
			COALESCE(json_extract(s.spec, '$.keep_releases'), 0), COALESCE(json_extract(s.spec, '$.keep_for'), '')
		FROM releases r
		JOIN stages s ON s.id = r.stage_id
		LEFT JOIN deployments d ON d.release_id = r.id
		GROUP BY r.id`)
}

// old says of a deployment d that it is over, and that nothing counts on it:
// neither that it is the newest, nor that what it was promoted from is live
// and not to be promoted twice.
const old = `d.finished_at IS NOT NULL AND d.state IN ('replaced', 'failed', 'canceled', 'superseded', 'reverted')
				AND d.created_at < ?
				AND NOT EXISTS (
					SELECT 1
					FROM stages s
					WHERE s.id = d.stage_id AND (s.live_deployment = d.id OR s.generation = d.generation))
				AND NOT EXISTS (SELECT 1 FROM stages l WHERE l.live_deployment = d.source_deployment)`

// forgetRelease removes the old deployments of a release, and the release when
// none is left.
func forgetRelease(ctx context.Context, tx *sqlite.Tx, releaseID string, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM deployments
		WHERE id IN (SELECT d.id FROM deployments d WHERE d.release_id = ? AND `+old+`)`, releaseID, sqlite.Millis(before))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		DELETE FROM releases
		WHERE id = ? AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = releases.id)`, releaseID)
	return err
}

// forgetDeployments removes up to limit old deployments of releases that stay,
// but the last with which one was live, and those that never had a release.
func forgetDeployments(ctx context.Context, tx *sqlite.Tx, before time.Time, limit int) (int64, error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM deployments
		WHERE id IN (
			SELECT d.id
			FROM deployments d
			WHERE `+old+`
				AND (d.release_id IS NULL OR EXISTS (
					SELECT 1
					FROM deployments n
					WHERE n.release_id = d.release_id AND n.generation > d.generation AND n.state IN ('live', 'replaced', 'reverted')))
			LIMIT ?)`, sqlite.Millis(before), limit)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
