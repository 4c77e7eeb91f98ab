package main

import (
	"context"
	"net/http"

	"berth/internal/registry"
)

type registryCommand struct {
	List   registryList   `cmd:"" default:"withargs" help:"List the accounts at other registries."`
	Set    registrySet    `cmd:"" help:"Set the account at a registry."`
	Remove registryRemove `cmd:"" help:"Remove the account at a registry."`
}

type registryList struct{}

// Run lists accounts.
func (*registryList) Run(ctx context.Context, c *client, o *output) error {
	accounts, err := registryAccounts(ctx, c)
	if err != nil {
		return err
	}
	return o.result(accounts, func() {
		rows := make([][]string, len(accounts))
		for i, a := range accounts {
			speaks := "https"
			if a.Insecure {
				speaks = "plain http"
			}
			polled := "every 5m0s"
			switch a.PollInterval {
			case 0:
			case registry.Never:
				polled = "never"
			default:
				polled = "every " + a.PollInterval.String()
			}
			rows[i] = []string{a.Host, a.Username, speaks, polled}
		}
		o.table([]string{"registry", "username", "speaks", "looked at"}, rows)
	})
}

func registryAccounts(ctx context.Context, c *client) ([]registry.RegistryAccount, error) {
	var list page[registry.RegistryAccount]
	err := c.get(ctx, "/api/registries", &list)
	return list.Items, err
}

type registrySet struct {
	Host     string `arg:"" help:"The registry's host, such as ghcr.io."`
	Username string `short:"u" help:"Who Berth is there."`
	Insecure bool   `help:"Speak plain HTTP; only for a registry on a network of your own."`
	Poll     string `help:"How often its images are looked at: a time such as 10m, off, or default (5m). What it is stays when it is not given."`
	Force    bool   `help:"Set it also when somebody else does so meanwhile."`
}

// Help tells where the password comes from.
func (*registrySet) Help() string {
	return "The password is asked for, or read from stdin; without a username there is none."
}

// Run sets an account, over the version that there is before the password is
// asked for.
func (cmd *registrySet) Run(ctx context.Context, c *client, o *output, p *process) error {
	host, err := registry.NormalHost(cmd.Host)
	if err != nil {
		return err
	}
	body := map[string]any{"username": cmd.Username, "insecure": cmd.Insecure}
	switch cmd.Poll {
	case "":
	case "default":
		body["poll_interval"] = ""
	default:
		body["poll_interval"] = cmd.Poll
	}
	if !cmd.Force {
		accounts, err := registryAccounts(ctx, c)
		if err != nil {
			return err
		}
		body["version"] = 0
		for _, a := range accounts {
			if a.Host == host {
				body["version"] = a.Version
			}
		}
	}
	body["password"] = ""
	if cmd.Username != "" {
		password, err := p.askSecret("Password of " + cmd.Username + " at " + host)
		if err != nil {
			return err
		}
		body["password"] = password.Reveal()
	}
	if err := c.call(ctx, http.MethodPut, pathf("/api/registries/%s", host), body, nil); err != nil {
		return err
	}
	set := map[string]any{"host": host, "username": cmd.Username, "insecure": cmd.Insecure}
	return o.result(set, func() {
		if cmd.Username == "" {
			o.printf("Set how Berth speaks to %s.\n", host)
			return
		}
		o.printf("Berth is %s at %s now.\n", cmd.Username, host)
	})
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
