package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type promoteCommand struct {
	stageName
	Release string `placeholder:"ID" help:"The release of the source, by its id: refused (6) when another is live there by now. The live one by default."`
	Earlier bool   `help:"Take --release though another is live in the source: one that was healthy there for the stage's time."`
	Compare bool   `help:"Only show what would change."`
	waiting
}

// Help says what a promotion is.
func (*promoteCommand) Help() string {
	return `The image that is live in the source goes to this stage by its digest, with this stage's own configuration. A tag that was moved meanwhile changes nothing.

Examples:
  berth promote shop prod --compare
  berth promote shop prod --wait
  berth promote shop prod --release 06h… --wait`
}

// Run promotes what is live in the source, or says what that would change.
func (cmd *promoteCommand) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Earlier && cmd.Release == "" {
		return fault.Invalid("--earlier takes the release that --release names")
	}
	var p deploy.Promotion
	query := ""
	if cmd.Release != "" && (cmd.Compare || cmd.Earlier) {
		query = "?" + url.Values{"release": {cmd.Release}}.Encode()
	}
	if err := c.get(ctx, cmd.path()+"/promotion"+query, &p); err != nil {
		return err
	}
	if cmd.Compare {
		return o.result(p, func() { o.promotion(cmd.stageName, p) })
	}
	if p.Live == nil {
		return fault.Conflict("%s", p.Refused)
	}
	body := map[string]string{"release": p.Live.ID}
	if cmd.Release != "" {
		body["release"] = cmd.Release
	}
	if cmd.Earlier {
		body["seen"] = p.Live.ID
	}
	var d deploy.Deployment
	if err := c.call(ctx, http.MethodPost, cmd.path()+"/promote", body, &d); err != nil {
		return err
	}
	return cmd.report(ctx, c, o, d)
}

func (o *output) promotion(name stageName, p deploy.Promotion) {
	if p.Release != nil {
		o.printf("%s would take %s (%s) from %s.\n", name, p.Release.Reference, short(p.Release.Digest), p.From)
	}
	if p.Refused != "" {
		o.printf("Not now: %s.\n", p.Refused)
	}
	if !p.DueAt.IsZero() {
		o.printf("By itself at %s.\n", p.DueAt.Local().Format(time.DateTime))
	}
	if p.Approval {
		o.printf("Another person has to approve it.\n")
	}
	if len(p.Changes) > 0 {
		o.printf("\nIt would change:\n")
		o.changes(p.Changes)
	}
	if len(p.Differs) > 0 {
		o.printf("\nVariables of %s that stay as they are here:\n", p.From)
		o.changes(p.Differs)
	}
	if len(p.Earlier) > 0 {
		o.printf("\nEarlier releases of %s that may be promoted too:\n", p.From)
		rows := make([][]string, len(p.Earlier))
		for i, r := range p.Earlier {
			rows[i] = releaseRow(r)
		}
		o.table([]string{"release", "image", "digest", "made"}, rows)
	}
}

type approveCommand struct {
	Deployment string `arg:"" optional:"" help:"The deployment's id."`
	waiting
}

// Run approves a deployment, or lists those that wait for it.
func (cmd *approveCommand) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Deployment == "" {
		held, err := all[deploy.Deployment](ctx, c, "/api/deployments?state=held", 0)
		if err != nil {
			return err
		}
		return o.result(held, func() { o.held(held) })
	}
	var d deploy.Deployment
	if err := c.call(ctx, http.MethodPost, pathf("/api/deployments/%s/approve", cmd.Deployment), struct{}{}, &d); err != nil {
		return err
	}
	if cmd.Wait {
		return waitFor(ctx, c, o, d, cmd.Timeout)
	}
	return o.result(d, func() {
		o.printf("Approved deployment %s of %s to %s/%s; it begins.\n", d.ID, d.Reference, d.Project, d.Stage)
	})
}

func (o *output) held(list []deploy.Deployment) {
	rows := make([][]string, len(list))
	for i, d := range list {
		rows[i] = []string{d.ID, d.Project, d.Stage, d.Reference, short(d.Digest), string(d.Kind), d.Actor, ago(d.CreatedAt, time.Now()), waitsFor(d)}
	}
	o.table([]string{"deployment", "project", "stage", "image", "digest", "kind", "asked by", "when", "waits for"}, rows)
}

// waitsFor says whose approval a held deployment waits for.
func waitsFor(d deploy.Deployment) string {
	switch {
	case d.State != deploy.Held:
		return ""
	case d.Approval == deploy.ApprovalOther:
		return "approval by anybody but " + d.Actor
	}
	return "approval"
}

func sourceText(s *deploy.Source) string {
	if s == nil {
		return ""
	}
	return s.Stage + ", release " + s.Release
}
