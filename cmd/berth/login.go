package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

type loginCommand struct {
	Server    string        `arg:"" help:"The server's URL, such as https://berth.example.com."`
	Username  string        `short:"u" help:"Who you are; asked for otherwise."`
	WithToken bool          `help:"Read an API token from stdin instead of making one with your password."`
	Web       bool          `help:"Be signed in by a browser, here or elsewhere, in any way that the server takes: for who has no password."`
	NoBrowser bool          `help:"With --web: only print the address and the code, and open no browser."`
	Scope     string        `enum:",read,deploy,admin" default:"" help:"What the token may do: read, deploy or admin (all you may), which is the default; read is all there is for users."`
	Expires   time.Duration `default:"2160h" help:"When the token ends."`
}

// Help tells what is kept.
func (*loginCommand) Help() string {
	return `Makes an API token on the server and keeps it in ~/.config/berth/credentials, readable by you alone; the password is not kept. With --web no password is asked for: the command shows a code, which you type into the dashboard, where you sign in by a provider, a passkey or whatever you have, see what asks, and approve it. Somebody with a second factor is asked for a code of their app, or a recovery code; without a terminal it is the second line of stdin, after the password. The server signed in to last is the one that commands talk to.

Examples:
  berth login https://berth.example.com -u ana
  berth login https://berth.example.com --web
  berth login https://berth.example.com --with-token < token.txt`
}

// Run signs in and keeps a token.
func (cmd *loginCommand) Run(ctx context.Context, o *output, p *process) error {
	c, err := connectRemote(cmd.Server, secret.Text{})
	if err != nil {
		return err
	}
	if _, err := readCredentials(p); err != nil { // before a token is made for nothing
		return err
	}
	var a account
	switch {
	case cmd.Web && cmd.WithToken:
		return fault.Invalid("give --web or --with-token, not both")
	case cmd.Web:
		a, err = cmd.withBrowser(ctx, c, p)
	case cmd.WithToken:
		a, err = cmd.withToken(ctx, c, p)
	default:
		a, err = cmd.withPassword(ctx, c, p)
	}
	if err != nil {
		return err
	}
	if err := keepAccount(p, c, a); err != nil {
		return giveUp(ctx, c, a, err)
	}
	said := map[string]string{"url": c.base.String(), "username": a.Username}
	return o.result(said, func() { o.printf("Signed in to %s as %s.\n", c.base, oneLine(a.Username)) })
}

// keepAccount reads what is kept anew: signing in may have taken minutes, in
// which another command changed it.
func keepAccount(p *process, c *client, a account) error {
	kept, err := readCredentials(p)
	if err != nil {
		return err
	}
	kept.Servers[c.base.String()], kept.Current = a, c.base.String()
	return kept.write()
}

// giveUp removes a token that was made and can not be kept.
func giveUp(ctx context.Context, c *client, a account, why error) error {
	if a.TokenID == "" {
		return why
	}
	c.token = a.Token
	if err := c.call(ctx, http.MethodDelete, pathf("/api/account/tokens/%s", a.TokenID), nil, nil); err != nil {
		return fmt.Errorf("%w; the token that was made could not be removed: do so at %s", why, c.tokensPage())
	}
	return why
}

// tokensPage is where a person finds their tokens.
func (c *client) tokensPage() string { return c.base.JoinPath("account/tokens").String() }

func (cmd *loginCommand) withToken(ctx context.Context, c *client, p *process) (account, error) {
	token, err := p.askSecret("API token")
	if err != nil {
		return account{}, err
	}
	c.token = token
	var session api.SessionInfo
	if err := c.get(ctx, "/api/session", &session); err != nil {
		return account{}, err
	}
	return account{Username: session.Person.Username, Token: token}, nil
}

// withPassword opens a session for as long as it takes to make a token.
func (cmd *loginCommand) withPassword(ctx context.Context, c *client, p *process) (account, error) {
	if cmd.Username == "" {
		if _, ok := p.terminal(); !ok {
			return account{}, fault.Invalid("give --username")
		}
		fmt.Fprint(p.stderr, "Username: ")
		line, err := bufio.NewReader(p.stdin).ReadString('\n')
		if err != nil {
			return account{}, fmt.Errorf("read the username: %w", err)
		}
		cmd.Username = strings.TrimSpace(line)
	}
	password, code, err := p.askPasswordAndCode("Password of " + cmd.Username)
	if err != nil {
		return account{}, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return account{}, fmt.Errorf("make a cookie jar: %w", err)
	}
	c.http.Jar = jar
	defer func() { c.http.Jar = nil }()
	body := map[string]string{"username": cmd.Username, "password": password.Reveal()}
	var came api.Entry
	if err := c.call(ctx, http.MethodPost, "/api/session", body, &came); err != nil {
		return account{}, whosePasswords(ctx, c, err)
	}
	if came.Person == nil {
		if err := giveSecondFactor(ctx, c, p, came, code); err != nil {
			return account{}, err
		}
	}
	scope, err := cmd.scope(ctx, c)
	if err != nil {
		return account{}, err
	}
	made, err := createToken(ctx, c, nil, tokenName(time.Now()), scope, cmd.Expires)
	if err != nil {
		return account{}, err
	}
	if err := c.call(ctx, http.MethodDelete, "/api/session", nil, nil); err != nil {
		return account{}, err
	}
	return account{Username: cmd.Username, TokenID: made.Token.ID, Token: secret.New(made.Secret)}, nil
}

// whosePasswords adds to a refusal of a password what everybody may know: that
// not everybody's signs in.
func whosePasswords(ctx context.Context, c *client, refused error) error {
	if fault.KindOf(refused) != fault.Unauthenticated || !ofAdministratorsAlone(ctx, c) {
		return refused
	}
	return fault.SignIn("%s; only administrators sign in with a password here: make an API token at %s, and give it with --with-token, or sign in by the browser with --web", fault.Message(refused), c.base)
}

// ofAdministratorsAlone says whether administrators alone sign in with a password,
// as far as the server says so.
func ofAdministratorsAlone(ctx context.Context, c *client) bool {
	var page api.SignInPage
	return c.get(ctx, "/api/sign-in", &page) == nil && page.Passwords == identity.PasswordsOfAdministrators
}

// scope is the one that was asked for, or else the widest that there is for who
// is signed in.
func (cmd *loginCommand) scope(ctx context.Context, c *client) (identity.Scope, error) {
	if cmd.Scope != "" {
		return identity.Scope(cmd.Scope), nil
	}
	var session api.SessionInfo
	if err := c.get(ctx, "/api/session", &session); err != nil {
		return "", err
	}
	if session.Person.Role == identity.RoleUser {
		return identity.ScopeRead, nil
	}
	return identity.ScopeAdmin, nil
}

// giveSecondFactor finishes the sign-in by a code.
func giveSecondFactor(ctx context.Context, c *client, p *process, came api.Entry, code secret.Text) (err error) {
	takes := func(m identity.Method) bool { return slices.Contains(came.SecondFactor, m) }
	switch {
	case len(came.SetUp) > 0:
		return fault.Forbidden("this account must have a second factor, and has none: sign in at %s with a browser, and set one up", c.base)
	case !takes(identity.MethodTOTP) && !takes(identity.MethodRecovery):
		return fault.Forbidden("this account's second factor is a passkey, which only a browser can ask: sign in with \"berth login %s --web\"", c.base)
	}
	if _, ok := p.terminal(); ok {
		if code, err = p.askSecret("Code of your app, or a recovery code"); err != nil {
			return err
		}
	}
	if code.Empty() {
		return fault.Invalid("this account has a second factor: give a code of your app, or a recovery code, in the second line")
	}
	return c.call(ctx, http.MethodPost, "/api/session/second-factor", byCode(code), nil)
}

// codeOfApp tells a code of an app from one for recovery, which is longer.
var codeOfApp = regexp.MustCompile(`^\s*\d{3} ?\d{3}\s*$`)

// tokenName tells its owner later where it came from.
func tokenName(now time.Time) string {
	return fmt.Sprintf("berth login on %.30s, %s", machineName(), now.UTC().Format("2006-01-02 15:04:05.000"))
}

// machineName is what this machine calls itself.
func machineName() string {
	host, err := os.Hostname()
	if err != nil {
		return "an unnamed machine"
	}
	return host
}

type logoutCommand struct {
	Server string `arg:"" optional:"" help:"The server's URL; the current one by default."`
}

// Run removes the token, on the server and here.
func (cmd *logoutCommand) Run(ctx context.Context, o *output, p *process) error {
	kept, err := readCredentials(p)
	if err != nil {
		return err
	}
	if cmd.Server == "" {
		cmd.Server = kept.Current
	}
	if cmd.Server == "" {
		return fault.NotFound("you are signed in to no server")
	}
	c, err := connectRemote(cmd.Server, kept.of(cmd.Server).Token)
	if err != nil {
		return err
	}
	a, ok := kept.Servers[c.base.String()]
	if !ok {
		return fault.NotFound("you are not signed in to %s", c.base)
	}
	delete(kept.Servers, c.base.String())
	if kept.Current == c.base.String() {
		kept.Current = ""
	}
	// The file first: a server that is away must not keep a token here.
	if err := kept.write(); err != nil {
		return err
	}
	if a.TokenID == "" {
		o.note("The token was given to \"berth login\", so it is forgotten here alone: it works until it expires or is removed.")
	} else {
		err := c.call(ctx, http.MethodDelete, pathf("/api/account/tokens/%s", a.TokenID), nil, nil)
		if kind := fault.KindOf(err); err != nil && kind != fault.Unauthenticated && kind != fault.Missing {
			o.note("The copy that was kept here is removed, but the token still works until it expires or is removed: %v", err)
		}
	}
	return o.result(map[string]string{"url": c.base.String()}, func() { o.printf("Signed out of %s.\n", c.base) })
}
