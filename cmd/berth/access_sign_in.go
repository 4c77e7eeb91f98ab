package main

import (
	"cmp"
	"context"
	"net/http"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
)

type accessSignIn struct {
	Passwords  string `enum:",everybody,administrators" default:"" help:"Whose passwords sign in: everybody's, or those of administrators with an account of Berth's own."`
	StraightTo string `help:"The provider to lead people to, without the sign-in page." placeholder:"PROVIDER"`
	Page       bool   `help:"Show the sign-in page again, instead of leading straight to a provider."`
	Yes        bool   `short:"y" help:"Do not ask."`
	Force      bool   `help:"Also where people have no way in left by it, without being asked."`
}

// Help says what happens.
func (*accessSignIn) Help() string {
	return `Sessions and API tokens stay, of everybody. Where passwords are for administrators alone, everybody else signs in at a provider or by a passkey, and gives an API token to docker login.
Where people are led straight to a provider, BASE-URL/sign-in?local=1 still shows the page.

Examples:
  berth access sign-in
  berth access sign-in --passwords administrators --straight-to corp
  berth access sign-in --page`
}

// Run shows, or says, how people sign in.
func (cmd *accessSignIn) Run(ctx context.Context, c *client, o *output, p *process) error {
	const path = "/api/sign-in-mode"
	var mode api.SignInMode
	if err := c.get(ctx, path, &mode); err != nil {
		return err
	}
	if cmd.Page && cmd.StraightTo != "" {
		return fault.Invalid("give --page or --straight-to, not both")
	}
	if cmd.Passwords != "" || cmd.StraightTo != "" || cmd.Page {
		passwords, to, force := cmp.Or(cmd.Passwords, mode.Passwords.String()), cmp.Or(cmd.StraightTo, mode.StraightTo), cmd.Force
		if cmd.Page {
			to = ""
		}
		var left identity.LeftOut
		if err := c.get(ctx, path+"/left-out?passwords="+passwords, &left); err != nil {
			return err
		}
		if left.People > 0 {
			if err := p.confirm(cmd.Yes || cmd.Force, leftOutWords(left)); err != nil {
				return err
			}
			force = cmd.Force || !cmd.Yes
		}
		body := map[string]any{"passwords": passwords, "straight_to": to, "version": mode.Version, "force": force}
		if err := c.call(ctx, http.MethodPut, path, body, &mode); err != nil {
			return err
		}
	}
	return o.result(mode, func() { o.signInMode(mode, c.base.JoinPath("sign-in").String()) })
}

// signInMode prints how people sign in.
func (o *output) signInMode(mode api.SignInMode, page string) {
	whose := "Everybody signs"
	if mode.Passwords == identity.PasswordsOfAdministrators {
		whose = "Administrators with an account of Berth's own sign"
	}
	o.printf("%s in with a password.\n", whose)
	switch {
	case mode.Straight:
		o.printf("Whoever has to sign in is led straight to %s; %s?local=1 shows the page.\n", mode.StraightTo, page)
	case mode.StraightTo != "":
		o.printf("Whoever has to sign in sees the page: %s, to which they would be led, is switched off.\n", mode.StraightTo)
	default:
		o.printf("Whoever has to sign in sees the page.\n")
	}
}
