package deploy

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// servedWith gives the deployments of a stage with which a release went live,
// the live one last, and before it the newest last.
func servedWith(ctx context.Context, tx *sqlite.Tx, stageID, releaseID string) ([]deployment, error) {
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.release_id = ? AND d.state IN ('live', 'replaced')
		ORDER BY d.id = COALESCE(s.live_deployment, ''), d.generation`, stageID, releaseID)
}

// wasLive says whether a release went live in a stage, also when the stage was
// given back to the one before.
func wasLive(ctx context.Context, tx *sqlite.Tx, stageID, releaseID string) (was bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM deployments WHERE stage_id = ? AND release_id = ? AND state IN ('live', 'replaced', 'reverted'))`,
		stageID, releaseID).Scan(&was)
	return was, err
}

// promotedBefore says whether a deployment of another stage was promoted to a
// stage, whatever became of it.
func promotedBefore(ctx context.Context, tx *sqlite.Tx, stageID, sourceDeployment string) (was bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM deployments WHERE stage_id = ? AND source_deployment = ? AND source_deployment <> '')`,
		stageID, sourceDeployment).Scan(&was)
	return was, err
}

// promotingStages gives the stages that promote from another.
func promotingStages(ctx context.Context, tx *sqlite.Tx) ([]stage, error) {
	return sqlite.All(ctx, tx, scanStage, `
		SELECT `+stageColumns+stageFrom+`
		WHERE json_extract(s.spec, '$.promote_from') IS NOT NULL
		ORDER BY s.id`)
}

// promotingFrom names the stages of a project that promote from one of that
// name.
func promotingFrom(ctx context.Context, tx *sqlite.Tx, projectID, name string) ([]string, error) {
	return sqlite.All(ctx, tx, scanText, `
		SELECT name
		FROM stages
		WHERE project_id = ? AND json_extract(spec, '$.promote_from') = ?
		ORDER BY name`, projectID, name)
}

// sourceOf gives the name of the stage that a stage promotes from; "" when
// there is none, or no such stage.
func sourceOf(ctx context.Context, tx *sqlite.Tx, project, name string) (source string, err error) {
	st, err := findStage(ctx, tx, project, name)
	if fault.KindOf(err) == fault.Missing {
		return "", nil
	}
	return st.Spec.PromoteFrom, err
}

// provenReleases gives the ids of a stage's releases that were healthy for a
// time without a break while they were live, other than the live one, the
// newest first.
func provenReleases(ctx context.Context, tx *sqlite.Tx, source stage, after time.Duration, limit int) ([]string, error) {
	return sqlite.All(ctx, tx, scanText, `
		SELECT d.release_id
		FROM deployments d
		WHERE d.stage_id = ?1 AND d.state IN ('live', 'replaced') AND d.healthy_for >= ?2
			AND d.release_id <> COALESCE((SELECT release_id FROM deployments WHERE id = ?3), '')
		GROUP BY d.release_id
		ORDER BY MAX(d.generation) DESC
		LIMIT ?4`, source.ID, after.Milliseconds(), source.LiveDeployment, limit)
}

// isGuarded says whether a deployment is live and watched.
func isGuarded(ctx context.Context, tx *sqlite.Tx, id string) (is bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM deployments d WHERE d.id = ? AND `+guarded+`)`, id).Scan(&is)
	return is, err
}

// isBusy says whether a deployment of a stage waits or runs.
func isBusy(ctx context.Context, tx *sqlite.Tx, stageID string) (busy bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM deployments WHERE stage_id = ? AND finished_at IS NULL AND state IN ('waiting', 'running'))`,
		stageID).Scan(&busy)
	return busy, err
}
