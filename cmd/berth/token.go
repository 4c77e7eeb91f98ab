package main

import (
	"context"
	"net/http"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
)

type tokenCommand struct {
	List   tokenList   `cmd:"" default:"withargs" help:"List your API tokens."`
	Create tokenCreate `cmd:"" help:"Make an API token; it is shown this once."`
	Remove tokenRemove `cmd:"" help:"Remove an API token; it stops working at once."`
}

type tokenList struct{}

// Run lists tokens.
func (*tokenList) Run(ctx context.Context, c *client, o *output) error {
	return listTokens(ctx, c, o, "/api/account/tokens")
}

// listTokens lists somebody's tokens: one's own, or those of a person.
func listTokens(ctx context.Context, c *client, o *output, path string) error {
	var list page[identity.Token]
	if err := c.get(ctx, path, &list); err != nil {
		return err
	}
	return o.result(list.Items, func() {
		rows := make([][]string, len(list.Items))
		for i, t := range list.Items {
			used, expires := "never", "never"
			if t.LastUsedAt != nil {
				used = ago(*t.LastUsedAt, time.Now())
			}
			if t.ExpiresAt != nil {
				expires = t.ExpiresAt.Local().Format("2006-01-02 15:04")
			}
			bounds := "all"
			if t.Bounds != nil {
				bounds = t.Bounds.String()
			}
			rows[i] = []string{t.ID, t.Name, string(t.Scope), bounds, used, expires}
		}
		o.table([]string{"token", "name", "scope", "for", "used", "expires"}, rows)
	})
}

type tokenCreate struct {
	Name    string        `arg:"" help:"What it is for."`
	Scope   string        `enum:"read,deploy,admin" default:"deploy" help:"read: look, and pull images; deploy: and deploy, and push images; admin: all you may."`
	Project string        `placeholder:"PROJECT" help:"Hold it to one project: it sees and deploys nothing else, and pushes and pulls that project's image alone."`
	Stage   string        `placeholder:"STAGE" help:"Hold it to one stage of --project."`
	Expires time.Duration `help:"When it ends, such as 720h; never by default. One made by another token ends with it at the latest."`
}

// Help gives an example.
func (*tokenCreate) Help() string {
	return `Examples:
  berth token create "shop's pipeline" --scope deploy --project shop --stage prod --expires 8760h
  berth token create "deploys from the forge" --scope deploy --expires 8760h`
}

// Run makes a token.
func (cmd *tokenCreate) Run(ctx context.Context, c *client, o *output) error {
	if cmd.Stage != "" && cmd.Project == "" {
		return fault.Invalid("--stage needs the --project that it is a stage of")
	}
	var to *identity.Bounds
	if cmd.Project != "" {
		to = &identity.Bounds{Project: cmd.Project, Stage: cmd.Stage}
	}
	made, err := createToken(ctx, c, to, cmd.Name, identity.Scope(cmd.Scope), cmd.Expires)
	if err != nil {
		return err
	}
	return o.result(made, func() {
		o.note("Keep it now, it is not shown again:")
		o.printf("%s\n", made.Secret)
	})
}

func createToken(ctx context.Context, c *client, to *identity.Bounds, name string, scope identity.Scope, expires time.Duration) (made api.NewToken, err error) {
	body := map[string]any{"name": name, "scope": scope}
	if to != nil {
		body["bounds"] = to
	}
	if expires > 0 {
		body["expires_at"] = time.Now().Add(expires).UTC().Format(time.RFC3339)
	}
	err = c.call(ctx, http.MethodPost, "/api/account/tokens", body, &made)
	return made, err
}

type tokenRemove struct {
	Token string `arg:"" help:"The token's id."`
}

// Run removes a token.
func (cmd *tokenRemove) Run(ctx context.Context, c *client, o *output) error {
	return removeToken(ctx, c, o, "/api/account/tokens", cmd.Token)
}

// removeToken removes one of the tokens that path lists.
func removeToken(ctx context.Context, c *client, o *output, path, id string) error {
	if err := c.call(ctx, http.MethodDelete, path+pathf("/%s", id), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": id}, func() { o.printf("Removed token %s.\n", id) })
}
