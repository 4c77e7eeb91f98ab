package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

// waiting is what the commands that start a deployment share.
type waiting struct {
	Wait    bool          `short:"w" help:"Show progress until it is over; exit with 10 when the release does not go live."`
	Timeout time.Duration `default:"30m" help:"How long --wait waits."`
}

// standing says of a deployment that was just asked for how it stands.
func standing(d deploy.Deployment) string {
	how := "is " + string(d.State)
	switch d.State { //nolint:exhaustive // the others are said as they are
	case deploy.Held:
		how = "waits for an approval"
	case deploy.Waiting:
		how = "is about to start"
	case deploy.Running:
		how = "has started"
	}
	return fmt.Sprintf("Deployment %s of %s to %s/%s %s.", d.ID, d.Reference, d.Project, d.Stage, how)
}

// report says how d stands, or waits for its end.
func (w waiting) report(ctx context.Context, c *client, o *output, d deploy.Deployment) error {
	if w.Wait {
		return waitFor(ctx, c, o, d, w.Timeout)
	}
	return o.result(d, func() {
		o.printf("%s \"berth events --deployment %s -f\" follows it.\n", standing(d), d.ID)
	})
}

type deployCommand struct {
	stageName
	Reference string `arg:"" optional:"" default:"latest" help:"Tag, or digest as sha256:…"`
	waiting
}

// Help gives examples.
func (*deployCommand) Help() string {
	return `Examples:
  berth deploy shop prod 1.4.2 --wait
  berth deploy shop prod sha256:4bb0…`
}

// Run starts a deployment.
func (cmd *deployCommand) Run(ctx context.Context, c *client, o *output) error {
	var d deploy.Deployment
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/deployments", map[string]string{"reference": cmd.Reference}, &d); err != nil {
		return err
	}
	return cmd.report(ctx, c, o, d)
}

type redeployCommand struct {
	stageName
	waiting
}

// Run deploys the live image again.
func (cmd *redeployCommand) Run(ctx context.Context, c *client, o *output) error {
	var d deploy.Deployment
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/redeploy", struct{}{}, &d); err != nil {
		return err
	}
	return cmd.report(ctx, c, o, d)
}

type rollbackCommand struct {
	stageName
	Release string `arg:"" optional:"" help:"The release's id; the one before the live one by default. \"berth stage releases\" lists them."`
	Compare bool   `help:"Only show what would change."`
	waiting
}

// Run goes back to an earlier release.
func (cmd *rollbackCommand) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Release == "" {
		previous, err := cmd.previous(ctx, c)
		if err != nil {
			return err
		}
		cmd.Release = previous
	}
	if cmd.Compare {
		var compared struct {
			Changes []deploy.Change `json:"changes"`
		}
		if err := c.get(ctx, cmd.path()+pathf("/releases/%s/compare", cmd.Release), &compared); err != nil {
			return err
		}
		return o.result(compared, func() {
			o.printf("Going back to release %s would change:\n", cmd.Release)
			o.changes(compared.Changes)
		})
	}
	var d deploy.Deployment
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/rollback", map[string]string{"release": cmd.Release}, &d); err != nil {
		return err
	}
	return cmd.report(ctx, c, o, d)
}

// previous finds the release that served before the live one.
func (cmd *rollbackCommand) previous(ctx context.Context, c *client) (string, error) {
	releases, err := all[deploy.Release](ctx, c, cmd.path()+"/releases", 0)
	if err != nil {
		return "", err
	}
	here := map[string]bool{}
	for _, r := range releases {
		here[r.ID] = r.Available
	}
	query := url.Values{"project": {cmd.Project}, "stage": {cmd.Stage}}
	deployments, err := all[deploy.Deployment](ctx, c, "/api/deployments?"+query.Encode(), 0)
	if err != nil {
		return "", err
	}
	if before := servedBefore(deployments, here); before != "" {
		return before, nil
	}
	return "", fault.NotFound("%s has no earlier release whose image is still here", cmd.stageName)
}

// servedBefore gives the release that served a stage before the live one and
// whose image is here; deployments are the stage's, the newest first. One that
// was taken back does not count, and a roll back stands where that was which it
// went back to: the next one goes on from there.
func servedBefore(deployments []deploy.Deployment, here map[string]bool) string {
	at := slices.IndexFunc(deployments, func(d deploy.Deployment) bool { return d.State == deploy.Live })
	if at < 0 {
		return ""
	}
	live := deployments[at].Release
	for deployments[at].Kind == deploy.KindRollback {
		to := slices.IndexFunc(deployments[at+1:], func(d deploy.Deployment) bool { return d.Release == live && d.State == deploy.Replaced })
		if to < 0 {
			break
		}
		at += 1 + to
	}
	for _, d := range deployments[at+1:] {
		if d.State == deploy.Replaced && d.Release != live && here[d.Release] {
			return d.Release
		}
	}
	return ""
}

type cancelCommand struct {
	Deployment string `arg:"" help:"The deployment's id."`
}

// Run cancels a deployment.
func (cmd *cancelCommand) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodPost, pathf("/api/deployments/%s/cancel", cmd.Deployment), struct{}{}, nil); err != nil {
		return err
	}
	var d deploy.Deployment
	if err := c.get(ctx, pathf("/api/deployments/%s", cmd.Deployment), &d); err != nil {
		return err
	}
	return o.result(d, func() { o.printf("Deployment %s is asked to stop; it is %s.\n", d.ID, d.State) })
}
