package selftest

import (
	"context"
	"net/http"
	"strings"
)

var sharedCaches = Check{
	Name:     "shared-caches",
	Prevents: "A cache in between keeps what was for one person, or a refusal, and gives it to others; an address is dressed as a file's so that it does.",
	Attack: func(ctx context.Context, t *Try) {
		type place struct{ host, path string }
		var places []place
		for _, path := range []string{"/api/session", "/api/projects", "/api/nothing", "/auth/nothing/start", "/auth/nothing/callback?code=x&state=x", "/auth/enter?host=x&to=/&bind=x", "/health"} {
			places = append(places, place{t.base(), path})
		}
		if t.Guarded != "" {
			for _, path := range []string{t.Closed, t.Closed + ".css", t.Closed + "/x.js", "/.berth/ticket?ticket=x", "/.berth/sign-in?to=/"} {
				places = append(places, place{t.on(t.Guarded), path})
			}
		} else {
			t.Partly("at an app's host")
		}
		for _, p := range places {
			for _, accept := range []string{"Accept: text/html", "Accept: application/json"} {
				message := request(http.MethodGet, p.host, p.path, accept)
				for _, a := range t.Send(ctx, message) {
					if control := a.Header.Get("Cache-Control"); !strings.Contains(control, "no-store") {
						t.Broken(message, a.String()+" Cache-Control: "+control)
					}
				}
			}
		}
		if t.Token == "" {
			t.Partly("an answer of the API's under the name of a file")
			return
		}
		for _, path := range []string{"/api/session/x.css", "/api/session;x.css", "/api/session%2fx.css", "/api/session.css", "/api/session%00.css", "/assets/..%2fapi/session", "/api/session%3fx.css", "/api/session%23x.css"} {
			message := request(http.MethodGet, t.base(), path, "Authorization: Bearer "+t.Token)
			for _, a := range t.Send(ctx, message) {
				if a.Status == http.StatusOK && strings.Contains(a.Header.Get("Content-Type"), "json") {
					t.Broken(message, a.String())
				}
			}
		}
	},
}
