package signin_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/signin"
	"berth/internal/vault"
)

// newForgejo gives a provider that does as Forgejo was seen to (its
// routers/web/auth/oauth.go and services/oauth2_provider): the issuer ends with
// a slash, the id_token lives as long as the access token and has no groups
// where there are none, for which userinfo says null. That its tokens live for
// 90 seconds and a refresh token that was used is answered with 400
// unauthorized_client is so of every issuer here.
func newForgejo(t *testing.T, r *rig) *issuer {
	t.Helper()
	i := newIssuer(t)
	i.name = i.URL + "/"
	i.metadata = func(m map[string]any) {
		delete(m, "authorization_response_iss_parameter_supported")
		delete(m, "end_session_endpoint")
		delete(m, "backchannel_logout_supported")
	}
	i.answer = func(back url.Values) { back.Del("iss") }
	i.idToken = func(claims map[string]any) {
		told := i.people[claims["sub"].(string)]
		for _, name := range []string{"preferred_username", "name", "email", "email_verified", "groups"} {
			if told[name] != nil {
				claims[name] = told[name]
			}
		}
		claims["exp"] = r.now().Add(i.lifetime).Unix()
		delete(claims, "auth_time")
		delete(claims, "sid")
	}
	// It is entered as people read it in their browser: without the slash.
	r.provider("forge", i, func(p *signin.NewProvider) { p.Preset, p.Issuer = signin.Forgejo, i.URL })
	return i
}

func TestForgejo_SignsInAsItWasSeenTo(t *testing.T) {
	r := newRig(t)
	i := newForgejo(t, r)
	b := r.browser("1001")
	at := b.signIn("forge")
	require.NotNil(t, b.subject(), "%s", at)
	require.Equal(t, []string{"forge:crew"}, b.subject().Groups)

	i.people["1002"]["groups"] = nil
	c := r.browser("1002")
	c.signIn("forge")
	require.Empty(t, c.subject().Groups)
}

func TestForgejo_RenewsAsItWasSeenTo(t *testing.T) {
	r := newRig(t)
	i := newForgejo(t, r)
	b := r.browser("1001")
	b.signIn("forge")
	id := b.subject().IdentityID
	bearer := func() vault.Bearer {
		t.Helper()
		got, err := r.kept.Bearer(t.Context(), id)
		require.NoError(t, err)
		return got
	}
	first := bearer()
	r.move(29 * time.Second)
	require.Equal(t, first, bearer(), "with more than a minute left it is renewed")
	require.Zero(t, i.renewals())

	// Out of every group meanwhile, which userinfo says by null.
	i.people["1001"]["groups"] = nil
	r.move(2 * time.Second)
	second := bearer()
	require.False(t, second.Token.Equal(first.Token))
	require.Equal(t, 1, i.renewals())
	require.Empty(t, b.subject().Groups)

	// The one that was given then is used by somebody else first.
	for token := range i.refresh {
		i.spent[token] = true
	}
	r.move(time.Minute)
	for range 3 {
		_, err := r.kept.Bearer(t.Context(), id)
		require.ErrorIs(t, err, vault.ErrGrantEnded)
		require.Equal(t, fault.NotProved, fault.KindOf(err))
	}
	require.Equal(t, 2, i.renewals(), "it was asked again")
	require.Nil(t, b.subject(), "the session stands on what the provider has ended")
	b.signIn("forge")
	require.False(t, bearer().Token.Equal(second.Token))
}
