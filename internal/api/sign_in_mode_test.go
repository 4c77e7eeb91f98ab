package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// led gives where a browser that is nobody is led by a page; "" when it is shown.
func (s *server) led(path string, change ...func(*http.Request)) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	require.NoError(s.t, err)
	for _, f := range change {
		f(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		require.Equal(s.t, http.StatusOK, answer.StatusCode, path)
		return ""
	}
	require.Equal(s.t, "no-store", answer.Header.Get("Cache-Control"))
	return answer.Header.Get("Location")
}

func TestSignInPage_LeadsStraightToTheProviderAndNeverInACircle(t *testing.T) {
	s := newServer(t)
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/providers", homeProvider).StatusCode)
	require.Empty(t, s.led("/sign-in"))
	require.Equal(t, http.StatusOK, s.do(admin, "PUT", "/api/sign-in-mode", `{"passwords":"everybody","straight_to":"home","version":0}`).StatusCode)

	require.Equal(t, "/auth/home/start?to=%2F", s.led("/sign-in"))
	require.Equal(t, "/auth/home/start?to=%2F", s.led("/sign-in?to=https://evil.example/"))
	back := "/auth/enter?host=app.example.com&to=%2F&bind=x"
	for _, name := range []string{"to", "next"} {
		to, err := url.Parse(s.led("/sign-in?" + name + "=" + url.QueryEscape(back)))
		require.NoError(t, err)
		require.Equal(t, back, to.Query().Get("to"), "where it goes on to")
	}
	for range 20 { // the address has an order, a map has none
		require.Equal(t, "/auth/home/start?to=%2Fa", s.led("/sign-in?next=%2Fb&to=%2Fa"))
	}
	for why, path := range map[string]string{
		"who asks for the page":                 "/sign-in?local=1",
		"who signed out":                        "/sign-in?state=signed_out",
		"whose session has ended":               "/sign-in?ended=1&next=%2Fpeople",
		"whom the provider could not sign in":   "/sign-in?problem=away&provider=home",
		"who wants to be somebody else":         "/sign-in?other=1&to=%2F",
		"who proves again who they are":         "/sign-in?step_up=passkey&to=%2F",
		"what leads in to other pages of Berth": "/",
	} {
		require.Empty(t, s.led(path), why)
	}
	require.Empty(t, s.led("/sign-in?to=%2F", func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: "berth-attempt", Value: strings.Repeat("a", 43)})
	}), "who has to give a second factor")
	require.Empty(t, s.led("/sign-in", s.as(member)), "who is signed in")

	// Whatever becomes of the provider, somebody gets in.
	require.Equal(t, http.StatusOK, s.do(admin, "PATCH", "/api/providers/home", `{"version":1,"enabled":false}`).StatusCode)
	require.Empty(t, s.led("/sign-in"))
	var mode api.SignInMode
	s.do(admin, "GET", "/api/sign-in-mode", "").decode(t, &mode)
	require.Equal(t, "home", mode.StraightTo)
	require.False(t, mode.Straight)
	require.Equal(t, http.StatusNoContent, s.do(admin, "DELETE", "/api/providers/home", "").StatusCode)
	require.Empty(t, s.led("/sign-in"))
}

func TestSignInMode_IsForAdministratorsWhoJustProvedWhoTheyAre(t *testing.T) {
	s := newServer(t)
	const only = `{"passwords":"administrators","version":0,"force":true}`
	require.Equal(t, http.StatusForbidden, s.do(member, "PUT", "/api/sign-in-mode", only).StatusCode)
	require.Equal(t, http.StatusUnauthorized, s.do(nobody, "PUT", "/api/sign-in-mode", only).StatusCode)
	cookie := s.session(admin)
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE sessions SET authenticated_at = authenticated_at - 660000")
		return err
	}))
	stale := func(r *http.Request) { r.AddCookie(cookie); r.Header.Set("Sec-Fetch-Site", "same-origin") }
	got := s.do(nobody, "PUT", "/api/sign-in-mode", only, stale)
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	require.Contains(t, got.body, "step_up")
	require.Equal(t, http.StatusForbidden, s.do(admin, "PUT", "/api/sign-in-mode", only, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }).StatusCode)

	var left identity.LeftOut
	s.do(admin, "GET", "/api/sign-in-mode/left-out?passwords=administrators", "").decode(t, &left)
	require.Equal(t, identity.LeftOut{People: 2, Usernames: []string{"bo", "una"}}, left)
	got = s.do(admin, "PUT", "/api/sign-in-mode", strings.Replace(only, "true", "false", 1))
	require.Equal(t, http.StatusConflict, got.StatusCode)
	require.Contains(t, got.body, "2 people would have no way in left (bo, una)")

	bo := s.session(member)
	require.Equal(t, http.StatusOK, s.do(admin, "PUT", "/api/sign-in-mode", only).StatusCode)
	require.Contains(t, s.do(nobody, "GET", "/api/sign-in", "").body, `"passwords":"administrators"`)
	wrong := s.do(nobody, "POST", "/api/session", `{"username":"bo","password":"wrong password"}`)
	right := s.do(nobody, "POST", "/api/session", `{"username":"bo","password":"`+password+`"}`)
	require.Equal(t, http.StatusUnauthorized, right.StatusCode)
	require.Equal(t, wrong.body, right.body)

	var info api.SessionInfo
	s.do(nobody, "GET", "/api/session", "", func(r *http.Request) { r.AddCookie(bo) }).decode(t, &info)
	require.False(t, info.TakesPassword, "a session that a password began stays")
	s.do(admin, "GET", "/api/session", "").decode(t, &info)
	require.True(t, info.TakesPassword)
	var ways api.StepUp
	s.do(nobody, "GET", "/api/session/step-up", "", func(r *http.Request) { r.AddCookie(bo) }).decode(t, &ways)
	require.Empty(t, ways.Methods)
	require.False(t, ways.WayIn, "who signs out would be locked out")
	for role, refused := range map[identity.Role]bool{identity.RoleMember: true, identity.RoleAdministrator: false} {
		var made api.PersonDetail
		s.do(admin, "POST", "/api/people", `{"username":"new-`+string(role)+`","role":"`+string(role)+`","password":"`+password+`"}`).decode(t, &made)
		require.Equal(t, refused, made.PasswordRefused, role)
		require.Equal(t, !refused, made.WayIn, role)
	}
	s.do(admin, "GET", "/api/session/step-up", "").decode(t, &ways)
	require.True(t, ways.WayIn)
	require.Equal(t, http.StatusConflict, s.do(nobody, "POST", "/api/session/step-up", `{"method":"password","password":"`+password+`"}`, func(r *http.Request) {
		r.AddCookie(bo)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}).StatusCode)
}

// Where passwords are of administrators alone, the role is somebody's way in.
func TestSignInMode_HasALostRoleMeantThatIsAWayIn(t *testing.T) {
	s := newServer(t)
	s.followSlot()
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/people", `{"username":"carol","role":"administrator","password":"`+password+`"}`).StatusCode)
	require.Equal(t, http.StatusOK, s.do(admin, "PUT", "/api/sign-in-mode", `{"passwords":"administrators","version":0,"force":true}`).StatusCode)
	for _, ask := range []struct{ method, path, body string }{
		{"PATCH", "/api/people/carol", `{"version":1,"role":"member"`},
		{"PUT", "/api/administrators", `{"entries":["local:root"],"version":0`},
	} {
		refused := s.do(admin, ask.method, ask.path, ask.body+`}`)
		require.Equal(t, http.StatusConflict, refused.StatusCode, refused.body)
		var problem api.Problem
		refused.decode(t, &problem)
		require.True(t, problem.Unmeant)
		require.Contains(t, problem.Detail, "carol would have no way in left")
		require.Contains(t, s.do(admin, "GET", "/api/administrators", "").body, `"carol"`)
		require.Equal(t, http.StatusOK, s.do(admin, ask.method, ask.path, ask.body+`,"force":true}`).StatusCode)
		require.NotContains(t, s.do(admin, "GET", "/api/administrators", "").body, `"carol"`)
		s.do(admin, "PATCH", "/api/people/carol", `{"version":2,"role":"administrator"}`)
	}
	require.NotContains(t, s.do(admin, "PATCH", "/api/people/carol", `{"version":1,"role":"user"}`).body, "unmeant", "somebody else changed it meanwhile")
}

// An administrator's account that whoever took over a session made, or has the
// password of, would change the mode with a proof of its own.
func TestAdministrators_AreMadeByWhoJustProvedWhoTheyAre(t *testing.T) {
	s := newServer(t)
	cookie := s.session(admin)
	by := func(r *http.Request) { r.AddCookie(cookie); r.Header.Set("Sec-Fetch-Site", "same-origin") }
	ask := func(method, path, body string) int { return s.do(nobody, method, path, body, by).StatusCode }
	person := func(username, role string) string {
		return `{"username":"` + username + `","role":"` + role + `","password":"` + password + `"}`
	}
	const chosen = `{"password":"another good password"}`
	require.Equal(t, http.StatusCreated, ask("POST", "/api/people", person("root2", "administrator")))

	cookie = s.session(admin) // one that nothing was asked with yet, and so is read anew
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE sessions SET authenticated_at = authenticated_at - 660000")
		return err
	}))
	require.Equal(t, http.StatusForbidden, ask("POST", "/api/people", person("eve", "administrator")))
	require.Equal(t, http.StatusForbidden, ask("PATCH", "/api/people/bo", `{"version":1,"role":"administrator"}`))
	require.Equal(t, http.StatusForbidden, ask("POST", "/api/people/root2/password", chosen))
	require.Equal(t, http.StatusForbidden, ask("PUT", "/api/administrators", `{"entries":["local:admin","local:bo"]}`))
	require.Equal(t, http.StatusForbidden, ask("PUT", "/api/secrets/berth/ADMINS", `{"value":"local:admin, local:bo"}`))
	require.Equal(t, http.StatusForbidden, ask("DELETE", "/api/secrets/berth/ADMINS", ""))
	require.Equal(t, http.StatusCreated, ask("POST", "/api/people", person("mel", "member")))
	require.Equal(t, http.StatusOK, ask("PATCH", "/api/people/mel", `{"version":1,"display_name":"Mel"}`))
	require.Equal(t, http.StatusNoContent, ask("POST", "/api/people/mel/password", chosen))
	require.Equal(t, http.StatusCreated, s.do(admin, "POST", "/api/people", person("eve", "administrator")).StatusCode, "an API token has no proof to give")
}

func TestRegistry_TakesNoPasswordThatTheModeDoesNot(t *testing.T) {
	s := newServer(t)
	statuses := func(name, given string) (list [3]int) {
		basic := func(r *http.Request) { r.SetBasicAuth(name, given) }
		form := url.Values{"grant_type": {"password"}, "username": {name}, "password": {given}}.Encode()
		list[0] = s.do(nobody, "GET", "/v2/", "", basic).StatusCode
		list[1] = s.do(nobody, "GET", "/v2/token", "", basic).StatusCode
		list[2] = s.do(nobody, "POST", "/v2/token", form, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }).StatusCode
		return list
	}
	asToken, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	require.NoError(t, err)
	s.as(memberAdmin)(asToken)
	token := asToken.Header
	in, out := [3]int{200, 200, 200}, [3]int{401, 401, 401}
	require.Equal(t, in, statuses("bo", password))
	require.Equal(t, http.StatusOK, s.do(admin, "PUT", "/api/sign-in-mode", `{"passwords":"administrators","version":0,"force":true}`).StatusCode)
	require.Equal(t, out, statuses("bo", password), "a password that was right a moment ago too")
	require.Equal(t, in, statuses("bo", strings.TrimPrefix(token.Get("Authorization"), "Bearer ")), "an API token in its place")
	require.Equal(t, in, statuses(admin, password))
}
