package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/notify"
)

type notifyCommand struct {
	List   notifyList   `cmd:"" default:"withargs" help:"List the channels."`
	Add    notifyAdd    `cmd:"" help:"Add a channel."`
	Edit   notifyEdit   `cmd:"" help:"Change a channel."`
	Test   notifyTest   `cmd:"" help:"Send a test message."`
	Sent   notifySent   `cmd:"" help:"Show what was sent, and what could not be."`
	Retry  notifyRetry  `cmd:"" help:"Send a message again that failed."`
	Remove notifyRemove `cmd:"" help:"Remove a channel and the record of what it was sent."`
}

type notifyList struct {
	Project string `short:"p" help:"Only the channels of this project."`
}

// Run lists channels.
func (cmd *notifyList) Run(ctx context.Context, c *client, o *output) error {
	var list page[notify.Channel]
	if err := c.get(ctx, "/api/channels?"+url.Values{"project": {cmd.Project}}.Encode(), &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, ch := range list.Items {
			project, to := ch.Project, ch.Hint
			if project == "" {
				project = "all of Berth"
			}
			if to == "" {
				to = "no address yet"
			}
			if !ch.Enabled {
				to += " (off)"
			}
			rows[i] = []string{ch.Name, string(ch.Service), project, to, joinKinds(ch.Kinds)}
		}
		o.table([]string{"channel", "service", "about", "to", "told of"}, rows)
	})
}

func joinKinds(kinds []notify.Kind) string {
	if len(kinds) == len(notify.Kinds) {
		return "everything"
	}
	return joinWords(kinds)
}

func joinWords[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

type notifyAdd struct {
	Name    string         `arg:"" help:"What to call it, such as ops."`
	Service notify.Service `arg:"" enum:"email,slack,discord,matrix,ntfy,teams,webhook" help:"email, slack, discord, matrix, ntfy, teams or webhook."`
	Project string         `short:"p" help:"Only what is about this project; all of Berth by default, which takes an administrator."`
	Kind    []notify.Kind  `short:"k" help:"What to be told of, more than once or with commas: ${kinds}. By default deployments that fail or wait, roll backs, and instances that are down."`
	Off     bool           `help:"Add it switched off."`
}

// Help says what an address is.
func (*notifyAdd) Help() string {
	return `The address is asked for, or read from stdin: it holds tokens, and is never shown again.

  email    smtp://user:password@host:587?from=berth@example.org&to=ana@example.org,bo@example.org
           (smtps://…:465 for a server that speaks TLS at once)
  slack    https://hooks.slack.com/services/…
  discord  https://discord.com/api/webhooks/…
  matrix   https://:access-token@matrix.example.org/!room:example.org
  ntfy     https://ntfy.sh/topic, or https://:token@ntfy.example.org/topic
  teams    the URL that a Teams workflow gives
  webhook  any URL; the secret that messages are signed with is shown once

Examples:
  berth notify add ops slack < address.txt
  berth notify add shop-mail email --project shop --kind deployment.live,deployment.failed`
}

// usualKinds is what most people want to hear of a project.
var usualKinds = []notify.Kind{notify.DeploymentFailed, notify.DeploymentHeld, notify.DeploymentRolledBack, notify.InstanceDown}

// Run adds a channel.
func (cmd *notifyAdd) Run(ctx context.Context, c *client, o *output, p *process) error {
	address, err := p.askSecret("Address of " + cmd.Name)
	if err != nil {
		return err
	}
	kinds := cmd.Kind
	if len(kinds) == 0 {
		kinds = usualKinds
	}
	body := map[string]any{
		"name": cmd.Name, "service": cmd.Service, "project": cmd.Project, "kinds": kinds, "enabled": !cmd.Off, "address": address.Reveal(),
	}
	var made api.SavedChannel
	if err := c.call(ctx, http.MethodPost, "/api/channels", body, &made); err != nil {
		return err
	}
	return o.result(made, func() {
		o.printf("Added channel %s, to %s.\n", made.Name, made.Hint)
		showSigningSecret(o, made)
		o.note("Try it with: berth notify test %s", made.Name)
	})
}

func showSigningSecret(o *output, c api.SavedChannel) {
	if c.SigningSecret != "" {
		o.note("Its messages are signed with this secret. Keep it now, it is not shown again:")
		o.printf("%s\n", c.SigningSecret)
	}
}

type notifyEdit struct {
	Channel          string        `arg:"" help:"The channel."`
	Rename           *string       `help:"What to call it from now on."`
	Kind             []notify.Kind `short:"k" help:"What to be told of instead, more than once or with commas: ${kinds}."`
	On               *bool         `negatable:"" help:"Switch it on, or with --no-on off."`
	Address          bool          `help:"Ask for another address, or read it from stdin."`
	NewSigningSecret bool          `help:"Sign a webhook's messages with a new secret, which is shown once."`
}

// Run changes what is named and keeps the rest.
func (cmd *notifyEdit) Run(ctx context.Context, c *client, o *output, p *process) error {
	if cmd.Rename == nil && len(cmd.Kind) == 0 && cmd.On == nil && !cmd.Address && !cmd.NewSigningSecret {
		return fault.Invalid("nothing to change: give --rename, --kind, --on, --no-on, --address or --new-signing-secret")
	}
	path := pathf("/api/channels/%s", cmd.Channel)
	var was notify.Channel
	if err := c.get(ctx, path, &was); err != nil {
		return err
	}
	body := map[string]any{"version": was.Version}
	if cmd.Rename != nil {
		body["name"] = *cmd.Rename
	}
	if len(cmd.Kind) > 0 {
		body["kinds"] = cmd.Kind
	}
	if cmd.On != nil {
		body["enabled"] = *cmd.On
	}
	if cmd.Address {
		address, err := p.askSecret("New address of " + cmd.Channel)
		if err != nil {
			return err
		}
		body["address"] = address.Reveal()
	}
	if cmd.NewSigningSecret {
		body["new_signing_secret"] = true
	}
	var now api.SavedChannel
	if err := c.call(ctx, http.MethodPatch, path, body, &now); err != nil {
		return err
	}
	return o.result(now, func() {
		o.printf("Changed channel %s.\n", now.Name)
		showSigningSecret(o, now)
	})
}

type notifyTest struct {
	Channel string `arg:"" help:"The channel."`
}

// Run sends a test message, and fails when it was not taken.
func (cmd *notifyTest) Run(ctx context.Context, c *client, o *output) error {
	var d notify.Delivery
	if err := c.call(ctx, http.MethodPost, pathf("/api/channels/%s/test", cmd.Channel), nil, &d); err != nil {
		return err
	}
	if d.State != notify.Sent {
		return fault.Unavailable("the message was not taken: %s", d.Error)
	}
	return o.result(d, func() { o.printf("Sent. Look for %q there.\n", d.Notice.Title) })
}

type notifySent struct {
	Channel string       `arg:"" optional:"" help:"Only this channel."`
	Project string       `short:"p" help:"Only the channels of this project."`
	State   notify.State `enum:",pending,sent,failed" default:"" help:"Only what is pending, sent or failed."`
	Limit   int          `short:"n" default:"50" help:"How many at most; 0 for all."`
}

// Run lists the record, the newest first.
func (cmd *notifySent) Run(ctx context.Context, c *client, o *output) error {
	query := url.Values{}
	for name, value := range map[string]string{"channel": cmd.Channel, "project": cmd.Project, "state": string(cmd.State)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	list, err := all[notify.Delivery](ctx, c, "/api/notifications?"+query.Encode(), cmd.Limit)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, d := range list {
			rows[i] = []string{d.ID, ago(d.CreatedAt, time.Now()), d.Channel, string(d.State), d.Notice.Title, d.Error}
		}
		o.table([]string{"message", "when", "channel", "state", "title", "error"}, rows)
	})
}

type notifyRetry struct {
	Message string `arg:"" help:"The message's id, as \"berth notify sent\" shows it."`
}

// Run has a message sent again.
func (cmd *notifyRetry) Run(ctx context.Context, c *client, o *output) error {
	var d notify.Delivery
	if err := c.call(ctx, http.MethodPost, pathf("/api/notifications/%s/retry", cmd.Message), nil, &d); err != nil {
		return err
	}
	return o.result(d, func() { o.printf("It is sent to %s again.\n", d.Channel) })
}

type notifyRemove struct {
	Channel string `arg:"" help:"The channel."`
	Yes     bool   `short:"y" help:"Do not ask."`
}

// Run removes a channel.
func (cmd *notifyRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, "Channel "+cmd.Channel+" will be removed, with its address and the record of what it was sent."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, pathf("/api/channels/%s", cmd.Channel), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Channel}, func() { o.printf("Removed channel %s.\n", cmd.Channel) })
}
