package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/manifest"
	"berth/internal/registry"
	"berth/internal/secret"
)

func TestNewPlan(t *testing.T) {
	spec := deploy.StageSpec{Hostname: "shop.example.com", Volumes: []deploy.Volume{{Name: "files", Path: "/files"}}}.Normalise()
	have := manifest.State{
		Projects: []deploy.SavedProject{
			{Project: deploy.Project{Name: "blog", Image: "blog", Version: 1}, Stages: []deploy.Stage{}},
			{
				Project: deploy.Project{Name: "shop", Image: "shop", Version: 3},
				Stages:  []deploy.Stage{{Project: "shop", Name: "prod", Spec: spec, Version: 5, LiveDeployment: "06h"}},
			},
		},
		Registries: []registry.RegistryAccount{{Host: "ghcr.io", Username: "ana", Version: 2}},
		Slots:      map[manifest.Slot]int64{{Context: "shop", Name: "KEY"}: 4},
		Values:     manifest.Values{{Context: "shop", Name: "KEY"}: secret.New("one")},
	}
	key := manifest.Slot{Context: "shop", Name: "KEY"}
	sealed := map[string]map[string]manifest.Secret{"shop": {"KEY": {Sealed: "x"}}}
	other := spec
	other.Replicas = 2
	tests := []struct {
		name   string
		wanted manifest.Wanted
		prune  bool
		plan   []string
		left   []string
		notes  []string
	}{
		{name: "a document that says nothing", prune: true},
		{
			name: "the same", wanted: manifest.Wanted{Document: manifest.Document{Projects: map[string]manifest.Project{
				"blog": {Image: "blog"}, "shop": {Image: "shop", Stages: map[string]deploy.StageSpec{"prod": spec}},
			}}}, prune: true,
		},
		{
			name: "defaults are not spelled out", wanted: manifest.Wanted{Document: manifest.Document{Projects: map[string]manifest.Project{
				"blog": {Image: "blog"}, "shop": {Image: "shop", Stages: map[string]deploy.StageSpec{"prod": {Hostname: "SHOP.example.com.", Volumes: spec.Volumes}}},
			}}},
		},
		{
			name: "a change and a new stage", wanted: manifest.Wanted{Document: manifest.Document{Projects: map[string]manifest.Project{
				"blog": {Image: "blog", Description: "What we write"},
				"shop": {Image: "shop", Stages: map[string]deploy.StageSpec{"prod": other, "dev": {Hostname: "dev.example.com"}}},
			}}}, plan: []string{"update project blog", "create stage shop/dev", "update stage shop/prod"},
		},
		{
			name: "what is not named stays", wanted: manifest.Wanted{Document: manifest.Document{
				Projects: map[string]manifest.Project{"shop": {Image: "shop", Stages: map[string]deploy.StageSpec{}}}, Registries: map[string]manifest.Registry{},
			}}, left: []string{"remove stage shop/prod", "remove project blog", "remove registry ghcr.io"},
		},
		{
			name: "what is not named goes when that is asked", wanted: manifest.Wanted{Document: manifest.Document{
				Projects: map[string]manifest.Project{"shop": {Image: "shop", Stages: map[string]deploy.StageSpec{}}}, Registries: map[string]manifest.Registry{},
			}}, prune: true, plan: []string{"remove stage shop/prod", "remove project blog", "remove registry ghcr.io"},
		},
		{
			name: "secrets are never removed", wanted: manifest.Wanted{Document: manifest.Document{Secrets: map[string]map[string]manifest.Secret{}}}, prune: true,
		},
		{
			name: "the same value", wanted: manifest.Wanted{Document: manifest.Document{Secrets: sealed}, Values: manifest.Values{key: secret.New("one")}},
		},
		{
			name: "another value", wanted: manifest.Wanted{Document: manifest.Document{Secrets: sealed}, Values: manifest.Values{key: secret.New("two")}},
			plan: []string{"update secret shop/KEY"},
		},
		{
			name: "a value that was not opened", wanted: manifest.Wanted{Document: manifest.Document{Secrets: sealed}},
			notes: []string{"the secret shop/KEY is sealed and was not opened: what is there stays"},
		},
		{
			name: "a secret that is not there", wanted: manifest.Wanted{Document: manifest.Document{Secrets: map[string]map[string]manifest.Secret{"a": {"b": {}}}}},
			notes: []string{"the secret a/b is not set"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := manifest.NewPlan(test.wanted, have, test.prune)

			require.ElementsMatch(t, test.plan, lines(plan.Changes))
			require.ElementsMatch(t, test.left, lines(plan.Left))
			require.ElementsMatch(t, test.notes, plan.Notes)
		})
	}
}

func TestNewPlan_SaysWhatRunsAndWhatStays(t *testing.T) {
	spec := deploy.StageSpec{Hostname: "shop.example.com", Volumes: []deploy.Volume{{Name: "files", Path: "/files"}}}
	have := manifest.State{Projects: []deploy.SavedProject{{
		Project: deploy.Project{Name: "shop", Version: 1},
		Stages:  []deploy.Stage{{Project: "shop", Name: "prod", Spec: spec, LiveDeployment: "06h", Version: 1}},
	}}}
	plan := manifest.NewPlan(manifest.Wanted{Document: manifest.Document{Projects: map[string]manifest.Project{}}}, have, true)

	require.True(t, plan.Changes[0].Live)
	require.Equal(t, []string{"berth_shop_prod_files"}, plan.Changes[0].KeptVolumes)
}

func TestNewPlan_FingerprintIsAnotherForOtherVersions(t *testing.T) {
	wanted := manifest.Wanted{Document: manifest.Document{Projects: map[string]manifest.Project{"shop": {Image: "other"}}}}
	at := func(version int64) string {
		have := manifest.State{Projects: []deploy.SavedProject{{Project: deploy.Project{Name: "shop", Image: "shop", Version: version}}}}
		return manifest.NewPlan(wanted, have, false).Fingerprint
	}
	first, again := at(1), at(1)
	require.Equal(t, first, again)
	require.NotEqual(t, at(1), at(2))
}
