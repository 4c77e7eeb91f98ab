package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type stagePause struct {
	stageName
	Reason string `short:"r" help:"Why, for the others."`
}

// Help gives examples.
func (*stagePause) Help() string {
	return `What runs goes on. Pushes deploy nothing, and who asks for a deployment is refused, until "berth stage resume".

Examples:
  berth stage pause shop prod --reason "holidays until Monday"`
}

// Run pauses a stage.
func (cmd *stagePause) Run(ctx context.Context, c *client, o *output) error {
	var s deploy.Stage
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/pause", map[string]string{"reason": cmd.Reason}, &s); err != nil {
		return err
	}
	return o.result(s, func() {
		o.printf("%s is paused. \"berth stage resume %s %s\" ends that.\n", cmd.stageName, cmd.Project, cmd.Stage)
	})
}

type stageResume struct{ stageName }

// Run lets deployments to a stage again, and names what it missed.
func (cmd *stageResume) Run(ctx context.Context, c *client, o *output) error {
	var before, s deploy.Stage
	if err := c.get(ctx, cmd.path(), &before); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/resume", struct{}{}, &s); err != nil {
		return err
	}
	return o.result(s, func() {
		o.printf("%s takes deployments.\n", cmd.stageName)
		if p := before.Paused; p != nil && p.Missed != "" {
			o.printf("Meanwhile %s came: \"berth deploy %s %s %s --wait\" deploys it.\n", oneLine(p.Missed), cmd.Project, cmd.Stage, p.Missed)
		}
	})
}

type stageMaintenance struct {
	stageName
	State   string        `arg:"" enum:"on,off" help:"on or off."`
	Message string        `short:"m" help:"What visitors read."`
	Retry   time.Duration `default:"1m" help:"When they are told to come back."`
}

// Help gives examples.
func (*stageMaintenance) Help() string {
	return `Every request is answered with 503, Retry-After and a page. The app runs on, and can be deployed.

Examples:
  berth stage maintenance shop prod on --message "Back at noon." --retry 10m
  berth stage maintenance shop prod off`
}

// Run begins or ends a stage's maintenance.
func (cmd *stageMaintenance) Run(ctx context.Context, c *client, o *output) error {
	if cmd.State == "off" && cmd.Message != "" {
		return fault.Invalid("--message is for \"on\"")
	}
	body := map[string]any{"on": cmd.State == "on"}
	if cmd.State == "on" {
		body["message"], body["retry_after"] = cmd.Message, cmd.Retry.String()
	}
	var s deploy.Stage
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/maintenance", body, &s); err != nil {
		return err
	}
	return o.result(s, func() {
		if s.Maintenance == nil {
			o.printf("The app of %s answers again.\n", cmd.stageName)
			return
		}
		o.printf("%s answers with its maintenance page. \"berth stage maintenance %s %s off\" ends that.\n", cmd.stageName, cmd.Project, cmd.Stage)
	})
}

func paused(p deploy.Pause) string {
	said := fmt.Sprintf("by %s %s", p.By, ago(p.Since, time.Now()))
	if p.Reason != "" {
		said += ": " + oneLine(p.Reason)
	}
	if p.Missed != "" {
		said += fmt.Sprintf(" (%s came meanwhile)", oneLine(p.Missed))
	}
	return said
}

func maintained(m deploy.Maintenance) string {
	said := fmt.Sprintf("by %s %s", m.By, ago(m.Since, time.Now()))
	if m.Message != "" {
		said += ": " + oneLine(m.Message)
	}
	return said
}

// watched says what is seen of a release while it is watched.
func watched(w deploy.Watch) string {
	said := fmt.Sprintf("by the %s until %s", w.Phase, w.Until.Local().Format(time.TimeOnly))
	if w.Share > 0 {
		said += fmt.Sprintf(", with %d %% of the clients", w.Share)
	}
	return said + fmt.Sprintf(": %d of %d answers were errors, %d of %d before", w.Seen.Errors, w.Seen.Requests, w.Before.Errors, w.Before.Requests)
}

type continueCommand struct {
	Deployment string `arg:"" help:"The deployment's id."`
}

// Run ends the watch of a release.
func (cmd *continueCommand) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodPost, pathf("/api/deployments/%s/continue", cmd.Deployment), struct{}{}, nil); err != nil {
		return err
	}
	var d deploy.Deployment
	if err := c.get(ctx, pathf("/api/deployments/%s", cmd.Deployment), &d); err != nil {
		return err
	}
	return o.result(d, func() { o.printf("Deployment %s goes on unwatched.\n", d.ID) })
}
