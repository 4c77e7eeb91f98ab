package selftest

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"berth/internal/fault"
)

// Recognise asks who is there, politely, before anything is sent that is not:
// it fails where Base is no Berth's base host, where Guarded is no app of it
// whose Closed asks for signing in, and where Session or Token open nothing. So nobody is attacked by mistake. What
// it sends goes to Base alone, as everything does.
func Recognise(ctx context.Context, target Target) error {
	t := &Try{Target: target, over: ctx.Err}
	asked := "GET " + t.Base.String() + "/health"
	a := t.ask(ctx, http.MethodGet, t.base(), "/health")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if t.unmade != "" {
		return fault.Unavailable("%s: %s", asked, t.unmade)
	}
	var health struct {
		Service string `json:"service"`
	}
	if a == nil || json.Unmarshal([]byte(a.Body), &health) != nil || health.Service != "berth" {
		return fault.Invalid("%s is not the base host of a Berth, which answers %s with \"service\":\"berth\": nothing was attacked", t.Base, asked)
	}
	if t.Guarded != "" {
		a := t.Ask(ctx, http.MethodGet, t.on(t.Guarded), t.Closed, "Accept: text/html", "Sec-Fetch-Mode: navigate")
		if a == nil || a.Status != http.StatusFound && a.Status != http.StatusSeeOther || !t.refuses(a) {
			answered := "nothing: " + t.unmade
			if a != nil {
				answered = strconv.Itoa(a.Status)
			}
			return fault.Invalid("%s%s is not a page of this Berth's that asks for signing in, but answers %s: nothing was attacked", t.on(t.Guarded), t.Closed, answered)
		}
	}
	if t.Session != "" {
		if a := t.Ask(ctx, http.MethodGet, t.on(t.Guarded), "/", "Cookie: "+t.Session); t.refuses(a) {
			return fault.SignIn("the session does not open %s/: nothing was attacked", t.on(t.Guarded))
		}
	}
	if t.Token != "" {
		if a := t.Ask(ctx, http.MethodGet, t.base(), "/api/session", "Authorization: Bearer "+t.Token); a == nil || a.Status != http.StatusOK {
			return fault.SignIn("the token is none of this server's: nothing was attacked")
		}
	}
	return ctx.Err()
}

// ask is Ask, whatever the status.
func (t *Try) ask(ctx context.Context, method, host, target string, lines ...string) *Answer {
	answers := t.send(ctx, request(method, host, target, lines...))
	if len(answers) == 0 {
		return nil
	}
	return &answers[0]
}
