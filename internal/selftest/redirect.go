package selftest

import (
	"context"
	"net/url"
	"strings"
)

const evil = "evil.example"

// places are addresses that lead to another site, for some browser.
func (t *Try) places() []string {
	base := t.base()
	return []string{
		"https://" + evil + "/", "http:" + evil, "//" + evil, "///" + evil, "////" + evil, `/\` + evil, `\\` + evil, `\/` + evil, "/\t/" + evil, "/\n/" + evil, "/\r\n/" + evil, "\t//" + evil, "/%09/" + evil, "/%0a/" + evil, "/%5c" + evil,
		"/.//" + evil, "/..//" + evil, "/x/..//" + evil, "https:" + evil, "https:/" + evil, `https:\\` + evil, "https://" + base + "@" + evil, "https://" + base + "." + evil, "https://" + evil + "#" + base, "https://" + evil + "?" + base,
		"//" + base + "@" + evil, "//" + evil + `\@` + base, "https://" + evil + "%00." + base, "javascript:alert(1)", "data:text/html,x", "/\x00/" + evil, "/" + "\u2028" + "/" + evil, "//" + evil + ":80", "//[::ffff:1.2.3.4]", "@" + evil, "." + evil, ":80@" + evil, "",
	}
}

var openRedirects = Check{
	Name:     "open-redirect",
	Prevents: "A link to Berth leads on to a place that it does not serve, with whatever a sign-in adds.",
	Advisories: []string{
		"CVE-2020-5233", "CVE-2020-11053", "CVE-2020-4037", "GHSA-36f2-fcrx-fp4j", "CVE-2021-29651", "GHSA-9h33-g3ww-mqff", "GHSA-2wvm-8mvp-22qv",
	},
	Attack: func(ctx context.Context, t *Try) {
		bind := strings.Repeat("A", 43)
		app := t.Guarded
		if app == "" {
			t.Partly("at an app's host")
		}
		for _, to := range t.places() {
			q := url.QueryEscape(to)
			for _, target := range []string{
				"/sign-in?to=" + q, "/auth/enter?host=" + url.QueryEscape(app) + "&to=" + q + "&bind=" + bind, "/auth/enter?host=" + q + "&to=/&bind=" + bind,
				"/auth/enter?host=" + url.QueryEscape(app+"@"+evil) + "&to=/&bind=" + bind, "/auth/nothing/start?to=" + q, "/auth/nothing/callback?state=x&code=x&iss=" + q, "/auth/nothing/sign-out?to=" + q,
			} {
				t.staysHere(ctx, t.base(), target)
			}
			if app == "" {
				continue
			}
			for _, target := range []string{
				"/.berth/sign-in?to=" + q, "/.berth/ticket?ticket=x&to=" + q, "/.berth/sign-out?to=" + q,
			} {
				t.staysHere(ctx, t.on(app), target)
			}
			if strings.HasPrefix(to, "/") && !strings.ContainsAny(to, "\t\r\n\x00 ") {
				t.staysHere(ctx, t.on(app), to)
			}
		}
		for _, line := range []string{"X-Forwarded-Host: " + evil, "X-Forwarded-Proto: javascript", "Forwarded: host=" + evil, "X-Original-Host: " + evil, "Referer: https://" + evil + "/", "Origin: https://" + evil} {
			t.staysHere(ctx, t.base(), "/", line)
			t.staysHere(ctx, t.base(), "/api", line)
			if app != "" {
				t.staysHere(ctx, t.on(app), t.Closed, line)
			}
		}
		t.staysHere(ctx, evil, "/")
	},
}

// staysHere asks as a browser that goes to a page, and looks where it is led.
func (t *Try) staysHere(ctx context.Context, host, target string, lines ...string) {
	message := request("GET", host, target, append([]string{"Accept: text/html", "Sec-Fetch-Mode: navigate"}, lines...)...)
	for _, a := range t.Send(ctx, message) {
		for _, name := range []string{"Location", "Refresh", "Content-Location", "Link"} {
			for _, to := range a.Header.Values(name) {
				if at := asBrowser(host, to); at != t.base() && (t.Guarded == "" || at != t.on(t.Guarded)) {
					t.Broken(message, name+": "+to)
				}
			}
		}
	}
}

// asBrowser gives the host that a browser goes to from a page of another: it
// drops tabs and line ends, and reads a backslash as a slash (WHATWG URL).
func asBrowser(from, to string) string {
	to = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(to))
	if scheme, rest, ok := strings.Cut(to, ":"); ok && (scheme == "http" || scheme == "https") {
		to = "//" + strings.TrimLeft(rest, "/")
	} else if strings.HasPrefix(to, "//") {
		to = "//" + strings.TrimLeft(to, "/")
	} else if strings.HasPrefix(to, "/") || strings.HasPrefix(to, "?") || to == "" || !ok {
		return from
	}
	u, err := url.Parse(to)
	if err != nil {
		return "unreadable: " + to
	}
	return u.Host
}
