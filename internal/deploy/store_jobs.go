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

// dueJob is a job and when it is due next.
type dueJob struct {
	stageID, name string
	at            time.Time
}

func dueJobs(ctx context.Context, tx *sqlite.Tx, limit int) ([]dueJob, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (d dueJob, err error) {
		var at int64
		err = row.Scan(&d.stageID, &d.name, &at)
		d.at = sqlite.Time(at)
		return d, err
	}, `
		SELECT stage_id, name, next_at
		FROM jobs
		ORDER BY next_at
		LIMIT ?`, limit)
}

// nextTimes gives when each of a stage's jobs is due.
func nextTimes(ctx context.Context, tx *sqlite.Tx, stageID string) (map[string]time.Time, error) {
	next := map[string]time.Time{}
	_, err := sqlite.All(ctx, tx, func(row sqlite.Row) (name string, err error) {
		var at int64
		err = row.Scan(&name, &at)
		next[name] = sqlite.Time(at)
		return name, err
	}, `
		SELECT name, next_at
		FROM jobs
		WHERE stage_id = ?`, stageID)
	return next, err
}

// moveDue sets a job's next time, and says whether it was still the one known.
func moveDue(ctx context.Context, tx *sqlite.Tx, d dueJob, next time.Time) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE jobs
		SET next_at = ?
		WHERE stage_id = ? AND name = ? AND next_at = ?`,
		sqlite.Millis(next), d.stageID, d.name, sqlite.Millis(d.at)))
}

// saveDue stores a job's next time, unless its schedule is as it was.
func saveDue(ctx context.Context, tx *sqlite.Tx, stageID string, j Job, next time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO jobs (stage_id, name, schedule, time_zone, next_at)
		VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (stage_id, name) DO UPDATE
		SET schedule = excluded.schedule, time_zone = excluded.time_zone, next_at = excluded.next_at
		WHERE schedule <> excluded.schedule OR time_zone <> excluded.time_zone`,
		stageID, j.Name, j.Schedule, j.TimeZone, sqlite.Millis(next))
	return err
}

func deleteDue(ctx context.Context, tx *sqlite.Tx, stageID, name string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM jobs
		WHERE stage_id = ? AND name = ?`, stageID, name)
	return err
}

// keepJobs forgets the jobs of a stage that have none of these names, and
// their runs that are over.
func keepJobs(ctx context.Context, tx *sqlite.Tx, stageID string, names []string) error {
	in, args := sqlite.Placeholders(names)
	args = append([]any{stageID}, args...)
	_, err := tx.ExecContext(ctx, `
		DELETE FROM jobs
		WHERE stage_id = ? AND name NOT IN (`+in+`)`, args...)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		DELETE FROM job_runs
		WHERE stage_id = ? AND job NOT IN (`+in+`) AND finished_at IS NOT NULL`, args...)
	return err
}

// run is a JobRun with what only deploy knows of it.
type run struct {
	JobRun
	stageID   string
	task      Task
	overlap   Overlap
	container string
}

const runColumns = `r.id, p.name, s.name, r.stage_id, r.job, r.state, r.trigger, r.actor, r.task, r.overlap, r.times, r.deployment_id, r.reference,
			r.container, r.exit_code, r.detail, r.due_at, COALESCE(r.started_at, 0), COALESCE(r.finished_at, 0)`

const runFrom = `
		FROM job_runs r
		JOIN stages s ON s.id = r.stage_id
		JOIN projects p ON p.id = s.project_id`

func scanRun(row sqlite.Row) (r run, err error) {
	var task string
	var code sql.NullInt64
	var due, started, finished int64
	err = row.Scan(&r.ID, &r.Project, &r.Stage, &r.stageID, &r.Job, &r.State, &r.Trigger, &r.Actor, &task, &r.overlap, &r.Times, &r.Deployment, &r.Reference,
		&r.container, &code, &r.Detail, &due, &started, &finished)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(task), &r.task); err != nil {
		return r, fmt.Errorf("decode the command of run %s: %w", r.ID, err)
	}
	r.Command = orNone(r.task.Command)
	if code.Valid {
		r.ExitCode = new(int(code.Int64))
	}
	r.DueAt, r.StartedAt, r.FinishedAt = sqlite.Time(due), sqlite.Time(started), sqlite.Time(finished)
	return r, nil
}

func findRun(ctx context.Context, tx *sqlite.Tx, id string) (run, error) {
	r, err := scanRun(tx.QueryRowContext(ctx, `
		SELECT `+runColumns+runFrom+`
		WHERE r.id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fault.NotFound("no run %q of a job", id)
	}
	return r, err
}

// runsOf lists a stage's runs, or those of one job, newest first.
func runsOf(ctx context.Context, tx *sqlite.Tx, stageID, job, before string, limit int) ([]run, error) {
	return sqlite.All(ctx, tx, scanRun, `
		SELECT `+runColumns+runFrom+`
		WHERE r.stage_id = ? AND (? = '' OR r.job = ?) AND (? = '' OR r.id < ?)
		ORDER BY r.id DESC
		LIMIT ?`, stageID, job, job, before, before, limit)
}

// unfinishedRuns lists a stage's runs that wait or run, oldest first.
func unfinishedRuns(ctx context.Context, tx *sqlite.Tx, stageID string) ([]run, error) {
	return sqlite.All(ctx, tx, scanRun, `
		SELECT `+runColumns+runFrom+`
		WHERE r.stage_id = ? AND r.finished_at IS NULL
		ORDER BY r.state = 'waiting', r.id`, stageID)
}

// unfinished gives every run that is not over, with its stage.
func unfinished(ctx context.Context, tx *sqlite.Tx) (stageOf map[string]string, err error) {
	stageOf = map[string]string{}
	_, err = sqlite.All(ctx, tx, func(row sqlite.Row) (id string, err error) {
		var stageID string
		err = row.Scan(&id, &stageID)
		stageOf[id] = stageID
		return id, err
	}, `
		SELECT id, stage_id
		FROM job_runs
		WHERE finished_at IS NULL`)
	return stageOf, err
}

func countRuns(ctx context.Context, tx *sqlite.Tx, stageID, job string) (waiting, running int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT COALESCE(SUM(state = 'waiting'), 0), COALESCE(SUM(state = 'running'), 0)
		FROM job_runs
		WHERE stage_id = ? AND job = ? AND finished_at IS NULL`, stageID, job).Scan(&waiting, &running)
	return waiting, running, err
}

func insertRun(ctx context.Context, tx *sqlite.Tx, r run) error {
	task, err := json.Marshal(r.task)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO job_runs (id, stage_id, job, state, trigger, actor, task, overlap, times, detail, due_at, finished_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.stageID, r.Job, string(r.State), string(r.Trigger), r.Actor, string(task), string(r.overlap), r.Times, r.Detail,
		sqlite.Millis(r.DueAt), millis(r.FinishedAt))
	return err
}

// beginRun has a run that waits be under way, and says whether it still waited.
func beginRun(ctx context.Context, tx *sqlite.Tx, r run) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE job_runs
		SET state = ?, started_at = ?, deployment_id = ?, reference = ?
		WHERE id = ? AND state = 'waiting'`,
		string(r.State), millis(r.StartedAt), r.Deployment, r.Reference, r.ID))
}

func setRunContainer(ctx context.Context, tx *sqlite.Tx, id, container string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE job_runs
		SET container = ?
		WHERE id = ?`, container, id)
	return err
}

func finishRun(ctx context.Context, tx *sqlite.Tx, r run) error {
	var code any
	if r.ExitCode != nil {
		code = *r.ExitCode
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE job_runs
		SET state = ?, exit_code = ?, detail = ?, finished_at = ?
		WHERE id = ?`,
		string(r.State), code, r.Detail, millis(r.FinishedAt), r.ID)
	return err
}

// countAgain counts one more that came to the same.
func countAgain(ctx context.Context, tx *sqlite.Tx, id string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE job_runs
		SET times = times + 1, finished_at = ?
		WHERE id = ?`, sqlite.Millis(at), id)
	return err
}

// pruneRuns removes all but the newest runs of a job that are over.
func pruneRuns(ctx context.Context, tx *sqlite.Tx, stageID, job string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM job_runs
		WHERE stage_id = ? AND job = ? AND finished_at IS NOT NULL AND id NOT IN (
			SELECT id
			FROM job_runs
			WHERE stage_id = ? AND job = ? AND finished_at IS NOT NULL
			ORDER BY id DESC
			LIMIT ?)`, stageID, job, stageID, job, keptRuns)
	return err
}

func linesOf(ctx context.Context, tx *sqlite.Tx, runID string, after, limit int) ([]RunLine, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (l RunLine, err error) {
		var at int64
		err = row.Scan(&l.N, &at, &l.Stream, &l.Text)
		l.At = sqlite.Time(at)
		return l, err
	}, `
		SELECT n, at, stream, text
		FROM job_run_lines
		WHERE run_id = ? AND n > ?
		ORDER BY n
		LIMIT ?`, runID, after, limit)
}

func insertLines(ctx context.Context, tx *sqlite.Tx, runID string, lines []RunLine) error {
	for _, l := range lines {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO job_run_lines (run_id, n, at, stream, text)
			VALUES (?, ?, ?, ?, ?)`, runID, l.N, sqlite.Millis(l.At), l.Stream, l.Text)
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteLines removes the lines below a number.
func deleteLines(ctx context.Context, tx *sqlite.Tx, runID string, below int) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM job_run_lines
		WHERE run_id = ? AND n < ?`, runID, below)
	return err
}
