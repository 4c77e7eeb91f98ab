package deploy_test

import (
	"math"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
)

func TestTagRule_MatchesWhatItSays(t *testing.T) {
	for _, c := range []struct {
		kind    deploy.TagKind
		pattern string
		yes, no []string
	}{
		{deploy.TagNone, "", nil, []string{"latest", ""}},
		{deploy.TagExact, "latest", []string{"latest"}, []string{"latest2", "LATEST"}},
		{deploy.TagGlob, "release-*", []string{"release-1", "release-"}, []string{"release", "prerelease-1"}},
		{deploy.TagGlob, "v?.[0-9]", []string{"v1.2"}, []string{"v1.x", "v12.2"}},
		{deploy.TagGlob, "*", []string{"anything"}, []string{"", "not a tag", "-no"}},
		{
			deploy.TagSemver, "^1.2",
			[]string{"1.2.0", "v1.9.3"},
			[]string{"1.1.9", "2.0.0", "1", "1.4", "latest", "1.3.0-rc.1", "20240101"},
		},
		{deploy.TagSemver, ">=2.0 <3.0", []string{"2.0.0", "2.9.9"}, []string{"3.0.0", "1.9.9"}},
		{deploy.TagSemver, "^1.2-0", []string{"1.3.0-rc.1", "1.3.0"}, []string{"2.0.0"}},
		{deploy.TagSemver, "not a range", nil, []string{"1.0.0"}},
		{deploy.TagRegexp, `v\d+`, []string{"v1", "v22"}, []string{"v", "v1.0", "xv1", "v1-rc"}},
		{deploy.TagRegexp, "(?i)release|main-[0-9a-f]{7}", []string{"Release", "main-0a1b2c3"}, []string{"release-1", "main-0a1b2c", "xrelease"}},
		{deploy.TagRegexp, "a)|(b", nil, []string{"a", "b"}},
		{deploy.TagRegexp, "", nil, []string{"a"}},
		{"sometimes", ".*", nil, []string{"x"}},
	} {
		rule := deploy.TagRule{Kind: c.kind, Pattern: c.pattern}
		for _, tag := range c.yes {
			require.True(t, rule.Match(tag), "%v %s", rule, tag)
		}
		for _, tag := range c.no {
			require.False(t, rule.Match(tag), "%v %s", rule, tag)
		}
	}
}

func FuzzTagRule(f *testing.F) {
	for _, seed := range [][3]string{
		{"exact", "latest", "latest"},
		{"glob", "a[", "a"},
		{"glob", "*-*", "x-y"},
		{"semver", ">=1 <2 || ~3", "1.2.3"},
		{"semver", "x", "v0.0.0-a+b"},
		{"regexp", "v[0-9]+", "v1"},
		{"regexp", "a)|(b", "a"},
		{"regexp", "(?m)^a$", "a"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, kind, pattern, tag string) {
		rule := deploy.TagRule{Kind: deploy.TagKind(kind), Pattern: pattern}
		if rule.Match(tag) && rule.Validate() != nil {
			t.Fatal("a rule that is not valid matches")
		}
		if rule.Match(tag) && kind == "exact" && pattern != tag {
			t.Fatal("an exact rule matches another tag")
		}
		if form, err := regexp.Compile(pattern); kind == "regexp" && rule.Match(tag) && (err != nil || !slices.Contains(wholes(form, tag), tag)) {
			t.Fatal("an expression matches a tag that it does not fit from end to end")
		}
	})
}

// wholes gives what an expression finds in a tag, taking as much as it can.
func wholes(form *regexp.Regexp, tag string) []string {
	form.Longest()
	return form.FindAllString(tag, -1)
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"shop.example.com", "Shop.Example.", "a..b", "127.0.0.1", "[::1]", "x:80", "bücher.example", "xn--bcher-kva.example", "a_b", "-a", "1.2.3.4.5"} {
		f.Add(seed)
	}
	service := newService(f)
	f.Fuzz(func(t *testing.T, host string) {
		spec, err := service.CheckStage(t.Context(), "", "", deploy.StageSpec{Hostname: host})
		if err != nil {
			return
		}
		again, err := service.CheckStage(t.Context(), "", "", spec)
		require.NoError(t, err)
		require.Equal(t, spec, again, "what was accepted is normal")
		require.Regexp(t, `^[a-z0-9.-]{1,253}$`, spec.Hostname)
	})
}

// FuzzNextRuns gives any schedule in any time zone: it comes again and again,
// each time later, or it is refused in words.
func FuzzNextRuns(f *testing.F) {
	for _, seed := range [][2]string{
		{"30 3 * * *", "Europe/Berlin"},
		{"@daily", "UTC"},
		{"@every 6h", ""},
		{"@every 1s", "UTC"},
		{"@every 99999999h", "UTC"},
		{"0 2 29 2 *", "America/New_York"},
		{"30 2 * * *", "America/New_York"},
		{"* * * * *", "Australia/Lord_Howe"},
		{"0 0 31 2 *", "UTC"},
		{"TZ=UTC * * * * *", "UTC"},
		{"*/0 * * * *", "UTC"},
		{"0 0 * * MON-FRI", "Pacific/Apia"},
		{"a", "b"},
		{"* * * * *", "Local"},
		{"* * * * *", "../../etc/passwd"},
		{"0-59/59 5 L * ?", "UTC"},
		{"", "UTC"},
		{"@reboot", "UTC"},
		{"0 0 0 0 0", "UTC"},
		{"99999999999999999999 * * * *", "UTC"},
	} {
		f.Add(seed[0], seed[1], int64(1_700_000_000))
	}
	f.Add("30 2 * * *", "Europe/Berlin", int64(1_774_746_000)) // an hour before the clocks go forward
	f.Fuzz(func(t *testing.T, schedule, zone string, now int64) {
		last := time.Unix(now%4_000_000_000, 0)
		times, err := deploy.NextRuns(schedule, zone, last, 5)
		if err != nil {
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			return
		}
		for _, at := range times {
			require.True(t, at.After(last), "%q in %q: %s comes after %s", schedule, zone, at, last)
			last = at
		}
	})
}

func TestCheckStage_NamesEveryFieldThatIsWrong(t *testing.T) {
	service := newService(t)
	good := deploy.StageSpec{Hostname: "shop.test"}
	for _, c := range []struct {
		field string
		edit  func(*deploy.StageSpec)
	}{
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "" }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "BERTH.test." }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "127.0.0.1" }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "shop.test:80" }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "http://shop.test" }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "*.test" }},
		{"spec.hostname", func(s *deploy.StageSpec) { s.Hostname = "shop.1" }},
		{"spec.path_prefix", func(s *deploy.StageSpec) { s.PathPrefix = "/a/../b" }},
		{"spec.path_prefix", func(s *deploy.StageSpec) { s.PathPrefix = "/a%2fb" }},
		{"spec.path_prefix", func(s *deploy.StageSpec) { s.PathPrefix = "/a//b" }},
		{"spec.tags", func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagSemver, Pattern: "?"} }},
		{"spec.tags", func(s *deploy.StageSpec) { s.Tags = deploy.TagRule{Kind: deploy.TagRegexp, Pattern: "("} }},
		{"spec.tags", func(s *deploy.StageSpec) {
			s.Tags = deploy.TagRule{Kind: deploy.TagExact, Pattern: "latest"}
			s.PromoteFrom = "staging"
		}},
		{"spec.approve", func(s *deploy.StageSpec) { s.Approve = true }},
		{"spec.approve", func(s *deploy.StageSpec) { s.Approve, s.PromoteFrom = true, "staging" }},
		{"spec.promote_from", func(s *deploy.StageSpec) { s.PromoteFrom = "Not A Name" }},
		{"spec.promote_after", func(s *deploy.StageSpec) { s.PromoteAfter = deploy.Duration(time.Minute) }},
		{"spec.promote_after", func(s *deploy.StageSpec) { s.PromoteFrom, s.PromoteAfter = "staging", -1 }},
		{"spec.auto_promote", func(s *deploy.StageSpec) { s.AutoPromote = true }},
		{"spec.promote_approval", func(s *deploy.StageSpec) { s.PromoteApproval = true }},
		{"spec.port", func(s *deploy.StageSpec) { s.Port = 65536 }},
		{"spec.protocol", func(s *deploy.StageSpec) { s.Protocol = "http9" }},
		{"spec.command[1]", func(s *deploy.StageSpec) { s.Command = []string{"a", "b\x00"} }},
		{"spec.env.1A", func(s *deploy.StageSpec) { s.Env = map[string]string{"1A": ""} }},
		{"spec.env.A", func(s *deploy.StageSpec) { s.Env = map[string]string{"A": "\x00"} }},
		{"spec.secrets.A", func(s *deploy.StageSpec) {
			s.Env = map[string]string{"A": ""}
			s.Secrets = map[string]deploy.SecretRef{"A": {Context: "c", Name: "n"}}
		}},
		{"spec.secrets.A.name", func(s *deploy.StageSpec) { s.Secrets = map[string]deploy.SecretRef{"A": {Context: "c"}} }},
		{"spec.volumes[0].path", func(s *deploy.StageSpec) { s.Volumes = []deploy.Volume{{Name: "a", Path: "data"}} }},
		{"spec.volumes[1].name", func(s *deploy.StageSpec) {
			s.Volumes = []deploy.Volume{{Name: "a", Path: "/a"}, {Name: "a", Path: "/b"}}
		}},
		{"spec.volumes[1].path", func(s *deploy.StageSpec) {
			s.Volumes = []deploy.Volume{{Name: "a", Path: "/a"}, {Name: "b", Path: "/a"}}
		}},
		{"spec.cpus", func(s *deploy.StageSpec) { s.CPUs = math.NaN() }},
		{"spec.cpus", func(s *deploy.StageSpec) { s.CPUs = -1 }},
		{"spec.memory", func(s *deploy.StageSpec) { s.Memory = 1 }},
		{"spec.replicas", func(s *deploy.StageSpec) { s.Replicas = 33 }},
		{"spec.probe.kind", func(s *deploy.StageSpec) { s.Probe.Kind = "icmp" }},
		{"spec.probe.path", func(s *deploy.StageSpec) { s.Probe.Path = "health" }},
		{"spec.probe.path", func(s *deploy.StageSpec) { s.Probe.Path = "/a b" }},
		{"spec.probe.path", func(s *deploy.StageSpec) { s.Probe = deploy.Probe{Kind: deploy.ProbeTCP, Path: "/"} }},
		{"spec.probe.status", func(s *deploy.StageSpec) { s.Probe.Status = 99 }},
		{"spec.probe.interval", func(s *deploy.StageSpec) { s.Probe.Interval = 1 }},
		{"spec.probe.timeout", func(s *deploy.StageSpec) { s.Probe.Timeout = deploy.Duration(time.Hour) }},
		{"spec.probe.successes", func(s *deploy.StageSpec) { s.Probe.Successes = -1 }},
		{"spec.probe.start_deadline", func(s *deploy.StageSpec) { s.Probe.StartDeadline = -1 }},
		{"spec.drain_timeout", func(s *deploy.StageSpec) { s.DrainTimeout = -1 }},
		{"spec.stream_drain_timeout", func(s *deploy.StageSpec) { s.StreamDrainTimeout = deploy.Duration(25 * time.Hour) }},
		{"spec.keep_old", func(s *deploy.StageSpec) { s.KeepOld = -1 }},
		{"spec.stop_timeout", func(s *deploy.StageSpec) { s.StopTimeout = 1 }},
		{"spec.request_timeout", func(s *deploy.StageSpec) { s.RequestTimeout = -1 }},
		{"spec.max_body_bytes", func(s *deploy.StageSpec) { s.MaxBodyBytes = -1 }},
	} {
		spec := good
		c.edit(&spec)
		_, err := service.CheckStage(t.Context(), "", "", spec)
		require.Equal(t, fault.BadInput, fault.KindOf(err), c.field)
		fields := fault.FieldsOf(err)
		require.Len(t, fields, 1, "%s: %v", c.field, err)
		require.Equal(t, c.field, fields[0].Name)
	}
	normal, err := service.CheckStage(t.Context(), "", "", deploy.StageSpec{Hostname: " Shop.Test. ", PathPrefix: "api/"})
	require.NoError(t, err)
	require.Equal(t, "shop.test", normal.Hostname)
	require.Equal(t, "/api", normal.PathPrefix)
	require.Equal(t, 1, normal.Replicas)
	require.Equal(t, deploy.TagNone, normal.Tags.Kind)
	require.Equal(t, normal, normal.Normalise())
}

func TestProjects_AreStoredEditedAndListed(t *testing.T) {
	s := newService(t)
	ctx := t.Context()
	for _, bad := range []deploy.Project{
		{Name: "", Image: "shop"},
		{Name: "Shop", Image: "shop"},
		{Name: "-shop", Image: "shop"},
		{Name: "shop", Image: ""},
		{Name: "shop", Image: "shop:1"},
		{Name: "shop", Image: "Shop Image"},
	} {
		_, err := s.CreateProject(ctx, "ana", bad)
		require.Equal(t, fault.BadInput, fault.KindOf(err), bad)
	}
	for _, name := range []string{"c", "a", "b"} {
		_, err := s.CreateProject(ctx, "ana", deploy.Project{Name: name, Image: "ghcr.io/ana/" + name})
		require.NoError(t, err)
	}
	_, err := s.CreateProject(ctx, "ana", deploy.Project{Name: "a", Image: "a"})
	require.Equal(t, fault.Clash, fault.KindOf(err))

	list, next, err := s.Projects(ctx, deploy.Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, []string{list[0].Name, list[1].Name})
	require.NotNil(t, list[0].Stages)
	list, next, err = s.Projects(ctx, deploy.Page{Cursor: next, Limit: 2})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Empty(t, next)

	text := "sells things"
	p, err := s.UpdateProject(ctx, "ana", "a", 1, deploy.ProjectEdit{Description: &text})
	require.NoError(t, err)
	require.EqualValues(t, 2, p.Version)
	require.Equal(t, "ghcr.io/ana/a", p.Image)
	_, err = s.UpdateProject(ctx, "ben", "a", 1, deploy.ProjectEdit{Description: &text})
	require.Equal(t, fault.Clash, fault.KindOf(err))
	_, err = s.UpdateProject(ctx, "ben", "nowhere", 1, deploy.ProjectEdit{})
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestProjects_TakeBerthsOwnHostOffTheImage(t *testing.T) {
	w := newWorld(t)
	w.images.push("shop", "1", appGood)
	b := w.start(options{})
	b.shop(nil)
	edit := func(image string) (p deploy.Project) {
		was, err := b.Project(t.Context(), "shop")
		require.NoError(t, err)
		p, err = b.UpdateProject(t.Context(), "ana", "shop", was.Version, deploy.ProjectEdit{Image: &image})
		require.NoError(t, err)
		return p
	}
	for _, other := range []string{"berth.test:5000/shop", "berth.test", "team/shop", "ghcr.io/ana/shop"} {
		require.Equal(t, other, edit(other).Image)
	}
	require.Equal(t, "shop", edit("Berth.test/shop").Image)
	p, err := b.CreateProject(t.Context(), "ana", deploy.Project{Name: "blog", Image: "berth.test/team/blog"})
	require.NoError(t, err)
	require.Equal(t, "team/blog", p.Image)
	b.goLive("berth.test/shop:1")
}

func TestStages_HaveAnAddressOfTheirOwnAndVersions(t *testing.T) {
	s := newService(t)
	ctx := t.Context()
	_, err := s.CreateProject(ctx, "ana", deploy.Project{Name: "shop", Image: "shop"})
	require.NoError(t, err)
	_, err = s.CreateStage(ctx, "ana", "nowhere", "prod", deploy.StageSpec{Hostname: "shop.test"})
	require.Equal(t, fault.Missing, fault.KindOf(err))
	st, err := s.CreateStage(ctx, "ana", "shop", "prod", deploy.StageSpec{Hostname: "shop.test"})
	require.NoError(t, err)
	_, err = s.CreateStage(ctx, "ana", "shop", "prod", deploy.StageSpec{Hostname: "other.test"})
	require.Equal(t, fault.Clash, fault.KindOf(err))
	_, err = s.CreateStage(ctx, "ana", "shop", "Dev", deploy.StageSpec{Hostname: "SHOP.test"})
	require.Equal(t, []string{"name", "spec.hostname"}, []string{fault.FieldsOf(err)[0].Name, fault.FieldsOf(err)[1].Name})
	_, err = s.CreateStage(ctx, "ana", "shop", "api", deploy.StageSpec{Hostname: "shop.test", PathPrefix: "/api"})
	require.NoError(t, err, "another path of the hostname is another address")

	spec := st.Spec
	spec.Replicas = 3
	st, err = s.UpdateStage(ctx, "ana", "shop", "prod", st.Version, spec)
	require.NoError(t, err)
	require.EqualValues(t, 2, st.Version)
	_, err = s.UpdateStage(ctx, "ben", "shop", "prod", 1, spec)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	spec.PathPrefix = "/api"
	_, err = s.UpdateStage(ctx, "ana", "shop", "prod", 2, spec)
	require.Equal(t, "spec.hostname", fault.FieldsOf(err)[0].Name)

	_, err = s.Redeploy(ctx, "ana", "shop", "prod", deploy.TriggerAPI)
	require.Equal(t, fault.Clash, fault.KindOf(err))
	for _, reference := range []string{"a b", "-x", "other:1", "sha256:12"} {
		_, err = s.Start(ctx, deploy.StartRequest{Project: "shop", Stage: "prod", Reference: reference})
		require.Equal(t, "reference", fault.FieldsOf(err)[0].Name, reference)
	}
	for asked, stored := range map[string]string{"": "latest", "shop:1.4": "1.4", "1.4": "1.4"} {
		d, err := s.Start(ctx, deploy.StartRequest{Project: "shop", Stage: "prod", Reference: asked})
		require.NoError(t, err)
		require.Equal(t, stored, d.Reference)
	}
	_, err = s.Rollback(ctx, "ana", "shop", "prod", "no-such", deploy.TriggerAPI)
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

// newService gives a Service that does not run.
func newService(tb testing.TB) *deploy.Service {
	tb.Helper()
	return newWorld(tb).start(options{idle: true}).Service
}
