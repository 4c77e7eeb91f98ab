package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/gateway"
	"berth/internal/identity"
)

func TestAccess_IsShownAndSet(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Regexp(t, `1 +every request +who has signed in`, h.must("access", "show", "shop", "prod"), "what nobody chose")
	h.must("stage", "create", "shop", "dev", "--hostname", "dev.localhost", "--access", "public")
	require.Regexp(t, `1 +every request +everybody`, h.must("access", "show", "shop", "dev"))

	h.must("group", "add", "ops")
	require.Regexp(t, `1 +every request +admin, group ops`, h.must("access", "set", "shop", "prod", "--group", "ops", "--person", "admin"))
	file := writeFile(t, h.home, "policy.json", `{"rules": [
		{"paths": ["/health"], "allow": {"public": true}},
		{"methods": ["get"], "networks": ["10.0.0.0/8"], "allow": {"signed_in": true}, "strength": "passkey", "within": "5m"}]}`)
	shown := h.must("access", "set", "shop", "prod", "-f", file)
	require.Regexp(t, `1 +/health +everybody`, shown)
	require.Regexp(t, `2 +GET, 10.0.0.0/8 +who has signed in +a passkey within 5m0s`, shown)
	require.Equal(t, h.must("--json", "access", "show", "shop", "prod"), h.local(h.must("--json", "access", "show", "shop", "prod"), "--json", "access", "set", "shop", "prod", "-f", "-").out)
	require.Contains(t, h.must("access", "set", "shop", "prod", "--audience", "https://shop.example.com"), "made out to https://shop.example.com")
	shown = h.must("access", "set", "shop", "prod", "nobody")
	require.Contains(t, shown, "made out to https://shop.example.com", "who may enter says nothing of it")
	require.Contains(t, h.must("access", "set", "shop", "prod", "--tokens-of", "forge"), "access tokens of forge")
	require.Equal(t, exitInput, h.local("", "access", "set", "shop", "prod", "--audience", "").code, "tokens are given for assertions")
	require.NotContains(t, h.must("access", "set", "shop", "prod", "--tokens-of", ""), "forge")
	require.NotContains(t, h.must("access", "set", "shop", "prod", "--audience", ""), "made out")
	require.Equal(t, exitInput, h.local("", "access", "set", "shop", "prod", "--audience", strings.Repeat("a", 201)).code)
	require.NotContains(t, h.must("access", "show", "shop", "prod"), "who has signed in")

	require.Equal(t, exitInput, h.local("", "access", "explain", "--as", "admin", "GET", "shop.localhost").code, "no address")
	missing := h.local("", "access", "explain", "--as", "admin", "GET", "http://shop.localhost/x", "--from", "10.0.0.1", "--strength", "passkey")
	require.Contains(t, missing.err, "nothing is served at shop.localhost/x", "nothing is deployed")

	for _, wrong := range [][]string{
		{"access", "set", "shop", "prod"},
		{"access", "set", "shop", "prod", "public", "--group", "ops"},
		{"access", "set", "shop", "prod", "--person", "eve"},
		{"access", "set", "shop", "prod", "-f", writeFile(t, h.home, "wrong.json", `{"rulez": []}`)},
	} {
		require.Equal(t, exitInput, h.local("", wrong...).code, wrong)
	}
}

func TestAccessPreview_SaysWhoCouldSeeAStageWithoutSavingIt(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Zero(t, h.local("a long enough password", "people", "add", "ana").code)
	h.must("group", "add", "ops", "ana")

	shown := h.must("access", "preview", "shop", "prod")
	require.Regexp(t, `\(not signed in\) +no`, shown)
	require.Regexp(t, `admin +local +yes`, shown, "by the rules that the stage has")
	shown = h.must("access", "preview", "shop", "prod", "--group", "ops")
	require.Regexp(t, `admin +local +no`, shown)
	require.Regexp(t, `ana +local +yes`, shown)

	file := writeFile(t, h.home, "policy.json", `{"rules": [{"paths": ["/health"], "methods": ["POST"], "networks": ["10.0.0.0/8"], "allow": {"public": true}}]}`)
	ask := func(more ...string) (p api.AccessPreview) {
		require.NoError(t, json.Unmarshal([]byte(h.must(append([]string{"--json", "access", "preview", "shop", "prod", "-f", file}, more...)...)), &p))
		return p
	}
	require.True(t, ask("--at", "/health", "--method", "POST", "--from", "10.0.0.1").Nobody.Allowed)
	require.False(t, ask("--at", "/", "--method", "POST", "--from", "10.0.0.1").Nobody.Allowed)
	require.False(t, ask("--at", "/health", "--from", "10.0.0.1").Nobody.Allowed)
	require.False(t, ask("--at", "/health", "--method", "POST").Nobody.Allowed)
	require.Len(t, ask().People, 2)
	require.Regexp(t, `1 +every request +who has signed in`, h.must("access", "show", "shop", "prod"), "nothing is saved")

	require.Equal(t, exitInput, h.local("", "access", "preview", "shop", "prod", "public", "--group", "ops").code)
	require.Equal(t, exitMissing, h.local("", "access", "preview", "shop", "none").code)
}

func TestAccessPreview_ReadsToTheEnd(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	h.past(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
		INSERT INTO people (id, username, role, created_at, updated_at) SELECT 'p' || i, 'p' || i, 'member', 1, 1 FROM n`)
	var p api.AccessPreview
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "access", "preview", "shop", "prod")), &p))
	require.Len(t, p.People, 251)
}

func TestAccessExplain_PrintsTheRuleAndWhatTheAppGets(t *testing.T) {
	var out strings.Builder
	(&output{out: &out}).explanation(api.AccessExplanation{
		AccessVerdict: api.AccessVerdict{Allowed: true, Rule: 1, Need: "nothing", Why: "the rule lets them in"},
		As:            "alice", Provider: "corp", Groups: []string{"corp:devs"}, Project: "shop", Stage: "prod",
		Rules:  []identity.Rule{{Allow: identity.Who{Groups: []string{"corp:devs"}}, Strength: identity.StrengthPasskey}},
		Method: "GET", Path: "/x", Headers: []gateway.Header{{Name: "X-Berth-User", Value: "alice"}, {Name: "X-Berth-Assertion", PerRequest: true}},
	})
	for _, line := range []string{
		`who: +alice, signed in by corp, of corp:devs`, `stage: +shop/prod`, `verdict: +let in`, `why: +the rule lets them in`,
		`rule 1: +every request: group corp:devs a passkey`, `GET /x`, `X-Berth-User: alice`, `X-Berth-Assertion: \(made for each request\)`,
	} {
		require.Regexp(t, `(?m)^ *`+line+`$`, out.String())
	}
}

func TestAccess_ShowsHowAnotherProxyAsks(t *testing.T) {
	h := newHouse(t)
	got := h.local("", "access", "forward-auth", "nginx", "--host", "shop.localhost", "--app", "127.0.0.1:3000")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "server_name shop.localhost;")
	require.Contains(t, got.out, "server 127.0.0.1:3000;")
	require.Contains(t, got.err, "BERTH_FORWARD_AUTH does not name nginx yet")
	require.Contains(t, got.err, "BERTH_TRUST_PROXY names no proxy yet")
	require.Contains(t, got.err, "Berth has no policy for shop.localhost yet")
	require.Equal(t, exitInput, h.local("", "access", "forward-auth", "apache", "--host", "shop.localhost").code)
}
