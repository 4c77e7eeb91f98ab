package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStage_IsPausedAndResumed(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Contains(t, h.must("stage", "pause", "shop", "prod", "--reason", "holidays"), "is paused")
	require.Regexp(t, `Paused: +by .*: holidays`, h.must("stage", "show", "shop", "prod"))
	refused := h.local("", "deploy", "shop", "prod", "1.0")
	require.Equal(t, exitClash, refused.code)
	require.Contains(t, refused.err, "has been paused by")
	require.Contains(t, refused.err, "(holidays); resume it first")
	require.Contains(t, h.must("stage", "resume", "shop", "prod"), "takes deployments")
	require.NotContains(t, h.must("stage", "show", "shop", "prod"), "Paused")
	h.must("stage", "resume", "shop", "prod")
}

func TestStage_HasNoMaintenancePageWithoutAnAddress(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	s := h.local("", "stage", "maintenance", "shop", "prod", "on")
	require.Equal(t, exitClash, s.code)
	require.Contains(t, s.err, "nothing is live in shop/prod")
	h.must("stage", "maintenance", "shop", "prod", "off")
	require.Equal(t, exitInput, h.local("", "stage", "maintenance", "shop", "prod", "off", "--message", "x").code)
}

func TestStage_IsGivenAGuardAndACanary(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost", "--guard", "2m", "--canary", "10")
	shown := h.must("--json", "stage", "show", "shop", "prod")
	require.Contains(t, shown, `"window": "2m0s"`)
	require.Contains(t, shown, `"error_rate": 5`)
	require.Contains(t, shown, `"share": 10`)
	require.Contains(t, shown, `"duration": "5m0s"`)
	h.must("stage", "edit", "shop", "prod", "--guard", "0s", "--canary", "0")
	shown = h.must("--json", "stage", "show", "shop", "prod")
	require.NotContains(t, shown, `"guard"`)
	require.NotContains(t, shown, `"canary"`)
	s := h.local("", "stage", "edit", "shop", "prod", "--canary", "100")
	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "spec.canary.share")
	require.Equal(t, exitMissing, h.local("", "continue", "no-such").code)
}
