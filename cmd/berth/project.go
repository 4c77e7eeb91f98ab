package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type projectCommand struct {
	List   projectList   `cmd:"" default:"withargs" help:"List projects."`
	Show   projectShow   `cmd:"" help:"Show one project and its stages."`
	Create projectCreate `cmd:"" help:"Create a project."`
	Edit   projectEdit   `cmd:"" help:"Change a project."`
	Remove projectRemove `cmd:"" help:"Remove a project, its stages and their containers."`
}

type projectList struct{}

// Run lists projects.
func (*projectList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[deploy.ProjectStatus](ctx, c, "/api/projects", 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, p := range list {
			stages := make([]string, len(p.Stages))
			for j, s := range p.Stages {
				stages[j] = fmt.Sprintf("%s (%s)", s.Name, s.State)
			}
			rows[i] = []string{p.Name, p.Image, strings.Join(stages, ", "), p.Description}
		}
		o.table([]string{"project", "image", "stages", "description"}, rows)
	})
}

type projectShow struct {
	Project string `arg:"" predictor:"project" help:"The project's name."`
}

// Run shows one project.
func (cmd *projectShow) Run(ctx context.Context, c *client, o *output) error {
	var p deploy.ProjectStatus
	if err := c.get(ctx, pathf("/api/projects/%s", cmd.Project), &p); err != nil {
		return err
	}
	return o.result(p, func() {
		o.pairs([2]string{"Project", p.Name}, [2]string{"Image", p.Image}, [2]string{"Description", p.Description})
		if len(p.Stages) > 0 {
			o.printf("\n")
			o.stages(p.Stages)
		}
	})
}

type projectCreate struct {
	Project     string `arg:"" help:"Its name: lower-case letters, digits and dashes."`
	Image       string `help:"Image repository without tag; the project's name in the built-in registry by default."`
	Description string `help:"What it is."`
}

// Help gives examples.
func (*projectCreate) Help() string {
	return `Examples:
  berth project create shop
  berth project create shop --image ghcr.io/ana/shop --description "Where we sell"`
}

// Run creates a project.
func (cmd *projectCreate) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Image == "" {
		cmd.Image = cmd.Project
	}
	var p deploy.Project
	body := map[string]any{"name": cmd.Project, "image": cmd.Image, "description": cmd.Description}
	if err := c.call(ctx, http.MethodPost, "/api/projects", body, &p); err != nil {
		return err
	}
	return o.result(p, func() {
		o.printf("Created project %s. Next: berth stage create %s prod --hostname …\n", p.Name, p.Name)
	})
}

type projectEdit struct {
	Project     string  `arg:"" predictor:"project" help:"The project's name."`
	Image       *string `help:"Image repository without tag."`
	Description *string `help:"What it is."`
}

// Run changes what is named and keeps the rest.
func (cmd *projectEdit) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Image == nil && cmd.Description == nil {
		return fault.Invalid("nothing to change: give --image or --description")
	}
	path := pathf("/api/projects/%s", cmd.Project)
	var p deploy.Project
	if err := c.get(ctx, path, &p); err != nil {
		return err
	}
	body := map[string]any{"version": p.Version}
	if cmd.Image != nil {
		body["image"] = *cmd.Image
	}
	if cmd.Description != nil {
		body["description"] = *cmd.Description
	}
	if err := c.call(ctx, http.MethodPatch, path, body, &p); err != nil {
		return err
	}
	return o.result(p, func() { o.printf("Changed project %s.\n", p.Name) })
}

type projectRemove struct {
	Project string `arg:"" predictor:"project" help:"The project's name."`
	Yes     bool   `short:"y" help:"Do not ask."`
}

// Run removes a project after asking.
func (cmd *projectRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	path := pathf("/api/projects/%s", cmd.Project)
	var status deploy.ProjectStatus
	if err := c.get(ctx, path, &status); err != nil {
		return err
	}
	var names, volumes []string
	for _, s := range status.Stages {
		names = append(names, s.Name)
		volumes = append(volumes, s.VolumeNames()...)
	}
	what := "Project " + cmd.Project
	if len(names) > 0 {
		what += " and its " + counted(len(names), "stage") + " (" + strings.Join(names, ", ") + ")"
	}
	if err := p.confirm(cmd.Yes, what+" will be removed, with containers and history. "+staying(volumes)); err != nil {
		return err
	}
	return removeKeeping(ctx, c, o, path, "project "+cmd.Project)
}

// staying says which volumes a removal leaves.
func staying(volumes []string) string {
	if len(volumes) == 0 {
		return "Volumes stay, if there are any."
	}
	return "These volumes stay, with their data: " + strings.Join(volumes, ", ") + "."
}

// removeKeeping removes something and says which volumes stay.
func removeKeeping(ctx context.Context, c *client, o *output, path, what string) error {
	var kept struct {
		Volumes []string `json:"kept_volumes"`
	}
	if err := c.call(ctx, http.MethodDelete, path, nil, &kept); err != nil {
		return err
	}
	return o.result(kept, func() {
		o.printf("Removed %s.\n", what)
		for _, v := range kept.Volumes {
			o.printf("Volume %s stays.\n", v)
		}
	})
}

// stages prints how stages do.
func (o *output) stages(list []deploy.StageStatus) {
	rows := make([][]string, len(list))
	for i, s := range list {
		release, since := "-", ""
		if s.Release != nil {
			release = s.Release.Reference
		}
		if s.Deployment != nil {
			since = fmt.Sprintf("%s %s", s.Deployment.State, ago(latest(s.Deployment), time.Now()))
		}
		if s.Held != nil {
			since += fmt.Sprintf(" (%s waits for approval)", s.Held.Reference)
		}
		if len(s.Changes) > 0 {
			since += fmt.Sprintf(" (%d saved changes not deployed)", len(s.Changes))
		}
		rows[i] = []string{s.Project, s.Name, string(s.State), release, s.URL, since}
	}
	o.table([]string{"project", "stage", "state", "release", "address", "deployment"}, rows)
}

// latest is when a deployment last changed.
func latest(d *deploy.Deployment) time.Time {
	for _, t := range []time.Time{d.FinishedAt, d.StartedAt} {
		if !t.IsZero() {
			return t
		}
	}
	return d.CreatedAt
}
