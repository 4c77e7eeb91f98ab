package deploy

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

// instancesToMeasure gives the instances with a container of deployments that
// serve a stage or have anything left to do. One that is down may run all the
// same, and hang.
func instancesToMeasure(ctx context.Context, tx *sqlite.Tx) ([]measured, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (m measured, err error) {
		err = row.Scan(&m.stageID, &m.project, &m.stage, &m.instance, &m.container)
		return m, err
	}, `
		SELECT s.id, p.name, s.name, i.id, i.container_id
		FROM instances i
		JOIN deployments d ON d.id = i.deployment_id
		JOIN stages s ON s.id = d.stage_id
		JOIN projects p ON p.id = s.project_id
		WHERE i.deployment_id IN (
			SELECT live_deployment
			FROM stages
			WHERE live_deployment IS NOT NULL
			UNION
			SELECT id
			FROM deployments
			WHERE finished_at IS NULL OR stop_at IS NOT NULL
		)
		AND i.container_id <> '' AND i.state NOT IN (?, ?)
		ORDER BY i.id`,
		string(InstanceCreated), string(InstanceStopped))
}

// instancesNamed gives instances by their ids, those of the newest deployment
// first.
func instancesNamed(ctx context.Context, tx *sqlite.Tx, ids []string) ([]Instance, error) {
	in, args := sqlite.Placeholders(ids)
	return sqlite.All(ctx, tx, scanInstance, `
		SELECT `+instanceColumns+instanceFrom+`
		WHERE i.id IN (`+in+`)
		ORDER BY d.generation DESC, i.ordinal`, args...)
}

// addUsage adds r to what is stored of its minute, which there is after a
// restart within it. A stage that was removed meanwhile is left out.
func addUsage(ctx context.Context, tx *sqlite.Tx, r usageRow) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO instance_minutes (stage_id, minute, instance_id, since, readings, cpu, cpu_max, memory, memory_limit)
		SELECT id, ?, ?, ?, ?, ?, ?, ?, ?
		FROM stages
		WHERE id = ?
		ON CONFLICT (stage_id, minute, instance_id) DO UPDATE
		SET since = MIN(since, excluded.since),
			readings = readings + excluded.readings,
			cpu = (cpu * readings + excluded.cpu * excluded.readings) / (readings + excluded.readings),
			cpu_max = MAX(cpu_max, excluded.cpu_max),
			memory = MAX(memory, excluded.memory),
			memory_limit = excluded.memory_limit`,
		sqlite.Millis(r.at), r.instance, sqlite.Millis(r.since), r.readings, r.cpu, r.cpuMax, r.memory, r.limit, r.stageID)
	return err
}

// usageBetween gives a stage's minutes from from to before to.
func usageBetween(ctx context.Context, tx *sqlite.Tx, stageID string, from, to time.Time) ([]usageRow, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (r usageRow, err error) {
		var at, since int64
		err = row.Scan(&r.stageID, &at, &r.instance, &since, &r.readings, &r.cpu, &r.cpuMax, &r.memory, &r.limit)
		r.at, r.since = sqlite.Time(at), sqlite.Time(since)
		return r, err
	}, `
		SELECT stage_id, minute, instance_id, since, readings, cpu, cpu_max, memory, memory_limit
		FROM instance_minutes
		WHERE stage_id = ? AND minute >= ? AND minute < ?
		ORDER BY minute`, stageID, sqlite.Millis(from), sqlite.Millis(to))
}

// countUsage gives how many minutes are kept, and the oldest of them.
func countUsage(ctx context.Context, tx *sqlite.Tx) (count int64, oldest time.Time, err error) {
	var at int64
	err = tx.QueryRowContext(ctx, `
		SELECT COUNT(*), COALESCE(MIN(minute), 0)
		FROM instance_minutes`).Scan(&count, &at)
	return count, sqlite.Time(at), err
}

// removeUsage removes what is older than before. It goes stage by stage, which
// is how the table is ordered.
func removeUsage(ctx context.Context, tx *sqlite.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM instance_minutes
		WHERE stage_id IN (SELECT id FROM stages) AND minute < ?`,
		sqlite.Millis(before))
	return err
}
