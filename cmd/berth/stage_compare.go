package main

import (
	"context"
	"slices"
	"strconv"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type stageCompare struct {
	Project string   `arg:"" predictor:"project" help:"The project's name."`
	Stages  []string `arg:"" predictor:"stage" help:"The stages' names: two or more."`
	All     bool     `help:"Show also what they have in common."`
}

// Help gives examples.
func (*stageCompare) Help() string {
	return `What is saved is compared, be it deployed or not. A secret is told by its slot, never by its value.

Examples:
  berth stage compare shop staging prod
  berth stage compare shop dev staging prod --all`
}

// Run lines up stages of a project, field by field.
func (cmd *stageCompare) Run(ctx context.Context, c *client, o *output) error {
	var p deploy.ProjectStatus
	if err := c.get(ctx, pathf("/api/projects/%s", cmd.Project), &p); err != nil {
		return err
	}
	stages, err := cmd.named(p)
	if err != nil {
		return err
	}
	lines := deploy.LineUp(stages...)
	if !cmd.All {
		lines = slices.DeleteFunc(lines, func(l deploy.Lined) bool { return l.Same })
	}
	return o.result(lines, func() {
		if len(lines) == 0 {
			o.printf("They are configured the same.\n")
			return
		}
		rows := make([][]string, len(lines))
		for i, l := range lines {
			rows[i] = []string{l.Field}
			for _, st := range stages {
				rows[i] = append(rows[i], lined(l, st.Name))
			}
		}
		o.table(append([]string{"field"}, cmd.Stages...), rows)
	})
}

// named picks the stages in the order they were named in.
func (cmd *stageCompare) named(p deploy.ProjectStatus) ([]deploy.Stage, error) {
	if len(cmd.Stages) < 2 {
		return nil, fault.Invalid("name two stages or more to compare")
	}
	stages := make([]deploy.Stage, len(cmd.Stages))
	for i, name := range cmd.Stages {
		if slices.Contains(cmd.Stages[:i], name) {
			return nil, fault.Invalid("stage %q is named twice", name)
		}
		at := slices.IndexFunc(p.Stages, func(s deploy.StageStatus) bool { return s.Name == name })
		if at < 0 {
			return nil, fault.NotFound("project %q has no stage named %q", cmd.Project, name)
		}
		stages[i] = p.Stages[at].Stage
	}
	return stages, nil
}

// lined is a value of a field: none is a dash, an empty one is quoted.
func lined(l deploy.Lined, stage string) string {
	value, set := l.Values[stage]
	switch {
	case !set:
		return "-"
	case value == "" || value == "-":
		return strconv.Quote(value)
	}
	return value
}
