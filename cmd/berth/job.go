package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/fault"
)

type jobCommand struct {
	List   jobList   `cmd:"" default:"withargs" help:"List a stage's jobs, when they are due and how they went."`
	Run    jobRun    `cmd:"" help:"Run a job now."`
	Runs   jobRuns   `cmd:"" help:"List the runs of a stage's jobs, newest first."`
	Logs   jobLogs   `cmd:"" help:"Show what a run wrote."`
	Cancel jobCancel `cmd:"" help:"End a run."`

	Schedule jobSchedule `cmd:"" help:"Say when a schedule would have a job run."`
}

type jobList struct{ stageName }

// Help says where jobs are made.
func (*jobList) Help() string {
	return `Jobs are a part of a stage's configuration: "berth stage edit shop prod --set 'jobs=[{"name":"tidy","schedule":"30 3 * * *","command":["tidy"]}]'".`
}

// Run lists jobs.
func (cmd *jobList) Run(ctx context.Context, c *client, o *output) error {
	var list page[deploy.JobStatus]
	if err := c.get(ctx, cmd.path()+"/jobs", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, j := range list.Items {
			next, last := "only when asked", "never"
			if !j.Next.IsZero() {
				next = j.Next.Format("2006-01-02 15:04 MST")
			}
			if j.Last != nil {
				last = string(j.Last.State) + " " + ago(j.Last.DueAt, time.Now())
			}
			rows[i] = []string{j.Name, j.Schedule, j.TimeZone, next, last, oneLine(strings.Join(append(j.Entrypoint, j.Command...), " "))}
		}
		o.table([]string{"job", "schedule", "time zone", "next", "last run", "command"}, rows)
	})
}

type jobRun struct {
	stageName
	Job     string        `arg:"" help:"The job's name."`
	Wait    bool          `short:"w" help:"Show what it writes until it is over; exit with 10 when it did not go well."`
	Timeout time.Duration `default:"1h" help:"How long --wait waits."`
}

// Help gives examples.
func (*jobRun) Help() string {
	return `Examples:
  berth job run shop prod tidy --wait`
}

// Run runs a job.
func (cmd *jobRun) Run(ctx context.Context, c *client, o *output) error {
	var r deploy.JobRun
	if err := c.call(ctx, http.MethodPost, cmd.path()+pathf("/jobs/%s/run", cmd.Job), struct{}{}, &r); err != nil {
		return err
	}
	if !cmd.Wait {
		return o.result(r, func() {
			o.printf("Run %s of %s has been asked for. \"berth job logs %s %s %s -f\" follows it.\n", r.ID, r.Job, cmd.Project, cmd.Stage, r.ID)
		})
	}
	waiting, stop := context.WithTimeout(ctx, cmd.Timeout)
	defer stop()
	r, err := followRun(waiting, c, o, cmd.stageName, r.ID, true, func(l deploy.RunLine) error {
		o.note("%s", oneLine(l.Text))
		return nil
	})
	if err != nil {
		return err
	}
	if err := o.result(r, func() { o.printf("%s\n", runText(r)) }); err != nil {
		return err
	}
	if r.State != deploy.RunSucceeded {
		return fmt.Errorf("%w: %w", errRunFailed, errSaid)
	}
	return nil
}

func runText(r deploy.JobRun) string {
	text := r.Job + " " + string(r.State)
	if r.Detail != "" {
		text += ": " + oneLine(r.Detail)
	}
	return text
}

type jobRuns struct {
	stageName
	Job   string `arg:"" optional:"" help:"Only those of this job."`
	Limit int    `short:"n" default:"30" help:"How many; 0 for all."`
}

// Run lists runs.
func (cmd *jobRuns) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[deploy.JobRun](ctx, c, cmd.path()+"/job-runs?"+url.Values{"job": {cmd.Job}}.Encode(), cmd.Limit)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, r := range list {
			took, code, by := "", "", r.Actor
			if !r.StartedAt.IsZero() && !r.FinishedAt.IsZero() {
				took = r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond).String()
			}
			if r.ExitCode != nil {
				code = strconv.Itoa(*r.ExitCode)
			}
			if by == "" {
				by = string(r.Trigger)
			}
			state := string(r.State)
			if r.Times > 1 {
				state += " " + strconv.Itoa(r.Times) + " times"
			}
			rows[i] = []string{r.ID, r.Job, r.DueAt.Local().Format("2006-01-02 15:04:05"), state, took, code, by, oneLine(r.Detail)}
		}
		o.table([]string{"run", "job", "due", "state", "took", "exit code", "by", "why"}, rows)
	})
}

type jobLogs struct {
	stageName
	RunID  string `arg:"" name:"run" help:"The run's id."`
	Follow bool   `short:"f" help:"Go on with what comes until the run is over."`
}

// Run shows a run's log.
func (cmd *jobLogs) Run(ctx context.Context, c *client, o *output) error {
	_, err := followRun(ctx, c, o, cmd.stageName, cmd.RunID, cmd.Follow, func(l deploy.RunLine) error {
		return o.line(l, func() { o.printf("%s\n", oneLine(l.Text)) })
	})
	return err
}

// runPace is how often a run's log is asked for what is new.
const runPace = 500 * time.Millisecond

// followRun hands on what a run wrote, until it is over where it is to follow.
func followRun(ctx context.Context, c *client, o *output, of stageName, id string, follow bool, each func(deploy.RunLine) error) (r deploy.JobRun, err error) {
	at, after := of.path()+pathf("/job-runs/%s", id), 0
	for {
		// Asked before the lines: those of a run that is over are all there.
		if err := c.get(ctx, at, &r); err != nil {
			return r, err
		}
		for more := true; more; {
			var lines page[deploy.RunLine]
			if err := c.get(ctx, at+"/log?after="+strconv.Itoa(after), &lines); err != nil {
				return r, err
			}
			for _, l := range lines.Items {
				if after == 0 && l.N > 1 {
					o.note("(%d lines before are not kept)", l.N-1)
				}
				after = l.N
				if err := each(l); err != nil {
					return r, err
				}
			}
			more = lines.Next != ""
		}
		if !follow || !r.FinishedAt.IsZero() {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, fault.Unavailable("the run is not over; it goes on without being waited for")
		case <-time.After(runPace):
		}
	}
}

type jobCancel struct {
	stageName
	RunID string `arg:"" name:"run" help:"The run's id."`
}

// Run ends a run.
func (cmd *jobCancel) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodPost, cmd.path()+pathf("/job-runs/%s/cancel", cmd.RunID), struct{}{}, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"canceled": cmd.RunID}, func() { o.printf("Run %s is asked to end.\n", cmd.RunID) })
}

type jobSchedule struct {
	Schedule string `arg:"" help:"Such as \"30 3 * * *\"."`
	TimeZone string `placeholder:"ZONE" help:"Such as Europe/Berlin; UTC when absent."`
}

// Run shows the next times of a schedule.
func (cmd *jobSchedule) Run(ctx context.Context, c *client, o *output) error {
	var due api.Preview
	if err := c.get(ctx, "/api/schedule?"+url.Values{"schedule": {cmd.Schedule}, "time_zone": {cmd.TimeZone}}.Encode(), &due); err != nil {
		return err
	}
	return o.result(due, func() {
		for _, at := range due.Next {
			o.printf("%s\n", at.Format("Mon 2006-01-02 15:04 -07:00"))
		}
	})
}
