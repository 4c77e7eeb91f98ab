package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/identity"
)

// admitted says, once more and by hand, who passes each rule.
var admitted = map[string][]string{
	"public":      everybody,
	"read":        {admin, member, adminRead, adminDeploy, adminAdmin, memberRead, memberAdmin, onMachine},
	"deploy":      {admin, member, adminDeploy, adminAdmin, memberAdmin, onMachine},
	"edit":        {admin, member, adminAdmin, memberAdmin, onMachine},
	"exec":        {admin, adminAdmin, onMachine},
	"administer":  {admin, adminAdmin, onMachine},
	"reveal":      {admin, onMachine},
	"own factors": {admin, member, user},
	"own account": {admin, member, adminAdmin, memberAdmin, user},
	"oneself":     {admin, member, adminRead, adminDeploy, adminAdmin, memberRead, memberAdmin, user, userRead, onMachine},
	"end token":   {admin, member, adminAdmin, memberAdmin, user}, // the others, themselves alone
}

type operation struct{ method, path, rule string }

// operations reads what is registered from the document of it.
func operations(tb testing.TB) []operation {
	tb.Helper()
	raw, err := api.OpenAPI()
	require.NoError(tb, err)
	var document struct {
		Paths map[string]map[string]struct {
			Access string `json:"x-access"`
		} `json:"paths"`
	}
	require.NoError(tb, json.Unmarshal(raw, &document))
	var all []operation
	for path, methods := range document.Paths {
		for method, o := range methods {
			all = append(all, operation{strings.ToUpper(method), path, o.Access})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	require.Greater(tb, len(all), 50)
	return all
}

// TestPublic_IsWhatIsListedHere: what anybody may call is written down twice, so
// that nothing comes to be public by a slip.
func TestPublic_IsWhatIsListedHere(t *testing.T) {
	var open []string
	for _, o := range operations(t) {
		if o.rule == "public" {
			open = append(open, o.method+" "+o.path)
		}
	}
	require.ElementsMatch(t, []string{
		"GET /api/setup", "POST /api/setup",
		"GET /api/sign-in", "POST /api/session", "POST /api/session/passkey", "POST /api/session/passkey/question",
		"GET /api/session/second-factor", "POST /api/session/second-factor", "DELETE /api/session/second-factor", "POST /api/session/second-factor/question",
		"POST /api/session/set-up/passkey", "POST /api/session/set-up/passkey/question", "POST /api/session/set-up/totp", "POST /api/session/set-up/totp/confirm",
		"POST /api/device/code", "POST /api/device/token",
		"POST /api/token-exchange",
		"POST /api/webhooks/{source}/{token}",
	}, open)
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

func TestEveryRoute_LetsInThoseOfItsRuleAndNobodyElse(t *testing.T) {
	s := newServer(t)
	for _, who := range everybody {
		t.Run("as "+who, func(t *testing.T) {
			as, asked := s.as(who), nobody
			if who == onMachine {
				asked = onMachine
			}
			for _, o := range operations(t) {
				path := parameter.ReplaceAllString(o.path, "none")
				body := ""
				if o.method != http.MethodGet && o.method != http.MethodDelete {
					body = "{}"
				}
				got := s.do(asked, o.method, path, body, as)

				refused := got.StatusCode == http.StatusUnauthorized || got.StatusCode == http.StatusForbidden
				require.Equal(t, !slices.Contains(admitted[o.rule], who), refused,
					"%s %s (%s): %d %s", o.method, path, o.rule, got.StatusCode, got.body)
				require.Less(t, got.StatusCode, 500, "%s %s: %s", o.method, path, got.body)
				if who == nobody && o.rule != "public" {
					require.Equal(t, http.StatusUnauthorized, got.StatusCode, path)
					require.Contains(t, got.Header.Get("WWW-Authenticate"), "Bearer")
				}
				if o.path == "/api/session" && o.method == http.MethodDelete {
					as = s.as(who) // that one was signed out
				}
			}
		})
	}
}

func TestRemoveToken_LetsATokenEndItself(t *testing.T) {
	s := newServer(t)
	ana, err := s.identity.Person(t.Context(), "ana")
	require.NoError(t, err)
	text, token, err := s.identity.CreateToken(t.Context(), identity.Subject{Person: ana, Via: identity.ViaSession},
		"reader", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	itself := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text.Reveal()) }

	require.Equal(t, http.StatusNoContent, s.do(nobody, "DELETE", "/api/account/tokens/"+token.ID, "", itself).StatusCode)
	require.Equal(t, http.StatusUnauthorized, s.do(nobody, "GET", "/api/projects", "", itself).StatusCode)
}

func TestEveryRoute_RefusesWhatIsNoToken(t *testing.T) {
	s := newServer(t)
	for _, said := range []string{"Bearer", "Bearer ", "Bearer berth_made-up", "Basic YW5hOnB3", "berth_x", "Bearer " + strings.Repeat("x", 5000)} {
		got := s.do(nobody, "GET", "/api/projects", "", func(r *http.Request) { r.Header.Set("Authorization", said) })
		require.Equal(t, http.StatusUnauthorized, got.StatusCode, said)
	}
	// A wrong token is not helped by a good cookie beside it.
	got := s.do(admin, "GET", "/api/projects", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer berth_made-up") })
	require.Equal(t, http.StatusUnauthorized, got.StatusCode)
	// A stale cookie does not keep anybody from signing in.
	got = s.do(nobody, "GET", "/api/setup", "", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "berth", Value: "stale"}) })
	require.Equal(t, http.StatusOK, got.StatusCode)
}

func TestHandler_RefusesWhatAnotherSitesPageSends(t *testing.T) {
	s := newServer(t)
	const project = `{"name":"blog","image":"blog"}`
	headers := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for _, c := range []struct {
		name, as, method, path, body string
		change                       func(*http.Request)
		status                       int
	}{
		{"a form on another site", admin, "POST", "/api/projects", project, headers("Sec-Fetch-Site", "cross-site"), 403},
		{"a form on an app's host", admin, "POST", "/api/projects", project, headers("Sec-Fetch-Site", "same-site"), 403},
		{"an old browser on another site", admin, "POST", "/api/projects", project, headers("Sec-Fetch-Site", "", "Origin", "https://evil.example"), 403},
		{"a page without an origin", admin, "POST", "/api/projects", project, headers("Sec-Fetch-Site", "", "Origin", "null"), 403},
		{"a sign-in by another site", nobody, "POST", "/api/session", `{"username":"ana","password":"` + password + `"}`, headers("Sec-Fetch-Site", "cross-site"), 403},
		{"a deletion by another site", admin, "DELETE", "/api/projects/shop", "", headers("Sec-Fetch-Site", "cross-site"), 403},
		{"a push by another site", nobody, "POST", "/v2/shop/blobs/uploads/", "", headers("Sec-Fetch-Site", "cross-site"), 403},
		{"a read by another site", admin, "GET", "/api/projects", "", headers("Sec-Fetch-Site", "cross-site"), 403},
		{"a stream for an app's host", admin, "GET", "/api/events", "", headers("Sec-Fetch-Site", "same-site"), 403},
		{"a link to the dashboard", nobody, "GET", "/projects", "", headers("Sec-Fetch-Site", "cross-site"), 200},
		{"the address bar", admin, "GET", "/api/projects", "", headers("Sec-Fetch-Site", "none"), 200},
		{"the dashboard", admin, "POST", "/api/projects", project, headers("Sec-Fetch-Site", "same-origin"), 201},
		{"the command line", adminAdmin, "DELETE", "/api/projects/blog", "", headers(), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.do(c.as, c.method, c.path, c.body, c.change)
			require.Equal(t, c.status, got.StatusCode, got.body)
			if c.status == 403 {
				require.Contains(t, got.body, `"code":"forbidden"`)
			}
		})
	}
}

// TestAPI_LeavesThePatternAndNotThePathForTheAccessLog uses an address that a
// webhook's token could stand in.
func TestAPI_LeavesThePatternAndNotThePathForTheAccessLog(t *testing.T) {
	s := newServer(t)
	for path, pattern := range map[string]string{
		"/api/projects/shop":       "GET /api/projects/{project}",
		"/api/webhooks/any/s3cret": "/api/",
		"/webhooks/s3cret":         "/",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		s.as(member)(r)
		s.api.Handler().ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, pattern, r.Pattern, path)
	}
}
