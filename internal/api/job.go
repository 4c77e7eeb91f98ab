package api

import (
	"context"
	"strconv"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

func (a *API) listJobs(ctx context.Context, in *StagePath) (*listOutput[deploy.JobStatus], error) {
	jobs, err := a.deploy.Jobs(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return list(jobs, ""), nil
}

type runJobInput struct {
	StagePath
	Job string `path:"job" maxLength:"64"`
}

func (a *API) runJob(ctx context.Context, in *runJobInput) (*output[deploy.JobRun], error) {
	c, trigger := callerOf(ctx), deploy.RunByAPI
	if c.who().Via == identity.ViaSession {
		trigger = deploy.RunByPerson
	}
	r, err := a.deploy.RunJob(ctx, c.actor(), in.Project, in.Stage, in.Job, trigger)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

type listJobRunsInput struct {
	StagePath
	Page
	Job string `query:"job" maxLength:"64" doc:"Only the runs of this job"`
}

func (a *API) listJobRuns(ctx context.Context, in *listJobRunsInput) (*listOutput[deploy.JobRun], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	found, next, err := a.deploy.JobRuns(ctx, in.Project, in.Stage, in.Job, deploy.Page{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

// RunPath names a run of a stage's job.
type RunPath struct {
	StagePath
	Run string `path:"run" maxLength:"64"`
}

// run finds the run of a path. One of another stage is not there: a token that
// is bound to this one may not see it.
func (a *API) run(ctx context.Context, in RunPath) (deploy.JobRun, error) {
	r, err := a.deploy.JobRun(ctx, in.Run)
	if err == nil && (r.Project != in.Project || r.Stage != in.Stage) {
		err = fault.NotFound("%s/%s has no run %q of a job", in.Project, in.Stage, in.Run)
	}
	return r, err
}

func (a *API) getJobRun(ctx context.Context, in *RunPath) (*output[deploy.JobRun], error) {
	r, err := a.run(ctx, *in)
	if err != nil {
		return nil, err
	}
	return answer(r), nil
}

type jobRunLogInput struct {
	RunPath
	After int `query:"after" minimum:"0" doc:"Lines after the one of this number"`
	Limit int `query:"limit" minimum:"1" maximum:"2000" default:"500"`
}

func (a *API) jobRunLog(ctx context.Context, in *jobRunLogInput) (*listOutput[deploy.RunLine], error) {
	if _, err := a.run(ctx, in.RunPath); err != nil {
		return nil, err
	}
	lines, err := a.deploy.JobRunLog(ctx, in.Run, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(lines) > in.Limit {
		lines = lines[:in.Limit]
		next = strconv.Itoa(lines[in.Limit-1].N)
	}
	return list(lines, next), nil
}

func (a *API) cancelJobRun(ctx context.Context, in *RunPath) (*struct{}, error) {
	if _, err := a.run(ctx, *in); err != nil {
		return nil, err
	}
	return nil, a.deploy.CancelJobRun(ctx, callerOf(ctx).actor(), in.Run)
}

type previewScheduleInput struct {
	Schedule string `query:"schedule" maxLength:"200" example:"30 3 * * *"`
	TimeZone string `query:"time_zone" maxLength:"100" example:"Europe/Berlin"`
}

// Preview is when a schedule would have a job run.
type Preview struct {
	Next []time.Time `json:"next" doc:"The next times, in the time zone"`
}

func (a *API) previewSchedule(_ context.Context, in *previewScheduleInput) (*output[Preview], error) {
	times, err := deploy.NextRuns(in.Schedule, in.TimeZone, a.clock(), 5)
	if err != nil {
		return nil, err
	}
	return answer(Preview{Next: notNull(times)}), nil
}
