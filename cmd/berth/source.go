package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/internal/registry"
)

type sourceCommand struct {
	List sourceList `cmd:"" default:"withargs" help:"List the images in other registries that are watched, and how that goes."`
	Poll sourcePoll `cmd:"" help:"Look at a watched image as soon as may be."`
}

type sourceList struct {
	Project string `arg:"" optional:"" predictor:"project" help:"Only those of this project."`
}

// Run lists sources.
func (cmd *sourceList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[registry.Source](ctx, c, "/api/sources?"+url.Values{"project": {cmd.Project}}.Encode(), 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, s := range list {
			why := s.Error
			if why == "" && len(s.Missing) > 0 {
				why = "has no tag " + strings.Join(s.Missing, ", ")
			}
			rows[i] = []string{
				s.Repository, string(s.State), strings.Join(s.Rules, ", "), ago(s.PolledAt, time.Now()), in(s.NextAt, time.Now()), why,
			}
		}
		o.table([]string{"image", "state", "tags", "looked at", "next", "why"}, rows)
	})
}

// in says how long it is until a time.
func in(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case !t.After(now):
		return "now"
	}
	return "in " + t.Sub(now).Round(time.Second).String()
}

type sourcePoll struct {
	Image string `arg:"" help:"The image as the project has it, such as ghcr.io/ana/shop."`
}

// Run has a source polled.
func (cmd *sourcePoll) Run(ctx context.Context, c *client, o *output) error {
	var s registry.Source
	if err := c.call(ctx, http.MethodPost, "/api/sources/poll", map[string]string{"repository": cmd.Image}, &s); err != nil {
		return err
	}
	return o.result(s, func() {
		if s.State == registry.SourceWaiting {
			o.printf("%s asked to wait; %s is looked at then.\n", s.Host, s.Repository)
			return
		}
		o.printf("%s is looked at now.\n", s.Repository)
	})
}
