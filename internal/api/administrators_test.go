package api_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// followSlot has the slot say who administers, as package server does.
func (s *server) followSlot() {
	s.vault.Guard(vault.AdminsContext, vault.AdminsName, func(ctx context.Context, tx *sqlite.Tx, actor string, value secret.Text) error {
		if value.Empty() {
			return s.identity.UseAdministrators(ctx, tx, actor, nil)
		}
		list, err := settings.ParseAdmins(value.Reveal())
		if err != nil {
			return err
		}
		return s.identity.UseAdministrators(ctx, tx, actor, list)
	})
}

func TestSetAdministrators_IsForThemAlone(t *testing.T) {
	s := newServer(t)
	s.followSlot()
	for _, who := range []string{member, memberAdmin, adminDeploy} {
		require.Equal(t, http.StatusForbidden, s.do(who, "PUT", "/api/administrators", `{"entries":["local:bo"]}`).StatusCode, who)
		require.Equal(t, http.StatusForbidden, s.do(who, "PUT", "/api/secrets/berth/ADMINS", `{"value":"local:bo"}`).StatusCode, who)
		require.Equal(t, http.StatusForbidden, s.do(who, "DELETE", "/api/secrets/berth/ADMINS", "").StatusCode, who)
		require.Equal(t, http.StatusForbidden, s.do(who, "GET", "/api/administrators", "").StatusCode, who)
	}
	// Nor does a stage read it, or a document of the configuration set it.
	spec := `{"version":1,"spec":{"hostname":"shop.example.com","tags":{"kind":"none"},"secrets":{"A":{"context":"berth","name":"ADMINS"}}}}`
	answer := s.do(admin, "PUT", "/api/projects/shop/stages/prod", spec)
	require.Equal(t, http.StatusUnprocessableEntity, answer.StatusCode, answer.body)
	require.Contains(t, answer.body, "for Berth alone")
}

func TestAdministrators_AreShownWithTheReasonAndSet(t *testing.T) {
	s := newServer(t)
	s.followSlot()
	var now api.Administrators
	s.do(admin, "GET", "/api/administrators", "").decode(t, &now)
	require.Equal(t, "none", now.Source)
	require.Equal(t, []api.Administrator{{Username: "ana", Why: []string{"role", "break glass"}}}, now.People)

	answer := s.do(admin, "PUT", "/api/administrators", `{"entries":[" local:bo ","corp:zoe@example.org"],"version":0}`)
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	answer.decode(t, &now)
	require.Equal(t, "slot", now.Source)
	require.Equal(t, int64(1), now.Version)
	require.Equal(t, "ana", now.BreakGlass)
	require.Equal(t, "administers", now.Entries[0].State)
	require.Equal(t, "bo", now.Entries[0].Username)
	require.NotEmpty(t, now.Entries[0].ExternalID)
	require.Equal(t, "no_provider", now.Entries[1].State)
	require.Equal(t, []api.Administrator{{Username: "ana", Why: []string{"break glass"}}, {Username: "bo", Why: []string{"local:bo"}}}, now.People)
	require.Equal(t, http.StatusOK, s.do(member, "GET", "/api/people", "").StatusCode, "bo administers by now")

	require.Equal(t, http.StatusConflict, s.do(admin, "PUT", "/api/administrators", `{"entries":["local:ana"],"version":0}`).StatusCode)
	require.Equal(t, http.StatusConflict, s.do(admin, "PUT", "/api/administrators", `{"entries":[],"version":7}`).StatusCode)
	answer = s.do(admin, "PUT", "/api/administrators", `{"entries":["local:bo","eve"]}`)
	require.Equal(t, http.StatusUnprocessableEntity, answer.StatusCode, answer.body)
	require.Contains(t, answer.body, `has \"eve\", which does not say at which provider`)
	answer = s.do(admin, "PUT", "/api/administrators", `{"entries":["local:bo,local:eve"]}`)
	require.Contains(t, answer.body, "has a comma")

	answer = s.do(admin, "PUT", "/api/administrators", `{"entries":[],"version":1}`)
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	answer.decode(t, &now)
	require.Equal(t, "none", now.Source)
	require.Equal(t, http.StatusForbidden, s.do(member, "GET", "/api/people", "").StatusCode)
}

// adminPages are the dashboard's pages that show nothing to members, as its
// sources have them.
func adminPages(t *testing.T) (pages []string) {
	t.Helper()
	root := filepath.Join("..", "..", "web", "src", "routes", "(app)")
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "+page.svelte" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(raw), "AdministratorsOnly") {
			return err
		}
		page, err := filepath.Rel(root, filepath.Dir(path))
		pages = append(pages, "/"+strings.NewReplacer("[", "", "]", "").Replace(page))
		return err
	}))
	require.NotEmpty(t, pages)
	return pages
}

func TestPages_TellWhoMayNotAdministerWhoTheyAreAndWhomToAsk(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.Contact = "ops@example.org <on call>" })
	for _, page := range append(adminPages(t), "/people/../people", "/audit/") {
		answer := s.do(member, "GET", page, "")
		require.Equal(t, http.StatusForbidden, answer.StatusCode, page)
		require.Contains(t, answer.body, "You are signed in as bo, with an account of this Berth")
		require.Contains(t, answer.body, "ops@example.org &lt;on call&gt;")
		require.NotContains(t, answer.body, "ana", "who administers is not told")
		require.Contains(t, answer.body, `action="/auth/leave?to=`)
		require.Contains(t, answer.Header.Get("Content-Security-Policy"), "form-action 'self'")
		require.Equal(t, "dashboard", s.do(admin, "GET", page, "").body)
		require.Equal(t, "dashboard", s.do(nobody, "GET", page, "").body, "which leads to the sign-in page")
	}
	for _, page := range []string{"/", "/projects/shop", "/account", "/peoples", "/system"} {
		require.Equal(t, "dashboard", s.do(member, "GET", page, "").body, page)
	}
}

func TestLeave_EndsTheSessionAndLeadsToSignIn(t *testing.T) {
	s := newServer(t)
	session := s.session("bo")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	leave := func(site string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/auth/leave?to=%2Fpeople", nil)
		require.NoError(t, err)
		r.AddCookie(session)
		r.Header.Set("Sec-Fetch-Site", site)
		answer, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer
	}
	require.Equal(t, http.StatusForbidden, leave("cross-site").StatusCode)
	_, err := s.identity.BySession(t.Context(), secret.New(session.Value))
	require.NoError(t, err, "another site ends nothing")
	answer := leave("same-origin")
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	to, err := url.Parse(answer.Header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, "/sign-in?other=1&to=%2Fpeople", to.String())
	_, err = s.identity.BySession(t.Context(), secret.New(session.Value))
	require.Error(t, err)
}
