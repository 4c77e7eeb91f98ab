package signin_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
)

// Each of these is named after what it prevents.

func TestAttack_StateReplay(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	back := b.intercept()
	b.visit(back.RequestURI())
	require.NotNil(t, b.subject())

	// In the same browser, with a code that would be good.
	fresh := b.intercept().Query()
	again := url.Values{"state": back.Query()["state"], "code": fresh["code"], "iss": fresh["iss"]}
	at := b.visit("/auth/home/callback?" + again.Encode())
	require.Equal(t, "expired", at.Query().Get("problem"))
}

func TestAttack_StateOfAnotherBrowser(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	// The attacker begins, and has the victim's browser finish: the victim
	// would work in the attacker's account.
	back := r.browser("1001").intercept()
	victim := r.browser("1002")
	victim.requireRefused(victim.visit(back.RequestURI()), signin.ReasonExpired)
	victim.intercept() // also one that has a cookie of its own
	back = r.browser("1001").intercept()
	victim.requireRefused(victim.visit(back.RequestURI()), signin.ReasonExpired)
}

func TestAttack_StateThatIsTooOld(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	back := b.intercept()
	r.move(11 * time.Minute)
	require.NoError(t, r.Sweep(t.Context()))
	b.requireRefused(b.visit(back.RequestURI()), signin.ReasonExpired)
	back = b.intercept()
	r.move(11 * time.Minute) // also when nothing was swept
	b.requireRefused(b.visit(back.RequestURI()), signin.ReasonExpired)
}

func TestAttack_StateMadeUp(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	back := b.intercept().Query()
	for _, state := range [][]string{nil, {""}, {"x"}, {strings.Repeat("A", 43)}, {back.Get("state"), back.Get("state")}} {
		query := url.Values{"code": back["code"], "iss": back["iss"], "state": state}
		b.requireRefused(b.visit("/auth/home/callback?"+query.Encode()), signin.ReasonExpired)
	}
	require.Empty(t, r.happened(signin.Refused), "strangers fill no log")
}

func TestAttack_CodeReplayAndSubstitution(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	// A stolen code, brought in by the thief's own browser with a state of its
	// own: neither verifier nor nonce are of the victim's.
	stolen := r.browser("1001").intercept().Query()
	thief := r.browser("1002")
	back := thief.intercept().Query()
	back["code"] = stolen["code"]
	thief.requireRefused(thief.visit("/auth/home/callback?"+back.Encode()), signin.ReasonDeclined)

	// A code that was used already.
	b := r.browser("1001")
	used := b.intercept()
	b.visit(used.RequestURI())
	other := r.browser("1001")
	back = other.intercept().Query()
	back["code"] = used.Query()["code"]
	other.requireRefused(other.visit("/auth/home/callback?"+back.Encode()), signin.ReasonDeclined)

	// A provider that does not look at the verifier: the nonce holds.
	i.idToken = func(claims map[string]any) { claims["nonce"] = "of another browser" }
	c := r.browser("1001")
	c.requireRefused(c.signIn("home"), signin.ReasonInvalid)
}

func TestAttack_MixUp(t *testing.T) {
	r, honest, evil := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", honest)
	r.provider("evil", evil)

	// The answer says that it is of another issuer (RFC 9207), or no more of which.
	for _, change := range []func(url.Values){
		func(back url.Values) { back.Set("iss", evil.name) },
		func(back url.Values) { back.Set("iss", honest.name+"/") },
		func(back url.Values) { back.Del("iss") },
		func(back url.Values) { back.Add("iss", evil.name) },
	} {
		honest.answer = change
		b := r.browser("1001")
		b.requireRefused(b.signIn("home"), signin.ReasonMixUp)
	}
	require.Empty(t, honest.asked, "the code went out")

	// The answer of one comes to the address of the other.
	honest.answer = nil
	b := r.browser("1001")
	back := b.intercept()
	b.requireRefused(b.visit("/auth/evil/callback?"+back.RawQuery), signin.ReasonMixUp)
	require.Empty(t, evil.asked, "a code was shown to another provider")
	b.requireRefused(b.visit(back.RequestURI()), signin.ReasonExpired)
}

func TestAttack_TokensThatProveNothing(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	now := time.Now()
	for name, change := range map[string]func(map[string]any){
		"no nonce":                    func(c map[string]any) { delete(c, "nonce") },
		"an empty nonce":              func(c map[string]any) { c["nonce"] = "" },
		"another nonce":               func(c map[string]any) { c["nonce"] = "x" },
		"another audience":            func(c map[string]any) { c["aud"] = "another client" },
		"no audience":                 func(c map[string]any) { delete(c, "aud") },
		"several and no azp":          func(c map[string]any) { c["aud"] = []string{clientID, "another client"} },
		"another azp":                 func(c map[string]any) { c["azp"] = "another client" },
		"an azp that is no text":      func(c map[string]any) { c["azp"] = []string{clientID} },
		"expired":                     func(c map[string]any) { c["exp"] = now.Add(-time.Minute).Unix() },
		"no end":                      func(c map[string]any) { delete(c, "exp") },
		"not good yet":                func(c map[string]any) { c["nbf"] = now.Add(time.Hour).Unix() },
		"issued in time to come":      func(c map[string]any) { c["iat"] = now.Add(time.Hour).Unix() },
		"no time of issue":            func(c map[string]any) { delete(c, "iat") },
		"another issuer":              func(c map[string]any) { c["iss"] = "https://evil.example" },
		"the issuer with a slash":     func(c map[string]any) { c["iss"] = i.name + "/" },
		"the issuer in capitals":      func(c map[string]any) { c["iss"] = strings.ToUpper(i.name) },
		"nobody":                      func(c map[string]any) { c["sub"] = "" },
		"a very long name":            func(c map[string]any) { c["sub"] = strings.Repeat("x", 256) },
		"another access token":        func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"somebody else than userinfo": func(c map[string]any) { c["sub"] = "1002" },
	} {
		i.idToken = change
		b := r.browser("1001")
		at := b.signIn("home")
		t.Run(name, func(*testing.T) { b.requireRefused(at, signin.ReasonInvalid) })
	}
	// And good ones, so that all this was refused for its own reason.
	for _, change := range []func(map[string]any){
		func(map[string]any) {}, func(c map[string]any) { c["aud"] = []string{clientID, "another client"}; c["azp"] = clientID },
	} {
		i.idToken = change
		b := r.browser("1001")
		b.signIn("home")
		require.NotNil(t, b.subject())
	}
}

func TestAttack_SignaturesThatProveNothing(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	k := theKeys()
	for name, sign := range map[string]func(map[string]any) string{
		"none":                      func(c map[string]any) string { return withNobodysKey(t, "none", c) },
		"None":                      func(c map[string]any) string { return withNobodysKey(t, "None", c) },
		"HS256 with the public key": func(c map[string]any) string { return withPublicKey(t, c) },
		"HS256 with the secret": func(c map[string]any) string {
			return signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(clientSecret + strings.Repeat("x", 32))}, c)
		},
		"a key of its own": func(c map[string]any) string {
			return signed(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: newKey(t), KeyID: "ecdsa"}}, c)
		},
		"a key that it brings along": func(c map[string]any) string { return withOwnKey(t, c) },
		"changed after signing": func(c map[string]any) string {
			text := i.signRS256(c)
			parts := strings.Split(text, ".")
			return parts[0] + "." + strings.Split(withNobodysKey(t, "none", map[string]any{"sub": "1002"}), ".")[1] + "." + parts[2]
		},
		"no token":    func(map[string]any) string { return "" },
		"no JWT":      func(map[string]any) string { return "x.y.z" },
		"two of them": func(c map[string]any) string { return i.signRS256(c) + "." + i.signRS256(c) },
		"a key for something else": func(c map[string]any) string {
			return signed(t, jose.SigningKey{Algorithm: jose.PS256, Key: jose.JSONWebKey{Key: k.rsa, KeyID: "unknown"}}, c)
		},
	} {
		i.sign = sign
		b := r.browser("1001")
		at := b.signIn("home")
		t.Run(name, func(*testing.T) { b.requireRefused(at, signin.ReasonInvalid) })
	}
}

func TestAttack_UserinfoOfSomebodyElse(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	for _, sub := range []any{"1002", nil, 1001, []string{"1001"}} {
		i.userinfo = func(told map[string]any) { told["sub"] = sub }
		b := r.browser("1001")
		b.requireRefused(b.signIn("home"), signin.ReasonInvalid)
	}
	// What was signed counts, not what userinfo says besides.
	i.idToken = func(claims map[string]any) { claims["groups"] = []string{"crew"} }
	i.userinfo = func(told map[string]any) { told["groups"] = []string{"bridge"} }
	b := r.browser("1001")
	b.signIn("home")
	require.Equal(t, []string{"home:crew"}, b.subject().Groups)
}

func TestAttack_MetadataThatLeadsOutOfTLS(t *testing.T) {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint", "pushed_authorization_request_endpoint"} {
		r, i := newRig(t), newIssuer(t)
		i.metadata = func(m map[string]any) { m[name] = "http://evil.example/x" }
		r.provider("home", i)
		b := r.browser("1001")
		b.requireRefused(b.signIn("home"), signin.ReasonAway)
	}
}

func TestAttack_OpenRedirect(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	for _, to := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)"} {
		b := r.browser("1001")
		at := b.visit("/auth/home/start?to=" + url.QueryEscape(to))
		require.Equal(t, strings.TrimPrefix(r.server.URL, "http://"), at.Host)
		require.Equal(t, "/", at.Path, to)
		require.NotNil(t, b.subject())
	}
}

func TestAttack_AProviderThatSpeaksForAnother(t *testing.T) {
	r, i, other := newRig(t), newIssuer(t), newIssuer(t)
	r.provider("home", i)
	empty, theirs := "", "home:"
	_, err := r.Create(t.Context(), "ana", signin.NewProvider{
		Slug: "evil", Preset: signin.OIDC, Issuer: other.name, ClientID: clientID, GroupPrefix: &theirs,
	})
	require.ErrorContains(t, err, "group_prefix")
	// Ends of their own, and none the beginning of another: else corp with the
	// group :crew would speak of crew of corp:.
	for _, prefix := range []string{"home", "home:sub:", "home:s", "crew", ":", "a b:"} {
		_, err := r.Create(t.Context(), "ana", signin.NewProvider{
			Slug: "evil", Preset: signin.OIDC, Issuer: other.name, ClientID: clientID, GroupPrefix: &prefix,
		})
		require.ErrorContains(t, err, "group_prefix", prefix)
	}
	other.people["1001"]["groups"] = []string{"home:crew", "crew"}
	r.provider("evil", other)
	b := r.browser("1001")
	b.signIn("evil")
	require.Equal(t, []string{"evil:crew", "evil:home:crew"}, b.subject().Groups)
	r.provider("plain", other, func(p *signin.NewProvider) { p.GroupPrefix = &empty })
	b.signIn("plain")
	require.Equal(t, []string{"crew", "home:crew"}, b.subject().Groups, "an administrator said so")
}

func TestProvider_OfBeforeTheRulesOfPrefixesGoesOn(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	p := r.provider("home", i)
	require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE providers SET group_prefix = 'corp' WHERE slug = 'home'`)
		return err
	}))
	b := r.browser("1001")
	b.signIn("home")
	require.Equal(t, []string{"corpcrew"}, b.subject().Groups)
	p, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Label: new("Home")})
	require.NoError(t, err)
	prefix := "corp:"
	_, err = r.Create(t.Context(), "ana", signin.NewProvider{Slug: "corp", Preset: signin.OIDC, Issuer: i.name, ClientID: clientID})
	require.ErrorContains(t, err, "group_prefix", "no other comes to speak of its groups")
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{GroupPrefix: &prefix})
	require.NoError(t, err)
}

func TestAttack_SecretsInLogsAndEvents(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	i.idToken = func(claims map[string]any) { claims["nonce"] = "x" }
	b := r.browser("1001")
	back := b.intercept()
	b.visit(back.RequestURI())
	list, err := r.events.Since(t.Context(), 0, eventsOfAll, 0)
	require.NoError(t, err)
	require.NotEmpty(t, list)
	for _, e := range list {
		for _, kept := range []string{clientSecret, back.Query().Get("code"), back.Query().Get("state")} {
			require.NotContains(t, string(e.Data), kept)
		}
	}
}

func TestUpdate_SendsTheSecretNowhereElse(t *testing.T) {
	r, i, other := newRig(t), newIssuer(t), newIssuer(t)
	p := r.provider("home", i)
	_, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Issuer: &other.name})
	require.ErrorContains(t, err, "client_secret")
	b := r.browser("1001")
	b.signIn("home")
	require.NotNil(t, b.subject())
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Issuer: &other.name, ClientSecret: secret.New(clientSecret), Force: true})
	require.NoError(t, err)
	require.Nil(t, b.subject(), "a session of another issuer went on")
	before := len(other.people)
	b.signIn("home")
	require.Equal(t, "ana-2", b.subject().Person.Username, "the same id at another issuer is somebody else")
	require.Len(t, other.people, before)
}

func TestAttack_JunkInTheWayOfAProvidersLogouts(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b := r.browser("1001")
	b.signIn("home")
	stranger, provider := identity.Origin{Address: "192.0.2.66:1"}, identity.Origin{Address: "198.51.100.7:1"}
	asked := i.keysAsked.Load()
	last := fault.BadInput
	r.stopClock()
	for n := range 300 {
		// By a key that nobody knows, so that Berth would look for it.
		forged := i.logout(nil)
		head := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","kid":"made up %d"}`, n))
		_, rest, _ := strings.Cut(forged.Get("logout_token"), ".")
		_, err := r.LogOut(t.Context(), "home", head+"."+rest, stranger)
		last = fault.KindOf(err)
	}
	require.Equal(t, fault.TooOften, last, "a stranger uses up what their own network may")
	require.LessOrEqual(t, i.keysAsked.Load()-asked, int64(7), "and does not have the provider asked each time")
	require.NotNil(t, b.subject())
	ended, err := r.LogOut(t.Context(), "home", i.logout(nil).Get("logout_token"), provider)
	require.NoError(t, err)
	require.Equal(t, 1, ended)
	require.Nil(t, b.subject())
}

func TestAttack_MoreSignInsUnderWayThanAreKept(t *testing.T) {
	r, i := newRig(t, func(c *signin.Config) { c.MostUnderWay = 50 }), newIssuer(t)
	r.provider("home", i)
	victim := r.browser("1001")
	back := victim.intercept()
	for n := range 200 { // of one /48, by many networks
		from := identity.Origin{Address: fmt.Sprintf("[2001:db8:0:%x::1]:1", n)}
		_, _, err := r.Begin(t.Context(), "home", signin.Departure{Purpose: signin.ToSignIn, Origin: from})
		require.NoError(t, err)
	}
	victim.visit(back.RequestURI())
	require.NotNil(t, victim.subject(), "who fills it pushes out their own")
	other := r.browser("1002")
	other.signIn("home")
	require.NotNil(t, other.subject())
}

// nOAuth (Descope, 2023): apps know people by their addresses, and a provider
// says one that it has not verified, or that stands in another claim.
func TestAttack_AddressThatNobodyVerified(t *testing.T) {
	for name, c := range map[string]struct {
		provider func(*signin.NewProvider)
		claims   map[string]any
		userinfo map[string]any
		told     string
	}{
		"verified":              {told: "boss@victim.example"},
		"verified, as a text":   {claims: map[string]any{"email_verified": "true"}, told: "boss@victim.example"},
		"not verified":          {claims: map[string]any{"email_verified": false}},
		"not said":              {claims: map[string]any{"email_verified": nil}},
		"not said, and trusted": {provider: trustsEmail, claims: map[string]any{"email_verified": nil}, told: "boss@victim.example"},
		"denied, and trusted":   {provider: trustsEmail, claims: map[string]any{"email_verified": false}},
		"another claim": {
			provider: func(p *signin.NewProvider) { p.Claims.Email = "upn" },
			claims:   map[string]any{"email": "mallory@example.org", "upn": "boss@victim.example"},
		},
		"another address at userinfo": {
			claims: map[string]any{"email_verified": nil}, userinfo: map[string]any{"email": "mallory@example.org", "email_verified": true},
		},
		"proved by Entra's tenant": {
			provider: func(p *signin.NewProvider) { p.Preset = signin.Entra },
			claims:   map[string]any{"email_verified": nil, "xms_edov": "1"},
			told:     "boss@victim.example",
		},
		"of an Entra that does not say so": {
			provider: func(p *signin.NewProvider) { p.Preset = signin.Entra }, claims: map[string]any{"email_verified": nil},
		},
		"what only Entra means": {claims: map[string]any{"email_verified": nil, "xms_edov": true}},
	} {
		t.Run(name, func(t *testing.T) {
			r, i := newRig(t), newIssuer(t)
			i.idToken = func(claims map[string]any) {
				claims["email"], claims["email_verified"] = "boss@victim.example", true
				maps.Copy(claims, c.claims)
			}
			i.userinfo = func(claims map[string]any) {
				delete(claims, "email")
				delete(claims, "email_verified")
				maps.Copy(claims, c.userinfo)
			}
			r.provider("home", i, func(p *signin.NewProvider) {
				if c.provider != nil {
					c.provider(p)
				}
			})
			b := r.browser("1001")
			b.signIn("home")
			require.NotNil(t, b.subject(), "an address lets nobody in, and keeps nobody out")
			require.Equal(t, c.told, b.subject().Email)
			require.Equal(t, "boss@victim.example", b.subject().Person.Email)
			require.Equal(t, c.told != "", b.subject().Person.EmailState == identity.EmailVerified)
		})
	}
}

func trustsEmail(p *signin.NewProvider) { p.TrustEmail = true }

func TestProvider_WhoseWordIsAnotherVouchesForNothingUntilItTellsAgain(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	i.people["1001"]["email_verified"] = nil
	p := r.provider("home", i, trustsEmail)
	b := r.browser("1001")
	b.signIn("home")
	require.Equal(t, "ana@example.org", b.subject().Email)
	p, err := r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{TrustEmail: new(false)})
	require.NoError(t, err)
	require.Empty(t, b.subject().Email)

	i.people["1001"]["email_verified"] = true
	b.signIn("home")
	require.Equal(t, "ana@example.org", b.subject().Email)
	p.Claims.Email = "mail"
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{Claims: &p.Claims})
	require.NoError(t, err)
	require.Empty(t, b.subject().Email)
}
