package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"berth/internal/event"
)

type eventsCommand struct {
	Project    string `arg:"" optional:"" predictor:"project" help:"Only this project."`
	Stage      string `arg:"" optional:"" predictor:"stage" help:"Only this stage."`
	Deployment string `help:"Only this deployment, with its log lines."`
	Follow     bool   `short:"f" help:"Go on as they come."`
	Limit      int    `short:"n" default:"30" help:"How many earlier ones to begin with; 0 for all."`
}

// Run shows what happened, oldest first, and what happens.
func (cmd *eventsCommand) Run(ctx context.Context, c *client, o *output) error {
	query := url.Values{}
	for name, value := range map[string]string{"project": cmd.Project, "stage": cmd.Stage, "deployment": cmd.Deployment} {
		if value != "" {
			query.Set(name, value)
		}
	}
	after, err := cmd.earlier(ctx, c, o, query)
	if err != nil || !cmd.Follow {
		return err
	}
	for m, err := range c.follow(ctx, query, after) {
		if err != nil {
			return err
		}
		if m.event == "ping" {
			continue
		}
		var e event.Event
		if err := json.Unmarshal([]byte(m.data), &e); err != nil {
			return fmt.Errorf("read event %s: %w", m.id, err)
		}
		if err := o.event(e); err != nil {
			return err
		}
	}
	return nil
}

// earlier prints what happened before, and gives the id to go on from.
func (cmd *eventsCommand) earlier(ctx context.Context, c *client, o *output, query url.Values) (after string, err error) {
	var list []event.Event
	if cmd.Deployment != "" {
		list, err = deploymentLog(ctx, c, cmd.Deployment)
	} else {
		list, err = all[event.Event](ctx, c, "/api/activity?"+query.Encode(), cmd.Limit)
		slices.Reverse(list) // the API gives the newest first
	}
	if err != nil {
		return "", err
	}
	for _, e := range list {
		if err := o.event(e); err != nil {
			return "", err
		}
	}
	if len(list) == 0 {
		return "", nil
	}
	return strconv.FormatInt(list[len(list)-1].ID, 10), nil
}

func deploymentLog(ctx context.Context, c *client, id string) (list []event.Event, err error) {
	var after int64
	for {
		var p page[event.Event]
		if err := c.get(ctx, pathf("/api/deployments/%s/log", id)+fmt.Sprintf("?after=%d&limit=200", after), &p); err != nil {
			return nil, err
		}
		list = append(list, p.Items...)
		if len(p.Items) < 200 {
			return list, nil
		}
		after = p.Items[len(p.Items)-1].ID
	}
}

func (o *output) event(e event.Event) error {
	return o.line(e, func() {
		place := strings.Trim(e.Project+"/"+e.Stage, "/")
		o.printf("%s  %-18s %-16s %-12s %s\n",
			e.At.Local().Format("2006-01-02 15:04:05"), oneLine(string(e.Kind)), oneLine(place), oneLine(e.Actor), oneLine(eventText(e)))
	})
}

// eventText says in a few words what an event's data tells.
func eventText(e event.Event) string {
	var data map[string]any
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	var said []string
	for _, name := range []string{
		"step", "name", "text", "state", "ordinal", "reference", "repository", "tag", "username", "scope", "context", "host",
		"failed_step", "error", "detail",
	} {
		if v := data[name]; v != nil && v != "" {
			said = append(said, fmt.Sprint(v))
		}
	}
	if e.Deployment != "" && e.Kind == "deployment.state" {
		said = append(said, "("+e.Deployment+")")
	}
	return strings.Join(said, " ")
}
