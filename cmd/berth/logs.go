package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/fault"
)

type logsCommand struct {
	stageName
	Follow   bool          `short:"f" help:"Go on as lines come."`
	Tail     int           `short:"n" default:"100" help:"Lines of each instance to begin with; 0 for all."`
	Since    time.Duration `help:"Only lines of this last while, such as 10m."`
	Instance string        `help:"Only this instance, by its id or number."`
}

// Run shows what the instances of a stage write.
func (cmd *logsCommand) Run(ctx context.Context, c *client, o *output) error {
	var s deploy.StageStatus
	if err := c.get(ctx, cmd.path(), &s); err != nil {
		return err
	}
	var chosen []deploy.Instance
	for _, n := range s.Instances {
		if cmd.Instance == "" || cmd.Instance == n.ID || cmd.Instance == strconv.Itoa(n.Ordinal) {
			chosen = append(chosen, n)
		}
	}
	if len(chosen) == 0 {
		return fault.NotFound("%s has no such instance running", cmd.stageName)
	}
	query := url.Values{"tail": {strconv.Itoa(cmd.Tail)}}
	if cmd.Follow {
		query.Set("follow", "true")
	}
	if cmd.Since > 0 {
		query.Set("since", time.Now().Add(-cmd.Since).UTC().Format(time.RFC3339))
	}
	return cmd.print(ctx, c, o, chosen, query, len(s.Instances) > 1)
}

// print shows several instances' lines as they come, one after another when
// nothing is followed.
func (cmd *logsCommand) print(ctx context.Context, c *client, o *output, list []deploy.Instance, query url.Values, name bool) error {
	var mu sync.Mutex
	show := func(n deploy.Instance) error {
		for m, err := range c.stream(ctx, pathf("/api/instances/%s/logs", n.ID)+"?"+query.Encode()) {
			if err != nil {
				return fmt.Errorf("instance %s: %w", n.ID, err)
			}
			if m.event != "line" {
				continue
			}
			mu.Lock()
			err := o.logLine(m, n, name)
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(list))
	if !cmd.Follow {
		for i, n := range list {
			errs[i] = show(n)
		}
		return errors.Join(errs...)
	}
	var group sync.WaitGroup
	for i, n := range list {
		group.Go(func() { errs[i] = show(n) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (o *output) logLine(m message, n deploy.Instance, name bool) error {
	var line container.LogLine
	if err := json.Unmarshal([]byte(m.data), &line); err != nil {
		return fmt.Errorf("read log line: %w", err)
	}
	return o.line(struct {
		Instance string `json:"instance"`
		container.LogLine
	}{n.ID, line}, func() {
		prefix := line.At.Local().Format("15:04:05.000 ")
		if name {
			prefix += strconv.Itoa(n.Ordinal) + " | "
		}
		o.printf("%s%s\n", prefix, oneLine(line.Text))
	})
}
