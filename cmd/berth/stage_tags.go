package main

import (
	"context"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/deploy"
)

type stageTags struct {
	stageName
	Rule string `placeholder:"KIND:PATTERN" help:"Show what this rule would take, instead of the saved one: exact:1.0, glob:v*, regexp:v[0-9]+, semver:^1.2."`
}

// Help tells whose tags there are.
func (*stageTags) Help() string {
	return `The newest is, for a semver rule, the highest version; for all others the tag whose image was created last; of equals the highest version, then the last by name. Of an image in another registry only the names are known: unless the rule is a semver rule, "last by name" is all that can be said.

Examples:
  berth tags shop prod
  berth tags shop prod --rule 'regexp:main-[0-9a-f]{7}'`
}

// Run lists the tags of a stage's image, and which of them its rule takes.
func (cmd *stageTags) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Rule != "" {
		return cmd.preview(ctx, c, o)
	}
	var list page[api.StageTag]
	if err := c.get(ctx, cmd.path()+"/tags", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.stageTags(list.Items) })
}

// preview shows what a rule would take that is not saved.
func (cmd *stageTags) preview(ctx context.Context, c *client, o *output) error {
	var s deploy.Stage
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	kind, pattern, _ := strings.Cut(cmd.Rule, ":")
	s.Spec.Tags = deploy.TagRule{Kind: deploy.TagKind(kind), Pattern: pattern}
	s.Spec.Approve, s.Spec.PromoteFrom = false, ""
	s.Spec.PromoteAfter, s.Spec.AutoPromote, s.Spec.PromoteApproval = 0, false, false
	v, err := validate(ctx, c, cmd.stageName, s.Spec)
	if err != nil {
		return err
	}
	return o.result(v.Tags, func() { o.stageTags(v.Tags) })
}

func (o *output) stageTags(list []api.StageTag) {
	rows := make([][]string, len(list))
	for i, t := range list {
		matches, size := "no", "-"
		if t.Size > 0 {
			size = bytesText(t.Size)
		}
		switch {
		case t.NewestBy == deploy.NewestByName:
			matches = "yes, last by name"
		case t.Newest:
			matches = "yes, newest"
		case t.Matches:
			matches = "yes"
		}
		rows[i] = []string{t.Name, matches, short(t.Digest), size, since(t.CreatedAt), since(t.UpdatedAt)}
	}
	o.table([]string{"tag", "a push deploys", "digest", "size", "created", "pushed"}, rows)
}

// since says how long ago something was that may not be known.
func since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return ago(at, time.Now())
}
