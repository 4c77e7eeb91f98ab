package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"berth/internal/fault"
	"berth/internal/identity"
)

type groupCommand struct {
	List   groupList   `cmd:"" default:"withargs" help:"List groups with their members."`
	Add    groupAdd    `cmd:"" help:"Make a group."`
	Edit   groupEdit   `cmd:"" help:"Change a group's description, or who is in it."`
	Remove groupRemove `cmd:"" help:"Remove a group."`
}

type groupList struct{}

// Run lists groups.
func (*groupList) Run(ctx context.Context, c *client, o *output) error {
	var list page[identity.Group]
	if err := c.get(ctx, "/api/groups", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, g := range list.Items {
			rows[i] = []string{g.Name, strconv.Itoa(len(g.Members)), strings.Join(g.Members, ", "), oneLine(g.Description)}
		}
		o.table([]string{"group", "people", "members", "description"}, rows)
	})
}

type groupAdd struct {
	Name        string   `arg:"" help:"What policies call it, such as ops."`
	Members     []string `arg:"" optional:"" help:"Usernames of those in it."`
	Description string   `short:"d" help:"What it is for."`
}

// Run makes a group.
func (cmd *groupAdd) Run(ctx context.Context, c *client, o *output) error {
	var made identity.Group
	body := map[string]any{"name": cmd.Name, "description": cmd.Description, "members": append([]string{}, cmd.Members...)}
	if err := c.call(ctx, http.MethodPost, "/api/groups", body, &made); err != nil {
		return err
	}
	return o.result(made, func() { o.printf("Made the group %s with %d people.\n", made.Name, len(made.Members)) })
}

type groupEdit struct {
	Name        string   `arg:"" help:"Which."`
	Add         []string `help:"Usernames that come to it."`
	Remove      []string `help:"Usernames that leave it."`
	Description *string  `short:"d" help:"What it is for."`
}

// Run changes what is named and keeps the rest.
func (cmd *groupEdit) Run(ctx context.Context, c *client, o *output) error {
	if len(cmd.Add) == 0 && len(cmd.Remove) == 0 && cmd.Description == nil {
		return fault.Invalid("nothing to change: give --add, --remove or --description")
	}
	path := pathf("/api/groups/%s", cmd.Name)
	var g identity.Group
	if err := c.get(ctx, path, &g); err != nil {
		return err
	}
	body := map[string]any{"version": g.Version}
	if cmd.Description != nil {
		body["description"] = *cmd.Description
	}
	if len(cmd.Add)+len(cmd.Remove) > 0 {
		body["members"] = slices.DeleteFunc(append(g.Members, cmd.Add...), func(name string) bool { return slices.Contains(cmd.Remove, name) })
	}
	if err := c.call(ctx, http.MethodPatch, path, body, &g); err != nil {
		return err
	}
	return o.result(g, func() { o.printf("Changed %s: %d people.\n", g.Name, len(g.Members)) })
}

type groupRemove struct {
	Name string `arg:"" help:"Which."`
}

// Run removes a group.
func (cmd *groupRemove) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodDelete, pathf("/api/groups/%s", cmd.Name), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Name}, func() {
		o.printf("Removed %s. Policies that name it let nobody in by it.\n", cmd.Name)
	})
}
