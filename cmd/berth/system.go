package main

import (
	"context"
	"fmt"

	"berth/internal/api"
	"berth/internal/container"
	"berth/internal/settings"
)

type systemCommand struct {
	Show     systemShow     `cmd:"" default:"withargs" help:"Show the server's version, its container engine and its disk."`
	Settings systemSettings `cmd:"" help:"Show the settings the server runs with, and where each comes from."`

	Containers systemContainers `cmd:"" help:"List the containers in the engine that this Berth did not make. It never touches them."`
}

type systemShow struct{}

// Run shows what the server runs on.
func (*systemShow) Run(ctx context.Context, c *client, o *output) error {
	var s api.System
	if err := c.get(ctx, "/api/system", &s); err != nil {
		return err
	}
	return o.result(s, func() { o.system(s) })
}

func (o *output) system(s api.System) {
	o.pairs(
		[2]string{"Version", s.Version},
		[2]string{"Address", s.BaseURL},
		[2]string{"Up for", s.Uptime},
		[2]string{"Engine", engineText(s.Engine, s.EngineError)},
		[2]string{"Disk", diskText(s.Disk)},
		[2]string{"Registry", fmt.Sprintf("%s, %s: %s", s.RegistryHost, counted(s.Registry.Tags, "tag"), bytesText(s.Registry.Bytes))},
	)
	for _, d := range s.Disks[min(1, len(s.Disks)):] {
		o.printf("Images on %s\n", diskText(d))
	}
	if s.Engine == nil {
		return
	}
	for _, lack := range s.Engine.Lacks {
		o.printf("warning: the engine lacks %s\n", oneLine(string(lack)))
	}
	for _, w := range s.Engine.Warnings {
		o.printf("warning: %s\n", oneLine(w))
	}
}

func diskText(d api.Disk) string {
	text := fmt.Sprintf("%s of %s free at %s", bytesText(d.Free), bytesText(d.Total), d.Path)
	switch d.State {
	case api.DiskLow:
		text += ": nearly full"
	case api.DiskFull:
		text += ": full, nothing is deployed"
	case api.DiskOK, api.DiskUnknown:
	}
	return text
}

func engineText(e *container.Info, away string) string {
	if e == nil {
		return "away: " + away
	}
	mode := "rootful"
	if e.Rootless {
		mode = "rootless"
	}
	return fmt.Sprintf("%s %s, %s, %s/%s, at %s", e.Name, e.Version, mode, e.OS, e.Arch, e.Socket)
}

type systemSettings struct{}

// Run shows the settings in force.
func (*systemSettings) Run(ctx context.Context, c *client, o *output) error {
	var list page[settings.Value]
	if err := c.get(ctx, "/api/system/settings", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.settings(list.Items) })
}
