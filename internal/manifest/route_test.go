package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/manifest"
)

const withRoutes = `berth: 1
routes:
  nas:
    hostname: nas.example.com
    target: http://192.168.0.7:5000
    protocol: http2
    max_body_bytes: 1048576
    access: {rules: [{allow: {signed_in: true}}]}
  grafana:
    hostname: grafana.example.com
`

func TestRoutes_AreExportedPlannedAndApplied(t *testing.T) {
	s := newServer(t)
	require.Equal(t, []string{"create route grafana", "create route nas"}, lines(s.plan(withRoutes).Changes))
	list, err := s.deploy.AllFixedRoutes(t.Context())
	require.NoError(t, err)
	require.Empty(t, list, "of a plan nothing is kept")
	s.apply(withRoutes)
	nas, err := s.deploy.FixedRoute(t.Context(), "nas")
	require.NoError(t, err)
	require.Equal(t, identity.SignedIn(), *nas.Spec.Access)
	require.Equal(t, deploy.TargetHTTP2, nas.Spec.Protocol)
	require.EqualValues(t, 1<<20, nas.Spec.MaxBodyBytes)
	grafana, err := s.deploy.FixedRoute(t.Context(), "grafana")
	require.NoError(t, err)
	require.Empty(t, grafana.Spec.Access.Rules, "nobody, unless it is said")
	require.Empty(t, s.plan(withRoutes).Changes, "again")

	exported := s.export()
	require.Contains(t, exported, "  grafana:\n    hostname: grafana.example.com\n  nas:\n    hostname: nas.example.com\n    target: http://192.168.0.7:5000\n    protocol: http2\n    max_body_bytes: 1048576\n    access:\n")
	require.Empty(t, s.plan(exported).Changes)
	fresh := newServer(t)
	fresh.apply(exported)
	require.Equal(t, exported, fresh.export(), "another server has the same")

	// Without the section it stays; pruning removes what the section leaves out.
	r := s.request("berth: 1\nprojects: {}\n")
	r.Prune = true
	_, err = s.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	r = s.request("berth: 1\nroutes:\n  nas: {hostname: nas.example.com, target: https://nas.lan, host: upstream, access: {rules: []}}\n")
	r.Prune = true
	result, err := s.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	require.Equal(t, []string{"update route nas", "remove route grafana"}, lines(result.Applied))
	require.Equal(t, []deploy.Change{
		{Field: "access.rules[0].allow.signed_in", From: "true"},
		{Field: "host", From: "public", To: "upstream"},
		{Field: "max_body_bytes", From: "1048576"},
		{Field: "protocol", From: "http2", To: "http1"},
		{Field: "target", From: "http://192.168.0.7:5000", To: "https://nas.lan"},
	}, result.Applied[0].Fields)
}

func TestRoutes_TellInThePlanOfStagesAtTheirHost(t *testing.T) {
	s := newServer(t)
	s.apply("berth: 1\nprojects: {shop: {image: shop, stages: {prod: {hostname: nas.example.com, path_prefix: /admin}}}}\n")
	const note = "nas.example.com/admin is the stage shop/prod: who enters there, it says, and not the route nas"
	require.Equal(t, []string{note}, s.plan(withRoutes).Notes)
	require.Equal(t, []string{note}, s.apply(withRoutes).Plan.Notes)
	require.Empty(t, s.plan(withRoutes).Notes, "it was told")
}

func TestRoutes_AreForAdministratorsAndRefusedWithTheirPlace(t *testing.T) {
	s := newServer(t)
	r := s.request(withRoutes)
	r.Administrator = false
	_, err := s.Plan(t.Context(), r)
	require.Equal(t, fault.Denied, fault.KindOf(err))
	require.ErrorContains(t, err, `"routes" is for administrators`)
	doc, err := s.Export(t.Context(), manifest.Scope{})
	require.NoError(t, err)
	require.Nil(t, doc.Routes)

	_, err = s.Plan(t.Context(), s.request("berth: 1\nroutes:\n  nas:\n    hostname: nas.example.com\n    target: http://169.254.169.254\n"))
	require.Equal(t, []fault.Field{{Name: "routes.nas.target", Message: "line 5, column 13: 169.254.169.254 is an address that Berth does not connect to"}}, fault.FieldsOf(err))
}

func TestRoutes_GiveTheirAddressToAStageInOneApply(t *testing.T) {
	s := newServer(t)
	s.apply(withRoutes)
	taken := "berth: 1\nprojects:\n  nas:\n    image: nas\n    stages:\n      prod: {hostname: nas.example.com, tags: {kind: none}}\n"
	_, err := s.Plan(t.Context(), s.request(taken))
	require.ErrorContains(t, err, "is the address of the route nas")
	r := s.request(taken + "routes: {}\n")
	r.Prune = true
	_, err = s.Apply(t.Context(), "ana", r)
	require.NoError(t, err)
	st, err := s.deploy.Stage(t.Context(), "nas", "prod")
	require.NoError(t, err)
	require.Equal(t, "nas.example.com", st.Spec.Hostname)
}
