package main

import (
	"context"
	"net/http"
	"time"

	"berth/internal/deploy"
)

type imagePrune struct {
	DryRun bool `help:"Only say what would go, and why some stays."`
	Yes    bool `short:"y" help:"Do not ask."`
}

// Run removes the images that no release needs, from the engine and from the
// built-in registry.
func (cmd *imagePrune) Run(ctx context.Context, c *client, o *output, p *process) error {
	var found deploy.Leftovers
	if err := c.get(ctx, "/api/system/leftovers", &found); err != nil {
		return err
	}
	if cmd.DryRun || going(found) == 0 {
		return o.result(found, func() { o.leftovers(found, "goes") })
	}
	if !cmd.Yes {
		o.leftovers(found, "goes")
	}
	if err := p.confirm(cmd.Yes, counted(going(found), "image")+" will be removed. What runs, and what stages keep to roll back to, stays."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodPost, "/api/system/leftovers/remove", nil, &found); err != nil {
		return err
	}
	return o.result(found, func() { o.leftovers(found, "removed") })
}

// going counts what nothing keeps.
func going(l deploy.Leftovers) (n int) {
	for _, i := range l.Items {
		if i.Stays == "" {
			n++
		}
	}
	return n
}

func (o *output) leftovers(l deploy.Leftovers, gone string) {
	rows := make([][]string, len(l.Items))
	for n, i := range l.Items {
		what := gone
		if i.Stays != "" {
			what = "stays: " + i.Stays
		}
		rows[n] = []string{string(i.Place), i.Repository, short(i.Digest), bytesText(i.Size), ago(i.Since, time.Now()), what}
	}
	if len(rows) > 0 {
		o.table([]string{"place", "image", "digest", "size", "came", "what"}, rows)
	}
	o.note("%s to go; %s that Berth pulled are needed.", counted(going(l), "image"), counted(l.Kept, "image"))
	if l.More {
		o.note("There are more: run it again.")
	}
}
