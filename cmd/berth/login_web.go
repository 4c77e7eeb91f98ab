package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
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
		asked.page, asked.person, asked.lives)
	if !cmd.NoBrowser && p.seesBrowser() {
		openBrowser(ctx, c, asked.page)
	}
	given, err := awaitDevice(ctx, c, asked)
	if err != nil {
		return account{}, err
	}
	return account{Username: given.Username, TokenID: given.TokenID, Token: secret.New(given.AccessToken)}, nil
}

// deviceAsked is what the server answered, held to what Berth's can be: it is
// printed, and waited for.
type deviceAsked struct {
	device          secret.Text
	person          string
	page            *url.URL
	lives, interval time.Duration
}

const (
	longestCode     = time.Hour
	longestInterval = time.Minute
	// longestPause is the most between two tries at a server that is away.
	longestPause = 15 * time.Second
)

var personsCode = regexp.MustCompile(`^[A-Z]{4}-[A-Z]{4}$`)

// askByDevice asks for a code.
func askByDevice(ctx context.Context, c *client, scope string, lives time.Duration) (deviceAsked, error) {
	form := url.Values{
		"client_id": {api.DeviceClient}, "scope": {scope}, "machine": {fmt.Sprintf("%.64s", machineName())}, "lives": {strconv.FormatInt(int64(lives/time.Second), 10)},
	}
	var answer api.DeviceCode
	if err := c.postForm(ctx, "/api/device/code", form, &answer); err != nil {
		return deviceAsked{}, err
	}
	if answer.Error != "" {
		return deviceAsked{}, fault.Invalid("%s", cmp.Or(answer.Description, answer.Error))
	}
	page, err := url.Parse(answer.VerificationURI)
	if err != nil || !plainPage(page) || !personsCode.MatchString(answer.UserCode) {
		return deviceAsked{}, fmt.Errorf("%s answered something that is not Berth's", c.where())
	}
	return deviceAsked{
		device: secret.New(answer.DeviceCode), person: answer.UserCode, page: page,
		lives: seconds(answer.ExpiresIn, longestCode), interval: seconds(answer.Interval, longestInterval),
	}, nil
}

// plainPage says whether an address is one of a web page, with nothing in it
// that hides where it leads.
func plainPage(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// seconds is at least one, and most at most.
func seconds(n int64, most time.Duration) time.Duration {
	return time.Duration(min(max(n, 1), int64(most/time.Second))) * time.Second
}

// awaitDevice asks for the token until somebody has decided. A server that is
// away for a moment is asked again, less and less often.
func awaitDevice(ctx context.Context, c *client, asked deviceAsked) (api.DeviceToken, error) {
	late, cancel := context.WithTimeout(ctx, asked.lives)
	defer cancel()
	form := url.Values{"client_id": {api.DeviceClient}, "grant_type": {api.GrantDevice}, "device_code": {asked.device.Reveal()}}
	wait := asked.interval
	var failed error // of the polls since the last answer
	for pause := wait; ; {
		select {
		case <-late.Done():
			return api.DeviceToken{}, cmp.Or(ctx.Err(), failed, errCodeOver())
		case <-time.After(pause):
		}
		var given api.DeviceToken
		err := c.postForm(late, "/api/device/token", form, &given)
		switch {
		case late.Err() != nil:
			continue
		case err == nil:
			pause = wait
		case fault.KindOf(err) == fault.TooOften:
			given.Error = "slow_down"
		case passes(err):
			failed, pause = err, min(2*pause, max(longestPause, wait))
			continue
		default:
			return given, err
		}
		switch given.Error {
		case "authorization_pending":
			failed = nil
		case "slow_down":
			wait += 5 * time.Second // RFC 8628 section 3.5
			pause = wait
		case "":
			if given.AccessToken != "" {
				return given, nil
			}
		default:
			return given, c.notGiven(given.OAuthError, failed)
		}
	}
}

// passes says whether what went wrong may be gone at the next poll.
func passes(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && (f.Kind == fault.NotNow || f.Kind == fault.Internal)
}

// notGiven says why there is no token. A code that is used up after an answer
// that did not arrive was approved, perhaps.
func (c *client) notGiven(why api.OAuthError, failed error) error {
	switch {
	case why.Error == "access_denied":
		return fault.Forbidden("it was denied in the browser, or who approved it has signed out since")
	case why.Error == "expired_token" && failed != nil:
		return fault.SignIn("an answer of %s was lost, and with it a token, if the code was approved: remove that under API tokens of your account, %s, and begin again", c.base, c.tokensPage())
	case why.Error == "expired_token":
		return fault.SignIn("%s does not know the code any more: it was started anew, or too many wait; begin again", c.base)
	}
	return fault.Invalid("%s", cmp.Or(why.Description, why.Error))
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
// matter: the address is printed. What opens it lives on after this command.
func openBrowser(ctx context.Context, c *client, page *url.URL) {
	if page.Scheme != c.base.Scheme || page.Host != c.base.Host {
		return
	}
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), opener, page.String()) //nolint:gosec // the address is the server's own
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if command.Start() == nil {
		go func() { _ = command.Wait() }()
	}
}
