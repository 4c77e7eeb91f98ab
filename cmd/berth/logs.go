package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"berth/internal/deploy"
	"berth/internal/fault"
)

type logsCommand struct {
	stageName
	Follow   bool          `short:"f" help:"Go on as lines come."`
	Tail     int           `short:"n" default:"100" help:"The newest lines that match to begin with; 0 for all."`
	Since    time.Duration `help:"Only lines of this last while, such as 10m."`
	Until    time.Duration `help:"Only lines that are older than this, such as 5m; not with --follow."`
	Search   string        `help:"Only lines with this text, without regard to case."`
	Regexp   bool          `help:"--search is a regular expression (RE2)."`
	Instance string        `help:"Only this instance, by its number, or by its id also when it is gone."`
	Previous bool          `help:"Also of instances that are gone; \"berth stage instances\" lists them."`
}

// Run shows what the instances of a stage write.
func (cmd *logsCommand) Run(ctx context.Context, c *client, o *output) error {
	path, name, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	query := url.Values{"tail": {strconv.Itoa(cmd.Tail)}}
	for flag, on := range map[string]bool{"follow": cmd.Follow, "regexp": cmd.Regexp, "previous": cmd.Previous && cmd.Instance == ""} {
		if on {
			query.Set(flag, "true")
		}
	}
	if cmd.Search != "" {
		query.Set("search", cmd.Search)
	}
	for flag, ago := range map[string]time.Duration{"since": cmd.Since, "until": cmd.Until} {
		if ago > 0 {
			query.Set(flag, time.Now().Add(-ago).UTC().Format(time.RFC3339Nano))
		}
	}
	ended := false
	for m, err := range c.stream(ctx, path+"?"+query.Encode()) {
		if err != nil {
			return err
		}
		if m.event != "line" {
			ended = ended || m.event == "end"
			continue
		}
		if err := o.logLine(m, name); err != nil {
			return err
		}
	}
	if !ended && ctx.Err() == nil {
		return fault.Unavailable("the log broke off: Berth stops, or the container engine does not answer")
	}
	return nil
}

// find gives where the log is, and whether its lines are of several instances.
func (cmd *logsCommand) find(ctx context.Context, c *client) (path string, several bool, err error) {
	var s deploy.StageStatus
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return "", false, err
	}
	for _, n := range s.Instances {
		if cmd.Instance == n.ID || cmd.Instance == strconv.Itoa(n.Ordinal) {
			return pathf("/api/instances/%s/logs", n.ID), false, nil
		}
	}
	if cmd.Instance == "" && (cmd.Previous || len(s.Instances) > 0) {
		return cmd.path() + "/logs", cmd.Previous || len(s.Instances) > 1, nil
	}
	var all page[deploy.SeenInstance]
	if err := c.get(ctx, cmd.path()+"/instances", &all); err != nil {
		return "", false, err
	}
	for _, n := range all.Items {
		if cmd.Instance == n.ID {
			return pathf("/api/instances/%s/logs", n.ID), false, nil
		}
	}
	return "", false, fault.NotFound("%s has no such instance running; --previous shows what is kept of those that are gone", cmd.stageName)
}

func (o *output) logLine(m message, several bool) error {
	var line deploy.LoggedLine
	if err := json.Unmarshal([]byte(m.data), &line); err != nil {
		return fmt.Errorf("read log line: %w", err)
	}
	return o.line(line, func() {
		prefix := line.At.Local().Format("15:04:05.000 ")
		if several {
			prefix += strconv.Itoa(line.Ordinal) + " | "
		}
		o.printf("%s%s\n", prefix, oneLine(line.Text))
	})
}

type stageInstances struct {
	stageName
}

// Run lists a stage's instances, also those that are gone.
func (cmd *stageInstances) Run(ctx context.Context, c *client, o *output) error {
	var list page[deploy.SeenInstance]
	if err := c.get(ctx, cmd.path()+"/instances", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, n := range list.Items {
			rows[i] = []string{n.ID, strconv.Itoa(n.Ordinal), string(n.State), string(n.Log), n.CreatedAt.Local().Format("2006-01-02 15:04:05"), n.Deployment}
		}
		o.table([]string{"instance", "number", "state", "log", "made", "deployment"}, rows)
	})
}
