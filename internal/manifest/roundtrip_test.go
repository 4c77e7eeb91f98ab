package manifest_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/manifest"
)

func TestExport_IsReadAsWhatWasExported(t *testing.T) {
	const seed = 20261122
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 300 {
		spec := anySpec(random)
		if round%2 == 0 {
			spec.Mounts = append(spec.Mounts, deploy.Mount{Kind: deploy.MountBind, Source: "/srv/media", Path: "/media", ReadOnly: round%4 == 0})
		}
		spec = spec.Normalise()
		doc := manifest.Document{Projects: map[string]manifest.Project{
			"shop": {Image: "shop", Description: anyText(random), Stages: map[string]deploy.StageSpec{"prod": spec}},
		}}
		raw, err := manifest.Encode(doc)
		require.NoError(t, err)

		back, err := manifest.Parse(raw)

		require.NoError(t, err, "round %d: %s", round, raw)
		require.Equal(t, doc.Projects["shop"].Description, back.Projects["shop"].Description, "round %d: %s", round, raw)
		got, err := back.Projects["shop"].Stages["prod"].Normalise().Canonical()
		require.NoError(t, err)
		want, err := spec.Canonical()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "round %d: %s", round, raw)
	}
}

func TestExport_AppliedAgainChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	s := newServer(t)
	for n := range 40 {
		project := fmt.Sprintf("p%d", n)
		_, err := s.deploy.CreateProject(t.Context(), "ana", deploy.Project{Name: project, Image: project, Description: anyText(random)})
		require.NoError(t, err)
		_, err = s.deploy.CreateStage(t.Context(), "ana", project, "staging", deploy.StageSpec{Hostname: project + "-staging.example.com"})
		require.NoError(t, err)
		spec := anySpec(random)
		spec.Hostname = project + ".example.com"
		_, err = s.deploy.CreateStage(t.Context(), "ana", project, "prod", spec)
		require.NoError(t, err)
	}
	s.set("shop", "KEY", "value")
	exported := s.export()

	r := s.request(exported)
	r.Prune = true
	plan, err := s.Plan(t.Context(), r)

	require.NoError(t, err)
	require.Empty(t, plan.Changes, "%s", exported)
	require.Empty(t, plan.Left)
	require.Equal(t, exported, s.export())

	fresh := newServer(t)
	fresh.apply(exported)
	require.Equal(t, strings.Replace(exported, "secrets:\n  shop:\n    KEY: {}\n", "secrets: {}\n", 1), fresh.export(), "another server has the same")
}

// anySpec makes a spec that Berth takes, with texts that YAML could take for
// something else.
func anySpec(random *rand.Rand) deploy.StageSpec {
	maybe := func() bool { return random.IntN(2) == 0 }
	spec := deploy.StageSpec{Hostname: "shop.example.com"}
	switch random.IntN(3) {
	case 0:
		spec.Tags, spec.Approve = deploy.TagRule{Kind: deploy.TagGlob, Pattern: "v*"}, maybe()
	case 1:
		spec.PromoteFrom, spec.AutoPromote, spec.PromoteApproval = "staging", maybe(), maybe()
		spec.PromoteAfter = deploy.Duration(time.Duration(random.IntN(3600)) * time.Second)
	}
	if maybe() {
		spec.PathPrefix, spec.StripPrefix = "/shop", maybe()
	}
	if maybe() {
		spec.Port, spec.Replicas = 1+random.IntN(65535), 1+random.IntN(32)
	}
	if maybe() {
		spec.CPUs, spec.Memory = float64(1+random.IntN(400))/100, int64(6<<20+random.IntN(1<<40))
	}
	for range random.IntN(4) {
		spec.Command = append(spec.Command, anyText(random))
	}
	if n := random.IntN(4); n > 0 {
		spec.Env, spec.Secrets = map[string]string{}, map[string]deploy.SecretRef{}
		for i := range n {
			spec.Env[fmt.Sprintf("V%d", i)] = anyText(random)
			spec.Secrets[fmt.Sprintf("S%d", i)] = deploy.SecretRef{Context: "true", Name: "1.0"}
		}
	}
	if maybe() {
		spec.Volumes = []deploy.Volume{{Name: "files", Path: "/var/files", ReadOnly: maybe()}, {Name: "1", Path: "/null"}}
	}
	if maybe() {
		spec.Mounts = []deploy.Mount{{Kind: deploy.MountTmpfs, Path: "/cache", Size: int64(1+random.IntN(64)) << 20}}
		spec.BeforeSwitch = deploy.Task{Command: []string{"a", anyText(random)}, Timeout: deploy.Duration(time.Minute)}
		spec.AfterSwitch = deploy.AfterTask{Command: []string{"b", anyText(random)}, GoBack: maybe()}
		spec.Jobs = []deploy.Job{
			{Name: "tidy", Schedule: "30 3 * * *", TimeZone: "Europe/Berlin", Command: []string{"c", anyText(random)}, Overlap: deploy.OverlapQueue},
			{Name: "asked", Command: []string{"d"}},
		}
	}
	switch random.IntN(3) {
	case 0:
		spec.Probe = deploy.Probe{Kind: deploy.ProbeTCP, Interval: deploy.Duration(time.Duration(1+random.IntN(9)) * time.Second)}
	case 1:
		spec.Probe = deploy.Probe{Path: "/up?a=1", Status: 204, Successes: 1 + random.IntN(9)}
	}
	if maybe() {
		spec.Guard = deploy.Guard{
			Window: deploy.Duration(time.Duration(5+random.IntN(600)) * time.Second), ErrorRate: float64(1+random.IntN(999)) / 10,
			MinRequests: 1 + random.IntN(999), LatencyFactor: 1.5 * float64(random.IntN(3)), Restarts: random.IntN(3),
		}
	}
	if maybe() {
		spec.Canary = deploy.CanaryRule{Share: 1 + random.IntN(99), Duration: deploy.Duration(time.Duration(5+random.IntN(600)) * time.Second)}
	}
	if maybe() {
		spec.KeepReleases, spec.KeepFor = random.IntN(1000), deploy.Duration(time.Duration(1+random.IntN(1e6))*time.Second)
	}
	if maybe() {
		spec.Protocol = deploy.H2C
	}
	if maybe() {
		spec.DrainTimeout, spec.KeepOld = deploy.Duration(time.Duration(1+random.IntN(3600e3))*time.Millisecond), deploy.Duration(time.Hour)
	}
	return spec
}

// TestAnySpec_MakesEveryField has a field that is new be thought of here, too.
func TestAnySpec_MakesEveryField(t *testing.T) {
	left := map[string]bool{
		// The same for all, or told of elsewhere.
		"StreamDrainTimeout": true, "StopTimeout": true, "Access": true, "RequestTimeout": true, "MaxBodyBytes": true,
	}
	random := rand.New(rand.NewPCG(1, 1))
	made := map[string]bool{}
	for range 300 {
		spec := reflect.ValueOf(anySpec(random))
		for n := range spec.NumField() {
			if !spec.Field(n).IsZero() {
				made[spec.Type().Field(n).Name] = true
			}
		}
	}
	for f := range reflect.TypeFor[deploy.StageSpec]().Fields() {
		require.NotEqual(t, left[f.Name], made[f.Name], f.Name)
	}
}

// anyText makes texts that are hard to write in YAML.
func anyText(random *rand.Rand) string {
	parts := []string{
		"", " ", "\n", "\n\n", "\t", "a", "b: c", "- d", "#e", "true", "null", "~", "1", "1.0", "0x1f", "1e3", ".nan", "yes", "off",
		"2026-11-22", "12:30", "'", "\"", "\\", "{", "}", "[", "]", ",", "&x", "*x", "!y", "|", ">", "%", "@", "`", "<<", "=",
		"\r", "\r\n", "é", "日本", "😀", "\u0085", "\u2028", "\ufeff", "\u00a0", "\x7f", "\x01", "---", "...", "? ", ": ", " #",
	}
	var b strings.Builder
	for range random.IntN(5) {
		b.WriteString(parts[random.IntN(len(parts))])
	}
	return b.String()
}
