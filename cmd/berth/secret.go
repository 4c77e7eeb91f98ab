package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/vault"
)

type secretCommand struct {
	List   secretList   `cmd:"" default:"withargs" help:"List secrets by name; values are not shown."`
	Get    secretGet    `cmd:"" help:"Show a secret's value, on the server's machine; it is written down."`
	Set    secretSet    `cmd:"" help:"Set a secret."`
	Remove secretRemove `cmd:"" help:"Remove a secret."`
}

type secretList struct {
	Context string `arg:"" optional:"" help:"Only this context."`
	Of      string `name:"context" placeholder:"CONTEXT" help:"The same, as an option."`
}

// Run lists secrets.
func (cmd *secretList) Run(ctx context.Context, c *client, o *output) error {
	slots, err := secrets(ctx, c, cmp.Or(cmd.Context, cmd.Of))
	if err != nil {
		return err
	}
	return o.result(slots, func() {
		rows := make([][]string, len(slots))
		for i, s := range slots {
			rows[i] = []string{s.Context, s.Name, strconv.FormatInt(s.Version, 10), ago(s.UpdatedAt, time.Now())}
		}
		o.table([]string{"context", "name", "version", "changed"}, rows)
	})
}

// secrets lists those of a context, or all when it is "".
func secrets(ctx context.Context, c *client, slotContext string) ([]vault.Slot, error) {
	return all[vault.Slot](ctx, c, "/api/secrets?"+url.Values{"context": {slotContext}}.Encode(), 0)
}

// secretName is CONTEXT NAME, or --context CONTEXT NAME.
type secretName struct {
	Of    string   `name:"context" placeholder:"CONTEXT" help:"What it belongs to, such as the project, instead of before its name."`
	Words []string `arg:"" name:"context-name" help:"What it belongs to, such as the project, and its name."`

	Context string `kong:"-"`
	Name    string `kong:"-"`
}

// AfterApply takes the words apart.
func (n *secretName) AfterApply() error {
	words := n.Words
	if n.Of != "" {
		words = append([]string{n.Of}, words...)
	}
	if len(words) != 2 {
		return fault.Invalid("name one secret: its context and its name, such as shop DATABASE_URL, or --context shop DATABASE_URL")
	}
	n.Context, n.Name = words[0], words[1]
	return nil
}

func (n *secretName) path() string { return pathf("/api/secrets/%s/%s", n.Context, n.Name) }

type secretGet struct{ secretName }

// Help says where it works.
func (*secretGet) Help() string {
	return `Only an administrator may see a value, and no API token is enough: run it as root or as Berth's user on the server's own machine,
or use the dashboard. That it was shown, and to whom, is in the audit.

Examples:
  berth secret get shop DATABASE_URL
  berth secret get --context shop DATABASE_URL`
}

// Run shows a secret.
func (cmd *secretGet) Run(ctx context.Context, c *client, o *output) error {
	var shown api.ShownSecret
	if err := c.get(ctx, cmd.path()+"/value", &shown); err != nil {
		return err
	}
	return o.result(shown, func() { o.printf("%s\n", shown.Value) })
}

type secretSet struct {
	secretName
	Force bool `help:"Set it also when somebody else does so meanwhile."`
}

// Help gives examples.
func (*secretSet) Help() string {
	return `The value is asked for, or read from stdin without its last line end.

Examples:
  berth secret set shop DATABASE_URL < url.txt
  berth stage edit shop prod --secret DATABASE_URL=shop/DATABASE_URL`
}

// Run sets a secret, over the version that there is before the value is asked
// for.
func (cmd *secretSet) Run(ctx context.Context, c *client, o *output, p *process) error {
	body := map[string]any{}
	if !cmd.Force {
		slots, err := secrets(ctx, c, cmd.Context)
		if err != nil {
			return err
		}
		body["version"] = 0
		for _, s := range slots {
			if s.Name == cmd.Name {
				body["version"] = s.Version
			}
		}
	}
	value, err := p.askSecret("Value of " + cmd.Context + "/" + cmd.Name)
	if err != nil {
		return err
	}
	body["value"] = value.Reveal()
	var slot vault.Slot
	if err := c.call(ctx, http.MethodPut, cmd.path(), body, &slot); err != nil {
		return err
	}
	return o.result(slot, func() {
		if vault.IsAdmins(cmd.Context, cmd.Name) {
			o.printf("Set %s/%s (version %d). It says who administers from now on: see \"berth access admins\".\n", cmd.Context, cmd.Name, slot.Version)
			return
		}
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
