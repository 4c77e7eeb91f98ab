package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"berth/internal/deploy"
	"berth/internal/event"
)

type deploymentCommand struct {
	List deploymentList `cmd:"" default:"withargs" help:"List deployments, the newest first."`
	Show deploymentShow `cmd:"" help:"Show one deployment: its steps, how long each took, what went wrong."`
}

type deploymentList struct {
	Project string       `arg:"" optional:"" predictor:"project" help:"Only this project."`
	Stage   string       `arg:"" optional:"" predictor:"stage" help:"Only this stage."`
	State   deploy.State `enum:",held,waiting,running,live,replaced,failed,canceled,superseded,reverted" default:"" help:"Only those that are held, waiting, running, live, replaced, failed, canceled, superseded or reverted."`
	Limit   int          `short:"n" default:"20" help:"How many; 0 for all."`
}

// Help gives examples.
func (*deploymentList) Help() string {
	return `Examples:
  berth deployments shop prod
  berth deployments --state failed -n 5`
}

// Run lists deployments.
func (cmd *deploymentList) Run(ctx context.Context, c *client, o *output) error {
	query := url.Values{}
	for name, value := range map[string]string{"project": cmd.Project, "stage": cmd.Stage, "state": string(cmd.State)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	list, err := all[deploy.Deployment](ctx, c, "/api/deployments?"+query.Encode(), cmd.Limit)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, d := range list {
			rows[i] = []string{
				d.ID, d.Project, d.Stage, d.Reference, string(d.Kind), string(d.State), ago(d.CreatedAt, time.Now()),
				took(d.StartedAt, d.FinishedAt), d.Actor, d.Error,
			}
		}
		o.table([]string{"deployment", "project", "stage", "tag", "kind", "state", "asked for", "took", "by", "error"}, rows)
	})
}

type deploymentShow struct {
	Deployment string `arg:"" help:"The deployment's id."`
	Log        bool   `help:"With its log lines."`
}

// Run shows one deployment.
func (cmd *deploymentShow) Run(ctx context.Context, c *client, o *output) error {
	var shown struct {
		deploy.Deployment
		Log []event.Event `json:"log,omitempty"`
	}
	if err := c.get(ctx, pathf("/api/deployments/%s", cmd.Deployment), &shown.Deployment); err != nil {
		return err
	}
	if cmd.Log {
		events, err := deploymentLog(ctx, c, cmd.Deployment)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Kind == event.DeploymentLog {
				shown.Log = append(shown.Log, e)
			}
		}
	}
	return o.result(shown, func() {
		o.deployment(shown.Deployment)
		if cmd.Log {
			o.printf("\n")
			for _, e := range shown.Log {
				o.printf("%s\n", logText(e))
			}
		}
	})
}

func (o *output) deployment(d deploy.Deployment) {
	o.pairs(
		[2]string{"Deployment", d.ID},
		[2]string{"Stage", d.Project + "/" + d.Stage},
		[2]string{"Tag", d.Reference},
		[2]string{"Digest", d.Digest},
		[2]string{"Release", d.Release},
		[2]string{"Kind", string(d.Kind)},
		[2]string{"By", fmt.Sprintf("%s (%s)", d.Actor, d.Trigger)},
		[2]string{"State", string(d.State)},
		[2]string{"Promoted from", sourceText(d.Source)},
		[2]string{"Waits for", waitsFor(d)},
		[2]string{"Approved by", d.ApprovedBy},
		[2]string{"Asked for", d.CreatedAt.Local().Format("2006-01-02 15:04:05")},
		[2]string{"Took", took(d.StartedAt, d.FinishedAt)},
		[2]string{"Failed step", string(d.FailedStep)},
		[2]string{"Error", d.Error},
	)
	if len(d.Steps) == 0 {
		return
	}
	rows := make([][]string, len(d.Steps))
	for i, s := range d.Steps {
		rows[i] = []string{string(s.Name), string(s.State), took(s.StartedAt, s.FinishedAt), s.Detail}
	}
	o.printf("\n")
	o.table([]string{"step", "state", "took", "detail"}, rows)
}

// logText is a line of a deployment's log.
func logText(e event.Event) string {
	var line struct{ Step, Stream, Text string }
	if json.Unmarshal(e.Data, &line) != nil {
		return ""
	}
	return fmt.Sprintf("%s %-10s %-6s %s", e.At.Local().Format("15:04:05.000"), oneLine(line.Step), oneLine(line.Stream), oneLine(line.Text))
}
