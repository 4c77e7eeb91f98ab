package main

import (
	"context"
	"fmt"
	"net/http"

	"berth/internal/api"
)

type accountCommand struct {
	Show             accountShow             `cmd:"" default:"withargs" help:"Show who you are to the server."`
	Password         accountPassword         `cmd:"" help:"Change your password, and your sessions end; or set a first one."`
	RemovePassword   accountRemovePassword   `cmd:"" help:"Remove your password, where another way in remains."`
	Sessions         accountSessions         `cmd:"" help:"List where you are signed in with a browser."`
	EndSession       accountEndSession       `cmd:"" help:"End one of your sessions, at once."`
	EndOtherSessions accountEndOtherSessions `cmd:"" help:"End all your sessions but the one this comes with; with a token, all."`
	Identities       accountIdentities       `cmd:"" help:"List how providers know you."`
	Unlink           accountUnlink           `cmd:"" help:"Unlink one of your identities; the last way in stays."`
	ForgetTokens     accountForgetTokens     `cmd:"" help:"Forget the provider's tokens that Berth holds of one of your identities."`
}

type accountShow struct{}

// Run shows who the server takes the caller for.
func (*accountShow) Run(ctx context.Context, c *client, o *output) error {
	var s api.SessionInfo
	if err := c.get(ctx, "/api/session", &s); err != nil {
		return err
	}
	bounds := ""
	if s.Bounds != nil {
		bounds = s.Bounds.String()
	}
	return o.result(s, func() {
		o.pairs([2]string{"Server", c.where()}, [2]string{"Username", s.Person.Username}, [2]string{"Name", s.Person.DisplayName},
			[2]string{"Email", address(s.Person)}, [2]string{"Role", string(s.Person.Role)}, [2]string{"By", string(s.Via)},
			[2]string{"Scope", string(s.Scope)}, [2]string{"For", bounds})
	})
}

type accountSessions struct{}

// Run lists the own sessions.
func (*accountSessions) Run(ctx context.Context, c *client, o *output) error {
	return listSessions(ctx, c, o, "/api/account/sessions")
}

type accountEndSession struct {
	Session string `arg:"" help:"The session's id."`
}

// Run ends one of the own sessions.
func (cmd *accountEndSession) Run(ctx context.Context, c *client, o *output) error {
	return endSession(ctx, c, o, "/api/account/sessions", cmd.Session)
}

type accountEndOtherSessions struct{}

// Run ends all own sessions but the one the request comes with.
func (*accountEndOtherSessions) Run(ctx context.Context, c *client, o *output) error {
	var ended api.Ended
	if err := c.call(ctx, http.MethodPost, "/api/account/sessions/end-others", struct{}{}, &ended); err != nil {
		return err
	}
	return o.result(ended, func() { o.printf("%s ended.\n", counted(ended.Ended, "session")) })
}

type accountIdentities struct{}

// Run lists the own identities.
func (*accountIdentities) Run(ctx context.Context, c *client, o *output) error {
	return listIdentities(ctx, c, o, "/api/account/identities")
}

type accountUnlink struct {
	Identity string `arg:"" help:"The identity's id."`
}

// Run unlinks one of the own identities.
func (cmd *accountUnlink) Run(ctx context.Context, c *client, o *output) error {
	return unlinkIdentity(ctx, c, o, "/api/account/identities", cmd.Identity)
}

type accountForgetTokens struct {
	Identity string `arg:"" help:"The identity's id."`
}

// Help says what becomes of them.
func (*accountForgetTokens) Help() string {
	return `Apps that act there for you stop until you sign in there again. The identity stays a way in.

Examples:
  berth account identities
  berth account forget-tokens 06h…`
}

// Run forgets what the provider of an identity gave.
func (cmd *accountForgetTokens) Run(ctx context.Context, c *client, o *output) error {
	if err := c.call(ctx, http.MethodDelete, pathf("/api/account/identities/%s/tokens", cmd.Identity), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"forgotten": cmd.Identity}, func() { o.printf("The tokens of identity %s are forgotten.\n", cmd.Identity) })
}

// counted says how many there are of something.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
