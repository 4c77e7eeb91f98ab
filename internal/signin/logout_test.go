package signin_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/signin"
)

var eventsOfAll = event.Filter{}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func (i *issuer) logout(change func(map[string]any)) url.Values {
	now := time.Now()
	claims := map[string]any{
		"iss": i.name, "aud": clientID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"sub": "1001", "events": map[string]any{logoutEvent: map[string]any{}},
	}
	if change != nil {
		change(claims)
	}
	return url.Values{"logout_token": {i.signRS256(claims)}}
}

func (r *rig) tellLogout(form url.Values) (int, string) {
	r.t.Helper()
	response, err := http.PostForm(r.server.URL+"/auth/home/backchannel-logout", form)
	require.NoError(r.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	require.Equal(r.t, "no-store", response.Header.Get("Cache-Control"))
	return response.StatusCode, string(body)
}

func TestLogOut_EndsTheSessionsOfAPersonAtOnce(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	one, two, other := r.browser("1001"), r.browser("1001"), r.browser("1002")
	for _, b := range []*browser{one, two, other} {
		b.signIn("home")
		require.NotNil(t, b.subject())
	}
	held, release := r.identity.Hold(t.Context(), *one.subject())
	defer release()
	status, body := r.tellLogout(i.logout(nil))
	require.Equal(t, http.StatusOK, status, body)
	require.Nil(t, one.subject())
	require.Nil(t, two.subject())
	require.NotNil(t, other.subject())
	select {
	case <-held.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("what was open stayed open")
	}
	require.Len(t, r.happened(signin.LoggedOut), 1)
}

func TestLogOut_EndsOneSessionByItsID(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	one, two := r.browser("1001"), r.browser("1001")
	i.idToken = func(claims map[string]any) { claims["sid"] = "first" }
	one.signIn("home")
	i.idToken = func(claims map[string]any) { claims["sid"] = "second" }
	two.signIn("home")
	status, body := r.tellLogout(i.logout(func(c map[string]any) { c["sid"] = "first"; delete(c, "sub") }))
	require.Equal(t, http.StatusOK, status, body)
	require.Nil(t, one.subject())
	require.NotNil(t, two.subject())
}

func TestLogOut_RefusesTokensThatProveNothing(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	b.signIn("home")
	now := time.Now()
	for name, change := range map[string]func(map[string]any){
		"a nonce":             func(c map[string]any) { c["nonce"] = "x" },
		"no event":            func(c map[string]any) { delete(c, "events") },
		"another event":       func(c map[string]any) { c["events"] = map[string]any{"x": map[string]any{}} },
		"an event of nothing": func(c map[string]any) { c["events"] = map[string]any{logoutEvent: nil} },
		"no jti":              func(c map[string]any) { delete(c, "jti") },
		"no sub and no sid":   func(c map[string]any) { delete(c, "sub") },
		"another audience":    func(c map[string]any) { c["aud"] = "x" },
		"another issuer":      func(c map[string]any) { c["iss"] = i.name + "/" },
		"expired":             func(c map[string]any) { c["exp"] = now.Add(-time.Minute).Unix() },
		"no end":              func(c map[string]any) { delete(c, "exp") },
		"good for ever":       func(c map[string]any) { c["exp"] = now.Add(365 * 24 * time.Hour).Unix() },
		"too old":             func(c map[string]any) { c["iat"] = now.Add(-time.Hour).Unix() },
		"to come":             func(c map[string]any) { c["iat"] = now.Add(time.Hour).Unix() },
		"no time":             func(c map[string]any) { delete(c, "iat") },
	} {
		status, body := r.tellLogout(i.logout(change))
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", name, body)
		require.NotNil(t, b.subject(), name)
	}
	for name, form := range map[string]url.Values{
		"nothing": {}, "none": {"logout_token": {withNobodysKey(t, "none", map[string]any{"iss": i.name})}},
		"much": {"logout_token": {strings.Repeat("x", 100<<10)}},
	} {
		status, _ := r.tellLogout(form)
		require.Equal(t, http.StatusBadRequest, status, name)
	}
	require.NotNil(t, b.subject())

	// Taken once, it is not taken again.
	form := i.logout(func(c map[string]any) { c["sub"] = "1002" })
	status, _ := r.tellLogout(form)
	require.Equal(t, http.StatusOK, status)
	status, body := r.tellLogout(form)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "used before")
}

func TestSignOut_LeadsOnToTheProviderWhenItIsSetUpSo(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	p := r.provider("home", i)
	b := r.browser("1001")
	require.Equal(t, "/sign-in?state=signed_out", b.visit("/auth/home/sign-out").RequestURI())
	require.Equal(t, "/sign-in?state=signed_out", b.visit("/auth/gone/sign-out").RequestURI())

	on := true
	_, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{SignOut: &on})
	require.NoError(t, err)
	at := b.visit("/auth/home/sign-out")
	require.Equal(t, i.URL+"/logout", at.Scheme+"://"+at.Host+at.Path)
	require.Equal(t, clientID, at.Query().Get("client_id"))
	require.Equal(t, "signed_out", at.Query().Get("state"))
	require.Equal(t, r.server.URL+"/sign-in", at.Query().Get("post_logout_redirect_uri"))
}
