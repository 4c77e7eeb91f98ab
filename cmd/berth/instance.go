package main

import (
	"context"
	"strconv"

	"berth/internal/container"
	"berth/internal/deploy"
)

type instanceCommand struct {
	Show  instanceShow  `cmd:"" help:"Show one instance."`
	Stats instanceStats `cmd:"" help:"Show what an instance uses now."`
}

type instanceShow struct {
	Instance string `arg:"" help:"The instance's id; \"berth stage show\" lists them."`
}

// Run shows one instance.
func (cmd *instanceShow) Run(ctx context.Context, c *client, o *output) error {
	var n deploy.Instance
	if err := c.get(ctx, pathf("/api/instances/%s", cmd.Instance), &n); err != nil {
		return err
	}
	return o.result(n, func() { o.instance(n) })
}

func (o *output) instance(n deploy.Instance) {
	o.pairs(
		[2]string{"Instance", n.ID},
		[2]string{"Stage", n.Project + "/" + n.Stage},
		[2]string{"Number", strconv.Itoa(n.Ordinal)},
		[2]string{"State", string(n.State)},
		[2]string{"Detail", n.Detail},
		[2]string{"Address", n.Address},
		[2]string{"Deployment", n.Deployment},
		[2]string{"Container", n.Container},
		[2]string{"Made", n.CreatedAt.Local().Format("2006-01-02 15:04:05")},
		[2]string{"Changed", n.UpdatedAt.Local().Format("2006-01-02 15:04:05")},
	)
}

type instanceStats struct {
	Instance string `arg:"" help:"The instance's id; \"berth stage show\" lists them."`
}

// Run shows what an instance uses.
func (cmd *instanceStats) Run(ctx context.Context, c *client, o *output) error {
	var s container.Stats
	if err := c.get(ctx, pathf("/api/instances/%s/stats", cmd.Instance), &s); err != nil {
		return err
	}
	return o.result(s, func() { o.stats(s) })
}

func (o *output) stats(s container.Stats) {
	o.pairs(
		[2]string{"CPU", cores(s.CPU)},
		[2]string{"Memory", memoryText(s.Memory, s.MemoryLimit)},
		[2]string{"Network", bytesText(s.NetworkIn) + " in, " + bytesText(s.NetworkOut) + " out"},
		[2]string{"Processes", strconv.Itoa(s.Processes)},
	)
}
