package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/webhook"
)

type webhookCommand struct {
	List       webhookList       `cmd:"" default:"withargs" help:"List webhooks with the last delivery of each."`
	Add        webhookAdd        `cmd:"" help:"Add a webhook; its address is shown this once."`
	Remove     webhookRemove     `cmd:"" help:"Remove a webhook and its deliveries."`
	Deliveries webhookDeliveries `cmd:"" help:"List what was sent to a webhook, newest first; or show one delivery."`
	Replay     webhookReplay     `cmd:"" help:"Take a delivery again."`
}

type webhookList struct {
	Project string `arg:"" optional:"" predictor:"project" help:"Only those of this project."`
}

// Run lists webhooks.
func (cmd *webhookList) Run(ctx context.Context, c *client, o *output) error {
	var list page[webhook.Webhook]
	if err := c.get(ctx, "/api/hooks?"+url.Values{"project": {cmd.Project}}.Encode(), &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, h := range list.Items {
			of, checked, last := "all projects", "no", "never"
			if h.Project != "" {
				of = h.Project
			}
			if h.Secret {
				checked = "yes"
			}
			if h.Last != nil {
				last = string(h.Last.Verdict) + " " + ago(h.Last.At, time.Now())
			}
			rows[i] = []string{h.ID, h.Name, string(h.Source), of, checked, last}
		}
		o.table([]string{"webhook", "name", "source", "for", "secret", "last delivery"}, rows)
	})
}

type webhookAdd struct {
	Name     string         `arg:"" help:"What it is for."`
	Source   webhook.Source `arg:"" help:"Who sends: dockerhub, github, gitea, forgejo, gitlab, distribution, harbor, quay, zot or generic."`
	Project  string         `predictor:"project" help:"Only for this project's image; for all by default."`
	Registry string         `help:"The host that its images have in projects, where the sender does not say one or says another."`
	Secret   *bool          `negatable:"" help:"Have deliveries signed, or carry a secret, which is made and shown this once. The default where the sender has a way to."`
}

// Help gives examples.
func (*webhookAdd) Help() string {
	return `Examples:
  berth webhook add hub dockerhub --project shop
  berth webhook add packages github
  berth webhook add "the registry" zot --registry zot.example.org
  berth webhook add script generic --no-secret`
}

// Run adds a webhook.
func (cmd *webhookAdd) Run(ctx context.Context, c *client, o *output) error {
	secret := cmd.Source.HasSecret()
	if cmd.Secret != nil {
		secret = *cmd.Secret
	}
	body := map[string]any{"name": cmd.Name, "source": cmd.Source, "generate_secret": secret}
	if cmd.Project != "" {
		body["project"] = cmd.Project
	}
	if cmd.Registry != "" {
		body["registry"] = cmd.Registry
	}
	var made api.NewWebhook
	if err := c.call(ctx, http.MethodPost, "/api/hooks", body, &made); err != nil {
		return err
	}
	return o.result(made, func() {
		o.note("Keep these now, they are not shown again:")
		o.pairs([2]string{"address", made.URL}, [2]string{"secret", made.SecretText})
	})
}

type webhookRemove struct {
	Webhook string `arg:"" help:"The webhook's id."`
	Yes     bool   `short:"y" help:"Do not ask."`
}

// Run removes a webhook.
func (cmd *webhookRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, "The webhook "+cmd.Webhook+" will be removed with its deliveries; its address stops working."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, pathf("/api/hooks/%s", cmd.Webhook), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Webhook}, func() { o.printf("Removed webhook %s.\n", cmd.Webhook) })
}

type webhookDeliveries struct {
	Webhook  string `arg:"" help:"The webhook's id."`
	Delivery string `arg:"" optional:"" help:"Show this one, with what was sent."`
	Limit    int    `short:"n" default:"30" help:"How many; 0 for all."`
}

// Run lists deliveries, or shows one.
func (cmd *webhookDeliveries) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Delivery != "" {
		return cmd.show(ctx, c, o)
	}
	list, err := all[webhook.Delivery](ctx, c, pathf("/api/hooks/%s/deliveries", cmd.Webhook), cmd.Limit)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, d := range list {
			rows[i] = []string{d.ID, d.At.Local().Format("2006-01-02 15:04:05"), string(d.Verdict), d.Event, hintsText(d), d.Reason}
		}
		o.table([]string{"delivery", "at", "verdict", "event", "images", "why"}, rows)
	})
}

func (cmd *webhookDeliveries) show(ctx context.Context, c *client, o *output) error {
	var d api.DeliveryDetail
	if err := c.get(ctx, pathf("/api/hooks/%s/deliveries/%s", cmd.Webhook, cmd.Delivery), &d); err != nil {
		return err
	}
	return o.result(d, func() {
		o.pairs([2]string{"delivery", d.ID}, [2]string{"at", d.At.Local().Format("2006-01-02 15:04:05")},
			[2]string{"verdict", string(d.Verdict)}, [2]string{"why", d.Reason}, [2]string{"event", d.Event},
			[2]string{"images", hintsText(d.Delivery)}, [2]string{"bytes", strconv.FormatInt(d.Size, 10)},
			[2]string{"replay of", d.ReplayOf}, [2]string{"replayed by", d.Actor})
		for line := range strings.Lines(d.Payload) {
			o.printf("%s\n", oneLine(strings.TrimRight(line, "\r\n")))
		}
	})
}

func hintsText(d webhook.Delivery) string {
	said := make([]string, len(d.Hints))
	for i, h := range d.Hints {
		said[i] = h.String()
	}
	return strings.Join(said, " ")
}

type webhookReplay struct {
	Webhook  string `arg:"" help:"The webhook's id."`
	Delivery string `arg:"" help:"The delivery's id."`
}

// Run replays a delivery.
func (cmd *webhookReplay) Run(ctx context.Context, c *client, o *output) error {
	var d webhook.Delivery
	if err := c.call(ctx, http.MethodPost, pathf("/api/hooks/%s/deliveries/%s/replay", cmd.Webhook, cmd.Delivery), nil, &d); err != nil {
		return err
	}
	return o.result(d, func() {
		why := ""
		if d.Reason != "" {
			why = ": " + oneLine(d.Reason)
		}
		o.printf("Replayed as %s: it is %s%s.\n", d.ID, d.Verdict, why)
	})
}
