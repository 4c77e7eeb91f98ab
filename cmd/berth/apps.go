package main

import (
	"context"

	"berth/internal/api"
)

type appsCommand struct{}

// Help says what a token opens.
func (*appsCommand) Help() string {
	return `What each app's policy says of you decides. With an API token these are the apps that take one, and those that everybody may enter; the dashboard's Apps page has what a browser may enter.`
}

// Run lists what the caller may enter.
func (*appsCommand) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[api.AppInfo](ctx, c, "/api/apps", 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, a := range list {
			asks := map[string]string{"stronger": "a second factor", "fresher": "a fresh sign-in"}[a.Need]
			if a.Public {
				asks = "nothing, of nobody"
			}
			rows[i] = []string{a.Name, a.URL, asks}
		}
		o.table([]string{"app", "address", "asks for"}, rows)
	})
}
