package main

import (
	"context"
	"net/http"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
)

type peopleCommand struct {
	List         peopleList         `cmd:"" default:"withargs" help:"List people."`
	Show         peopleShow         `cmd:"" help:"Show somebody, with their identities and where they are signed in."`
	Add          peopleAdd          `cmd:"" help:"Add somebody."`
	Edit         peopleEdit         `cmd:"" help:"Change somebody's name, role, or whether they may sign in."`
	Password     peoplePassword     `cmd:"" help:"Set somebody's password."`
	Sessions     peopleSessions     `cmd:"" help:"List where somebody is signed in with a browser."`
	EndSession   peopleEndSession   `cmd:"" help:"End one of somebody's sessions, at once."`
	SignOut      peopleSignOut      `cmd:"" help:"End all of somebody's sessions, at once; API tokens stay."`
	Tokens       peopleTokens       `cmd:"" help:"List somebody's API tokens."`
	RemoveToken  peopleRemoveToken  `cmd:"" help:"Remove one of somebody's API tokens; it stops working at once."`
	Identities   peopleIdentities   `cmd:"" help:"List how providers know somebody."`
	Unlink       peopleUnlink       `cmd:"" help:"Unlink one of somebody's identities, and end the sessions that began with it."`
	Factors      peopleFactors      `cmd:"" help:"List somebody's passkeys and other second factors."`
	ResetFactors peopleResetFactors `cmd:"" help:"Remove all of somebody's passkeys and other second factors, when they have lost them."`
	Remove       peopleRemove       `cmd:"" help:"Remove somebody."`
}

type peopleList struct{}

// Run lists people.
func (*peopleList) Run(ctx context.Context, c *client, o *output) error {
	list, err := all[identity.Person](ctx, c, "/api/people", 0)
	if err != nil {
		return err
	}
	return o.result(list, func() {
		rows := make([][]string, len(list))
		for i, p := range list {
			state, second := "active", "no"
			if p.Disabled {
				state = "disabled"
			}
			if p.SecondFactor {
				second = "yes"
			}
			rows[i] = []string{p.Username, p.DisplayName, p.Email, string(p.Role), state, second}
		}
		o.table([]string{"username", "name", "email", "role", "state", "second factor"}, rows)
	})
}

type peopleAdd struct {
	Username string `arg:"" help:"What they sign in with."`
	Name     string `help:"What they are called."`
	Email    string `help:"Their address."`
	Role     string `enum:"user,member,administrator" default:"member" help:"user (enters apps), member (runs them, too) or administrator."`
}

// Help tells where the password comes from.
func (*peopleAdd) Help() string { return "The password is asked for, or read from stdin." }

// Run adds a person.
func (cmd *peopleAdd) Run(ctx context.Context, c *client, o *output, p *process) error {
	password, err := p.askSecret("Password for " + cmd.Username)
	if err != nil {
		return err
	}
	var made api.PersonDetail
	body := map[string]string{
		"username": cmd.Username, "display_name": cmd.Name, "email": cmd.Email, "role": cmd.Role, "password": password.Reveal(),
	}
	if err := c.call(ctx, http.MethodPost, "/api/people", body, &made); err != nil {
		return err
	}
	return o.result(made, func() {
		o.printf("Added %s (%s).\n", made.Username, made.Role)
		o.passwordRefused(made)
	})
}

type peopleEdit struct {
	Username     string         `arg:"" help:"Who."`
	Name         *string        `help:"What they are called."`
	Email        *string        `help:"Their address, which apps are told then; \"\" leaves it to their provider."`
	ConfirmEmail bool           `help:"Have the address that they have count as given here, whatever their provider says of it."`
	Role         *identity.Role `help:"user (enters apps), member (runs them, too) or administrator."`
	Disabled     *bool          `negatable:"" help:"Whether they are kept from signing in."`
	Force        bool           `help:"Also where they have no way in left by another role, without being asked."`
}

// Run changes what is named and keeps the rest.
func (cmd *peopleEdit) Run(ctx context.Context, c *client, o *output, p *process) error {
	if cmd.Name == nil && cmd.Email == nil && !cmd.ConfirmEmail && cmd.Role == nil && cmd.Disabled == nil {
		return fault.Invalid("nothing to change: give --name, --email, --confirm-email, --role or --disabled")
	}
	path := pathf("/api/people/%s", cmd.Username)
	var person identity.Person
	if err := c.get(ctx, path, &person); err != nil {
		return err
	}
	version := person.Version
	err := p.meant(cmd.Force, func(force bool) error {
		return c.call(ctx, http.MethodPatch, path, struct {
			Version int64 `json:"version"`
			identity.PersonEdit
		}{version, identity.PersonEdit{DisplayName: cmd.Name, Email: cmd.Email, ConfirmEmail: cmd.ConfirmEmail, Role: cmd.Role, Disabled: cmd.Disabled, Force: force}}, &person)
	})
	if err != nil {
		return err
	}
	return o.result(person, func() { o.printf("Changed %s.\n", person.Username) })
}

type peoplePassword struct {
	Username string `arg:"" help:"Whose."`
}

// Run sets a password.
func (cmd *peoplePassword) Run(ctx context.Context, c *client, o *output, p *process) error {
	password, err := p.askSecret("New password for " + cmd.Username)
	if err != nil {
		return err
	}
	body := map[string]string{"password": password.Reveal()}
	if err := c.call(ctx, http.MethodPost, pathf("/api/people/%s/password", cmd.Username), body, nil); err != nil {
		return err
	}
	var person api.PersonDetail
	if err := c.get(ctx, pathf("/api/people/%s", cmd.Username), &person); err != nil {
		return err
	}
	return o.result(map[string]string{"username": cmd.Username}, func() {
		o.printf("%s has a new password; their sessions have ended.\n", cmd.Username)
		o.passwordRefused(person)
	})
}

// passwordRefused tells whoever gave somebody a password that it is of no use now.
func (o *output) passwordRefused(p api.PersonDetail) {
	if p.PasswordRefused {
		o.note("Their password signs in only where passwords are for everybody, see \"berth access sign-in\".")
	}
}

type peopleSessions struct {
	Username string `arg:"" help:"Whose."`
}

// Run lists a person's sessions.
func (cmd *peopleSessions) Run(ctx context.Context, c *client, o *output) error {
	return listSessions(ctx, c, o, pathf("/api/people/%s/sessions", cmd.Username))
}

type peopleEndSession struct {
	Username string `arg:"" help:"Whose."`
	Session  string `arg:"" help:"The session's id."`
}

// Run ends one of a person's sessions.
func (cmd *peopleEndSession) Run(ctx context.Context, c *client, o *output) error {
	return endSession(ctx, c, o, pathf("/api/people/%s/sessions", cmd.Username), cmd.Session)
}

type peopleTokens struct {
	Username string `arg:"" help:"Whose."`
}

// Run lists a person's API tokens.
func (cmd *peopleTokens) Run(ctx context.Context, c *client, o *output) error {
	return listTokens(ctx, c, o, pathf("/api/people/%s/tokens", cmd.Username))
}

type peopleRemoveToken struct {
	Username string `arg:"" help:"Whose."`
	Token    string `arg:"" help:"The token's id."`
}

// Run removes one of a person's API tokens.
func (cmd *peopleRemoveToken) Run(ctx context.Context, c *client, o *output) error {
	return removeToken(ctx, c, o, pathf("/api/people/%s/tokens", cmd.Username), cmd.Token)
}

type peopleFactors struct {
	Username string `arg:"" help:"Whose."`
}

// Run lists a person's factors.
func (cmd *peopleFactors) Run(ctx context.Context, c *client, o *output) error {
	return showFactors(ctx, c, o, pathf("/api/people/%s/factors", cmd.Username))
}

type peopleResetFactors struct {
	Username string `arg:"" help:"Whose."`
	Yes      bool   `short:"y" help:"Do not ask."`
}

// Run resets a person's factors.
func (cmd *peopleResetFactors) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, "All passkeys, apps and recovery codes of "+cmd.Username+" will be removed, and their sessions end."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, pathf("/api/people/%s/factors", cmd.Username), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"username": cmd.Username}, func() {
		o.printf("%s has no second factor any more; their sessions have ended.\n", cmd.Username)
	})
}

type peopleRemove struct {
	Username string `arg:"" help:"Who."`
	Yes      bool   `short:"y" help:"Do not ask."`
}

// Run removes a person.
func (cmd *peopleRemove) Run(ctx context.Context, c *client, o *output, p *process) error {
	if err := p.confirm(cmd.Yes, cmd.Username+" will be removed, with sessions and API tokens."); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, pathf("/api/people/%s", cmd.Username), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"removed": cmd.Username}, func() { o.printf("Removed %s.\n", cmd.Username) })
}
