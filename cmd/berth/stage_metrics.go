package main

import (
	"context"
	"fmt"
	"strconv"

	"berth/internal/api"
	"berth/internal/gateway"
)

type stageMetrics struct {
	stageName
	Minutes   int  `default:"60" help:"How far back, at most 20160, which are 14 days. Past six hours a line is of more than one minute."`
	Instances bool `help:"Show what each instance answered, also those that are gone."`
}

// Run shows what passed through a stage's route.
func (cmd *stageMetrics) Run(ctx context.Context, c *client, o *output) error {
	if !cmd.Instances {
		return o.metrics(ctx, c, cmd.path(), cmd.Minutes)
	}
	var m api.RouteMetrics
	if err := c.get(ctx, cmd.path()+"/metrics?instances=true&minutes="+strconv.Itoa(cmd.Minutes), &m); err != nil {
		return err
	}
	return o.result(m, func() {
		o.step(m.Step)
		o.instanceMetrics(m.Instances)
	})
}

// metrics shows the minutes of what the API has at a path.
func (o *output) metrics(ctx context.Context, c *client, path string, minutes int) error {
	var m api.RouteMetrics
	if err := c.get(ctx, path+"/metrics?minutes="+strconv.Itoa(minutes), &m); err != nil {
		return err
	}
	return o.result(m.Items, func() {
		o.step(m.Step)
		o.minutes(m.Items)
	})
}

// step says of how many minutes each line is.
func (o *output) step(minutes int) {
	if minutes > 1 {
		o.note("Each line is of %d minutes, from the one it shows.", minutes)
	}
}

func (o *output) minutes(list []gateway.Minute) {
	rows := make([][]string, len(list))
	for i, m := range list {
		rows[i] = minuteCells(m)
	}
	o.table(minuteHeading, rows)
}

func (o *output) instanceMetrics(list []api.InstanceMetrics) {
	var rows [][]string
	for _, i := range list {
		for _, m := range i.Items {
			rows = append(rows, append([]string{i.Instance, strconv.Itoa(i.Ordinal), string(i.State)}, minuteCells(m)...))
		}
	}
	o.table(append([]string{"instance", "number", "state"}, minuteHeading...), rows)
}

var minuteHeading = []string{"minute", "requests", "errors", "p50", "p95", "p99", "in", "out"}

func minuteCells(m gateway.Minute) []string {
	return []string{
		m.At.Local().Format("2006-01-02 15:04"), strconv.FormatInt(m.Requests, 10), strconv.FormatInt(m.Errors, 10),
		milliseconds(m.P50), milliseconds(m.P95), milliseconds(m.P99), bytesText(m.BytesIn), bytesText(m.BytesOut),
	}
}

// milliseconds spells an estimate no finer than it is.
func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
