package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
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
	activity := "/api/activity?" + query.Encode()
	if !cmd.Follow {
		return cmd.earlier(ctx, c, o, activity, math.MaxInt64)
	}
	began := false
	for m, err := range c.follow(ctx, query, "") {
		if err != nil {
			return err
		}
		if m.event == "ping" {
			// The first one tells where the stream begins. What is earlier is
			// asked for now, so that nothing falls in between or comes twice.
			if !began {
				began = true
				err = cmd.before(ctx, c, o, activity, m)
			}
		} else {
			err = o.message(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// before prints what happened before a stream that begins with a ping.
func (cmd *eventsCommand) before(ctx context.Context, c *client, o *output, activity string, ping message) error {
	upTo, err := strconv.ParseInt(ping.id, 10, 64)
	if err != nil {
		return fmt.Errorf("read where the stream begins: %w", err)
	}
	return cmd.earlier(ctx, c, o, activity, upTo)
}

// earlier prints what happened up to the event upTo.
func (cmd *eventsCommand) earlier(ctx context.Context, c *client, o *output, activity string, upTo int64) (err error) {
	var list []event.Event
	if cmd.Deployment != "" {
		list, err = deploymentLog(ctx, c, cmd.Deployment)
	} else {
		list, err = all[event.Event](ctx, c, activity, cmd.Limit)
		slices.Reverse(list) // the API gives the newest first
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.ID > upTo {
			break
		}
		if err := o.event(e); err != nil {
			return err
		}
	}
	return nil
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

// message prints the event that a stream's message holds.
func (o *output) message(m message) error {
	var e event.Event
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		return fmt.Errorf("read event %s: %w", m.id, err)
	}
	return o.event(e)
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
