package deploy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

const fixedColumns = `id, name, spec, created_at, updated_at, version`

func scanFixed(row sqlite.Row) (r FixedRoute, err error) {
	var created, updated int64
	var spec string
	if err = row.Scan(&r.ID, &r.Name, &spec, &created, &updated, &r.Version); err != nil {
		return r, err
	}
	r.CreatedAt, r.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	if err := json.Unmarshal([]byte(spec), &r.Spec); err != nil {
		return r, fmt.Errorf("decode the configuration of route %s: %w", r.ID, err)
	}
	return r, nil
}

func findFixed(ctx context.Context, tx *sqlite.Tx, name string) (FixedRoute, error) {
	r, err := scanFixed(tx.QueryRowContext(ctx, `
		SELECT `+fixedColumns+`
		FROM fixed_routes
		WHERE name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fault.NotFound("no route named %q", name)
	}
	return r, err
}

// listFixed gives those after a name; all of them when limit is -1.
func listFixed(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]FixedRoute, error) {
	return sqlite.All(ctx, tx, scanFixed, `
		SELECT `+fixedColumns+`
		FROM fixed_routes
		WHERE name > ?
		ORDER BY name
		LIMIT ?`, after, limit)
}

func insertFixed(ctx context.Context, tx *sqlite.Tx, r FixedRoute) error {
	spec, err := r.Spec.Canonical()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO fixed_routes (id, name, hostname, path_prefix, spec, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Name, r.Spec.Hostname, r.Spec.PathPrefix, string(spec), sqlite.Millis(r.CreatedAt), sqlite.Millis(r.UpdatedAt), r.Version)
	return err
}

// updateFixed saves r over the version before its own, and says whether that
// was still there.
func updateFixed(ctx context.Context, tx *sqlite.Tx, r FixedRoute) (bool, error) {
	spec, err := r.Spec.Canonical()
	if err != nil {
		return false, err
	}
	return changed(tx.ExecContext(ctx, `
		UPDATE fixed_routes
		SET hostname = ?, path_prefix = ?, spec = ?, updated_at = ?, version = ?
		WHERE id = ? AND version = ?`,
		r.Spec.Hostname, r.Spec.PathPrefix, string(spec), sqlite.Millis(r.UpdatedAt), r.Version, r.ID, r.Version-1))
}

// stageAddresses are those that each stage has: saved, live, and of what it may
// be given back to, whose instances still run.
const stageAddresses = `(
			SELECT id AS stage_id, hostname, path_prefix
			FROM stages
			UNION ALL
			SELECT id, live_hostname, live_path_prefix
			FROM stages
			WHERE live_hostname IS NOT NULL
			UNION ALL
			SELECT d.stage_id, json_extract(r.spec, '$.hostname'), json_extract(r.spec, '$.path_prefix')
			FROM deployments d
			JOIN releases r ON r.id = d.release_id
			WHERE d.state = 'live')`

// routeBeside names a fixed route of the host of an address, unless the stage
// has that address: then whoever made the route was told, see [stagesBeside].
func routeBeside(ctx context.Context, tx *sqlite.Tx, stageID string, s StageSpec) (name string, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT name
		FROM fixed_routes
		WHERE hostname = ? AND NOT EXISTS (
			SELECT 1 FROM `+stageAddresses+` WHERE stage_id = ? AND hostname = ? AND path_prefix = ?)
		ORDER BY name
		LIMIT 1`, s.Hostname, stageID, s.Hostname, s.PathPrefix).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// stagesBeside gives the stages with addresses of a host.
func stagesBeside(ctx context.Context, tx *sqlite.Tx, hostname string) ([]StageBeside, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (b StageBeside, err error) {
		err = row.Scan(&b.Project, &b.Stage, &b.PathPrefix)
		return b, err
	}, `
		SELECT DISTINCT p.name, s.name, a.path_prefix
		FROM `+stageAddresses+` a
		JOIN stages s ON s.id = a.stage_id
		JOIN projects p ON p.id = s.project_id
		WHERE a.hostname = ?
		ORDER BY p.name, s.name, a.path_prefix`, hostname)
}

func deleteFixed(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM fixed_routes
		WHERE id = ?`, id)
	return err
}
