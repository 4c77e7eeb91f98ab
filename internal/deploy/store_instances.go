package deploy

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const instanceColumns = `i.id, p.name, s.name, i.deployment_id, i.ordinal, i.container_id, i.address, i.state, i.detail, i.created_at, i.updated_at`

const instanceFrom = `
		FROM instances i
		JOIN deployments d ON d.id = i.deployment_id
		JOIN stages s ON s.id = d.stage_id
		JOIN projects p ON p.id = s.project_id`

func scanInstance(row sqlite.Row) (i Instance, err error) {
	var created, updated int64
	err = row.Scan(&i.ID, &i.Project, &i.Stage, &i.Deployment, &i.Ordinal, &i.Container, &i.Address, &i.State, &i.Detail, &created, &updated)
	i.CreatedAt, i.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	return i, err
}

func insertInstance(ctx context.Context, tx *sqlite.Tx, i Instance) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO instances (id, deployment_id, ordinal, container_id, address, state, detail, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.ID, i.Deployment, i.Ordinal, i.Container, i.Address, string(i.State), i.Detail, sqlite.Millis(i.CreatedAt), sqlite.Millis(i.UpdatedAt))
	return err
}

func updateInstance(ctx context.Context, tx *sqlite.Tx, i Instance) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE instances
		SET container_id = ?, address = ?, state = ?, detail = ?, updated_at = ?
		WHERE id = ?`,
		i.Container, i.Address, string(i.State), i.Detail, sqlite.Millis(i.UpdatedAt), i.ID)
	return err
}

func findInstance(ctx context.Context, tx *sqlite.Tx, id string) (Instance, error) {
	i, err := scanInstance(tx.QueryRowContext(ctx, `
		SELECT `+instanceColumns+instanceFrom+`
		WHERE i.id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return i, fault.NotFound("no instance %q", id)
	}
	return i, err
}

// instancesOf gives the instances of deployments, by deployment and ordinal.
func instancesOf(ctx context.Context, tx *sqlite.Tx, deploymentIDs ...string) (map[string][]Instance, error) {
	in, args := sqlite.Placeholders(deploymentIDs)
	list, err := sqlite.All(ctx, tx, scanInstance, `
		SELECT `+instanceColumns+instanceFrom+`
		WHERE i.deployment_id IN (`+in+`)
		ORDER BY i.deployment_id, i.ordinal`, args...)
	found := map[string][]Instance{}
	for _, i := range list {
		found[i.Deployment] = append(found[i.Deployment], i)
	}
	return found, err
}

// newestInstances gives the instances of a stage, the newest first.
func newestInstances(ctx context.Context, tx *sqlite.Tx, stageID string, most int) ([]Instance, error) {
	return sqlite.All(ctx, tx, scanInstance, `
		SELECT `+instanceColumns+instanceFrom+`
		WHERE d.stage_id = ?
		ORDER BY d.generation DESC, i.ordinal
		LIMIT ?`, stageID, most)
}

// knownInstances says which of these ids are instances.
func (s *Service) knownInstances(ctx context.Context, ids []string) (map[string]bool, error) {
	known := map[string]bool{}
	return known, s.db.Read(ctx, func(tx *sqlite.Tx) error {
		for part := range slices.Chunk(ids, 500) {
			in, args := sqlite.Placeholders(part)
			list, err := sqlite.All(ctx, tx, scanText, `
				SELECT id
				FROM instances
				WHERE id IN (`+in+`)`, args...)
			if err != nil {
				return err
			}
			for _, id := range list {
				known[id] = true
			}
		}
		return nil
	})
}

// inUse gives the ids of the deployments that may have containers: those that
// serve a stage, those that are not at their end, and those that are kept.
func inUse(ctx context.Context, tx *sqlite.Tx) (map[string]bool, error) {
	list, err := sqlite.All(ctx, tx, scanText, `
		SELECT live_deployment
		FROM stages
		WHERE live_deployment IS NOT NULL
		UNION
		SELECT id
		FROM deployments
		WHERE finished_at IS NULL
		UNION
		SELECT id
		FROM deployments
		WHERE stop_at IS NOT NULL
		UNION
		SELECT id
		FROM deployments
		WHERE state = 'live'`)
	found := make(map[string]bool, len(list))
	for _, id := range list {
		found[id] = true
	}
	return found, err
}
