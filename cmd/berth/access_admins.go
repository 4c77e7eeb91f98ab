package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"berth/internal/api"
	"berth/internal/fault"
)

type adminsCommand struct {
	Show   adminsShow   `cmd:"" default:"withargs" help:"Show who administers, and why."`
	Set    adminsSet    `cmd:"" help:"Say who administers, and nobody else does."`
	Add    adminsAdd    `cmd:"" help:"Put somebody on the list."`
	Remove adminsRemove `cmd:"" help:"Take somebody off the list."`
	Clear  adminsClear  `cmd:"" help:"Have no list: everybody's own role counts."`
}

// Help tells what an entry is.
func (*adminsCommand) Help() string {
	return `The list is kept as the secret berth/ADMINS, and acts at once. Where BERTH_ADMINS is set, that says who administers instead. One account always does: the oldest with a password that was made an administrator here.

An entry is somebody at a provider: github:alice by username, corp:bob@example.org by an address that the provider says is theirs, corp:#1234 by the provider's own id, which is the surest; local:carol is an account of Berth's own.

Examples:
  berth access admins
  berth access admins set local:carol github:alice
  berth access admins add 'corp:#1234'`
}

type adminsShow struct{}

// Run shows who administers.
func (*adminsShow) Run(ctx context.Context, c *client, o *output) error {
	var now api.Administrators
	if err := c.get(ctx, adminsPath, &now); err != nil {
		return err
	}
	return o.result(now, func() { o.administrators(now) })
}

const adminsPath = "/api/administrators"

// adminsForce is of what takes people off the list.
type adminsForce struct {
	Force bool `help:"Also where people have no way in left by it, without being asked: their passwords sign in administrators alone."`
}

type adminsSet struct {
	Entries []string `arg:"" help:"Such as github:alice. Repeatable."`
	adminsForce
}

// Run replaces the list.
func (cmd *adminsSet) Run(ctx context.Context, c *client, o *output, p *process) error {
	return cmd.change(ctx, c, o, p, func([]string) ([]string, error) { return cmd.Entries, nil })
}

type adminsAdd struct {
	Entries []string `arg:"" help:"Such as github:alice. Repeatable."`
	adminsForce
}

// Run puts somebody on the list.
func (cmd *adminsAdd) Run(ctx context.Context, c *client, o *output, p *process) error {
	return cmd.change(ctx, c, o, p, func(have []string) ([]string, error) { return append(have, cmd.Entries...), nil })
}

type adminsRemove struct {
	Entries []string `arg:"" help:"As they are listed. Repeatable."`
	adminsForce
}

// Run takes somebody off the list.
func (cmd *adminsRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	return cmd.change(ctx, c, o, p, func(have []string) ([]string, error) {
		for _, one := range cmd.Entries {
			if !slices.Contains(have, one) {
				return nil, fault.NotFound("%s is not on the list", one)
			}
		}
		left := slices.DeleteFunc(have, func(one string) bool { return slices.Contains(cmd.Entries, one) })
		if len(left) == 0 {
			return nil, fault.Invalid("nobody would be on the list, and everybody's own role count: say so with \"berth access admins clear\"")
		}
		return left, nil
	})
}

type adminsClear struct {
	Yes bool `short:"y" help:"Do not ask."`
	adminsForce
}

// Run removes the list.
func (cmd *adminsClear) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, "The list of administrators will be removed: whoever has the role administrates then."); err != nil {
		return err
	}
	return cmd.change(ctx, c, o, p, func([]string) ([]string, error) { return []string{}, nil })
}

// change replaces the list that there is, when nobody else has meanwhile.
func (f adminsForce) change(ctx context.Context, c *client, o *output, p *process, change func(have []string) ([]string, error)) error {
	var now api.Administrators
	if err := c.get(ctx, adminsPath, &now); err != nil {
		return err
	}
	have := make([]string, len(now.Entries))
	for i, one := range now.Entries {
		have[i] = one.Entry
	}
	entries, err := change(have)
	if err != nil {
		return err
	}
	version := now.Version
	err = p.meant(f.Force, func(force bool) error {
		return c.call(ctx, http.MethodPut, adminsPath, map[string]any{"entries": entries, "version": version, "force": force}, &now)
	})
	if err != nil {
		return err
	}
	return o.result(now, func() { o.administrators(now) })
}

// administrators prints who administers, and what became of each entry.
func (o *output) administrators(now api.Administrators) {
	switch now.Source {
	case "none":
		o.printf("Everybody's own role says who administers.\n")
	case "slot":
		o.printf("The secret berth/ADMINS says who administers.\n")
	case "settings":
		o.printf("BERTH_ADMINS says who administers (%s).\n", now.From)
	}
	if now.Problem != "" {
		o.printf("Its last change does not count: %s\n", now.Problem)
	}
	if len(now.Entries) > 0 {
		rows := make([][]string, len(now.Entries))
		for i, one := range now.Entries {
			rows[i] = []string{one.Entry, adminWords[one.State], one.Username, one.ExternalID}
		}
		o.printf("\n")
		o.table([]string{"entry", "state", "is", "bound to"}, rows)
	}
	rows := make([][]string, len(now.People))
	for i, p := range now.People {
		state := "on"
		if p.Disabled {
			state = "disabled"
		}
		rows[i] = []string{p.Username, state, strings.Join(p.Why, ", ")}
	}
	o.printf("\n")
	o.table([]string{"administrator", "state", "why"}, rows)
}

var adminWords = map[string]string{
	"administers": "administers",
	"waits":       "waits for who it is to sign in",
	"unclear":     "fits several, and so nobody",
	"other":       "bound to who has another name now, or is gone",
	"no_provider": "there is no such provider",
}
