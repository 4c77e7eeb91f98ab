package main

import (
	"context"
	"time"

	"berth/internal/api"
)

type stageTags struct{ stageName }

// Help tells whose tags there are.
func (*stageTags) Help() string {
	return "Tags of an image in another registry are not listed: only pushes to the built-in one deploy by themselves."
}

// Run lists the tags of a stage's image, and which of them its rule takes.
func (cmd *stageTags) Run(ctx context.Context, c *client, o *output) error {
	var list page[api.StageTag]
	if err := c.get(ctx, cmd.path()+"/tags", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.stageTags(list.Items) })
}

func (o *output) stageTags(list []api.StageTag) {
	rows := make([][]string, len(list))
	for i, t := range list {
		matches := "no"
		if t.Matches {
			matches = "yes"
		}
		rows[i] = []string{t.Name, matches, short(t.Digest), bytesText(t.Size), ago(t.UpdatedAt, time.Now())}
	}
	o.table([]string{"tag", "a push deploys", "digest", "size", "pushed"}, rows)
}
