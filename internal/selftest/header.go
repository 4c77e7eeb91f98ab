package selftest

import (
	"context"
	"fmt"
	"strings"
)

// spellings are how a name can be written so that some app reads it as the
// same one: apps that take headers as CGI variables can not tell a dash from
// whatever else is neither letter nor digit.
func spellings(name string) []string {
	upper, lower := strings.ToUpper(name), strings.ToLower(name)
	list := []string{name, upper, lower}
	for _, other := range []string{"_", ".", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", "~"} {
		list = append(list, strings.ReplaceAll(name, "-", other), strings.ReplaceAll(lower, "-", other))
	}
	last := strings.LastIndex(name, "-")
	return append(list, name[:last]+"_"+name[last+1:], strings.Replace(name, "-", "_", 1))
}

// told are the headers that say who somebody is.
var told = []string{
	"X-Berth-User", "X-Berth-Email", "X-Berth-Groups", "X-Berth-Claims", "X-Berth-Context", "X-Berth-Provider",
	"X-Berth-External-Id", "X-Berth-Assertion", "X-Berth-Anything",
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
}

var identityHeaders = Check{
	Name:     "identity-header-smuggling",
	Prevents: "A client says who it is by a header, in whatever spelling, and an app or Berth believes it.",
	Advisories: []string{
		"CVE-2025-64484", "CVE-2026-39858", "CVE-2026-54763", "CVE-2026-88011",
	},
	Needs: NeedsGuarded,
	Attack: func(ctx context.Context, t *Try) {
		m := mark()
		for _, name := range told {
			var lines []string
			for _, spelled := range spellings(name) {
				lines = append(lines, spelled+": "+m)
			}
			lines = append(lines, name+": "+m+"-again", name+" : "+m) // twice, and with a space that some drop
			for _, some := range [][]string{lines[:len(lines)-1], lines[len(lines)-1:]} {
				message := request("GET", t.on(t.Guarded), t.Closed, some...)
				t.refused(message, t.Send(ctx, message))
				t.hidden(ctx, m, some)
			}
		}
	},
}

// hidden sends lines to the apps and looks whether the mark comes there.
func (t *Try) hidden(ctx context.Context, mark string, lines []string) {
	if !t.Echo {
		return
	}
	ways := map[string][]string{t.Public: nil}
	if t.Session != "" {
		ways[t.Guarded] = []string{"Cookie: " + t.Session}
	}
	for host, with := range ways {
		message := request("GET", t.on(host), "/", append(with, lines...)...)
		for _, a := range t.Send(ctx, message) {
			if got, ok := t.reported(&a); ok && strings.Contains(got, mark) {
				t.Broken(message, got)
			}
		}
	}
}

var identityTrailers = Check{
	Name:       "identity-trailer-smuggling",
	Prevents:   "A client says who it is, or where it comes from, behind the body, where an app takes it for a header.",
	Advisories: []string{"CVE-2026-88004"},
	Needs:      NeedsPublic | NeedsEcho,
	Attack: func(ctx context.Context, t *Try) {
		m := mark()
		for _, name := range append([]string{"X-Forwarded-For", "X-Forwarded-Prefix", "X-Real-IP", "Forwarded", "Host", "Content-Length", "Cookie", "Authorization", "Connection"}, told...) {
			for _, spelled := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", ".")} {
				for _, announced := range []string{"Trailer: " + spelled, "X-Nothing: announced"} {
					message := request("POST", t.on(t.Public), "/", "Transfer-Encoding: chunked", "TE: trailers", announced) +
						"3\r\nabc\r\n0\r\n" + spelled + ": " + m + "\r\n\r\n"
					for _, a := range t.Send(ctx, message) {
						if got, ok := t.reported(&a); ok && strings.Contains(got, m) {
							t.Broken(message, got)
						}
					}
				}
			}
		}
	},
}

var connectionHeader = Check{
	Name:       "identity-header-removal",
	Prevents:   "A client names Berth's headers in Connection, so that the app is not told who comes or from where.",
	Advisories: []string{"CVE-2024-45410", "CVE-2021-32813", "CVE-2025-48865"},
	Needs:      NeedsPublic | NeedsEcho,
	Attack: func(ctx context.Context, t *Try) {
		hosts := map[string][]string{t.Public: {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "X-Request-Id", "Forwarded"}}
		if t.Session != "" {
			hosts[t.Guarded] = append(hosts[t.Public], "X-Berth-User", "X-Berth-Context", "X-Berth-Provider")
		} else {
			t.Partly("as somebody who is signed in")
		}
		for host, names := range hosts {
			for _, form := range []string{"close, %s", "%s, close", "keep-alive, close, %s", "Close\r\nConnection: %s", "close,%s,"} {
				for _, name := range names {
					for _, spelled := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
						lines := []string{"Connection: " + fmt.Sprintf(form, spelled)}
						if host == t.Guarded {
							lines = append(lines, "Cookie: "+t.Session)
						}
						message := request("GET", t.on(host), "/", lines...)
						answers := t.Send(ctx, message)
						if len(answers) == 0 {
							t.noAnswer(message)
							continue
						}
						if got, ok := t.reported(&answers[0]); !ok || !strings.Contains(strings.ToLower(got), "\n"+strings.ToLower(name)+": ") {
							t.Broken(message, answers[0].String())
						}
					}
				}
			}
		}
	},
}
