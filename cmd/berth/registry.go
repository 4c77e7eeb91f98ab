package main

import (
	"context"
	"net/http"
)

type registryCommand struct {
	List   registryList   `cmd:"" default:"withargs" help:"List the accounts at other registries."`
	Set    registrySet    `cmd:"" help:"Set the account at a registry."`
	Remove registryRemove `cmd:"" help:"Remove the account at a registry."`
}

// registryAccount is an account as the API shows it.
type registryAccount struct {
	Host     string `json:"host"`
	Username string `json:"username"`
	Insecure bool   `json:"insecure"`
}

type registryList struct{}

// Run lists accounts.
func (*registryList) Run(ctx context.Context, c *client, o *output) error {
	var list page[registryAccount]
	if err := c.get(ctx, "/api/registries", &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, a := range list.Items {
			speaks := "https"
			if a.Insecure {
				speaks = "plain http"
			}
			rows[i] = []string{a.Host, a.Username, speaks}
		}
		o.table([]string{"registry", "username", "speaks"}, rows)
	})
}

type registrySet struct {
	Host     string `arg:"" help:"The registry's host, such as ghcr.io."`
	Username string `short:"u" help:"Who Berth is there."`
	Insecure bool   `help:"Speak plain HTTP; only for a registry on a network of your own."`
}

// Help tells where the password comes from.
func (*registrySet) Help() string { return "The password is asked for, or read from stdin." }

// Run sets an account.
func (cmd *registrySet) Run(ctx context.Context, c *client, o *output, p *process) error {
	password, err := p.askSecret("Password of " + cmd.Username + " at " + cmd.Host)
	if err != nil {
		return err
	}
	body := map[string]any{"username": cmd.Username, "password": password.Reveal(), "insecure": cmd.Insecure}
	if err := c.call(ctx, http.MethodPut, pathf("/api/registries/%s", cmd.Host), body, nil); err != nil {
		return err
	}
	set := registryAccount{cmd.Host, cmd.Username, cmd.Insecure}
	return o.result(set, func() { o.printf("Berth is %s at %s now.\n", cmd.Username, cmd.Host) })
}

type registryRemove struct {
	Host string `arg:"" help:"The registry's host."`
}

// Run removes an account.
func (cmd *registryRemove) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodDelete, pathf("/api/registries/%s", cmd.Host), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Host}, func() { o.printf("Removed the account at %s.\n", cmd.Host) })
}
