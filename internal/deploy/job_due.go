package deploy

import (
	"context"
	"fmt"
	"time"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// scheduleRest is how long nothing is looked at when nothing is due and
// nothing changes.
const scheduleRest = time.Hour

// lateness is how late a run may begin. What is later was missed: after an
// absence nothing runs at once that was due one by one.
const lateness = time.Minute

// maxMissed is up to where missed runs are counted.
const maxMissed = 1000

// scheduleSoon has the schedules looked at anew.
func (s *Service) scheduleSoon() {
	select {
	case s.scheduling <- struct{}{}:
	default:
	}
}

// runDue has jobs run when they are due, until ctx ends. When each is due next
// is in the database and moves on in the transaction that asks for the run: so
// none is asked for twice, and one that was missed is known.
func (s *Service) runDue(ctx context.Context) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return
	}
	retry := firstRetry
	for {
		next, err := s.runDueNow(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "jobs not looked at; trying again", "error", err)
			next, retry = retry, min(2*retry, longestRetry)
		} else {
			retry = firstRetry
		}
		if !pause(ctx, next, s.scheduling) {
			return
		}
	}
}

// runDueNow asks for what is due and says how long nothing else is.
func (s *Service) runDueNow(ctx context.Context) (next time.Duration, err error) {
	const most = 100
	var due []dueJob
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		due, err = dueJobs(ctx, tx, most)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		now := s.now()
		if wait := d.at.Sub(now); wait > 0 {
			return min(wait, scheduleRest), nil
		}
		if err := s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.takeDue(ctx, tx, d, now) }); err != nil {
			return 0, fmt.Errorf("run job %s of stage %s: %w", d.name, d.stageID, err)
		}
	}
	if len(due) == most {
		return time.Millisecond, nil
	}
	return scheduleRest, nil
}

// takeDue moves a job's next time on, and asks for the run that is due, or
// says why there is none.
func (s *Service) takeDue(ctx context.Context, tx *sqlite.Tx, d dueJob, now time.Time) error {
	st, err := stageByID(ctx, tx, d.stageID)
	if err != nil {
		return err
	}
	j, ok := st.Spec.job(d.name)
	if !ok {
		return deleteDue(ctx, tx, d.stageID, d.name)
	}
	next, err := j.next(now)
	if err != nil {
		return err
	}
	tx.OnCommit(s.scheduleSoon)
	if ok, err := moveDue(ctx, tx, d, next); err != nil || !ok {
		return err // it was edited meanwhile
	}
	if st.Paused != nil {
		return nil
	}
	if now.Sub(d.at) > lateness {
		return s.noteMissed(ctx, tx, st, j, d.at, now)
	}
	r := s.newRun(st, j, RunBySchedule, "", d.at)
	why, err := s.noRoom(ctx, tx, st, j)
	if err != nil {
		return err
	}
	if why != "" {
		r.State, r.Detail, r.FinishedAt = RunSkipped, why, now
		return s.noteNotRun(ctx, tx, r)
	}
	return s.admitRun(ctx, tx, st, r)
}

// noteMissed writes down that runs were due while Berth did not run.
func (s *Service) noteMissed(ctx context.Context, tx *sqlite.Tx, st stage, j Job, since, now time.Time) error {
	r := s.newRun(st, j, RunBySchedule, "", since)
	r.State, r.FinishedAt, r.Times = RunMissed, now, 0
	for at := since; !at.After(now) && r.Times < maxMissed; r.Times++ {
		var err error
		if at, err = j.next(at); err != nil {
			return err
		}
	}
	r.Detail = "Berth did not run when it was due " + times(r.Times)
	if err := s.noteNotRun(ctx, tx, r); err != nil {
		return err
	}
	return s.emitRun(ctx, tx, eventJobMissed, "berth", r)
}

func (s *Service) newRun(st stage, j Job, trigger RunTrigger, actor string, due time.Time) run {
	return run{
		JobRun: JobRun{
			ID: sqlite.NewID(s.now()), Project: st.Project, Stage: st.Name, Job: j.Name, State: RunWaiting,
			Trigger: trigger, Actor: actor, Command: j.Command, Times: 1, DueAt: due,
		},
		stageID: st.ID, task: j.task(), overlap: j.Overlap,
	}
}

// noRoom says why a job can't be run now; "" when it can.
func (s *Service) noRoom(ctx context.Context, tx *sqlite.Tx, st stage, j Job) (string, error) {
	if st.LiveDeployment == "" {
		return "nothing is live in the stage", nil
	}
	waiting, running, err := countRuns(ctx, tx, st.ID, j.Name)
	switch {
	case err != nil:
		return "", err
	case j.Overlap == OverlapSkip && waiting+running > 0:
		return "the run before it is not over", nil
	case j.Overlap == OverlapQueue && waiting+running > 1:
		return "one waits already for the run before it", nil
	case j.Overlap == OverlapAllow && waiting+running >= maxRunsAtOnce:
		return fmt.Sprintf("%d of it run already", maxRunsAtOnce), nil
	}
	return "", nil
}

// admitRun stores a run for the stage's worker.
func (s *Service) admitRun(ctx context.Context, tx *sqlite.Tx, st stage, r run) error {
	tx.OnCommit(func() { s.runLater(st.ID) })
	return insertRun(ctx, tx, r)
}

// noteNotRun stores that nothing was run. Many of these in a row are one entry,
// so that the record of a job that is due each minute holds its real runs.
func (s *Service) noteNotRun(ctx context.Context, tx *sqlite.Tx, r run) error {
	tx.OnCommit(func() { s.counts.add(r) })
	last, err := runsOf(ctx, tx, r.stageID, r.Job, "", 1)
	if err != nil {
		return err
	}
	if len(last) == 1 && last[0].State == r.State && last[0].Detail == r.Detail && r.State == RunSkipped {
		return countAgain(ctx, tx, last[0].ID, r.FinishedAt)
	}
	if err := insertRun(ctx, tx, r); err != nil {
		return err
	}
	return pruneRuns(ctx, tx, r.stageID, r.Job)
}

func (s *Service) emitRun(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, r run) error {
	d := jobData{Run: r.ID, Job: r.Job, Trigger: r.Trigger}
	if kind == eventJobFailed || kind == eventJobMissed {
		d.Error = r.Detail
	}
	if kind == eventJobMissed {
		d.Times = r.Times
	}
	return s.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: r.Project, Stage: r.Stage}, d)
}

// syncJobs has the schedules of a stage be those of its configuration, within
// the transaction that saves it. What did not change keeps its next time.
func (s *Service) syncJobs(ctx context.Context, tx *sqlite.Tx, st stage) error {
	tx.OnCommit(s.scheduleSoon)
	names := make([]string, 0, len(st.Spec.Jobs))
	for _, j := range st.Spec.Jobs {
		names = append(names, j.Name)
	}
	if err := keepJobs(ctx, tx, st.ID, names); err != nil {
		return err
	}
	for _, j := range st.Spec.Jobs {
		next, err := j.next(s.now())
		if err != nil {
			return err
		}
		if next.IsZero() {
			err = deleteDue(ctx, tx, st.ID, j.Name)
		} else {
			err = saveDue(ctx, tx, st.ID, j, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
