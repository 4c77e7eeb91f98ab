package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
)

// withBrowser has somebody approve this command in a browser, wherever that is,
// and waits: the device authorization grant, RFC 8628.
func (cmd *loginCommand) withBrowser(ctx context.Context, c *client, p *process) (account, error) {
	if cmd.Username != "" {
		return account{}, fault.Invalid("--web asks for no --username: who approves in the browser is signed in")
	}
	if cmd.Expires < time.Minute {
		return account{}, fault.Invalid("--expires is a minute at least")
	}
	asked, err := askByDevice(ctx, c, cmp.Or(cmd.Scope, string(identity.ScopeAdmin)), cmd.Expires)
	if err != nil {
		return account{}, err
	}
	fmt.Fprintf(p.stderr, "Open %s in a browser, on this machine or another, and type this code there:\n\n    %s\n\nIt is good for %s. Waiting for somebody to approve …\n",
		asked.VerificationURI, asked.UserCode, time.Duration(asked.ExpiresIn)*time.Second)
	if !cmd.NoBrowser && p.seesBrowser() {
		openBrowser(ctx, c, asked.VerificationURI)
	}
	given, err := awaitDevice(ctx, c, asked)
	if err != nil {
		return account{}, err
	}
	return account{Username: given.Username, TokenID: given.TokenID, Token: secret.New(given.AccessToken)}, nil
}

// askByDevice asks for a code. What the server's answer is made of is printed,
// so it is held to what it can be.
func askByDevice(ctx context.Context, c *client, scope string, lives time.Duration) (asked api.DeviceCode, err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	form := url.Values{
		"client_id": {api.DeviceClient}, "scope": {scope}, "machine": {fmt.Sprintf("%.64s", host)}, "lives": {strconv.FormatInt(int64(lives/time.Second), 10)},
	}
	if err := c.postForm(ctx, "/api/device/code", form, &asked); err != nil {
		return asked, err
	}
	if asked.Error != "" {
		return asked, fault.Invalid("%s", cmp.Or(asked.Description, asked.Error))
	}
	page, err := url.Parse(asked.VerificationURI)
	if err != nil || page.Scheme != "http" && page.Scheme != "https" || asked.UserCode == "" {
		return asked, fmt.Errorf("%s answered something that is not Berth's", c.where())
	}
	return asked, nil
}

// awaitDevice asks for the token until somebody has decided. A server that is
// away for a moment is asked again.
func awaitDevice(ctx context.Context, c *client, asked api.DeviceCode) (given api.DeviceToken, err error) {
	wait := time.Duration(max(asked.Interval, 1)) * time.Second
	late, cancel := context.WithTimeout(ctx, time.Duration(asked.ExpiresIn)*time.Second)
	defer cancel()
	form := url.Values{"client_id": {api.DeviceClient}, "grant_type": {api.GrantDevice}, "device_code": {asked.DeviceCode}}
	for {
		select {
		case <-late.Done():
			if ctx.Err() != nil {
				return given, ctx.Err()
			}
			return given, errCodeOver()
		case <-time.After(wait):
		}
		given = api.DeviceToken{}
		if err := c.postForm(late, "/api/device/token", form, &given); err != nil && late.Err() == nil && fault.KindOf(err) != fault.NotNow {
			return given, err
		}
		switch given.Error {
		case "authorization_pending":
		case "slow_down":
			wait += 5 * time.Second // RFC 8628 section 3.5
		case "access_denied":
			return given, fault.Forbidden("it was denied in the browser, or who approved it has signed out since")
		case "expired_token":
			return given, errCodeOver()
		case "":
			if given.AccessToken != "" {
				return given, nil
			}
		default:
			return given, fault.Invalid("%s", cmp.Or(given.Description, given.Error))
		}
	}
}

func errCodeOver() error { return fault.SignIn("nobody approved the code in its time: begin again") }

// postForm sends a form and reads the answer, also one that says why not: RFC
// 6749 section 5.2.
func (c *client) postForm(ctx context.Context, path string, form url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("User-Agent", "berth/"+version())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusBadRequest {
		return c.refusal(response)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return c.unreachable(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s answered something that is not Berth's: %w", c.where(), err)
	}
	return nil
}

// seesBrowser says whether a person sits here who could see a browser.
func (p *process) seesBrowser() bool {
	if _, ok := p.terminal(); !ok {
		return false
	}
	for _, pair := range p.environ {
		name, value, _ := strings.Cut(pair, "=")
		if (name == "DISPLAY" || name == "WAYLAND_DISPLAY") && value != "" {
			return true
		}
	}
	return runtime.GOOS == "darwin"
}

// openBrowser opens the server's own page, and no other. That it can not is no
// matter: the address is printed.
func openBrowser(ctx context.Context, c *client, page string) {
	if u, err := url.Parse(page); err != nil || u.Scheme != c.base.Scheme || u.Host != c.base.Host {
		return
	}
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	if command := exec.CommandContext(ctx, opener, page); command.Start() == nil { //nolint:gosec // the address is the server's own
		go func() { _ = command.Wait() }()
	}
}
