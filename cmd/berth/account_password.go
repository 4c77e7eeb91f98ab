package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

type accountPassword struct{}

// Help tells where the passwords come from.
func (*accountPassword) Help() string {
	return `Both passwords are asked for, or read from stdin: the old one in the first line, the new one in the second. API tokens stay.

Who has no password, as they come by a provider or a passkey, sets a first one instead. It takes a code of their app, or a recovery code, in the place of the old password: without a second factor, it is set in the dashboard.

Over the local socket there is no account: there "berth people password USERNAME" sets anybody's.`
}

// Run changes the own password, or sets the first.
func (*accountPassword) Run(ctx context.Context, c *client, o *output, p *process) error {
	var me api.SessionInfo
	if err := c.get(ctx, "/api/session", &me); err != nil {
		return err
	}
	if me.Via != identity.ViaLocal && !me.TakesPassword && ofAdministratorsAlone(ctx, c) {
		return fault.Conflict("only administrators sign in with a password here, as the sign-in mode says")
	}
	if !me.Person.HasPassword && me.Via != identity.ViaLocal {
		return addPassword(ctx, c, o, p, me.Person)
	}
	old, chosen, err := p.askPasswordChange("Old password")
	if err != nil {
		return err
	}
	body := map[string]string{"old": old.Reveal(), "new": chosen.Reveal()}
	if err := c.call(ctx, http.MethodPost, "/api/account/password", body, nil); err != nil {
		return err
	}
	return o.result(map[string]bool{"changed": true}, func() { o.printf("Your password is changed; your other sessions have ended.\n") })
}

// addPassword sets a first password, by a code.
func addPassword(ctx context.Context, c *client, o *output, p *process, me identity.Person) error {
	if !me.SecondFactor {
		return fault.Forbidden("an API token does not prove who you are, and you have no second factor: set the password in the dashboard, under Account (%s/account)", c.where())
	}
	code, chosen, err := p.askPasswordChange("Code of your app, or a recovery code")
	if err != nil {
		return err
	}
	body := byCode(code)
	body["new"] = chosen.Reveal()
	if err := c.call(ctx, http.MethodPut, "/api/account/password", body, nil); err != nil {
		return err
	}
	return o.result(map[string]bool{"added": true}, func() { o.printf("You have a password now.\n") })
}

// byCode gives the proof that a code is.
func byCode(code secret.Text) map[string]string {
	method := identity.MethodRecovery
	if codeOfApp.MatchString(code.Reveal()) {
		method = identity.MethodTOTP
	}
	return map[string]string{"method": string(method), "code": code.Reveal()}
}

type accountRemovePassword struct {
	Yes bool `short:"y" help:"Do not ask."`
}

// Help tells what it takes.
func (*accountRemovePassword) Help() string {
	return `A passkey, or an identity at a provider, has to remain. It takes a code of your app or a recovery code, asked for or read from stdin; the password itself where you have no second factor. Sessions that began with the password end; API tokens stay.`
}

// Run removes the own password.
func (cmd *accountRemovePassword) Run(ctx context.Context, c *client, o *output, p *process) error {
	var me api.SessionInfo
	if err := c.get(ctx, "/api/session", &me); err != nil {
		return err
	}
	if err := p.confirm(cmd.Yes, "You can no longer sign in with your password."); err != nil {
		return err
	}
	var body map[string]string
	if me.Person.SecondFactor {
		code, err := p.askSecret("Code of your app, or a recovery code")
		if err != nil {
			return err
		}
		body = byCode(code)
	} else {
		given, err := p.askSecret("Password")
		if err != nil {
			return err
		}
		body = map[string]string{"password": given.Reveal()}
	}
	if err := c.call(ctx, http.MethodPost, "/api/account/password/remove", body, nil); err != nil {
		return err
	}
	return o.result(map[string]bool{"removed": true}, func() { o.printf("Your password is removed.\n") })
}

// askPasswordChange asks for the proof, such as the old password, and twice for
// the new one that nobody sees; from a pipe it takes two lines.
func (p *process) askPasswordChange(proof string) (old, chosen secret.Text, err error) {
	if _, ok := p.terminal(); !ok {
		both, err := p.askSecret(proof + ", and the new password")
		if err != nil {
			return old, chosen, err
		}
		first, second, two := bytes.Cut([]byte(both.Reveal()), []byte("\n"))
		first = bytes.TrimSuffix(first, []byte("\r"))
		if !two || len(first) == 0 || len(second) == 0 || bytes.Contains(second, []byte("\n")) {
			return old, chosen, fault.Invalid("give two lines on stdin: %s, and the new password", strings.ToLower(proof[:1])+proof[1:])
		}
		return secret.New(string(first)), secret.New(string(second)), nil
	}
	if old, err = p.askSecret(proof); err != nil {
		return old, chosen, err
	}
	if chosen, err = p.askSecret("New password"); err != nil {
		return old, chosen, err
	}
	again, err := p.askSecret("New password again")
	if err == nil && again.Reveal() != chosen.Reveal() {
		err = fault.Invalid("the two new passwords differ; nothing was changed")
	}
	return old, chosen, err
}
