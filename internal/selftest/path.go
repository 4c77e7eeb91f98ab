package selftest

import (
	"context"
	"net/http"
	"strings"
)

// detours are ways to write a path that one reader takes for below "in", and
// another for below "out". Both begin with a slash.
func detours(in, out string) []string {
	name := strings.TrimPrefix(out, "/")
	up := []string{
		"..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "..;", "..;x=y", "..%3b", "%2e%2e%3b", "..%2f", "..%5c", `..\`, "%252e%252e", "..%00", "..%09", "..%20", "..#", "..%23",
		"%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%uff0e%uff0e", "..%c0%af", "..%ef%bc%8f", ".%00.", "..\t", "..%0d%0a",
	}
	var list []string
	for _, u := range up {
		list = append(list, in+"/"+u+out, in+"/x/"+u+"/"+u+out, in+"%2f"+u+"%2f"+name, in+`\`+u+`\`+name, in+"%5c"+u+"%5c"+name, in+";/"+u+out)
	}
	return append(list,
		"/"+out, "//"+out, "/."+out, "/./"+name, "/%2e"+out, "/%2f"+name, `/\`+name, "/%5c"+name, "/;"+out, "/;x"+out, out+"%2f", out+"/.", out+"//",
		out+";x", out+"%3bx", out+"%00", out+"%20", out+"%09", out+".json%00", out+"#"+in, out+"%23"+in, out+"?"+in, out+"?x="+in+"/bar", "/x#/.."+out,
		in+"/%2e%2e%2f"+name, in+"%3f/.."+out, in+"?/.."+out, strings.ToUpper(out), "/"+strings.ToUpper(name[:1])+name[1:],
		"/%"+hex(name[0])+name[1:], "/%25"+hex(name[0])+name[1:], "/"+name[:1]+"%00"+name[1:],
	)
}

func hex(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) }

var pathConfusion = Check{
	Name:     "path-confusion",
	Prevents: "A path is decided on in one reading and served by the app in another, which would have been refused.",
	Advisories: []string{
		"CVE-2025-32431", "CVE-2025-47952", "CVE-2025-66490", "CVE-2026-40912", "CVE-2026-65600", "GHSA-xf64-8mw2-4gr2", "CVE-2021-32637", "CVE-2025-54576", "CVE-2026-41059", "CVE-2021-39206", "CVE-2023-33189",
	},
	Needs: NeedsGuarded,
	Attack: func(ctx context.Context, t *Try) {
		in := "/.berth"
		if len(t.Open) > 0 {
			in = t.Open[0]
		} else {
			t.Partly("from a path that is open to everybody")
		}
		from := []string{in}
		if a := t.Ask(ctx, "GET", t.on(t.Guarded), "/.well-known/x"); t.Echo || t.refuses(a) {
			from = append(from, "/.well-known")
		} else {
			t.Partly("from /.well-known, which is open: what the app made of it")
		}
		for _, in := range from {
			for _, path := range detours(in, t.Closed) {
				t.notBelow(ctx, path, t.Closed)
			}
		}
		if t.Session == "" || !t.Echo {
			t.Partly("as a member, at what is for administrators alone")
			return
		}
		for _, path := range append(detours(in, t.Closed), detours("/pages", t.Closed)...) {
			t.notBelow(ctx, path, t.Closed, "Cookie: "+t.Session)
		}
	},
}

// notBelow asks Guarded for a path. When it comes to the app, then not as one
// that the app could read as below out: the path that it got has no trace of it.
func (t *Try) notBelow(ctx context.Context, path, out string, lines ...string) {
	for _, target := range []string{path, "http://" + t.on(t.Guarded) + path} {
		message := request("GET", t.on(t.Guarded), target, lines...)
		for _, a := range t.Send(ctx, message) {
			if t.refuses(&a) {
				continue
			}
			got, ok := t.reported(&a)
			line, _, _ := strings.Cut(got, "\r\n")
			asked := strings.Fields(line)
			if !ok || len(asked) < 2 || mayMean(asked[1], out) {
				t.Broken(message, a.String()+" "+line)
			}
		}
	}
}

// mayMean says that a target, as an app got it, can be read as one below out:
// by an app that decodes twice, merges slashes, drops parameters, or does not
// tell letters by case. A query is no part of the path.
func mayMean(target, out string) bool {
	path, _, _ := strings.Cut(target, "?")
	for range 3 {
		low := strings.ToLower(path)
		for _, cut := range []string{"%00", "%23", "#", ";", "%3b"} {
			low, _, _ = strings.Cut(low, cut)
		}
		low = strings.NewReplacer(`\`, "/", "%5c", "/", "%2f", "/").Replace(low)
		for strings.Contains(low, "//") {
			low = strings.ReplaceAll(low, "//", "/")
		}
		if strings.Contains(path, "/..") || strings.Contains(path, `\..`) || low == out || strings.HasPrefix(low, out+"/") {
			return true
		}
		path = strings.NewReplacer("%2e", ".", "%2E", ".", "%61", "a", "%5c", `\`, "%5C", `\`).Replace(path)
	}
	return false
}

var pathAtBase = Check{
	Name:       "path-confusion-in-the-api",
	Prevents:   "An address of Berth's own API is asked for by another spelling, past the rule that stands beside it.",
	Advisories: []string{"CVE-2021-32637", "CVE-2025-54576"},
	Attack: func(ctx context.Context, t *Try) {
		for _, path := range append(detours("/health", "/api/projects"), append(detours("/api/setup", "/api/projects"), detours("/v2", "/metrics")...)...) {
			message := request("GET", t.base(), path)
			for _, a := range t.Send(ctx, message) {
				json := strings.Contains(a.Header.Get("Content-Type"), "json") || strings.Contains(a.Body, "# HELP")
				if a.Status == http.StatusOK && json && !strings.Contains(a.Body, `"status":"ok"`) && !strings.Contains(a.Body, `"needed":`) {
					t.Broken(message, a.String())
				}
			}
		}
	},
}
