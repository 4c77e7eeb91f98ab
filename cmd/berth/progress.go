package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
)

// waitFor shows a deployment's steps and log lines as they come, until it is
// over. Its error tells what became of it; leaving (ctx) does not stop it.
func waitFor(ctx context.Context, c *client, o *output, d deploy.Deployment, timeout time.Duration) error {
	following, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	p := progress{out: o}
	o.note("Deployment %s of %s to %s/%s", d.ID, d.Reference, d.Project, d.Stage)
	for m, err := range c.follow(following, url.Values{"deployment": {d.ID}}, "0") {
		if err != nil {
			return err
		}
		if m.event == "ping" {
			p.lookAtEngine(following, c)
			continue
		}
		over, err := p.take(m)
		if err != nil {
			return err
		}
		if over {
			if p.unsettled, err = mayGoBack(following, c, d.ID); err != nil {
				return err
			}
			over = !p.unsettled
		}
		if over {
			break
		}
	}
	if following.Err() != nil {
		said := "stopped watching"
		if ctx.Err() == nil {
			said = fmt.Sprintf("waited %s", timeout)
		}
		return fault.Unavailable("%s; deployment %s goes on: \"berth cancel %s\" stops it", said, d.ID, d.ID)
	}
	if err := c.get(ctx, pathf("/api/deployments/%s", d.ID), &d); err != nil {
		return err
	}
	return p.end(d)
}

// progress prints one deployment's events.
type progress struct {
	out   *output
	lines []string  // the last log lines of the app, shown again when it fails
	over  time.Time // when the last event said that it is
	away  bool      // the engine was, when last asked
	// unsettled says that it is live and may go back yet, which is waited for, too.
	unsettled bool
}

// mayGoBack asks whether a deployment is live, and at a step that may give its
// stage back.
func mayGoBack(ctx context.Context, c *client, id string) (bool, error) {
	var d deploy.Deployment
	if err := c.get(ctx, pathf("/api/deployments/%s", id), &d); err != nil {
		return false, err
	}
	return d.State == deploy.Live && slices.ContainsFunc(d.Steps, func(s deploy.Step) bool {
		return givesBack(s.Name) && s.State == deploy.StepRunning
	}), nil
}

// givesBack says that a step comes when the release is live already, and may
// end with the one before.
func givesBack(step deploy.StepName) bool {
	return step == deploy.GuardStep || step == deploy.AfterStep
}

// keptLines is how many of them.
const keptLines = 20

// lookAtEngine says, once each time, that the engine is away: a deployment
// waits for it without a word of its own.
func (p *progress) lookAtEngine(ctx context.Context, c *client) {
	var system api.System
	if err := c.get(ctx, "/api/system", &system); err != nil {
		return // the stream says it when the server is away
	}
	was := p.away
	if p.away = system.EngineError != ""; p.away && !was {
		p.out.note("The deployment waits for the container engine: %s", oneLine(system.EngineError))
	}
}

// take prints an event, and says whether it is the last one.
func (p *progress) take(m message) (over bool, err error) {
	var e event.Event
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		return false, fmt.Errorf("read event %s: %w", m.id, err)
	}
	switch e.Kind {
	case event.DeploymentLog:
		var line struct{ Step, Stream, Text string }
		if err := json.Unmarshal(e.Data, &line); err != nil {
			return false, fmt.Errorf("read event %s: %w", m.id, err)
		}
		if !p.out.json {
			p.out.note("  %-10s %s", line.Step, oneLine(line.Text))
		}
		if line.Stream == "stdout" || line.Stream == "stderr" {
			p.lines = append(p.lines, oneLine(line.Text))
			p.lines = p.lines[max(0, len(p.lines)-keptLines):]
		}
	case "deployment.step":
		var step deploy.Step
		if err := json.Unmarshal(e.Data, &step); err != nil {
			return false, fmt.Errorf("read event %s: %w", m.id, err)
		}
		p.step(step)
		if p.unsettled && givesBack(step.Name) && step.State != deploy.StepRunning {
			return true, nil
		}
	case "deployment.state":
		var state struct {
			State      deploy.State
			Approval   deploy.Approval
			ApprovedBy string `json:"approved_by"`
		}
		if err := json.Unmarshal(e.Data, &state); err != nil {
			return false, fmt.Errorf("read event %s: %w", m.id, err)
		}
		switch {
		case state.State == deploy.Held && state.Approval == deploy.ApprovalOther:
			p.out.note("It waits until somebody but %s approves it: berth approve %s", e.Actor, e.Deployment)
		case state.State == deploy.Held:
			p.out.note("It waits until somebody approves it: berth approve %s", e.Deployment)
		case state.State == deploy.Waiting && state.ApprovedBy != "":
			p.out.note("Approved by %s.", oneLine(state.ApprovedBy))
		}
		if state.State != deploy.Reverted {
			p.over = e.At
		}
		return state.State.Finished(), nil
	}
	return false, nil
}

func (p *progress) step(s deploy.Step) {
	if p.out.json {
		return
	}
	switch s.State {
	case deploy.StepRunning:
		p.out.note("- %s", s.Name)
	case deploy.StepDone:
		p.out.note("+ %-10s %s", s.Name, took(s.StartedAt, s.FinishedAt))
	case deploy.StepFailed:
		p.out.note("x %-10s %s  %s", s.Name, took(s.StartedAt, s.FinishedAt), oneLine(s.Detail))
	case deploy.StepPending, deploy.StepSkipped:
	}
}

func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return to.Sub(from).Round(time.Millisecond).String()
}

// end says what became of d.
func (p *progress) end(d deploy.Deployment) error {
	live := d.State == deploy.Live || d.State == deploy.Replaced
	err := p.out.result(d, func() {
		if live {
			p.out.printf("%s is live in %s/%s after %s.\n", d.Reference, d.Project, d.Stage, p.over.Sub(latestOf(d.CreatedAt, d.ApprovedAt)).Round(time.Millisecond))
			return
		}
		if d.State == deploy.Reverted {
			p.out.note("\n%s was live in %s/%s, and the stage was given back to the release before.", d.Reference, d.Project, d.Stage)
		} else {
			p.out.note("\n%s did not go live in %s/%s: it is %s.", d.Reference, d.Project, d.Stage, d.State)
		}
		if d.FailedStep != "" {
			p.out.note("Failed step: %s", d.FailedStep)
		}
		if d.Error != "" {
			p.out.note("Reason: %s", d.Error)
		}
		if len(p.lines) > 0 {
			p.out.note("The app's last lines:")
			for _, line := range p.lines {
				p.out.note("  | %s", line)
			}
		}
	})
	if err != nil || live {
		return err
	}
	return errors.Join(errNotLive, errSaid)
}
