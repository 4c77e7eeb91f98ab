package main

import (
	"context"

	"berth/internal/deploy"
)

type statusCommand struct {
	Project string `arg:"" optional:"" predictor:"project" help:"Only this project."`
	Stage   string `arg:"" optional:"" predictor:"stage" help:"Only this stage, in detail."`
}

// Run shows how everything does.
func (cmd *statusCommand) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Stage != "" {
		show := stageShow{stageName{cmd.Project, cmd.Stage}}
		return show.Run(ctx, c, o)
	}
	var list []deploy.ProjectStatus
	if cmd.Project == "" {
		var err error
		if list, err = all[deploy.ProjectStatus](ctx, c, "/api/projects", 0); err != nil {
			return err
		}
	} else {
		list = make([]deploy.ProjectStatus, 1)
		if err := c.get(ctx, pathf("/api/projects/%s", cmd.Project), &list[0]); err != nil {
			return err
		}
	}
	return o.result(list, func() {
		var stages []deploy.StageStatus
		for _, p := range list {
			stages = append(stages, p.Stages...)
		}
		if len(stages) == 0 {
			o.printf("No stages yet. \"berth project create NAME\" and \"berth stage create NAME prod --hostname …\" make the first.\n")
			return
		}
		o.stages(stages)
	})
}
