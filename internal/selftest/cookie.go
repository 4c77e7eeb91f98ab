package selftest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

var cookieAttributes = Check{
	Name:     "cookie-attributes",
	Prevents: "A cookie of Berth's is readable by a page's script, sent in the clear, to another host, or along with another site's request.",
	Attack: func(ctx context.Context, t *Try) {
		navigate := []string{"Accept: text/html", "Sec-Fetch-Mode: navigate"}
		messages := []string{
			request(http.MethodGet, t.base(), "/sign-in", navigate...), request(http.MethodGet, t.base(), "/auth/enter?host=x&to=/&bind="+strings.Repeat("A", 43), navigate...),
			request(http.MethodPost, t.base(), "/api/session/passkey/question", "Content-Length: 0"),
		}
		for _, slug := range t.providers(ctx) {
			messages = append(messages, request(http.MethodGet, t.base(), "/auth/"+slug+"/start", navigate...))
		}
		if t.Guarded == "" {
			t.Partly("at an app's host")
		} else {
			messages = append(messages, request(http.MethodGet, t.on(t.Guarded), t.Closed, navigate...), request(http.MethodGet, t.on(t.Guarded), "/.berth/ticket?ticket=x", navigate...))
		}
		for _, message := range messages {
			for _, a := range t.Send(ctx, message) {
				for _, line := range a.Header.Values("Set-Cookie") {
					if why := t.wrongWith(line); why != "" {
						t.Broken(message, why+": "+line)
					}
				}
			}
		}
	},
}

// wrongWith says what a cookie of Berth's has not that it should; "" for nothing.
func (t *Try) wrongWith(line string) string {
	c, err := http.ParseSetCookie(line)
	switch {
	case err != nil:
		return err.Error()
	case !c.HttpOnly:
		return "without HttpOnly"
	case c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode:
		return "without SameSite"
	case c.Domain != "":
		return "for a whole domain"
	case c.Path != "/":
		return "with another path than /"
	case t.Base.Scheme == "https" && (!c.Secure || !strings.HasPrefix(c.Name, "__Host-")):
		return "without Secure and the prefix __Host-"
	}
	return ""
}

// providers lists where people may sign in, as the sign-in page has it.
func (t *Try) providers(ctx context.Context) []string {
	a := t.Ask(ctx, http.MethodGet, t.base(), "/api/sign-in")
	var page struct {
		Providers []struct{ Slug string }
	}
	if a == nil || json.Unmarshal([]byte(a.Body), &page) != nil || len(page.Providers) == 0 {
		t.Partly("on the way to a provider: there is none")
		return nil
	}
	slugs := make([]string, 0, len(page.Providers))
	for _, p := range page.Providers {
		slugs = append(slugs, p.Slug)
	}
	return slugs
}
