package main

import (
	"context"
	"fmt"
	"strconv"

	"berth/internal/gateway"
)

type stageMetrics struct {
	stageName
	Minutes int `default:"60" help:"How far back, at most 1440."`
}

// Run shows what passed through a stage's route.
func (cmd *stageMetrics) Run(ctx context.Context, c *client, o *output) error {
	return o.metrics(ctx, c, cmd.path(), cmd.Minutes)
}

// metrics shows the minutes of what the API has at a path.
func (o *output) metrics(ctx context.Context, c *client, path string, minutes int) error {
	var list page[gateway.Minute]
	if err := c.get(ctx, path+"/metrics?minutes="+strconv.Itoa(minutes), &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.minutes(list.Items) })
}

func (o *output) minutes(list []gateway.Minute) {
	rows := make([][]string, len(list))
	for i, m := range list {
		rows[i] = []string{
			m.At.Local().Format("2006-01-02 15:04"), strconv.FormatInt(m.Requests, 10), strconv.FormatInt(m.Errors, 10),
			milliseconds(m.P50), milliseconds(m.P95), milliseconds(m.P99), bytesText(m.BytesIn), bytesText(m.BytesOut),
		}
	}
	o.table([]string{"minute", "requests", "errors", "p50", "p95", "p99", "in", "out"}, rows)
}

// milliseconds spells an estimate no finer than it is.
func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
