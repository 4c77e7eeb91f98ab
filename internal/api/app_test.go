package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
)

func TestApps_AreTheCallersOwn(t *testing.T) {
	s := newServer(t)
	for id, policy := range map[string]identity.Policy{
		"a": identity.SignedIn(),
		"b": {Rules: []identity.Rule{{Allow: identity.Who{Administrators: true}}}},
		"c": identity.Public(),
	} {
		require.NoError(t, s.table.Switch(t.Context(), deploy.Route{
			StageID: id, Project: id, Stage: "prod", Hostname: id + ".localhost", PathPrefix: "/", Access: policy,
		}))
	}
	names := func(who, query string) (list []string, next string) {
		t.Helper()
		answer := s.do(who, http.MethodGet, "/api/apps"+query, "")
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
		var got struct {
			Items []struct{ Name, URL, Need string }
			Next  string
		}
		answer.decode(t, &got)
		for _, app := range got.Items {
			require.Equal(t, "nothing", app.Need)
			require.True(t, strings.HasSuffix(app.URL, ".localhost/"), app.URL)
			list = append(list, app.Name)
		}
		return list, got.Next
	}
	for who, want := range map[string][]string{
		admin:    {"a/prod", "b/prod", "c/prod"},
		member:   {"a/prod", "c/prod"},
		user:     {"a/prod", "c/prod"},
		userRead: {"c/prod"}, // the others take no tokens
	} {
		got, _ := names(who, "")
		require.Equal(t, want, got, who)
	}
	require.Contains(t, s.do(nobody, http.MethodGet, "/api/apps", "", s.bound("bo", identity.ScopeRead, "shop", "")).body, `{"items":[]}`, "not even what is public")
	first, next := names(user, "?limit=1")
	second, end := names(user, "?limit=1&cursor="+next)
	require.Equal(t, []string{"a/prod", "c/prod"}, slices.Concat(first, second))
	require.Empty(t, end)
}

// TestUser_GetsNothingOfBerths names what somebody would try first; that no
// operation was forgotten, TestEveryRoute_LetsInThoseOfItsRuleAndNobodyElse says.
func TestUser_GetsNothingOfBerths(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/projects", ""},
		{"GET", "/api/projects/shop/stages/prod", ""},
		{"GET", "/api/events", ""},
		{"GET", "/api/activity", ""},
		{"GET", "/api/secrets", ""},
		{"PUT", "/api/secrets/shop/API_KEY", `{"value":"x"}`},
		{"DELETE", "/api/projects/shop", ""},
		{"POST", "/api/projects/shop/stages/prod/deployments", `{"reference":"1"}`},
		{"GET", "/api/people", ""},
		{"GET", "/api/manifest", ""},
		{"POST", "/api/access/explain", `{"url":"https://shop.example.com/"}`},
		{"GET", "/metrics", ""},
	} {
		for _, who := range []string{user, userRead} {
			answer := s.do(who, c.method, c.path, c.body)
			require.Equal(t, http.StatusForbidden, answer.StatusCode, "%s %s", c.method, c.path)
			require.Contains(t, answer.body, `"code":"forbidden"`)
			require.Contains(t, answer.body, "administrator", "it says who may")
			require.NotContains(t, answer.body, "shop.example.com")
		}
	}
	require.Contains(t, s.do(user, "GET", "/api/projects", "").body, "your account is for entering apps")
	require.Contains(t, s.do(user, "GET", "/api/session", "").body, `"role":"user"`)
	basic := func(r *http.Request) {
		r.Header.Del("Cookie")
		r.SetBasicAuth("una", password)
	}
	require.Equal(t, http.StatusForbidden, s.do(nobody, "GET", "/v2/shop/tags/list", "", basic).StatusCode)
	require.Equal(t, http.StatusForbidden, s.do(nobody, "POST", "/v2/shop/blobs/uploads/", "", basic).StatusCode)
}

func TestStage_WhoEntersIsForAdministratorsToSay(t *testing.T) {
	s := newServer(t)
	const public = `"access":{"rules":[{"allow":{"public":true}}]}`
	spec := func(hostname, more string) string {
		return `{"hostname":"` + hostname + `","tags":{"kind":"none"}` + more + `}`
	}
	yaml := document(t, "berth: 1\nprojects: {shop: {image: shop, stages: {prod: {hostname: shop.example.com, access: {rules: [{allow: {public: true}}]}}}}}\n")
	for _, c := range []struct{ method, path, body, field string }{
		{"PUT", "/api/projects/shop/stages/prod", `{"version":1,"spec":` + spec("shop.example.com", ","+public) + `}`, `"location":"body.spec.access"`},
		{"POST", "/api/projects/shop/stages", `{"name":"open","spec":` + spec("open.example.com", ","+public) + `}`, `"location":"body.spec.access"`},
		{"POST", "/api/manifest/plan", yaml, "projects.shop.stages.prod.access"},
		{"POST", "/api/manifest/apply", yaml, "projects.shop.stages.prod.access"},
	} {
		answer := s.do(member, c.method, c.path, c.body)
		require.Equal(t, http.StatusForbidden, answer.StatusCode, "%s %s: %s", c.method, c.path, answer.body)
		require.Contains(t, answer.body, c.field)
		require.Contains(t, answer.body, "only administrators change who may enter")
	}
	require.Contains(t, s.do(member, "GET", "/api/projects/shop/stages/prod", "").body, `"signed_in":true`)

	// A token of an administrator's that is not of their whole role changes nothing either.
	put := func(who string, version, more string) reply {
		return s.do(who, "PUT", "/api/projects/shop/stages/prod", `{"version":`+version+`,"spec":`+spec("shop.example.com", more)+`}`)
	}
	require.Equal(t, http.StatusForbidden, put(adminDeploy, "1", ","+public).StatusCode)
	require.Equal(t, http.StatusOK, put(adminAdmin, "1", ","+public).StatusCode)
	require.Equal(t, http.StatusOK, put(member, "2", ","+public+`,"replicas":2`).StatusCode, "what was chosen stays")
	answer := put(member, "3", "")
	require.Equal(t, http.StatusForbidden, answer.StatusCode, "left out, it would be the usual one")
	require.Equal(t, http.StatusOK, s.do(admin, "POST", "/api/manifest/apply", yaml).StatusCode)
}

func TestFixedRoutes_KeepTheirPathsFromMembersStages(t *testing.T) {
	s := newServer(t)
	answer := s.do(admin, "POST", "/api/routes", `{"name":"nas","spec":{"hostname":"nas.example.com","access":{"rules":[{"allow":{"groups":["ops"]}}]}}}`)
	require.Equal(t, http.StatusCreated, answer.StatusCode, answer.body)
	const (
		beside = `{"name":"dev","spec":{"hostname":"nas.example.com","path_prefix":"/admin","tags":{"kind":"none"}}}`
		moved  = `{"version":1,"spec":{"hostname":"nas.example.com","path_prefix":"/admin","tags":{"kind":"none"}}}`
	)
	yaml := document(t, "berth: 1\nprojects: {shop: {image: shop, stages: {dev: {hostname: nas.example.com, path_prefix: /admin}}}}\n")
	for _, who := range []string{member, memberAdmin} {
		for _, c := range []struct{ method, path, body, field string }{
			{"POST", "/api/projects/shop/stages", beside, `"location":"body.spec.hostname"`},
			{"PUT", "/api/projects/shop/stages/prod", moved, `"location":"body.spec.hostname"`},
			{"POST", "/api/manifest/plan", yaml, "projects.shop.stages.dev.hostname"},
			{"POST", "/api/manifest/apply", yaml, "projects.shop.stages.dev.hostname"},
		} {
			answer := s.do(who, c.method, c.path, c.body)
			require.Equal(t, http.StatusUnprocessableEntity, answer.StatusCode, "%s: %s %s: %s", who, c.method, c.path, answer.body)
			require.Contains(t, answer.body, c.field)
			require.Contains(t, answer.body, "only administrators put a stage beside a route")
		}
	}
	explained := s.do(member, "POST", "/api/access/explain", `{"url":"https://nas.example.com/admin/x"}`).body
	require.Contains(t, explained, `"allowed":false`)
	require.Contains(t, explained, `"route":"nas"`)

	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/projects/shop/stages", beside).StatusCode)
	require.Contains(t, s.do(member, "GET", "/api/routes/nas", "").body, `"beside":[{"project":"shop","stage":"dev","path_prefix":"/admin"}]`)
	answer = s.do(admin, "POST", "/api/routes", `{"name":"second","spec":{"hostname":"shop.example.com","path_prefix":"/files"}}`)
	require.Contains(t, answer.body, `"beside":[{"project":"shop","stage":"prod","path_prefix":"/"}]`)
}
