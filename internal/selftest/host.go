package selftest

import (
	"context"
	"net/http"
	"strings"
)

var hostConfusion = Check{
	Name:       "host-confusion",
	Prevents:   "A request is decided on for one host and served by the app of another.",
	Advisories: []string{"CVE-2026-27588"},
	Needs:      NeedsGuarded,
	Attack: func(ctx context.Context, t *Try) {
		guarded, upper := t.on(t.Guarded), strings.ToUpper(t.on(t.Guarded))
		port := strings.TrimPrefix(guarded, t.Guarded)
		other := t.base()
		if t.Public != "" {
			other = t.on(t.Public)
		}
		for _, host := range []string{
			guarded, t.Guarded, upper, t.Guarded + ".", t.Guarded + "." + port, upper + "", t.Guarded + ":1", t.Guarded + ":", t.Guarded + ":65536", t.Guarded + ":0" + strings.TrimPrefix(port, ":"),
			other + "@" + guarded, guarded + "@" + other, guarded + ", " + other, other + ", " + guarded, guarded + "#" + other, guarded + "/" + other, guarded + `\` + other,
			guarded + "?" + other, "\t" + guarded, guarded + "\t", guarded + "%00", guarded + "\x00" + other, "[" + guarded + "]", t.Guarded + ".." + port, "", "*", ".", "..", "xn--" + guarded,
		} {
			message := request("GET", host, t.Closed)
			t.guardedOrElse(message, t.Send(ctx, message))
		}
		for _, pair := range [][2]string{{guarded, other}, {other, guarded}} {
			for _, target := range []string{
				"http://" + pair[0] + t.Closed, "https://" + pair[0] + t.Closed, "HTTP://" + pair[0] + t.Closed, "http://" + pair[1] + "@" + pair[0] + t.Closed, "http://" + pair[0], "//" + pair[0] + t.Closed,
				"http:" + pair[0] + t.Closed, "http:/" + pair[0] + t.Closed, `http:\\` + pair[0] + t.Closed, "ftp://" + pair[0] + t.Closed, pair[0] + t.Closed, "*",
			} {
				message := request("GET", pair[1], target)
				t.guardedOrElse(message, t.Send(ctx, message))
			}
		}
		for _, two := range []string{
			"GET " + t.Closed + " HTTP/1.1\r\nHost: " + other + "\r\nHost: " + guarded + "\r\n", "GET " + t.Closed + " HTTP/1.1\r\nHost: " + guarded + "\r\nHost: " + other + "\r\n",
			"GET " + t.Closed + " HTTP/1.1\r\nHost: " + other + "\r\n Host: " + guarded + "\r\n", "GET " + t.Closed + " HTTP/1.1\r\nHost : " + guarded + "\r\nHost: " + other + "\r\n",
			"GET " + t.Closed + " HTTP/1.1\r\n", "GET " + t.Closed + " HTTP/1.0\r\n", "GET " + t.Closed + " HTTP/1.0\r\nHost: " + guarded + "\r\n", "GET " + t.Closed + "\r\n",
		} {
			message := two + "Accept: application/json\r\nConnection: close\r\n\r\n"
			t.guardedOrElse(message, t.Send(ctx, message))
		}
	},
}

// guardedOrElse looks whether an answer is of Guarded's app, which nobody was
// let in to. What another host answers is another matter: that host says who
// may enter there, so it must be the one that answers.
func (t *Try) guardedOrElse(message string, answers []Answer) {
	for i := range answers {
		a := &answers[i]
		if t.refuses(a) || a.Header.Get("X-App-Version") == "public" {
			continue
		}
		if !t.Echo && (t.Public != "" || strings.Contains(message, t.base())) && a.Header.Get("X-App-Version") == "" {
			continue // another app of which nothing is known, or the dashboard
		}
		if a.Status == http.StatusOK && strings.Contains(a.Header.Get("Content-Type"), "text/html") && a.Header.Get("X-App-Version") == "" {
			continue // the dashboard, at the base host
		}
		t.Broken(message, a.String())
	}
}
