package gateway

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
)

func TestReadAssertion_BelievesItsOwnAlone(t *testing.T) {
	var ahead atomic.Int64
	d := newDoor(t, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	other := newDoor(t)
	got := make(chan string, 1)
	policy := identity.SignedIn()
	policy.Rules[0].APITokens, policy.Audience, policy.TokensOf = true, "the shop", "forge"
	keep := func(_ http.ResponseWriter, q *http.Request) { got <- q.Header.Get("X-Berth-Assertion") }
	route := d.routeFor("app.test", policy, keep)
	ana := d.signIn("ana", identity.RoleMember)
	cookie := with("Cookie", d.cookieFor(ana, "app.test"))
	d.get("http://app.test/", cookie)
	text := <-got
	said, err := d.gateway.ReadAssertion(text)
	require.NoError(t, err)
	require.Equal(t, Assertion{PersonID: ana.Person.ID, Username: "ana", SessionID: ana.SessionID, TokensOf: "forge", Host: "app.test"}, said)

	// By an API token nobody is in a session, and no tokens are given.
	token, _, err := d.people.CreateToken(t.Context(), ana, "ci", identity.ScopeRead, time.Time{})
	require.NoError(t, err)
	d.get("http://app.test/", with("Authorization", "Bearer "+token.Reveal()))
	said, err = d.gateway.ReadAssertion(<-got)
	require.NoError(t, err)
	require.Empty(t, said.TokensOf)
	require.Empty(t, said.SessionID)

	// Another route's says nothing of tokens.
	route.Access.TokensOf = ""
	d.route(route)
	d.get("http://app.test/", cookie)
	said, err = d.gateway.ReadAssertion(<-got)
	require.NoError(t, err)
	require.Empty(t, said.TokensOf)

	parts := strings.Split(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(raw, &claims))
	claims["sub"] = "somebody else"
	raw, err = json.Marshal(claims)
	require.NoError(t, err)
	altered := base64.RawURLEncoding.EncodeToString(raw)
	head := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	otherRoute := other.routeFor("app.test", policy, keep)
	require.Equal(t, "forge", otherRoute.Access.TokensOf)
	bo := other.signIn("bo", identity.RoleMember)
	other.get("http://app.test/", with("Cookie", other.cookieFor(bo, "app.test")))
	for name, bad := range map[string]string{
		"nothing":             "",
		"another Berth's":     <-got,
		"altered":             parts[0] + "." + altered + "." + parts[2],
		"without a signature": parts[0] + "." + parts[1] + ".",
		"of nobody's key":     head(`{"alg":"none"}`) + "." + altered + ".",
		"of a shared key":     head(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
		"cut":                 parts[0] + "." + parts[1],
		"too long":            text + strings.Repeat("A", assertionMost),
		"a signature in DER":  parts[0] + "." + parts[1] + "." + parts[2] + "AAAA",
	} {
		_, err := d.gateway.ReadAssertion(bad)
		require.Equal(t, fault.Unauthenticated, fault.KindOf(err), name)
	}

	ahead.Store(int64(assertionLives + time.Second))
	_, err = d.gateway.ReadAssertion(text)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "it has run out")
}
