package main

import (
	"context"
	"fmt"
	"strconv"

	"berth/internal/deploy"
)

type stageUsage struct {
	stageName
	Minutes   int  `default:"60" help:"How far back, at most 20160, which are 14 days. Past six hours a line is of more than one minute."`
	Instances bool `help:"Show each instance, also those that are gone."`
}

// Run shows what a stage's instances used.
func (cmd *stageUsage) Run(ctx context.Context, c *client, o *output) error {
	var u deploy.Usage
	if err := c.get(ctx, cmd.path()+"/usage?minutes="+strconv.Itoa(cmd.Minutes), &u); err != nil {
		return err
	}
	return o.result(u, func() { o.usage(u, cmd.Instances) })
}

func (o *output) usage(u deploy.Usage, each bool) {
	if !u.Available {
		o.note("Nothing is measured: %s.", u.Reason)
	}
	o.step(u.Step)
	if !each {
		var rows [][]string
		for _, m := range u.Minutes {
			rows = append(rows, usageCells(m))
		}
		o.table([]string{"minute", "cpu", "highest", "memory"}, rows)
		return
	}
	var rows [][]string
	for _, i := range u.Instances {
		for _, m := range i.Minutes {
			rows = append(rows, append([]string{i.Instance, strconv.Itoa(i.Ordinal), string(i.State)}, usageCells(m)...))
		}
	}
	o.table([]string{"instance", "number", "state", "minute", "cpu", "highest", "memory"}, rows)
}

func usageCells(m deploy.UsageMinute) []string {
	return []string{m.At.Local().Format("2006-01-02 15:04"), cores(m.CPU), cores(m.CPUMax), memoryText(m.Memory, m.MemoryLimit)}
}

func cores(n float64) string { return fmt.Sprintf("%.2f cores", n) }

func memoryText(used, limit int64) string {
	if limit == 0 {
		return bytesText(used)
	}
	return bytesText(used) + " of " + bytesText(limit)
}
