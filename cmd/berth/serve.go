package main

import (
	"context"

	"berth/internal/server"
)

type serveCommand struct{}

// Help tells how to set it up and how to stop it.
func (*serveCommand) Help() string {
	return `Everything is set by BERTH_* variables: "berth config" shows them. Without any, Berth serves http://localhost:8080 with its data in ./data.

SIGTERM or SIGINT stops it: running deployments finish within BERTH_SHUTDOWN_TIMEOUT, requests and streams end, the store closes last. A second signal stops at once; nothing is lost by it, the next start goes on where this one was.`
}

// Run serves until a signal.
func (*serveCommand) Run(ctx context.Context, g *globals, o *output, p *process) error {
	s, err := loadSettings(g, p)
	if err != nil {
		return err
	}
	log := newLogger(s, p.stderr)
	for _, warning := range s.Warnings {
		log.WarnContext(ctx, "settings", "warning", warning)
	}
	berth, err := server.New(ctx, server.Config{Settings: s, Version: version(), Log: log})
	if err != nil {
		return err
	}
	setup, err := berth.SetupURL(ctx)
	if err != nil {
		log.ErrorContext(ctx, "no set-up link could be made", "error", err)
	}
	// On stdout, and not in the log, which others may read.
	if setup != "" {
		o.printf("Make the first administrator here, within 24 hours:\n  %s\n", setup)
	}
	return berth.Run(ctx)
}
