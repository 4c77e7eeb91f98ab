package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	"berth/internal/sqlite"
)

// watchRow is a Watch and the deployment that it belongs to.
type watchRow struct {
	deployment string
	Watch
}

func saveWatch(ctx context.Context, tx *sqlite.Tx, deploymentID string, w Watch) error {
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO watches (deployment_id, phase, previous, data)
		VALUES (?, ?, ?, ?)
		ON CONFLICT (deployment_id, phase) DO UPDATE
		SET previous = excluded.previous, data = excluded.data`,
		deploymentID, string(w.Phase), w.Previous, string(data))
	return err
}

// watchesOf gives what was watched of deployments, the canary first.
func watchesOf(ctx context.Context, tx *sqlite.Tx, deploymentIDs []string) (map[string][]Watch, error) {
	in, args := sqlite.Placeholders(deploymentIDs)
	list, err := sqlite.All(ctx, tx, scanWatch, `
		SELECT deployment_id, data
		FROM watches
		WHERE deployment_id IN (`+in+`)
		ORDER BY deployment_id, phase`, args...)
	found := map[string][]Watch{}
	for _, w := range list {
		found[w.deployment] = append(found[w.deployment], w.Watch)
	}
	return found, err
}

func scanWatch(row sqlite.Row) (w watchRow, err error) {
	var data string
	if err = row.Scan(&w.deployment, &data); err != nil {
		return w, err
	}
	if err = json.Unmarshal([]byte(data), &w.Watch); err != nil {
		return w, fmt.Errorf("decode what was watched of deployment %s: %w", w.deployment, err)
	}
	return w, nil
}

// newerWaits says what waits for the stage's worker with a generation over
// that of d; the zero Trigger when nothing does.
func newerWaits(ctx context.Context, tx *sqlite.Tx, d deployment) (found []Trigger, err error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (t Trigger, err error) { return t, row.Scan(&t) }, `
		SELECT d.trigger
		FROM deployments d
		JOIN stages s ON s.id = d.stage_id
		WHERE d.stage_id = ? AND d.generation > ? AND d.state = 'waiting' AND d.finished_at IS NULL AND s.paused IS NULL`,
		d.stageID, d.Generation)
}

// isReverted says whether a stage was given back from a deployment.
func isReverted(ctx context.Context, tx *sqlite.Tx, id string) (reverted bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT state = 'reverted'
		FROM deployments
		WHERE id = ?`, id).Scan(&reverted)
	return reverted, err
}

// isLive says whether a deployment is what its stage serves.
func isLive(ctx context.Context, tx *sqlite.Tx, d deployment) (live bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM stages WHERE id = ? AND live_deployment = ?)`, d.stageID, d.ID).Scan(&live)
	return live, err
}
