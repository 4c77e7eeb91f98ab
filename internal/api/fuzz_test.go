package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/sqlite"
	"berth/internal/webhook"
)

// FuzzBodies sends any body to every route that takes one: it is answered, and
// never as something that broke inside Berth.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `"x"`, "1e400", "{", `{"a":`, "\x00", "\xff\xfe", strings.Repeat("[", 20000),
		`{"name":"a","image":"b"}`, `{"name":"dev","spec":` + goodSpec + `}`, `{"version":1,"spec":` + goodSpec + `}`,
		`{"spec":{"hostname":"\u0000","tags":{"kind":"glob","pattern":"[["}}}`,
		`{"name":"dev","spec":{"hostname":"a.b","tags":{"kind":"semver","pattern":">=1 <"},"cpus":1e308,"memory":-1,"replicas":99999999999,"probe":{"interval":"-1h"}}}`,
		`{"name":"dev","spec":{"hostname":"a.b","tags":{"kind":"none"},"env":{"":"","A=B":"\u0000"},"volumes":[{"name":"../..","path":"/"}]}}`,
		`{"version":9223372036854775808}`, `{"version":1.5}`, `{"reference":"sha256:zz"}`, `{"reference":"` + strings.Repeat("a", 300) + `"}`,
		`{"username":"\ud800","password":"x"}`, `{"value":"\u0000"}`, `{"name":"t","scope":"read","expires_at":"0000-00-00T00:00:00Z"}`,
		`{"name":"t","scope":"read","expires_at":"9999-12-31T23:59:59Z"}`, `{"release":"x"}`, `{"name":"A","name":"b","image":"c"}`,
		`{"username":"x","role":"member","password":"correct horse battery","email":"@"}`, `{"username":"u","password":"p","insecure":true}`,
		`{"username":"ana","password":"x"}`, `{"token":"x","username":"eve","password":"correct horse battery staple"}`, `{"code":"000000"}`,
		`{"current":"x","password":"\u0000"}`, `{"image":"ghcr.io/a/b:1"}`, `{"images":["ghcr.io/a/b@sha256:` + strings.Repeat("0", 64) + `"]}`,
		`{"id":"x","rawId":"eA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"","signature":""}}`,
	} {
		f.Add(seed)
	}
	s := newServer(f)
	as := s.as(adminAdmin)
	fillIn := s.real()
	var targets []operation
	for _, o := range operations(f) {
		if o.method != http.MethodGet && o.method != http.MethodDelete {
			targets = append(targets, operation{o.method, fillIn(o.path), o.rule})
		}
	}
	handler, turn := s.api.Handler(), 0
	f.Fuzz(func(t *testing.T, body string) {
		for _, o := range targets {
			r := httptest.NewRequestWithContext(t.Context(), o.method, o.path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			// From elsewhere each time, so that no limit of an address answers
			// before the route does.
			turn++
			r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", turn>>16&255, turn>>8&255, turn&255)
			if o.rule != "public" {
				as(r)
			}
			got := httptest.NewRecorder()
			handler.ServeHTTP(got, r)
			require.Less(t, got.Code, 500, "%s %s: %s", o.method, o.path, got.Body)
			require.NotContains(t, got.Body.String(), `"code":"internal"`, "%s %s", o.method, o.path)
		}
	})
}

// FuzzDeviceForms sends any form to the routes by which a command line is
// signed in, as anybody may: it is answered, and brings nobody a token.
func FuzzDeviceForms(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "%zz", "a;b", "\x00", codeForm().Encode(), tokenForm("x").Encode(), "client_id=berth", "client_id=berth&client_id=berth", "client_id=eve&machine=a", "client_id=berth&machine=a",
		"client_id=berth&machine=%00", "client_id=berth&machine=a&lives=-1", "client_id=berth&machine=a&lives=99999999999", "client_id=berth&machine=a&scope=",
		"client_id=berth&machine=%ff%fe&scope=read", tokenForm("").Encode() + "x", tokenForm(strings.Repeat("a", 5000)).Encode(), strings.Repeat("a=b&", 2000),
	} {
		f.Add(seed)
	}
	s := newServer(f)
	handler, turn := s.api.Handler(), 0
	f.Fuzz(func(t *testing.T, form string) {
		for _, path := range []string{"/api/device/code", "/api/device/token"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			turn++
			r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", turn>>16&255, turn>>8&255, turn&255)
			got := httptest.NewRecorder()
			handler.ServeHTTP(got, r)
			require.Less(t, got.Code, 500, "%s: %s", path, got.Body)
			require.NotContains(t, got.Body.String(), "access_token", path)
			if got.Code != http.StatusOK {
				continue
			}
			asked, err := url.ParseQuery(form)
			require.NoError(t, err, "%q is no form", form)
			require.Equal(t, []string{api.DeviceClient}, asked["client_id"])
			require.LessOrEqual(t, len(form), 4<<10)
		}
	})
}

// real makes one of everything that a path can name, and gives what puts their
// names and ids into a path. What it has no name for stays without one.
func (s *server) real() (fillIn func(string) string) {
	s.t.Helper()
	ctx := context.Background()
	for _, c := range []struct{ path, body string }{
		{"/api/groups", `{"name":"crew"}`},
		{"/api/channels", `{"name":"ops","service":"ntfy","kinds":["deployment.live"],"address":"https://127.0.0.1:1/x"}`},
	} {
		made := s.do(adminAdmin, http.MethodPost, c.path, c.body)
		require.Equal(s.t, http.StatusCreated, made.StatusCode, made.body)
	}
	hook, err := s.webhooks.Add(ctx, "ana", webhook.Request{Name: "other", Source: webhook.Generic, Registry: "ghcr.io"})
	require.NoError(s.t, err)
	told := s.do(nobody, http.MethodPost, hook.URL.Reveal()[len("http://localhost:8080"):], `{"image":"ghcr.io/x/y:1"}`)
	require.Equal(s.t, http.StatusAccepted, told.StatusCode, told.body)
	var delivery api.Received
	require.NoError(s.t, json.Unmarshal([]byte(told.body), &delivery))
	deployment, err := s.deploy.Start(ctx, deploy.StartRequest{Project: "shop", Stage: "prod", Reference: "1", Trigger: deploy.TriggerAPI, Actor: "ana"})
	require.NoError(s.t, err)
	require.NoError(s.t, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO job_runs (id, stage_id, job, state, trigger, task, overlap, due_at, finished_at)
			SELECT 'r1', id, 'tidy', 'succeeded', 'schedule', '{"command": ["tidy"]}', 'skip', 1, 2
			FROM stages`)
		return err
	}))
	names := strings.NewReplacer("{project}", "shop", "{stage}", "prod", "{username}", "bo", "{context}", "shop", "{name}", "KEY", "{host}", "ghcr.io",
		"{group}", "crew", "{channel}", "ops", "{job}", "tidy", "{run}", "r1", "{delivery}", delivery.Delivery, "{source}", string(webhook.Generic),
		"{token}", path.Base(hook.URL.Reveal()), "{release}", "none", "{volume}", "none", "{provider}", "none")
	ids := map[string]string{"deployments": deployment.ID, "hooks": hook.Webhook.ID}
	return func(p string) string {
		kind, _, _ := strings.Cut(strings.TrimPrefix(p, "/api/"), "/")
		id := ids[kind]
		if id == "" {
			id = "none"
		}
		return strings.ReplaceAll(names.Replace(p), "{id}", id)
	}
}
