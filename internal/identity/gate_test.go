package identity_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func visit(method, path string) identity.Visit {
	return identity.Visit{
		Method: method, Path: path, Address: netip.MustParseAddr("192.0.2.7"), At: noon,
		On: identity.On{Project: "shop", Stage: "prod"},
	}
}

func session(change ...func(*identity.Subject)) *identity.Subject {
	s := &identity.Subject{
		Person: identity.Person{ID: "1", Username: "ana", Role: identity.RoleMember}, Via: identity.ViaSession, Provider: identity.ProviderLocal,
		Methods: []identity.Method{identity.MethodPassword}, AuthenticatedAt: noon.Add(-time.Hour),
		OwnGroups: []string{"ops"}, Groups: []string{"ops"},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func TestGate_DecidesByTheFirstRuleThatFits(t *testing.T) {
	type (
		policy = identity.Policy
		rule   = identity.Rule
		who    = identity.Who
		claim  = identity.Claim
	)
	one := func(r rule) policy { return policy{Rules: []rule{r}} }
	told := session(func(s *identity.Subject) {
		s.Provider, s.Groups, s.SyncedUntil = "corp", []string{"corp:devs", "ops"}, noon.Add(time.Hour)
		s.Claims = map[string]any{
			"department": "sales", "level": float64(3), "verified": true, "teams": []any{"red", "blue"}, "nothing": nil,
			"realm_access": map[string]any{"roles": []any{"admin"}},
		}
	})
	byPasskey := session(func(s *identity.Subject) {
		s.Methods, s.PasskeyAt = []identity.Method{identity.MethodPasskey}, noon.Add(-10*time.Minute)
	})
	token := session(func(s *identity.Subject) { s.Via, s.Scope, s.TokenID = identity.ViaToken, identity.ScopeRead, "t" })
	bound := func(project, stage string) *identity.Subject {
		return session(func(s *identity.Subject) {
			s.Via, s.Scope, s.Bounds = identity.ViaToken, identity.ScopeRead, &identity.Bounds{Project: project, Stage: stage}
		})
	}
	jwt := func(issuer, audience string) *identity.Subject {
		return &identity.Subject{Via: identity.ViaJWT, Issuer: issuer, Audience: audience, Claims: map[string]any{"repository": "ana/shop"}}
	}
	ci := []identity.JWTIssuer{{Issuer: "https://ci.example", Audience: "berth"}}
	admin := session(func(s *identity.Subject) { s.Person.Role = identity.RoleAdministrator })
	disabled := session(func(s *identity.Subject) { s.Person.Disabled = true })
	mixed := policy{Rules: []rule{
		{Paths: []string{"/health"}, Allow: who{Public: true}},
		{Paths: []string{"/admin"}, Allow: who{Administrators: true}},
		{Methods: []string{"GET", "HEAD"}, Allow: who{SignedIn: true}},
		{Allow: who{Groups: []string{"ops"}}},
	}}

	only := func(provider string) identity.Visit {
		v := visit("GET", "/")
		v.OnlyProvider = provider
		return v
	}
	byMethod := policy{Rules: []rule{
		{Methods: []string{"POST", "DELETE"}, Allow: who{Administrators: true}},
		{Allow: who{Public: true}},
	}}

	for _, test := range []struct {
		name    string
		policy  policy
		subject *identity.Subject
		visit   identity.Visit
		allowed bool
		rule    int
		need    identity.Need
		why     identity.Why
	}{
		{"the zero policy lets nobody in", policy{}, admin, visit("GET", "/"), false, -1, identity.NeedNothing, identity.WhyNoRule},
		{"an empty rule lets nobody in", one(rule{}), admin, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"public needs nobody", identity.Public(), nil, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyPublic},
		{"nobody is to sign in", identity.SignedIn(), nil, visit("GET", "/"), false, 0, identity.NeedSignIn, identity.WhyNobody},
		{"who is disabled is nobody", identity.SignedIn(), disabled, visit("GET", "/"), false, 0, identity.NeedSignIn, identity.WhyNobody},
		{"signed in is enough", identity.SignedIn(), session(), visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"the machine's own socket opens no app", identity.SignedIn(), new(identity.Local()), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyVia},

		{"a path that is public", mixed, nil, visit("GET", "/health"), true, 0, identity.NeedNothing, identity.WhyPublic},
		{"a path below it", mixed, nil, visit("GET", "/health/x"), true, 0, identity.NeedNothing, identity.WhyPublic},
		{"a path that only begins like it", mixed, nil, visit("GET", "/healthy"), false, 2, identity.NeedSignIn, identity.WhyNobody},
		{"a stricter path", mixed, session(), visit("GET", "/admin/users"), false, 1, identity.NeedNothing, identity.WhyNotNamed},
		{"in other letters is not the laxer path", mixed, session(), visit("GET", "/Admin/users"), false, -1, identity.NeedNothing, identity.WhyAmbiguous},
		{"nor in letters that are others in capitals", mixed, session(), visit("GET", "/adm\u0131n/users"), false, -1, identity.NeedNothing, identity.WhyAmbiguous},
		{"a method in other letters is not the laxer one", byMethod, nil, visit("Post", "/"), false, -1, identity.NeedNothing, identity.WhyMethodCase},
		{"nor for who may", byMethod, admin, visit("post", "/"), false, -1, identity.NeedNothing, identity.WhyMethodCase},
		{"but where both lead to one rule", byMethod, nil, visit("patch", "/"), true, 1, identity.NeedNothing, identity.WhyPublic},
		{"or none counts methods", identity.Public(), nil, visit("post", "/"), true, 0, identity.NeedNothing, identity.WhyPublic},
		{"and fits no rule", policy{Rules: []rule{{Methods: []string{"GET"}, Allow: who{Public: true}}}}, nil, visit("get", "/"), false, -1, identity.NeedNothing, identity.WhyMethodCase},
		{"nor read in another way", mixed, session(), identity.Visit{Method: "GET", Path: "/x", Others: []string{"/admin"}, At: noon}, false, -1, identity.NeedNothing, identity.WhyAmbiguous},
		{"by method", mixed, session(), visit("POST", "/"), true, 3, identity.NeedNothing, identity.WhyNamed},
		{"by method, another", mixed, session(func(s *identity.Subject) { s.OwnGroups, s.Groups = nil, nil }), visit("POST", "/"), false, 3, identity.NeedNothing, identity.WhyNotNamed},

		{"within a network", one(rule{Networks: []string{"192.0.2.0/24"}, Allow: who{Public: true}}), nil, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyPublic},
		{"outside of it", one(rule{Networks: []string{"198.51.100.0/24"}, Allow: who{Public: true}}), nil, visit("GET", "/"), false, -1, identity.NeedNothing, identity.WhyNoRule},
		{
			"an IPv4 address in an IPv6 coat", one(rule{Networks: []string{"192.0.2.0/24"}, Allow: who{Public: true}}), nil,
			identity.Visit{Method: "GET", Path: "/", Address: netip.MustParseAddr("::ffff:192.0.2.7"), At: noon},
			true, 0, identity.NeedNothing, identity.WhyPublic,
		},
		{
			"no address is in no network", one(rule{Networks: []string{"0.0.0.0/0", "::/0"}, Allow: who{Public: true}}), nil,
			identity.Visit{Method: "GET", Path: "/", At: noon},
			false, -1, identity.NeedNothing, identity.WhyNoRule,
		},

		{"by name", one(rule{Allow: who{People: []string{"ana"}}}), session(), visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"by another's name", one(rule{Allow: who{People: []string{"bo"}}}), session(), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"a provider's group", one(rule{Allow: who{Groups: []string{"corp:devs"}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a claim", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", "corp"}}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a number and a truth", one(rule{Allow: who{Claims: []claim{{"level", "equals", "3", "corp"}, {"verified", "equals", "true", "corp"}}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"all claims, not one", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", "corp"}, {"level", "equals", "4", "corp"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"a list that contains", one(rule{Allow: who{Claims: []claim{{"teams", "contains", "blue", "corp"}}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a text contains nothing", one(rule{Allow: who{Claims: []claim{{"department", "contains", "sales", "corp"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"a claim within an object", one(rule{Allow: who{Claims: []claim{{"realm_access.roles", "contains", "admin", "corp"}}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a pattern fits the whole", one(rule{Allow: who{Claims: []claim{{"department", "matches", "sal", "corp"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"each of its ways", one(rule{Allow: who{Claims: []claim{{"department", "matches", "x|sal", "corp"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"a claim of another provider", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", "github"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"one of two of another provider", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", "corp"}, {"verified", "exists", "", "github"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"an old claim, of no provider, where there is none or more than one", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", ""}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyWhoseClaim},
		{"where theirs is the only one", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", ""}}}}), told, only("corp"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"where another is", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", ""}}}}), told, only("github"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"who is let in by name needs no claim", one(rule{Allow: who{People: []string{"ana"}, Claims: []claim{{"department", "equals", "sales", ""}}}}), told, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"Berth itself tells no claims", one(rule{Allow: who{Claims: []claim{{"department", "equals", "sales", ""}}}}), session(func(s *identity.Subject) { s.Claims = told.Claims }), only("local"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"null is not there", one(rule{Allow: who{Claims: []claim{{"nothing", "exists", "", "corp"}}}}), told, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{
			"what the provider told grows old", one(rule{Allow: who{Groups: []string{"corp:devs"}}}), told,
			func() identity.Visit { v := visit("GET", "/"); v.At = noon.Add(time.Hour); return v }(), false, 0, identity.NeedFresher, identity.WhyStale,
		},
		{
			"what Berth keeps does not", one(rule{Allow: who{Groups: []string{"ops"}}}), told,
			func() identity.Visit { v := visit("GET", "/"); v.At = noon.Add(time.Hour); return v }(), true, 0, identity.NeedNothing, identity.WhyNamed,
		},

		{"a second factor is asked for", one(rule{Allow: who{SignedIn: true}, Strength: "second_factor"}), session(), visit("GET", "/"), false, 0, identity.NeedStronger, identity.WhyWeak},
		{
			"a code of the other factor alone is none", one(rule{Allow: who{SignedIn: true}, Strength: "second_factor"}),
			session(func(s *identity.Subject) { s.Methods = []identity.Method{identity.MethodTOTP} }), visit("GET", "/"), false, 0, identity.NeedStronger, identity.WhyWeak,
		},
		{"a passkey is two", one(rule{Allow: who{SignedIn: true}, Strength: "second_factor"}), byPasskey, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a passkey, and lately", one(rule{Allow: who{SignedIn: true}, Strength: "passkey", Within: identity.Duration(5 * time.Minute)}), byPasskey, visit("GET", "/"), false, 0, identity.NeedFresher, identity.WhyTooLongAgo},
		{"lately enough", one(rule{Allow: who{SignedIn: true}, Strength: "passkey", Within: identity.Duration(11 * time.Minute)}), byPasskey, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"who is not let in is not asked for more", one(rule{Allow: who{Administrators: true}, Strength: "passkey"}), session(), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},

		{"an API token where it is taken", one(rule{Allow: who{People: []string{"ana"}}, APITokens: true}), token, visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"and nowhere else", identity.SignedIn(), token, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNoTokens},
		{"a token of somebody else", one(rule{Allow: who{People: []string{"bo"}}, APITokens: true}), token, visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"a bound token at its stage", one(rule{Allow: who{SignedIn: true}, APITokens: true}), bound("shop", "prod"), visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"a bound token at another", one(rule{Allow: who{SignedIn: true}, APITokens: true}), bound("shop", "dev"), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyBounds},

		{"a token of an issuer", one(rule{JWTs: ci}), jwt("https://ci.example", "berth"), visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"for somebody else", one(rule{JWTs: ci}), jwt("https://ci.example", "other"), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNoIssuer},
		{"of another issuer", one(rule{JWTs: ci}), jwt("https://ci.example/", "berth"), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNoIssuer},
		{"of whom the claims are not true", one(rule{JWTs: ci, Allow: who{Claims: []claim{{"repository", "equals", "bo/shop", ""}}}}), jwt("https://ci.example", "berth"), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"of whom they are", one(rule{JWTs: ci, Allow: who{Claims: []claim{{"repository", "equals", "ana/shop", ""}}}}), jwt("https://ci.example", "berth"), visit("GET", "/"), true, 0, identity.NeedNothing, identity.WhyNamed},
		{"whose claims are not those of people", one(rule{JWTs: ci, Allow: who{Claims: []claim{{"department", "equals", "sales", ""}}}}), told, only("corp"), false, 0, identity.NeedNothing, identity.WhyNotNamed},
		{"is nobody who signed in", identity.SignedIn(), jwt("https://ci.example", "berth"), visit("GET", "/"), false, 0, identity.NeedNothing, identity.WhyNoIssuer},
	} {
		t.Run(test.name, func(t *testing.T) {
			gate, err := identity.NewGate(test.policy)
			require.NoError(t, err)
			require.Equal(t, identity.Verdict{Allowed: test.allowed, Rule: test.rule, Need: test.need, Why: test.why}, gate.Enter(test.subject, test.visit))
		})
	}
}

func TestPolicy_NamesWhatIsWrong(t *testing.T) {
	for field, p := range map[string]identity.Rule{
		"rules[0].methods[0]":               {Methods: []string{"GE T"}},
		"rules[0].paths[0]":                 {Paths: []string{"admin"}},
		"rules[0].networks[0]":              {Networks: []string{"10.0.0.0/33"}},
		"rules[0].allow.people[0]":          {Allow: identity.Who{People: []string{"../x"}}},
		"rules[0].allow.groups[0]":          {Allow: identity.Who{Groups: []string{""}}},
		"rules[0].allow.claims[0].value":    {Allow: identity.Who{Claims: []identity.Claim{{Name: "a", Operator: "matches", Value: "a)|(b"}}}},
		"rules[0].allow.claims[0].name":     {Allow: identity.Who{Claims: []identity.Claim{{Operator: "exists"}}}},
		"rules[0].allow.claims[0].provider": {Allow: identity.Who{Claims: []identity.Claim{{Name: "a", Operator: "exists", Provider: "../x"}}}},
		"rules[0].strength":                 {Strength: "very"},
		"rules[0].within":                   {Within: -1},
		"rules[0].allow.public":             {Allow: identity.Who{Public: true}, Strength: identity.StrengthPasskey},
		"rules[0].api_tokens":               {APITokens: true, Strength: identity.StrengthSecondFactor},
		"rules[0].jwts[0].issuer":           {JWTs: []identity.JWTIssuer{{Issuer: "http://ci.example", Audience: "a"}}},
		"rules[0].jwts[0].audience":         {JWTs: []identity.JWTIssuer{{Issuer: "https://ci.example"}}},
		"rules[0].allow.claims[0].operator": {Allow: identity.Who{Claims: []identity.Claim{{Name: "a", Operator: "is"}}}},
	} {
		wrong := identity.Policy{Rules: []identity.Rule{p}}.Normalise().Check("access")
		require.Len(t, wrong, 1, field)
		require.Equal(t, "access."+field, wrong[0].Name)
	}
	for _, path := range []string{"/a//b", "/a/../b", "/a/./b", "/%61", "/a;b", `/a\b`, "/a?b", "/a#b", "/\x00"} {
		p := identity.Policy{Rules: []identity.Rule{{Paths: []string{path}}}}
		require.NotEmpty(t, p.Check("access"), path)
	}
}

func TestPolicy_SaysWhoseItsClaimsAre(t *testing.T) {
	claims := func(providers ...string) (list []identity.Claim) {
		for _, p := range providers {
			list = append(list, identity.Claim{Name: "groups", Operator: identity.ClaimContains, Value: "ops", Provider: p})
		}
		return list
	}
	ci := []identity.JWTIssuer{{Issuer: "https://ci.example", Audience: "berth"}}
	for _, c := range []struct {
		name, wrong, says string
		rule              identity.Rule
	}{
		{"no claim", "", "", identity.Rule{Allow: identity.Who{SignedIn: true}}},
		{"a provider's", "", "", identity.Rule{Allow: identity.Who{Claims: claims("corp", "corp")}}},
		{"nobody's", "access.rules[0].allow.claims[1].provider", "the providers are corp, github", identity.Rule{Allow: identity.Who{Claims: claims("corp", "")}}},
		{"an unknown one's", "access.rules[0].allow.claims[0].provider", `no provider is named "corq"`, identity.Rule{Allow: identity.Who{Claims: claims("corq")}}},
		{"two providers'", "access.rules[0].allow.claims[1].provider", "nobody signs in by two providers", identity.Rule{Allow: identity.Who{Claims: claims("corp", "github")}}},
		{"a bearer's", "", "", identity.Rule{JWTs: ci, Allow: identity.Who{Claims: claims("")}}},
	} {
		wrong := identity.Policy{Rules: []identity.Rule{c.rule}}.CheckClaims("access", []string{"corp", "github"})
		if c.wrong == "" {
			require.Empty(t, wrong, c.name)
			continue
		}
		require.Len(t, wrong, 1, c.name)
		require.Equal(t, c.wrong, wrong[0].Name, c.name)
		require.Contains(t, wrong[0].Message, c.says, c.name)
	}
	wrong := identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{Claims: claims("")}}}}.CheckClaims("access", nil)
	require.Contains(t, wrong[0].Message, "there is no provider yet")
	for _, r := range []identity.Rule{{Allow: identity.Who{Claims: claims("local")}}, {JWTs: ci, Allow: identity.Who{Claims: claims("corp")}}} {
		wrong := identity.Policy{Rules: []identity.Rule{r}}.Check("access")
		require.Len(t, wrong, 1)
		require.Equal(t, "access.rules[0].allow.claims[0].provider", wrong[0].Name)
	}
}

func TestPolicy_IsSpelledInOneWay(t *testing.T) {
	p := identity.Policy{Rules: []identity.Rule{{
		Methods: []string{"get"}, Paths: []string{"/admin/", "/"}, Networks: []string{"10.1.2.3/8", "192.0.2.1", "::ffff:10.0.0.0/104"},
		Allow: identity.Who{People: []string{" Ana "}},
	}}}
	want := identity.Rule{
		Methods: []string{"GET"}, Paths: []string{"/admin", "/"}, Networks: []string{"10.0.0.0/8", "192.0.2.1/32", "10.0.0.0/8"},
		Allow: identity.Who{People: []string{"ana"}},
	}
	require.Equal(t, want, p.Normalise().Rules[0])
	require.Equal(t, p.Normalise(), p.Normalise().Normalise())
}

func TestPolicy_WithoutSomebody(t *testing.T) {
	p := identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana", "bo"}}}, {Allow: identity.Who{SignedIn: true}}}}
	without, named := p.Without("ana")
	require.True(t, named)
	require.Equal(t, []string{"bo"}, without.People())
	require.Equal(t, []string{"ana", "bo"}, p.People(), "the policy itself stays")
	_, named = without.Without("ana")
	require.False(t, named)
}

func FuzzGate_DeniesWhatNoRuleNames(f *testing.F) {
	f.Add("GET", "/admin", "/admin/x")
	f.Add("POST", "/a", "/A")
	f.Fuzz(func(t *testing.T, method, prefix, path string) {
		gate, err := identity.NewGate(identity.Policy{Rules: []identity.Rule{
			{Methods: []string{method}, Paths: []string{prefix}, Allow: identity.Who{Public: true}},
		}})
		if err != nil {
			return
		}
		verdict := gate.Enter(nil, identity.Visit{Method: strings.ToUpper(strings.TrimSpace(method)), Path: path})
		prefix = strings.TrimRight(strings.TrimSpace(prefix), "/")
		if verdict.Allowed && path != prefix && !strings.HasPrefix(path, prefix+"/") {
			t.Fatalf("%q lets %q in", prefix, path)
		}
	})
}
