package main

import (
	"context"
	"time"

	"berth/internal/deploy"
)

type systemContainers struct{}

// Run lists the containers that this Berth did not make.
func (*systemContainers) Run(ctx context.Context, c *client, o *output) error {
	var list page[deploy.Neighbour]
	if err := c.get(ctx, "/api/system/containers", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for n, i := range list.Items {
			by := ""
			if i.Berth != "" {
				by = "another Berth"
			}
			rows[n] = []string{i.Name, i.Image, string(i.State), ago(i.CreatedAt, time.Now()), by}
		}
		o.table([]string{"container", "image", "state", "made", "by"}, rows)
	})
}
