package deploy

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// deployment is a deployment with what only deploy knows of it.
type deployment struct {
	Deployment
	stageID string
	cancel  bool
	stopAt  time.Time
	health  health
	told    State // as people are told it: see toldState
	// canceledBy is set when an event is about to say it.
	canceledBy string
	// imageCreated is when the image that was found was made, if that is
	// known; only of one that is about to be stored.
	imageCreated time.Time
}

// asTold gives the deployment as people are told of it.
func (d deployment) asTold() Deployment {
	d.State = d.told
	return d.Deployment
}

// toldState is the state that people are told: the stage serves one release,
// so what it served before is replaced from the switch on, also while its
// instances drain or are kept.
const toldState = `CASE WHEN d.state = 'live' AND d.id <> COALESCE(s.live_deployment, '') THEN 'replaced' ELSE d.state END`

const deploymentColumns = `d.id, d.stage_id, p.name, s.name, d.generation, d.reference, COALESCE(r.digest, d.found_digest), COALESCE(d.release_id, ''),
			d.kind, d.trigger, d.actor, d.state, d.cancel, d.error, d.failed_step,
			d.created_at, COALESCE(d.started_at, 0), COALESCE(d.finished_at, 0), COALESCE(d.stop_at, 0),
			d.approval, d.approved_by, COALESCE(d.approved_at, 0), d.source_stage, d.source_deployment, d.source_release,
			COALESCE(d.healthy_since, 0), d.healthy_for,
			` + toldState

const deploymentFrom = `
		FROM deployments d
		JOIN stages s ON s.id = d.stage_id
		JOIN projects p ON p.id = s.project_id
		LEFT JOIN releases r ON r.id = d.release_id`

func scanDeployment(row sqlite.Row) (d deployment, err error) {
	var created, started, finished, stop, approved, healthySince, healthyFor int64
	var from Source
	err = row.Scan(&d.ID, &d.stageID, &d.Project, &d.Stage, &d.Generation, &d.Reference, &d.Digest, &d.Release,
		&d.Kind, &d.Trigger, &d.Actor, &d.State, &d.cancel, &d.Error, &d.FailedStep,
		&created, &started, &finished, &stop,
		&d.Approval, &d.ApprovedBy, &approved, &from.Stage, &from.Deployment, &from.Release,
		&healthySince, &healthyFor, &d.told)
	d.CreatedAt, d.StartedAt, d.FinishedAt = sqlite.Time(created), sqlite.Time(started), sqlite.Time(finished)
	d.stopAt, d.ApprovedAt = sqlite.Time(stop), sqlite.Time(approved)
	d.health = health{since: sqlite.Time(healthySince), longest: time.Duration(healthyFor) * time.Millisecond}
	if from != (Source{}) {
		d.Source = &from
	}
	return d, err
}

func insertDeployment(ctx context.Context, tx *sqlite.Tx, d deployment) error {
	var releaseID any
	found := d.Digest
	if d.Release != "" {
		releaseID, found = d.Release, ""
	}
	var from Source
	if d.Source != nil {
		from = *d.Source
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO deployments (id, stage_id, generation, release_id, reference, kind, trigger, actor, state, created_at,
			approval, source_stage, source_deployment, source_release, found_digest, image_created)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.stageID, d.Generation, releaseID, d.Reference, string(d.Kind), string(d.Trigger), d.Actor, string(d.State), sqlite.Millis(d.CreatedAt),
		string(d.Approval), from.Stage, from.Deployment, from.Release, found, sqlite.Millis(d.imageCreated))
	return err
}

// deploymentByID gives sql.ErrNoRows when there is none.
func deploymentByID(ctx context.Context, tx *sqlite.Tx, id string) (deployment, error) {
	return scanDeployment(tx.QueryRowContext(ctx, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.id = ?`, id))
}

func findDeployment(ctx context.Context, tx *sqlite.Tx, id string) (deployment, error) {
	d, err := deploymentByID(ctx, tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return d, fault.NotFound("no deployment %q", id)
	}
	return d, err
}

// nextDeployment gives what the stage's worker has to do next: first what was
// begun and is not at its end, oldest first, then the newest that waits, which
// it does also while the stage is paused. What is held is nobody's to take.
// sql.ErrNoRows when there is nothing.
func nextDeployment(ctx context.Context, tx *sqlite.Tx, stageID string) (deployment, error) {
	return scanDeployment(tx.QueryRowContext(ctx, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.finished_at IS NULL
			AND (d.state NOT IN ('held', 'waiting', 'live', 'replaced') OR d.state = 'waiting' AND s.paused IS NULL OR `+attended+`)
		ORDER BY d.state = 'waiting', CASE d.state WHEN 'waiting' THEN -d.generation ELSE d.generation END
		LIMIT 1`, stageID))
}

// guarded says that a deployment is live and watched.
const guarded = `(d.state = 'live' AND EXISTS (
				SELECT 1 FROM deployment_steps g WHERE g.deployment_id = d.id AND g.name = 'guard' AND g.state = 'running'))`

// attended says that a deployment is live and not left to be completed: it is
// watched, or the command after its switch runs. The next one has to end that
// before it begins, and nobody else may take it up meanwhile: a command would
// be judged twice.
const attended = `(d.state = 'live' AND EXISTS (
				SELECT 1 FROM deployment_steps g
				WHERE g.deployment_id = d.id AND g.name IN ('guard', 'after_switch') AND g.state = 'running'))`

// nextToComplete gives the oldest deployment that is live, or was, and is not
// at its end. sql.ErrNoRows when there is none.
func nextToComplete(ctx context.Context, tx *sqlite.Tx, stageID string) (deployment, error) {
	return scanDeployment(tx.QueryRowContext(ctx, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.finished_at IS NULL AND d.state IN ('live', 'replaced') AND NOT `+attended+`
		ORDER BY d.generation
		LIMIT 1`, stageID))
}

// stagesWithWork gives the ids of the stages that nextDeployment or
// nextToComplete has something for.
func stagesWithWork(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return sqlite.All(ctx, tx, scanText, `
		SELECT DISTINCT stage_id
		FROM deployments
		WHERE finished_at IS NULL AND state <> 'held'`)
}

func scanText(row sqlite.Row) (v string, err error) {
	err = row.Scan(&v)
	return v, err
}

// givesWay gives what a deployment that is now in its state supersedes: what
// is held gives way to anything newer; what waits, only to what waits, too.
func givesWay(ctx context.Context, tx *sqlite.Tx, d deployment) ([]deployment, error) {
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.generation < ? AND d.state IN ('held', ?) AND d.finished_at IS NULL
		ORDER BY d.generation`, d.stageID, d.Generation, string(d.State))
}

// heldDigests lists the images that wait for somebody's approval.
func heldDigests(ctx context.Context, tx *sqlite.Tx) ([]string, error) {
	return sqlite.All(ctx, tx, scanText, `
		SELECT found_digest
		FROM deployments
		WHERE finished_at IS NULL AND release_id IS NULL AND found_digest <> ''`)
}

// onceLive lists deployments of a stage that were switched to before the
// generation given, and whose instances have no time to stop yet.
func onceLive(ctx context.Context, tx *sqlite.Tx, stageID string, before int64) ([]deployment, error) {
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.generation < ? AND d.state = 'live' AND d.stop_at IS NULL
		ORDER BY d.generation`, stageID, before)
}

// warm lists deployments of a release that were switched to, other than the
// one given, and whose instances were not stopped; the newest first.
func warm(ctx context.Context, tx *sqlite.Tx, stageID, except, releaseID string) ([]deployment, error) {
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id = ? AND d.id <> ? AND d.state = 'live' AND d.release_id = ?
		ORDER BY d.generation DESC`, stageID, except, releaseID)
}

// dueToStop lists deployments whose time to stop is known, soonest first.
func dueToStop(ctx context.Context, tx *sqlite.Tx, limit int) ([]deployment, error) {
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stop_at IS NOT NULL AND d.id <> COALESCE(s.live_deployment, '')
		ORDER BY d.stop_at
		LIMIT ?`, limit)
}

// currentTag gives what a stage was asked for last and may still come to, else
// what is live, with when its image was created, if that is known; the zero
// value when there is neither.
func currentTag(ctx context.Context, tx *sqlite.Tx, stageID string) (has TagMade, err error) {
	var created int64
	err = tx.QueryRowContext(ctx, `
		SELECT d.reference, COALESCE(NULLIF(d.image_created, 0), r.image_created, 0)
		FROM deployments d
		JOIN stages s ON s.id = d.stage_id
		LEFT JOIN releases r ON r.id = d.release_id
		WHERE d.stage_id = ? AND (d.id = s.live_deployment OR (d.finished_at IS NULL AND d.state IN ('held', 'waiting', 'running')))
		ORDER BY d.generation DESC
		LIMIT 1`, stageID).Scan(&has.Name, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return TagMade{}, nil
	}
	has.Created = sqlite.Time(created)
	return has, err
}

// moveDeployment takes d from one state to another, and says whether it was
// still in the first.
func moveDeployment(ctx context.Context, tx *sqlite.Tx, d deployment, from State) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE deployments
		SET state = ?, error = ?, failed_step = ?, started_at = ?, finished_at = ?, stop_at = ?
		WHERE id = ? AND state = ?`,
		string(d.State), d.Error, string(d.FailedStep), millis(d.StartedAt), millis(d.FinishedAt), millis(d.stopAt),
		d.ID, string(from)))
}

// askToCancel marks a running deployment that is not yet switched to.
// Of two who ask, the first one it was.
func askToCancel(ctx context.Context, tx *sqlite.Tx, id, actor string) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE deployments
		SET cancel = 1, canceled_by = CASE canceled_by WHEN '' THEN ? ELSE canceled_by END
		WHERE id = ? AND state = 'running'
			AND NOT EXISTS (SELECT 1 FROM stages WHERE live_deployment = deployments.id)`, actor, id))
}

// canceledBy gives who asked for a deployment's end; "" when nobody did.
func canceledBy(ctx context.Context, tx *sqlite.Tx, id string) (actor string, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT canceled_by
		FROM deployments
		WHERE id = ?`, id).Scan(&actor)
	return actor, err
}

// approve has a held deployment wait for its worker, and says whether it was
// still held.
func approve(ctx context.Context, tx *sqlite.Tx, d deployment) (bool, error) {
	return changed(tx.ExecContext(ctx, `
		UPDATE deployments
		SET state = ?, approved_by = ?, approved_at = ?
		WHERE id = ? AND state = 'held'`,
		string(d.State), d.ApprovedBy, millis(d.ApprovedAt), d.ID))
}

// isCanceled says whether askToCancel came first.
func isCanceled(ctx context.Context, tx *sqlite.Tx, id string) (canceled bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT cancel
		FROM deployments
		WHERE id = ?`, id).Scan(&canceled)
	return canceled, err
}

func setRelease(ctx context.Context, tx *sqlite.Tx, id, releaseID string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE deployments
		SET release_id = ?
		WHERE id = ?`, releaseID, id)
	return err
}

func setStopAt(ctx context.Context, tx *sqlite.Tx, id string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE deployments
		SET stop_at = ?
		WHERE id = ?`, millis(at), id)
	return err
}

func listDeployments(ctx context.Context, tx *sqlite.Tx, f DeploymentFilter, before string, limit int) ([]deployment, error) {
	conditions, args := []string{"1 = 1"}, []any{}
	for _, c := range []struct{ condition, value string }{
		{"p.name = ?", f.Project}, {"s.name = ?", f.Stage}, {toldState + " = ?", string(f.State)}, {"d.id < ?", before},
	} {
		if c.value != "" {
			conditions, args = append(conditions, c.condition), append(args, c.value)
		}
	}
	return sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE `+strings.Join(conditions, " AND ")+`
		ORDER BY d.id DESC
		LIMIT ?`, append(args, limit)...)
}

// currentDeployments gives, for each of the stages, the deployment that is
// under way, else the newest that is not held; and the one that is held, which
// is always the newest of all.
func currentDeployments(ctx context.Context, tx *sqlite.Tx, stageIDs []string) (current, held map[string]deployment, err error) {
	in, args := sqlite.Placeholders(stageIDs)
	list, err := sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.stage_id IN (`+in+`)
			AND (d.generation = s.generation OR d.state = 'running'
				OR (d.generation = s.generation - 1
					AND EXISTS (SELECT 1 FROM deployments h WHERE h.stage_id = s.id AND h.generation = s.generation AND h.state = 'held')))
		ORDER BY d.state <> 'running', d.generation DESC`, args...)
	current, held = make(map[string]deployment, len(list)), map[string]deployment{}
	for _, d := range list {
		if d.State == Held {
			held[d.stageID] = d
		} else if _, ok := current[d.stageID]; !ok {
			current[d.stageID] = d
		}
	}
	return current, held, err
}

// lined is how many deployments of a stage are held, or wait.
type lined struct {
	project, stage string
	state          State
	deployments    int
}

func deploymentsInLine(ctx context.Context, tx *sqlite.Tx) ([]lined, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (l lined, err error) {
		err = row.Scan(&l.project, &l.stage, &l.state, &l.deployments)
		return l, err
	}, `
		SELECT p.name, s.name, d.state, COUNT(*)
		FROM deployments d
		JOIN stages s ON s.id = d.stage_id
		JOIN projects p ON p.id = s.project_id
		WHERE d.finished_at IS NULL AND d.state IN ('held', 'waiting')
		GROUP BY p.name, s.name, d.state`)
}

func deploymentsByID(ctx context.Context, tx *sqlite.Tx, ids []string) (map[string]deployment, error) {
	in, args := sqlite.Placeholders(ids)
	list, err := sqlite.All(ctx, tx, scanDeployment, `
		SELECT `+deploymentColumns+deploymentFrom+`
		WHERE d.id IN (`+in+`)`, args...)
	found := make(map[string]deployment, len(list))
	for _, d := range list {
		found[d.ID] = d
	}
	return found, err
}

func saveStep(ctx context.Context, tx *sqlite.Tx, deploymentID string, s Step) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO deployment_steps (deployment_id, ordinal, name, state, detail, started_at, finished_at, container)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (deployment_id, ordinal) DO UPDATE
		SET state = excluded.state, detail = excluded.detail, started_at = excluded.started_at, finished_at = excluded.finished_at,
			container = excluded.container`,
		deploymentID, rows[s.Name], string(s.Name), string(s.State), s.Detail, millis(s.StartedAt), millis(s.FinishedAt), s.container)
	return err
}

// withSteps fills in the journals of deployments, and what was watched of
// them. A step that was not reached has no row.
func withSteps(ctx context.Context, tx *sqlite.Tx, list []*deployment) error {
	ids := make([]string, 0, len(list))
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	in, args := sqlite.Placeholders(ids)
	found, err := sqlite.All(ctx, tx, scanStep, `
		SELECT deployment_id, name, state, detail, COALESCE(started_at, 0), COALESCE(finished_at, 0), container
		FROM deployment_steps
		WHERE deployment_id IN (`+in+`)`, args...)
	if err != nil {
		return err
	}
	written := map[string]map[StepName]Step{}
	for _, s := range found {
		if written[s.deployment] == nil {
			written[s.deployment] = map[StepName]Step{}
		}
		written[s.deployment][s.Name] = s.Step
	}
	watches, err := watchesOf(ctx, tx, ids)
	for _, d := range list {
		d.Steps, d.Watches = make([]Step, 0, len(AllSteps)), watches[d.ID]
		for _, name := range AllSteps {
			if s, ok := written[d.ID][name]; ok {
				d.Steps = append(d.Steps, s)
			} else if !name.onRequest() {
				d.Steps = append(d.Steps, Step{Name: name, State: StepPending})
			}
		}
	}
	return err
}

// stepRow is a step and the deployment that it belongs to.
type stepRow struct {
	deployment string
	Step
}

func scanStep(row sqlite.Row) (s stepRow, err error) {
	var started, finished int64
	err = row.Scan(&s.deployment, &s.Name, &s.State, &s.Detail, &started, &finished, &s.container)
	s.StartedAt, s.FinishedAt = sqlite.Time(started), sqlite.Time(finished)
	return s, err
}
