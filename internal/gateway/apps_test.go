package gateway

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/identity"
)

// TestApps_AreThoseThatTheGateOfEachOpens asks the gateway itself, too: what
// is listed can be opened, and what is not can't.
func TestApps_AreThoseThatTheGateOfEachOpens(t *testing.T) {
	d := newDoor(t)
	served := func(http.ResponseWriter, *http.Request) {}
	una, root := d.signIn("una", identity.RoleUser), d.signIn("root", identity.RoleAdministrator)
	strong := identity.SignedIn()
	strong.Rules[0].Strength = identity.StrengthPasskey
	tokens := identity.SignedIn()
	tokens.Rules[0].APITokens = true
	home := netip.MustParseAddr("10.0.0.7")
	policies := map[string]identity.Policy{
		"public.test":  identity.Public(),
		"signed.test":  identity.SignedIn(),
		"admin.test":   allow(identity.Who{Administrators: true}),
		"una.test":     allow(identity.Who{People: []string{"una"}}),
		"none.test":    {},
		"strong.test":  strong,
		"tokens.test":  tokens,
		"network.test": {Rules: []identity.Rule{{Networks: []string{"10.0.0.0/8"}, Allow: identity.Who{SignedIn: true}}}},
		"part.test": {Rules: []identity.Rule{
			{Paths: []string{"/staff"}, Allow: identity.Who{Administrators: true}},
			{Paths: []string{"/a b", "/news"}, Allow: identity.Who{SignedIn: true}},
		}},
	}
	for host, policy := range policies {
		r := routeTo(host, "d-"+host, addressOf(app(t, served)))
		r.Project, r.Stage, r.Access = host[:len(host)-len(".test")], "prod", policy
		d.route(r)
	}
	listed := func(s *identity.Subject, from netip.Addr) map[string]App {
		got := map[string]App{}
		for _, a := range d.gateway.Apps(s, from, time.Now()) {
			a.On = identity.On{}
			got[a.Name] = a
		}
		return got
	}
	app := func(name, url string) App { return App{Name: name, URL: url} }
	public := App{Name: "public/prod", URL: "http://public.test/", Public: true}
	require.Equal(t, map[string]App{"public/prod": public}, listed(nil, netip.Addr{}))
	require.Equal(t, map[string]App{
		"public/prod": public,
		"signed/prod": app("signed/prod", "http://signed.test/"),
		"tokens/prod": app("tokens/prod", "http://tokens.test/"),
		"una/prod":    app("una/prod", "http://una.test/"),
		"part/prod":   app("part/prod", "http://part.test/a%20b"),
		"strong/prod": {Name: "strong/prod", URL: "http://strong.test/", Need: identity.NeedStronger},
	}, listed(&una, netip.Addr{}))
	require.Contains(t, listed(&una, home), "network/prod")
	require.NotContains(t, listed(&root, home), "una/prod")
	require.Equal(t, "http://part.test/staff", listed(&root, home)["part/prod"].URL)

	token := identity.Subject{Person: una.Person, Via: identity.ViaToken, Scope: identity.ScopeRead}
	require.Len(t, listed(&token, home), 2, "what is public, and what takes tokens")
	bound := token
	bound.Bounds = &identity.Bounds{Project: "signed"}
	require.Len(t, listed(&bound, home), 1)

	mine := listed(&una, netip.Addr{})
	for host := range policies {
		res, _ := d.get("http://"+host+"/", with("Cookie", d.cookieFor(una, host)))
		there, is := mine[host[:len(host)-len(".test")]+"/prod"]
		require.Equal(t, is && there.Need == identity.NeedNothing && there.URL == "http://"+host+"/", res.StatusCode == http.StatusOK, host)
	}
}

func TestApps_LeadToNoOtherRouteOfTheHost(t *testing.T) {
	d := newDoor(t)
	una := d.signIn("una", identity.RoleUser)
	served := func(http.ResponseWriter, *http.Request) {}
	whole := routeTo("app.test", "d-whole", addressOf(app(t, served)))
	whole.StageID, whole.Project, whole.Stage = "whole", "whole", "prod"
	whole.Access = identity.Policy{Rules: []identity.Rule{{Paths: []string{"/part", "/other/"}, Allow: identity.Who{SignedIn: true}}}}.Normalise()
	part := routeTo("app.test", "d-part", addressOf(app(t, served)))
	part.StageID, part.Project, part.Stage, part.PathPrefix = "part", "part", "prod", "/part"
	part.Access = allow(identity.Who{Administrators: true})
	fixed := deploy.Route{StageID: "nas", Hostname: "nas.test", PathPrefix: "/", Access: identity.SignedIn(), Fixed: &deploy.Fixed{Name: "nas"}}
	d.route(whole)
	d.route(part)
	d.route(fixed)
	require.Equal(t, []App{
		{Name: "nas", URL: "http://nas.test/"},
		{Name: "whole/prod", On: identity.On{Project: "whole", Stage: "prod"}, URL: "http://app.test/other"},
	}, d.gateway.Apps(&una, netip.Addr{}, time.Now()))
}
