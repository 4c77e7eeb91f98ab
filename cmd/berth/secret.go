package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"berth/internal/vault"
)

type secretCommand struct {
	List   secretList   `cmd:"" default:"withargs" help:"List secrets by name; values are never shown."`
	Set    secretSet    `cmd:"" help:"Set a secret."`
	Remove secretRemove `cmd:"" help:"Remove a secret."`
}

type secretList struct {
	Context string `arg:"" optional:"" help:"Only this context."`
}

// Run lists secrets.
func (cmd *secretList) Run(ctx context.Context, c *client, o *output) error {
	var list page[vault.Slot]
	if err := c.get(ctx, "/api/secrets?"+url.Values{"context": {cmd.Context}}.Encode(), &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, s := range list.Items {
			rows[i] = []string{s.Context, s.Name, strconv.FormatInt(s.Version, 10), ago(s.UpdatedAt, time.Now())}
		}
		o.table([]string{"context", "name", "version", "changed"}, rows)
	})
}

type secretName struct {
	Context string `arg:"" help:"What it belongs to, such as the project."`
	Name    string `arg:"" help:"Its name."`
}

func (n secretName) path() string { return pathf("/api/secrets/%s/%s", n.Context, n.Name) }

type secretSet struct{ secretName }

// Help gives examples.
func (*secretSet) Help() string {
	return `The value is asked for, or read from stdin without its last line end.

Examples:
  berth secret set shop DATABASE_URL < url.txt
  berth stage edit shop prod --secret DATABASE_URL=shop/DATABASE_URL`
}

// Run sets a secret.
func (cmd *secretSet) Run(ctx context.Context, c *client, o *output, p *process) error {
	value, err := p.askSecret("Value of " + cmd.Context + "/" + cmd.Name)
	if err != nil {
		return err
	}
	var slot vault.Slot
	if err := c.call(ctx, http.MethodPut, cmd.path(), map[string]string{"value": value.Reveal()}, &slot); err != nil {
		return err
	}
	return o.result(slot, func() {
		o.printf("Set %s/%s (version %d). Stages that use it get it with their next deployment.\n", cmd.Context, cmd.Name, slot.Version)
	})
}

type secretRemove struct {
	secretName
	Yes bool `short:"y" help:"Do not ask."`
}

// Run removes a secret.
func (cmd *secretRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	what := cmd.Context + "/" + cmd.Name
	if err := p.confirm(cmd.Yes, "The secret "+what+" will be removed; stages that use it can not be deployed then."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, cmd.path(), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": what}, func() { o.printf("Removed %s.\n", what) })
}
