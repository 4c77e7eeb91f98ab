package main

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

func TestStage_ShowsWhichTagsDeploy(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost", "--tags", "semver:^1")
	image, err := random.Image(64, 1)
	require.NoError(t, err)
	file := h.home + "/image.tar"
	require.NoError(t, tarball.WriteToFile(file, name.MustParseReference("any:1"), image))
	h.must("image", "push", file, "shop:1.4.0")
	h.must("image", "push", file, "shop:2.0.0")

	shown := h.must("stage", "tags", "shop", "prod")
	require.Regexp(t, `1\.4\.0 +yes`, shown)
	require.Regexp(t, `2\.0\.0 +no`, shown)
	require.Contains(t, h.must("--json", "stage", "tags", "shop", "prod"), `"matches": true`)
	h.must("image", "push", file, "shop:1.10.0")
	shown = h.must("tags", "shop", "prod")
	require.Regexp(t, `1\.10\.0 +yes, newest`, shown)
	require.Regexp(t, `1\.4\.0 +yes +`, shown)
	shown = h.must("tags", "shop", "prod", "--rule", `regexp:\d\.\d\.0`)
	require.Regexp(t, `2\.0\.0 +yes, last by name`, shown, "when their images were created is not known")
	require.Regexp(t, `1\.10\.0 +no`, shown)
	refused := h.local("", "tags", "shop", "prod", "--rule", "regexp:(")
	require.Equal(t, exitInput, refused.code)
	require.Contains(t, refused.err, "spec.tags")

	shown = h.must("stage", "edit", "shop", "prod", "--tags", "semver:^2", "--check")
	require.Contains(t, shown, "nothing was")
	require.Regexp(t, `2\.0\.0 +yes`, shown)
	require.Contains(t, h.must("stage", "show", "shop", "prod"), "semver:^1", "checking saves nothing")
}

func TestStage_IsCheckedWithoutSaving(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")

	good := h.must("--json", "stage", "create", "shop", "dev", "--hostname", "dev.localhost", "--check")
	require.Contains(t, good, `"replicas": 1`, "defaults are filled in")
	require.Equal(t, exitMissing, h.local("", "stage", "show", "shop", "dev").code)
	h.must("stage", "edit", "shop", "prod", "--check")

	file := writeFile(t, h.home, "spec.json", `{"hostname": "not a host", "replicas": -1}`)
	for _, args := range [][]string{
		{"stage", "edit", "shop", "prod", "--file", file, "--check"},
		{"stage", "create", "shop", "dev", "--file", file, "--check"},
	} {
		s := h.local("", args...)
		require.Equal(t, exitInput, s.code)
		require.Contains(t, s.err, "spec.hostname")
		require.Contains(t, s.err, "spec.replicas")
		require.Empty(t, s.out)
	}
	taken := h.local("", "stage", "create", "shop", "dev", "--hostname", "shop.localhost", "--check")
	require.Equal(t, exitInput, taken.code)
	require.Contains(t, taken.err, "shop/prod")
}

func TestStage_ShowsItsMetrics(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Regexp(t, `MINUTE +REQUESTS +ERRORS +P50 +P95 +P99`, h.must("stage", "metrics", "shop", "prod", "--minutes", "5"))
	require.Contains(t, h.must("--json", "stage", "metrics", "shop", "prod"), "[")
	require.Regexp(t, `INSTANCE +NUMBER +STATE +MINUTE +REQUESTS`, h.must("stage", "metrics", "shop", "prod", "--instances"))
	weeks := h.local("", "stage", "metrics", "shop", "prod", "--minutes", "20160")
	require.Zero(t, weeks.code)
	require.Contains(t, weeks.err, "Each line is of 60 minutes")
	require.Equal(t, exitInput, h.local("", "stage", "metrics", "shop", "prod", "--minutes", "20161").code)
}

func TestStage_ShowsWhatItsInstancesUsed(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Regexp(t, `MINUTE +CPU +HIGHEST +MEMORY`, h.must("stage", "usage", "shop", "prod", "--minutes", "5"))
	require.Regexp(t, `INSTANCE +NUMBER +STATE +MINUTE`, h.must("stage", "usage", "shop", "prod", "--instances"))
	require.Contains(t, h.must("--json", "stage", "usage", "shop", "prod"), `"instances": []`)
	require.Contains(t, h.local("", "stage", "usage", "shop", "prod", "--minutes", "20160").err, "Each line is of 60 minutes")
	require.Equal(t, exitInput, h.local("", "stage", "usage", "shop", "prod", "--minutes", "20161").code)
	require.Equal(t, exitMissing, h.local("", "stage", "usage", "shop", "nope").code)
}
