package selftest

import (
	"context"
	"net/http"
	"strings"
)

// elsewhere are headers by which a proxy says that a request is another one
// than it looks, with what would be of use to whoever sends them.
func (t *Try) elsewhere(mark string) []string {
	open := t.on(t.Public)
	if t.Public == "" {
		open = t.base()
	}
	return []string{
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: ::1, 10.0.0.1", "X-Forwarded-For: a", "X-Forwarded-For: " + mark,
		"X-Forwarded-Host: " + open, "X-Forwarded-Host: " + mark, "X-Forwarded-Server: " + mark, "X-Forwarded-Port: 1" + mark,
		"X-Forwarded-Proto: https", "X-Forwarded-Proto: " + mark, "X-Forwarded-Scheme: https",
		"X-Forwarded-Uri: /public", "X-Forwarded-Uri: /health?" + mark, "X-Forwarded-Method: OPTIONS", "X-Forwarded-Path: /health?" + mark,
		"X-Forwarded-Prefix: /" + mark, "X_Forwarded_Prefix: /" + mark, "X-Forwarded: for=127.0.0.1;" + mark, "X_Forwarded_Proto: " + mark,
		"Forwarded: for=127.0.0.1;host=" + open + ";proto=https", "Forwarded: for=_" + mark, "X-Real-IP: 127.0.0.1", "X-Real-IP: " + mark,
		"X-Original-URL: /public?" + mark, "X-Rewrite-URL: /public?" + mark, "X_Original_URL: /public?" + mark, "X.Rewrite.Url: /public?" + mark,
		"X-Original-URI: /public?" + mark, "X-Original-Method: OPTIONS" + mark, "Proxy: http://" + mark, "Content_Length: " + mark, "X-Request-Id: " + strings.Repeat(mark, 10),
	}
}

var forwardedHeaders = Check{
	Name:     "forwarded-header-spoofing",
	Prevents: "A client says that it comes from elsewhere, or asks for something else than it does, and is believed.",
	Advisories: []string{
		"CVE-2026-40575", "CVE-2024-47070", "CVE-2023-36456", "CVE-2024-52003", "CVE-2026-35051", "CVE-2026-39858",
	},
	Attack: func(ctx context.Context, t *Try) {
		m := mark()
		for _, line := range t.elsewhere(m) {
			for _, path := range []string{"/api/projects", "/api/session", "/metrics"} {
				if a := t.Ask(ctx, "GET", t.base(), path, line); a != nil && a.Status != http.StatusUnauthorized && a.Status != http.StatusBadRequest {
					t.Broken(path+" "+line, a.String())
				}
			}
			if t.Guarded != "" {
				message := request("GET", t.on(t.Guarded), t.Closed, line)
				t.refused(message, t.Send(ctx, message))
			}
			if t.Echo {
				t.toldTruly(ctx, m, line)
			}
		}
	},
}

// toldTruly looks whether an app hears of the address that is true alone.
func (t *Try) toldTruly(ctx context.Context, mark, line string) {
	message := request("GET", t.on(t.Public), "/", line)
	for _, a := range t.Send(ctx, message) {
		got, ok := t.reported(&a)
		if !ok {
			continue
		}
		low := strings.ToLower(got)
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.Contains(got, mark),
			strings.Count(low, "\nx-forwarded-for: ") != 1, strings.Count(low, "\nx-real-ip: ") != 1, strings.Count(low, "\nforwarded: ") != 1,
			!strings.HasPrefix(name, "X-Forwarded-Host") && !strings.Contains(value, "127.0.0.1") && strings.Contains(got, ": "+value+"\r\n"):
			t.Broken(message, got)
		}
	}
}

var healthAgents = Check{
	Name:       "health-check-bypass",
	Prevents:   "Who calls itself a health check, a preflight or a robot is let in.",
	Advisories: []string{"CVE-2026-34457"},
	Needs:      NeedsGuarded,
	Attack: func(ctx context.Context, t *Try) {
		for _, lines := range [][]string{
			{"User-Agent: GoogleHC/1.0"},
			{"User-Agent: kube-probe/1.30"},
			{"User-Agent: ELB-HealthChecker/2.0"},
			{"User-Agent: Berth"},
			{"Origin: https://evil.example", "Access-Control-Request-Method: GET"},
			{"Upgrade: websocket", "Connection: upgrade, close", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
			{"Purpose: prefetch"},
			{"X-Requested-With: XMLHttpRequest"},
			{"Content-Type: application/grpc"},
			{"Accept: text/event-stream"},
		} {
			methods := []string{"GET", "HEAD", "OPTIONS", "PROPFIND", "TRACE", "get", "GETT"}
			if t.Echo { // an app of which nothing is known is not changed, should it get through
				methods = append(methods, "POST")
			}
			for _, method := range methods {
				message := request(method, t.on(t.Guarded), t.Closed, lines...)
				t.refused(message, t.Send(ctx, message))
			}
		}
	},
}
