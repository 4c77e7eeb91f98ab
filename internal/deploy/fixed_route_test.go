package deploy_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// flaws gives what is wrong, by field.
func flaws(t *testing.T, err error) map[string]string {
	t.Helper()
	require.Equal(t, fault.BadInput, fault.KindOf(err), "%v", err)
	found := map[string]string{}
	for _, f := range fault.FieldsOf(err) {
		found[f.Name] = f.Message
	}
	return found
}

func TestFixedRoute_IsServedAsItIsSavedAndAfterARestart(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	made, err := b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "NAS.test.", Target: "HTTPS://Nas.Lan:443/"})
	require.NoError(t, err)
	require.Equal(t, "https://nas.lan", made.Spec.Target)
	r, served := b.router.of("nas.test")
	require.True(t, served, "when creating returns")
	require.Empty(t, r.Access.Rules, "nobody until somebody says")
	require.Equal(t, []deploy.Endpoint{{Instance: made.ID, Address: "nas.lan:443", TLSName: "nas.lan", Guarded: true}}, r.Instances)
	require.Empty(t, r.Fixed.Host, "the public name")
	require.Equal(t, deploy.HTTP1, r.Protocol)
	require.Zero(t, r.MaxBodyBytes, "the gateway's own")

	spec := made.Spec
	signedIn := identity.SignedIn()
	spec.Host, spec.Access, spec.Target = deploy.HostUpstream, &signedIn, "http://192.168.0.7:8123"
	spec.Protocol, spec.MaxBodyBytes = deploy.TargetHTTP2, 1<<20
	_, err = b.UpdateFixedRoute(t.Context(), "root", "nas", 7, spec)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	saved, err := b.UpdateFixedRoute(t.Context(), "root", "nas", 1, spec)
	require.NoError(t, err)
	require.EqualValues(t, 2, saved.Version)

	b.stop()
	b = w.start(options{})
	b.eventually(func() bool { _, ok := b.router.of("nas.test"); return ok }, "it is routed again")
	r, _ = b.router.of("nas.test")
	require.Equal(t, signedIn, r.Access)
	require.Equal(t, "192.168.0.7:8123", r.Fixed.Host)
	require.Equal(t, deploy.H2C, r.Protocol)
	require.EqualValues(t, 1<<20, r.MaxBodyBytes)
	require.Equal(t, []deploy.Endpoint{{Instance: made.ID, Address: "192.168.0.7:8123", Guarded: true}}, r.Instances)

	spec.Disabled = true
	_, err = b.UpdateFixedRoute(t.Context(), "root", "nas", 2, spec)
	require.NoError(t, err)
	_, served = b.router.of("nas.test")
	require.False(t, served)
	spec.Disabled, spec.Target, spec.Host, spec.Protocol = false, "", "", ""
	_, err = b.UpdateFixedRoute(t.Context(), "root", "nas", 3, spec)
	require.NoError(t, err)
	r, _ = b.router.of("nas.test")
	require.Empty(t, r.Instances, "another proxy's")
	require.NoError(t, b.RemoveFixedRoute(t.Context(), "root", "nas"))
	_, served = b.router.of("nas.test")
	require.False(t, served)
	require.Equal(t, fault.Missing, fault.KindOf(b.RemoveFixedRoute(t.Context(), "root", "nas")))

	list, err := w.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{"route.created", "route.updated", "route.removed", "access.changed"}}, 0)
	require.NoError(t, err)
	var kinds []event.Kind
	for _, e := range list {
		kinds = append(kinds, e.Kind)
		require.Equal(t, "root", e.Actor)
		require.Contains(t, string(e.Data), `"route":"nas"`)
	}
	require.Equal(t, []event.Kind{"route.created", "access.changed", "route.updated", "route.updated", "route.updated", "route.removed"}, kinds)
	require.JSONEq(t, `{"route": "nas", "hostname": "nas.test", "from": {"rules": []}, "to": {"rules": [{"allow": {"signed_in": true}}]}}`, string(list[1].Data))
}

func TestFixedRoute_AndAStageNeverShareAnAddress(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	b.shop(nil) // shop.test
	_, err := b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "shop.test", Target: "http://nas.lan"})
	require.Equal(t, map[string]string{"spec.hostname": "shop.test/ is the address of shop/prod"}, flaws(t, err))
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "shop.test", PathPrefix: "/nas", Target: "http://nas.lan"})
	require.NoError(t, err, "at another path")
	_, err = b.CreateFixedRoute(t.Context(), "root", "other", deploy.FixedSpec{Hostname: "shop.test", PathPrefix: "/nas/"})
	require.Equal(t, map[string]string{"spec.hostname": "shop.test/nas is the address of the route nas"}, flaws(t, err))
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "free.test"})
	require.Equal(t, fault.Clash, fault.KindOf(err))
	_, err = b.CreateFixedRoute(t.Context(), "root", "base", deploy.FixedSpec{Hostname: "berth.test"})
	require.Equal(t, map[string]string{"spec.hostname": "berth.test is Berth's own"}, flaws(t, err))

	st := b.status()
	st.Spec.PathPrefix = "/nas"
	_, err = b.UpdateStage(t.Context(), "ana", "shop", "prod", st.Version, st.Spec)
	require.Equal(t, map[string]string{"spec.hostname": "shop.test/nas is the address of the route nas"}, flaws(t, err))
	_, err = b.CreateStage(t.Context(), "ana", "shop", "dev", st.Spec)
	require.Equal(t, "shop.test/nas is the address of the route nas", flaws(t, err)["spec.hostname"])
	_, err = b.CheckStage(t.Context(), "shop", "dev", st.Spec)
	require.Equal(t, "shop.test/nas is the address of the route nas", flaws(t, err)["spec.hostname"])
}

func TestFixedRoute_TakesNoAddressOfAStageThatIsStillServed(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(nil)
	b.goLive("1")
	st := b.status()
	st.Spec.Hostname = "moved.test"
	_, err := b.UpdateStage(t.Context(), "ana", "shop", "prod", st.Version, st.Spec)
	require.NoError(t, err)
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "shop.test"})
	require.Equal(t, map[string]string{"spec.hostname": "shop.test/ is the address of shop/prod"}, flaws(t, err), "until the next deployment")
	first := b.status().Release.ID
	b.goLive("1")
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "shop.test"})
	require.NoError(t, err)
	d, err := b.Rollback(t.Context(), "ana", "shop", "prod", first, deploy.TriggerPerson)
	require.NoError(t, err)
	require.Contains(t, b.end(d.ID).Error, "is the address of the route nas", "a roll back does not bring it back")
}

func TestFixedRoute_OnlyWhoSaysWhoEntersPutsAStageBesideIt(t *testing.T) {
	for name, route := range map[string]deploy.FixedSpec{
		"another proxy's": {Hostname: "nas.test"},
		"off":             {Hostname: "nas.test", Disabled: true},
		"at another path": {Hostname: "nas.test", PathPrefix: "/admin/files", Target: "http://nas.lan"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.start(options{})
			b.shop(nil)
			_, err := b.CreateFixedRoute(t.Context(), "root", "nas", route)
			require.NoError(t, err)
			refused := func(err error) {
				t.Helper()
				require.Equal(t, map[string]string{
					"spec.hostname": "nas.test is the host of the route nas, and only administrators put a stage beside a route: take another hostname, or ask one",
				}, flaws(t, err))
			}
			beside := deploy.StageSpec{Hostname: "NAS.test.", PathPrefix: "/admin"}
			_, err = b.CreateStage(t.Context(), "bo", "shop", "dev", beside)
			refused(err)
			_, err = b.CheckStage(t.Context(), "shop", "dev", beside)
			refused(err)
			_, err = b.CheckStage(t.Context(), "", "", beside)
			refused(err)
			st := b.status()
			st.Spec.Hostname, st.Spec.PathPrefix = "nas.test", "/admin"
			_, err = b.CheckStage(t.Context(), "shop", "prod", st.Spec)
			refused(err)
			_, err = b.UpdateStage(t.Context(), "bo", "shop", "prod", st.Version, st.Spec)
			refused(err)

			_, err = b.CheckStage(t.Context(), "shop", "prod", st.Spec, deploy.AllowAccess)
			require.NoError(t, err)
			saved, err := b.UpdateStage(t.Context(), "root", "shop", "prod", st.Version, st.Spec, deploy.AllowAccess)
			require.NoError(t, err)
			saved.Spec.Replicas = 2
			saved, err = b.UpdateStage(t.Context(), "bo", "shop", "prod", saved.Version, saved.Spec)
			require.NoError(t, err, "what is there stays, whoever edits it")
			saved.Spec.PathPrefix = "/other"
			_, err = b.UpdateStage(t.Context(), "bo", "shop", "prod", saved.Version, saved.Spec)
			refused(err)
		})
	}
}

func TestFixedRoute_TellsOfStagesAtItsHost(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	var late atomic.Bool // the stage has moved on and a route is made while the router is not told yet
	made := make(chan []deploy.StageBeside, 1)
	b := w.start(options{hook: func(b *berth, _ string, at deploy.StepName, moment string) {
		if at == deploy.SwitchRoute && moment == "before" && late.CompareAndSwap(true, false) {
			_ = w.db.Write(context.Background(), func(tx *sqlite.Tx) error {
				_, err := tx.ExecContext(context.Background(), `UPDATE stages SET hostname = 'other.test'`)
				return err
			})
			r, _ := b.CreateFixedRoute(context.Background(), "root", "late", deploy.FixedSpec{Hostname: "late.test"})
			made <- r.Beside
		}
	}})
	b.shop(func(s *deploy.StageSpec) {
		s.PathPrefix, s.KeepOld = "/live", deploy.Duration(time.Hour)
	})
	b.goLive("1")
	move := func(hostname, prefix string) {
		st := b.status()
		st.Spec.Hostname, st.Spec.PathPrefix = hostname, prefix
		_, err := b.UpdateStage(t.Context(), "bo", "shop", "prod", st.Version, st.Spec)
		require.NoError(t, err)
	}
	move("saved.test", "/saved")
	beside := func(name, hostname string) []deploy.StageBeside {
		made, err := b.CreateFixedRoute(t.Context(), "root", name, deploy.FixedSpec{Hostname: hostname})
		require.NoError(t, err)
		shown, err := b.FixedRoute(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, made.Beside, shown.Beside)
		saved, err := b.UpdateFixedRoute(t.Context(), "root", name, made.Version, made.Spec)
		require.NoError(t, err)
		require.Equal(t, made.Beside, saved.Beside)
		return made.Beside
	}
	require.Empty(t, beside("free", "free.test"))
	require.Equal(t, []deploy.StageBeside{{Project: "shop", Stage: "prod", PathPrefix: "/saved"}}, beside("a", "saved.test"))
	b.goLive("1")
	require.Equal(t, []deploy.StageBeside{{Project: "shop", Stage: "prod", PathPrefix: "/live"}}, beside("b", "shop.test"), "its instances are kept")

	// It was told of, so the way back is open.
	first := b.status().Release.ID
	list, _, err := b.Releases(t.Context(), "shop", "prod", deploy.Page{})
	require.NoError(t, err)
	for _, r := range list {
		if r.ID != first {
			_, err := b.Rollback(t.Context(), "bo", "shop", "prod", r.ID, deploy.TriggerPerson)
			require.NoError(t, err)
		}
	}
	require.NotEqual(t, first, b.status().Release.ID)
	move("shop.test", "/live")

	move("late.test", "/switched")
	late.Store(true)
	b.goLive("1")
	require.Equal(t, []deploy.StageBeside{{Project: "shop", Stage: "prod", PathPrefix: "/switched"}}, <-made)
}

func TestFixedRoute_NoOlderReleaseComesBesideIt(t *testing.T) {
	const says = "shop.test is the host of the route nas, and shop.test/admin is not the stage's address any more: have an administrator save it for the stage first"
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	var late atomic.Bool // the route is made once the preflight is over
	made := make(chan []deploy.StageBeside, 1)
	b := w.start(options{hook: func(b *berth, _ string, at deploy.StepName, moment string) {
		if at == deploy.CreateStep && moment == "before" && late.CompareAndSwap(true, false) {
			r, _ := b.CreateFixedRoute(context.Background(), "root", "nas", deploy.FixedSpec{Hostname: "shop.test"})
			made <- r.Beside
		}
	}})
	b.shop(func(s *deploy.StageSpec) { s.PathPrefix = "/admin" })
	b.goLive("1")
	st, first := b.status(), b.status().Release.ID
	st.Spec.Hostname = "moved.test"
	moved, err := b.UpdateStage(t.Context(), "bo", "shop", "prod", st.Version, st.Spec)
	require.NoError(t, err)
	b.goLive("1")
	late.Store(true)
	back := func() deploy.Deployment {
		d, err := b.Rollback(t.Context(), "bo", "shop", "prod", first, deploy.TriggerPerson)
		require.NoError(t, err)
		return b.end(d.ID)
	}
	require.Equal(t, says, back().Error, "the route is newer than its preflight")
	require.Empty(t, <-made)
	refused := back()
	require.Equal(t, says, refused.Error)
	require.Equal(t, deploy.Preflight, refused.FailedStep)
	r, served := b.router.of("moved.test")
	require.True(t, served)
	require.NotEmpty(t, r.Instances)

	moved.Spec.Hostname = "shop.test"
	_, err = b.UpdateStage(t.Context(), "root", "shop", "prod", moved.Version, moved.Spec, deploy.AllowAccess)
	require.NoError(t, err)
	d := back()
	require.Equal(t, deploy.Live, d.State, d.Error)
}

func TestFixedRoute_SaysOfEachFieldWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{people: knownPeople{"ana"}, own: func(at netip.AddrPort) bool { return at.String() == "127.0.0.1:8080" }})
	for target, says := range map[string]string{
		"nas.lan":                      "it is an address such as",
		"ftp://nas.lan":                "it is an address such as",
		"http://ana:secret@nas.lan":    "it names no user",
		"http://nas.lan/sub":           "it ends after the host",
		"http://nas.lan/?x":            "it ends after the host",
		"http://nas.lan:0":             "a port is between",
		"http://nas.lan:70000":         "a port is between",
		"http://na s.lan":              "it is an address such as",
		"http://-nas":                  "is no part of a hostname",
		"http://169.254.169.254":       "does not connect to",
		"http://[fe80::1]":             "does not connect to",
		"http://[::ffff:169.254.1.1]/": "does not connect to",
		"http://0.0.0.0:9":             "does not connect to",
		"http://100.100.100.200":       "gives out credentials",
		"http://127.0.0.1:8080":        "is Berth itself",
		"http://localhost:8080":        "is Berth itself",
		"https://BERTH.test":           "is Berth itself",
	} {
		_, err := b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "nas.test", Target: target})
		require.Contains(t, flaws(t, err)["spec.target"], says, target)
	}
	for target, kept := range map[string]string{
		"http://127.0.0.1:8081": "http://127.0.0.1:8081", "http://[fd00::7]:80": "http://[fd00::7]", "https://192.168.0.7:80": "https://192.168.0.7:80",
		"http://my_app:3000/": "http://my_app:3000", "http://localhost": "http://localhost",
	} {
		made, err := b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "nas.test", Target: target})
		require.NoError(t, err, target)
		require.Equal(t, kept, made.Spec.Target)
		require.NoError(t, b.RemoveFixedRoute(t.Context(), "root", "nas"))
	}
	_, err := b.CreateFixedRoute(t.Context(), "root", "NAS", deploy.FixedSpec{
		Hostname: "nas.test:80", PathPrefix: "/a//b", Host: "private", RequestTimeout: -1, MaxBodyBytes: -1, Protocol: "h2c",
		Access: &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"eve"}}, Paths: []string{"x"}}}},
	})
	found := flaws(t, err)
	for _, field := range []string{"name", "spec.hostname", "spec.path_prefix", "spec.host", "spec.protocol", "spec.request_timeout", "spec.max_body_bytes", "spec.access.rules[0].allow.people[0]", "spec.access.rules[0].paths[0]"} {
		require.Contains(t, found, field)
	}
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "nas.test", Host: deploy.HostUpstream})
	require.Contains(t, flaws(t, err), "spec.host", "whose?")
	_, err = b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{Hostname: "nas.test", Protocol: deploy.TargetHTTP2})
	require.Contains(t, flaws(t, err), "spec.protocol", "spoken to whom?")
}

func TestFixedRoute_ForgetsWhoIsRemoved(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{people: knownPeople{"ana", "bo"}})
	_, err := b.CreateFixedRoute(t.Context(), "root", "nas", deploy.FixedSpec{
		Hostname: "nas.test", Access: &identity.Policy{Rules: []identity.Rule{{Allow: identity.Who{People: []string{"ana", "bo"}}}}},
	})
	require.NoError(t, err)
	require.NoError(t, w.db.Write(t.Context(), func(tx *sqlite.Tx) error { return b.ForgetPerson(t.Context(), tx, "root", "ana") }))
	r, _ := b.router.of("nas.test")
	require.Equal(t, []string{"bo"}, r.Access.People(), "whoever is named ana next has nothing of hers")
	kept, err := b.FixedRoute(t.Context(), "nas")
	require.NoError(t, err)
	require.EqualValues(t, 2, kept.Version)
	raw, err := json.Marshal(kept.Spec.Access)
	require.NoError(t, err)
	require.JSONEq(t, `{"rules": [{"allow": {"people": ["bo"]}}]}`, string(raw))
}

func TestFixedRoutes_AreListedToTheirEnd(t *testing.T) {
	w := newWorld(t)
	b := w.start(options{})
	for _, name := range []string{"c", "a", "b"} {
		_, err := b.CreateFixedRoute(t.Context(), "root", name, deploy.FixedSpec{Hostname: name + ".test"})
		require.NoError(t, err)
	}
	var names []string
	for p := (deploy.Page{Limit: 2}); ; {
		list, next, err := b.FixedRoutes(t.Context(), p)
		require.NoError(t, err)
		for _, r := range list {
			names = append(names, r.Name)
		}
		if next == "" {
			break
		}
		p.Cursor = next
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
}
