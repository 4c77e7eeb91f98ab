package deploy

import (
	"context"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// JobRun is one run of a job, or says why there was none.
type JobRun struct {
	ID         string     `json:"id"`
	Project    string     `json:"project"`
	Stage      string     `json:"stage"`
	Job        string     `json:"job"`
	State      RunState   `json:"state"`
	Trigger    RunTrigger `json:"trigger"`
	Actor      string     `json:"actor,omitempty"` // who asked for it
	Command    []string   `json:"command"`
	Times      int        `json:"times"` // how many came to this, of those that were not run
	Deployment string     `json:"deployment,omitempty"`
	Reference  string     `json:"reference,omitempty"` // of the release that it runs with
	ExitCode   *int       `json:"exit_code,omitempty"`
	Detail     string     `json:"detail,omitempty"` // for a person
	DueAt      time.Time  `json:"due_at"`
	StartedAt  time.Time  `json:"started_at,omitzero"`
	FinishedAt time.Time  `json:"finished_at,omitzero"`
}

// RunState is where a run stands.
type RunState string

// The states of runs.
const (
	RunWaiting   RunState = "waiting" // for the one before it
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded" // with exit code 0
	RunFailed    RunState = "failed"
	RunCanceled  RunState = "canceled"
	RunLost      RunState = "lost"    // nobody knows how it ended: its container was gone after a restart
	RunSkipped   RunState = "skipped" // another one ran, or nothing is live
	RunMissed    RunState = "missed"  // Berth did not run when it was due
)

// RunStates are all of them.
var RunStates = []RunState{RunWaiting, RunRunning, RunSucceeded, RunFailed, RunCanceled, RunLost, RunSkipped, RunMissed}

// RunTrigger is what asked for a run.
type RunTrigger string

// The triggers of runs.
const (
	RunBySchedule RunTrigger = "schedule"
	RunByPerson   RunTrigger = "person"
	RunByAPI      RunTrigger = "api"
)

// The kinds of events that are about jobs.
const (
	eventJobStarted   event.Kind = "job.started"
	eventJobSucceeded event.Kind = "job.succeeded"
	eventJobFailed    event.Kind = "job.failed" // also of one that was lost
	eventJobCanceled  event.Kind = "job.canceled"
	eventJobMissed    event.Kind = "job.missed"
)

// jobData is the data of these events.
type jobData struct {
	Run     string     `json:"run"`
	Job     string     `json:"job"`
	Trigger RunTrigger `json:"trigger"`
	Error   string     `json:"error,omitempty"`
	Times   int        `json:"times,omitempty"`
}

// JobStatus is a job, when it is due and how its newest run went.
type JobStatus struct {
	Job
	Next time.Time `json:"next,omitzero"` // in its time zone
	Last *JobRun   `json:"last,omitempty"`
}

// RunLine is one line of a run's log. Where the first one's number is not 1,
// there was more than is kept.
type RunLine struct {
	N      int       `json:"n"`
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// Jobs gives the jobs of a stage in their saved order.
func (s *Service) Jobs(ctx context.Context, project, name string) (list []JobStatus, err error) {
	list = []JobStatus{}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		if err != nil {
			return err
		}
		next, err := nextTimes(ctx, tx, st.ID)
		if err != nil {
			return err
		}
		for _, j := range st.Spec.Jobs {
			status := JobStatus{Job: j}
			if at, ok := next[j.Name]; ok {
				status.Next = at
				if zone, err := time.LoadLocation(j.TimeZone); err == nil {
					status.Next = at.In(zone)
				}
			}
			last, err := runsOf(ctx, tx, st.ID, j.Name, "", 1)
			if err != nil {
				return err
			}
			if len(last) > 0 {
				status.Last = &last[0].JobRun
			}
			list = append(list, status)
		}
		return nil
	})
	return list, err
}

// JobRuns lists the runs of a stage's jobs, or of one of them, newest first.
func (s *Service) JobRuns(ctx context.Context, project, name, job string, p Page) (list []JobRun, next string, err error) {
	list = []JobRun{}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		if err != nil {
			return err
		}
		runs, err := runsOf(ctx, tx, st.ID, job, p.Cursor, p.limit()+1)
		if err != nil {
			return err
		}
		runs, next = page(runs, p.limit(), func(r run) string { return r.ID })
		for _, r := range runs {
			list = append(list, r.JobRun)
		}
		return nil
	})
	return list, next, err
}

// JobRun gives one run.
func (s *Service) JobRun(ctx context.Context, id string) (JobRun, error) {
	var r run
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		r, err = findRun(ctx, tx, id)
		return err
	})
	return r.JobRun, err
}

// JobRunLog gives up to limit lines that a run wrote, after the one of that
// number.
func (s *Service) JobRunLog(ctx context.Context, id string, after, limit int) (lines []RunLine, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if _, err := findRun(ctx, tx, id); err != nil {
			return err
		}
		lines, err = linesOf(ctx, tx, id, after, limit)
		return err
	})
	return orNone(lines), err
}

// RunJob has a job run now. fault.Conflict when the stage is paused, nothing
// is live in it, or the job's way to overlap has no room for another run.
func (s *Service) RunJob(ctx context.Context, actor, project, name, job string, trigger RunTrigger) (JobRun, error) {
	var r run
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, name)
		if err != nil {
			return err
		}
		j, ok := st.Spec.job(job)
		if !ok {
			return fault.NotFound("%s/%s has no job named %q", project, name, job)
		}
		if st.Paused != nil {
			return st.Paused.refusal(project, name)
		}
		why, err := s.noRoom(ctx, tx, st, j)
		if err != nil {
			return err
		}
		if why != "" {
			return fault.Conflict("%s is not run: %s", job, why)
		}
		r = s.newRun(st, j, trigger, actor, s.now())
		return s.admitRun(ctx, tx, st, r)
	})
	return r.JobRun, err
}

// CancelJobRun ends a run; fault.Conflict when it is over.
func (s *Service) CancelJobRun(ctx context.Context, actor, id string) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		r, err := findRun(ctx, tx, id)
		if err != nil {
			return err
		}
		switch r.State {
		case RunWaiting:
			r.State, r.Detail, r.FinishedAt = RunCanceled, "canceled by "+actor, s.now()
			return s.saveRunEnd(ctx, tx, r, actor)
		case RunRunning:
			tx.OnCommit(func() { s.jobs.cancel(id, canceledError{actor}) })
			return nil
		case RunSucceeded, RunFailed, RunCanceled, RunLost, RunSkipped, RunMissed:
		}
		return fault.Conflict("this run is over")
	})
}

// canceledError is why the context of a run ended.
type canceledError struct{ by string }

func (c canceledError) Error() string { return "canceled by " + c.by }

// Is has it be what a person's cancelling is elsewhere.
func (canceledError) Is(target error) bool { return target == errCanceled }
