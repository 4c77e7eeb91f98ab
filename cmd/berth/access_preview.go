package main

import (
	"context"
	"net/http"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

type accessPreview struct {
	stageName
	whoFlags
	Method string `default:"GET" help:"Of the request."`
	At     string `default:"/" placeholder:"PATH" help:"Of the request, such as /admin."`
	From   string `placeholder:"ADDRESS" help:"Where the request comes from, such as 192.168.0.7."`
}

// Help gives examples.
func (*accessPreview) Help() string {
	return `Nothing is saved, and nothing is sent to the app. Without rules it is about those that the stage has. Everybody counts as if they proved
all that is asked. Administrators see everybody; others see themselves, and what somebody gets who has not signed in.

Examples:
  berth access preview shop prod
  berth access preview shop prod --at /admin --from 192.168.0.7
  berth access preview shop prod --group ops --person ana
  berth access preview shop prod -f policy.json`
}

// Run asks who could see a stage.
func (cmd *accessPreview) Run(ctx context.Context, c *client, o *output, p *process) error {
	if cmd.twice() {
		return fault.Invalid("say who: one of public, signed-in, administrators and nobody, or --person and --group, or --file; nothing for the rules that the stage has")
	}
	var s deploy.Stage
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	policy, err := cmd.rules(p, policyOf(s.Spec))
	if err != nil {
		return err
	}
	preview, err := cmd.ask(ctx, c, policy)
	if err != nil {
		return err
	}
	return o.result(preview, func() { o.preview(preview) })
}

// ask puts the parts of the answer together.
func (cmd *accessPreview) ask(ctx context.Context, c *client, policy identity.Policy) (whole api.AccessPreview, err error) {
	body := map[string]any{"policy": policy, "method": cmd.Method, "path": cmd.At}
	if cmd.From != "" {
		body["address"] = cmd.From
	}
	for {
		var part api.AccessPreview
		if err := c.call(ctx, http.MethodPost, "/api/access/preview", body, &part); err != nil {
			return whole, err
		}
		whole.Nobody, whole.People = part.Nobody, append(whole.People, part.People...)
		if part.Next == "" {
			return whole, nil
		}
		body["cursor"] = part.Next
	}
}

// preview prints who could see something, and why.
func (o *output) preview(p api.AccessPreview) {
	row := func(name, by string, v api.AccessVerdict) []string {
		may := "no"
		if v.Allowed {
			may = "yes"
		}
		return []string{name, by, may, v.Why}
	}
	rows := [][]string{row("(not signed in)", "", p.Nobody)}
	for _, one := range p.People {
		rows = append(rows, row(one.Username, one.Provider, one.AccessVerdict))
	}
	o.table([]string{"person", "signed in by", "may see it", "why"}, rows)
}
