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

const projectColumns = `p.id, p.name, p.image, p.description, p.created_at, p.updated_at, p.version`

func scanProject(row sqlite.Row) (p Project, err error) {
	var created, updated int64
	err = row.Scan(&p.ID, &p.Name, &p.Image, &p.Description, &created, &updated, &p.Version)
	p.CreatedAt, p.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	return p, err
}

func findProject(ctx context.Context, tx *sqlite.Tx, name string) (Project, error) {
	p, err := scanProject(tx.QueryRowContext(ctx, `
		SELECT `+projectColumns+`
		FROM projects p
		WHERE p.name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.NotFound("no project named %q", name)
	}
	return p, err
}

func listProjects(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]Project, error) {
	return sqlite.All(ctx, tx, scanProject, `
		SELECT `+projectColumns+`
		FROM projects p
		WHERE p.name > ?
		ORDER BY p.name
		LIMIT ?`, after, limit)
}

func insertProject(ctx context.Context, tx *sqlite.Tx, p Project) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO projects (id, name, image, description, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Name, p.Image, p.Description, sqlite.Millis(p.CreatedAt), sqlite.Millis(p.UpdatedAt), p.Version)
	return err
}

// updateProject saves p over the version before its own, and says whether
// that was still there.
func updateProject(ctx context.Context, tx *sqlite.Tx, p Project) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE projects
		SET image = ?, description = ?, updated_at = ?, version = ?
		WHERE id = ? AND version = ?`,
		p.Image, p.Description, sqlite.Millis(p.UpdatedAt), p.Version, p.ID, p.Version-1))
}

func deleteProject(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM projects
		WHERE id = ?`, id)
	return err
}

// changed says whether a statement changed a row.
func changed(done sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// stage is a stage with what only deploy knows of it.
type stage struct {
	Stage
	projectID      string
	image          string // the project's
	liveGeneration int64
}

const stageColumns = `s.id, s.project_id, p.name, p.image, s.name, s.spec, COALESCE(s.live_deployment, ''), s.live_generation,
			s.paused, s.maintenance, s.created_at, s.updated_at, s.version`

func scanStage(row sqlite.Row) (s stage, err error) {
	var created, updated int64
	var spec string
	var paused, maintenance sql.NullString
	err = row.Scan(&s.ID, &s.projectID, &s.Project, &s.image, &s.Name, &spec, &s.LiveDeployment, &s.liveGeneration,
		&paused, &maintenance, &created, &updated, &s.Version)
	if err != nil {
		return s, err
	}
	if err := errors.Join(decode(paused, &s.Paused), decode(maintenance, &s.Maintenance)); err != nil {
		return s, fmt.Errorf("decode the state of stage %s: %w", s.ID, err)
	}
	s.CreatedAt, s.UpdatedAt = sqlite.Time(created), sqlite.Time(updated)
	if err := json.Unmarshal([]byte(spec), &s.Spec); err != nil {
		return s, fmt.Errorf("decode the configuration of stage %s: %w", s.ID, err)
	}
	return s, nil
}

// decode reads JSON that may be NULL.
func decode(text sql.NullString, into any) error {
	if !text.Valid {
		return nil
	}
	return json.Unmarshal([]byte(text.String), into)
}

const stageFrom = `
		FROM stages s
		JOIN projects p ON p.id = s.project_id`

func findStage(ctx context.Context, tx *sqlite.Tx, project, name string) (stage, error) {
	s, err := scanStage(tx.QueryRowContext(ctx, `
		SELECT `+stageColumns+stageFrom+`
		WHERE p.name = ? AND s.name = ?`, project, name))
	if !errors.Is(err, sql.ErrNoRows) {
		return s, err
	}
	if _, err := findProject(ctx, tx, project); err != nil {
		return s, err
	}
	return s, fault.NotFound("no stage named %q in project %q", name, project)
}

// stageByID gives sql.ErrNoRows when there is none.
func stageByID(ctx context.Context, tx *sqlite.Tx, id string) (stage, error) {
	return scanStage(tx.QueryRowContext(ctx, `
		SELECT `+stageColumns+stageFrom+`
		WHERE s.id = ?`, id))
}

func stagesOf(ctx context.Context, tx *sqlite.Tx, projectIDs []string) ([]stage, error) {
	in, args := sqlite.Placeholders(projectIDs)
	return sqlite.All(ctx, tx, scanStage, `
		SELECT `+stageColumns+stageFrom+`
		WHERE s.project_id IN (`+in+`)
		ORDER BY s.project_id, s.name`, args...)
}

// allStages gives every stage, by its project's name and its own.
func allStages(ctx context.Context, tx *sqlite.Tx) ([]stage, error) {
	return sqlite.All(ctx, tx, scanStage, `
		SELECT `+stageColumns+stageFrom+`
		ORDER BY p.name, s.name`)
}

// stagesOfImage gives the stages that a push to a repository may deploy to.
func stagesOfImage(ctx context.Context, tx *sqlite.Tx, repository string) ([]stage, error) {
	return sqlite.All(ctx, tx, scanStage, `
		SELECT `+stageColumns+stageFrom+`
		WHERE p.image = ?
		ORDER BY p.name, s.name`, repository)
}

func liveStages(ctx context.Context, tx *sqlite.Tx) ([]stage, error) {
	return sqlite.All(ctx, tx, scanStage, `
		SELECT `+stageColumns+stageFrom+`
		WHERE s.live_deployment IS NOT NULL
		ORDER BY s.id`)
}

// addressTaken names the stage that has an address, saved or live, or the fixed
// route, other than what has that id; "" when none has.
func addressTaken(ctx context.Context, tx *sqlite.Tx, hostname, prefix, except string) (by string, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT p.name || '/' || s.name`+stageFrom+`
		WHERE s.id <> ? AND ((s.hostname = ? AND s.path_prefix = ?) OR (s.live_hostname = ? AND s.live_path_prefix = ?))
		UNION ALL
		SELECT 'the route ' || r.name
		FROM fixed_routes r
		WHERE r.id <> ? AND r.hostname = ? AND r.path_prefix = ?
		LIMIT 1`, except, hostname, prefix, hostname, prefix, except, hostname, prefix).Scan(&by)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return by, err
}

func insertStage(ctx context.Context, tx *sqlite.Tx, s stage) error {
	spec, err := s.Spec.Canonical()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO stages (id, project_id, name, hostname, path_prefix, spec, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, s.projectID, s.Name, s.Spec.Hostname, s.Spec.PathPrefix, string(spec),
		sqlite.Millis(s.CreatedAt), sqlite.Millis(s.UpdatedAt), s.Version)
	return err
}

// updateStage saves s over the version before its own, and says whether that
// was still there.
func updateStage(ctx context.Context, tx *sqlite.Tx, s stage) (bool, error) {
	spec, err := s.Spec.Canonical()
	if err != nil {
		return false, err
	}
	return changed(tx.ExecContext(ctx, `
		UPDATE stages
		SET hostname = ?, path_prefix = ?, spec = ?, updated_at = ?, version = ?
		WHERE id = ? AND version = ?`,
		s.Spec.Hostname, s.Spec.PathPrefix, string(spec), sqlite.Millis(s.UpdatedAt), s.Version, s.ID, s.Version-1))
}

func deleteStage(ctx context.Context, tx *sqlite.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM stages
		WHERE id = ?`, id)
	return err
}

// nextGeneration takes the stage's next generation.
func nextGeneration(ctx context.Context, tx *sqlite.Tx, id string) (g int64, err error) {
	err = tx.QueryRowContext(ctx, `
		UPDATE stages
		SET generation = generation + 1
		WHERE id = ?
		RETURNING generation`, id).Scan(&g)
	return g, err
}

// pointStage makes d what the stage serves, unless something newer was
// meanwhile: an older generation never overtakes a newer one.
func pointStage(ctx context.Context, tx *sqlite.Tx, d deployment, s StageSpec) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE stages
		SET live_deployment = ?, live_generation = ?, live_hostname = ?, live_path_prefix = ?
		WHERE id = ? AND live_generation < ?`,
		d.ID, d.Generation, s.Hostname, s.PathPrefix, d.stageID, d.Generation))
}

// unpointStage takes a pointStage back. before is nil when nothing was live.
// The generation stays: it only grows.
func unpointStage(ctx context.Context, tx *sqlite.Tx, d deployment, before *served) error {
	var id, hostname, prefix any
	if before != nil {
		id, hostname, prefix = before.deployment.ID, before.release.Spec.Hostname, before.release.Spec.PathPrefix
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE stages
		SET live_deployment = ?, live_hostname = ?, live_path_prefix = ?
		WHERE id = ? AND live_deployment = ?`,
		id, hostname, prefix, d.stageID, d.ID)
	return err
}

// repointStage gives a stage from d back to the deployment before it, unless
// something else was pointed to meanwhile. The generation stays: it only grows.
func repointStage(ctx context.Context, tx *sqlite.Tx, d, before deployment, s StageSpec) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE stages
		SET live_deployment = ?, live_hostname = ?, live_path_prefix = ?
		WHERE id = ? AND live_deployment = ?`,
		before.ID, s.Hostname, s.PathPrefix, d.stageID, d.ID))
}

func setPaused(ctx context.Context, tx *sqlite.Tx, stageID string, p *Pause) error {
	return setStageState(ctx, tx, "paused", stageID, p, p == nil)
}

func setMaintenance(ctx context.Context, tx *sqlite.Tx, stageID string, m *Maintenance) error {
	return setStageState(ctx, tx, "maintenance", stageID, m, m == nil)
}

func setStageState(ctx context.Context, tx *sqlite.Tx, column, stageID string, v any, none bool) error {
	var text any
	if !none {
		encoded, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text = string(encoded)
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE stages
		SET `+column+` = ?
		WHERE id = ?`, text, stageID)
	return err
}

// mark reads what deploy remembers under a name; "" when nothing.
func mark(ctx context.Context, tx *sqlite.Tx, name string) (value string, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT value
		FROM deploy_marks
		WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func setMark(ctx context.Context, tx *sqlite.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO deploy_marks (name, value)
		VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// millis is a time as stored, NULL for the zero time.
func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return sqlite.Millis(t)
}
