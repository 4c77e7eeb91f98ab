package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type stageCommand struct {
	Show      stageShow      `cmd:"" help:"Show one stage."`
	Create    stageCreate    `cmd:"" help:"Create a stage."`
	Edit      stageEdit      `cmd:"" help:"Change a stage; what is not named stays as it is."`
	Remove    stageRemove    `cmd:"" help:"Remove a stage and its containers."`
	Releases  stageReleases  `cmd:"" help:"List what can be rolled back to."`
	Tags      stageTags      `cmd:"" help:"List the image's tags, and which of them deploy when pushed."`
	Instances stageInstances `cmd:"" help:"List a stage's instances, also those that are gone, and where their logs are."`
	Compare   stageCompare   `cmd:"" help:"Line up the variables and settings of stages."`
	Metrics   stageMetrics   `cmd:"" help:"Show requests, errors and how long answers took, over time."`
	Usage     stageUsage     `cmd:"" help:"Show CPU and memory over time."`

	Pause       stagePause       `cmd:"" help:"Keep a stage as it is: nothing is deployed to it."`
	Resume      stageResume      `cmd:"" help:"Let deployments to a stage again."`
	Maintenance stageMaintenance `cmd:"" help:"Have a stage answer with a maintenance page, or with its app again."`
}

// stageName is how most commands name a stage.
type stageName struct {
	Project string `arg:"" predictor:"project" help:"The project's name."`
	Stage   string `arg:"" predictor:"stage" help:"The stage's name."`
}

func (n stageName) path() string { return pathf("/api/projects/%s/stages/%s", n.Project, n.Stage) }

func (n stageName) String() string { return n.Project + "/" + n.Stage }

type stageShow struct{ stageName }

// Run shows one stage.
func (cmd *stageShow) Run(ctx context.Context, c *client, o *output) error {
	var s deploy.StageStatus
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	return o.result(s, func() { o.stage(s) })
}

func (o *output) stage(s deploy.StageStatus) {
	pairs := [][2]string{
		{"Stage", s.Project + "/" + s.Name},
		{"State", string(s.State)},
		{"Address", s.URL},
		{"Deploys", comesFrom(s.Spec)},
		{"Replicas", strconv.Itoa(s.Spec.Replicas)},
		{"Version", strconv.FormatInt(s.Version, 10)},
	}
	if s.Release != nil {
		pairs = append(pairs, [2]string{"Release", s.Release.Reference + " " + s.Release.Digest},
			[2]string{"Release id", s.Release.ID})
	}
	if p := s.Paused; p != nil {
		pairs = append(pairs, [2]string{"Paused", paused(*p)})
	}
	if m := s.Maintenance; m != nil {
		pairs = append(pairs, [2]string{"Maintenance", maintained(*m)})
	}
	if d := s.Held; d != nil {
		pairs = append(pairs, [2]string{"Held", fmt.Sprintf("%s of %s, %s: waits for %s", d.ID, d.Reference, ago(d.CreatedAt, time.Now()), waitsFor(*d))})
	}
	if d := s.Deployment; d != nil {
		pairs = append(pairs, [2]string{"Deployment", fmt.Sprintf("%s %s, %s", d.ID, d.State, ago(latest(d), time.Now()))},
			[2]string{"Error", d.Error})
		for _, w := range d.Watches {
			if w.State == deploy.Watching {
				pairs = append(pairs, [2]string{"Watched", watched(w)})
			}
		}
	}
	o.pairs(pairs...)
	if len(s.Instances) > 0 {
		o.printf("\n")
		o.instances(s.Instances)
	}
	if len(s.Changes) > 0 {
		o.printf("\nSaved and not deployed:\n")
		o.changes(s.Changes)
	}
}

func (o *output) instances(list []deploy.Instance) {
	rows := make([][]string, len(list))
	for i, n := range list {
		rows[i] = []string{n.ID, strconv.Itoa(n.Ordinal), string(n.State), n.Address, short(n.Container), n.Detail}
	}
	o.table([]string{"instance", "no.", "state", "address", "container", "detail"}, rows)
}

func (o *output) changes(list []deploy.Change) {
	for _, c := range list {
		o.printf("  %s: %q -> %q\n", oneLine(c.Field), c.From, c.To)
	}
}

// short is enough of an engine's id to find it by.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// comesFrom says which images come to a stage.
func comesFrom(s deploy.StageSpec) string {
	said := "tags " + string(s.Tags.Kind) + ":" + s.Tags.Pattern
	switch {
	case s.PromoteFrom != "":
		said = "promoted from " + s.PromoteFrom
		if s.AutoPromote {
			said += " by itself"
		}
		if s.PromoteAfter > 0 {
			said += " after " + time.Duration(s.PromoteAfter).String() + " healthy"
		}
	case s.Tags.Kind == deploy.TagNone || s.Tags.Kind == "":
		return "by hand (no tag deploys by itself)"
	}
	if s.Approve || s.PromoteApproval {
		said += ", once approved"
	}
	return said
}

type stageCreate struct {
	stageName
	specFlags
	check
}

// Help gives examples.
func (*stageCreate) Help() string {
	return `Examples:
  berth stage create shop prod --hostname shop.example.com --tags 'semver:^1' --env LOG_LEVEL=info
  berth stage create shop dev --hostname dev.shop.example.com --tags glob:main-* --set probe.path=/health
  berth stage create shop prod --file spec.json

` + specHelp
}

// Run creates a stage.
func (cmd *stageCreate) Run(ctx context.Context, c *client, o *output, p *process) error {
	spec, err := cmd.apply(deploy.StageSpec{}, p)
	if err != nil {
		return err
	}
	if cmd.Check {
		return cmd.report(ctx, c, o, cmd.stageName, spec)
	}
	var s deploy.Stage
	body := map[string]any{"name": cmd.Stage, "spec": spec}
	if err := c.call(ctx, http.MethodPost, pathf("/api/projects/%s/stages", cmd.Project), body, &s); err != nil {
		return err
	}
	return o.result(s, func() {
		o.printf("Created stage %s. Next: berth deploy %s %s TAG --wait\n", cmd.stageName, cmd.Project, cmd.Stage)
	})
}

type stageEdit struct {
	stageName
	specFlags
	check
}

// Help gives examples.
func (*stageEdit) Help() string {
	return `A saved change is live with the next deployment: "berth redeploy" makes one.

Examples:
  berth stage edit shop prod --replicas 2 --env LOG_LEVEL=debug --unset env.OLD
  berth stage edit shop prod --file spec.json --check
  berth stage show shop prod --json | jq .spec > spec.json; berth stage edit shop prod --file spec.json

` + specHelp
}

// Run changes what is named and keeps the rest.
func (cmd *stageEdit) Run(ctx context.Context, c *client, o *output, p *process) error {
	if cmd.empty() && !cmd.Check {
		return fault.Invalid("nothing to change: name what, as in --replicas 2 or --set probe.path=/health")
	}
	var old deploy.Stage
	if err := c.get(ctx, cmd.path(), &old); err != nil {
		return err
	}
	spec, err := cmd.apply(old.Spec, p)
	if err != nil {
		return err
	}
	if cmd.Check {
		return cmd.report(ctx, c, o, cmd.stageName, spec)
	}
	var s deploy.Stage
	body := map[string]any{"version": old.Version, "spec": spec}
	if err := c.call(ctx, http.MethodPut, cmd.path(), body, &s); err != nil {
		return err
	}
	var now deploy.StageStatus
	if err := c.get(ctx, cmd.path(), &now); err != nil {
		return err
	}
	return o.result(now, func() {
		o.printf("Saved stage %s.\n", cmd.stageName)
		if len(now.Changes) > 0 {
			o.printf("Not yet deployed:\n")
			o.changes(now.Changes)
			o.printf("\"berth redeploy %s %s --wait\" makes it live.\n", cmd.Project, cmd.Stage)
		}
	})
}

type stageRemove struct {
	stageName
	Yes bool `short:"y" help:"Do not ask."`
}

// Run removes a stage after asking.
func (cmd *stageRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	var s deploy.Stage
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	what := fmt.Sprintf("Stage %s will be removed, with its containers and history. %s", cmd.stageName, staying(s.VolumeNames()))
	if err := p.confirm(cmd.Yes, what); err != nil {
		return err
	}
	return removeKeeping(ctx, c, o, cmd.path(), "stage "+cmd.String())
}

type stageReleases struct {
	stageName
	Limit int `default:"20" help:"How many, the newest first; 0 for all."`
}

// Run lists releases.
func (cmd *stageReleases) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[deploy.Release](ctx, c, cmd.path()+"/releases", cmd.Limit)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, r := range list {
			state := "image is gone"
			switch {
			case r.Live:
				state = "live"
			case r.Available:
				state = "can be rolled back to"
			}
			rows[i] = append(releaseRow(r), state)
		}
		o.table([]string{"release", "image", "digest", "made", "state"}, rows)
	})
}

func releaseRow(r deploy.Release) []string {
	return []string{r.ID, r.Reference, short(r.Digest), ago(r.CreatedAt, time.Now())}
}
