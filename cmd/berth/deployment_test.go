package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestDeployments_AreListedAndShown(t *testing.T) {
	h := newHouse(t) // without an engine they wait
	for _, project := range []string{"shop", "blog"} {
		h.must("project", "create", project)
		h.must("stage", "create", project, "prod", "--hostname", project+".localhost")
	}
	var first, second deploy.Deployment
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "deploy", "shop", "prod", "1.0")), &first))
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "deploy", "blog", "prod", "2.0")), &second))

	require.Regexp(t, "(?s)"+second.ID+" .*"+first.ID+" ", h.must("deployments"), "the newest first")
	require.NotContains(t, h.must("deployments", "shop"), second.ID)
	require.NotContains(t, h.must("deployment", "list", "blog", "prod"), first.ID)
	require.NotContains(t, h.must("deployments", "-n", "1"), first.ID)
	require.Equal(t, "[]\n", h.must("--json", "deployments", "--state", "failed"))
	wrong := h.local("", "deployments", "--state", "lost")
	require.Equal(t, exitInput, wrong.code)
	require.Contains(t, wrong.err, "superseded")

	shown := h.must("deployment", "show", first.ID, "--log")
	require.Regexp(t, `(?s)Stage: +shop/prod.*State: +waiting`, shown)
	require.Contains(t, h.must("--json", "deployment", "show", first.ID, "--log"), `"generation": 1`)
	require.Equal(t, exitMissing, h.local("", "deployment", "show", "nothing").code)
}

func TestWait_SaysThatTheEngineIsAway(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")

	s := h.local("", "deploy", "shop", "prod", "1.0", "--wait", "--timeout", "2s")

	require.Equal(t, exitNotNow, s.code, s.err)
	require.Contains(t, s.err, "waits for the container engine")
	require.Contains(t, s.err, "/nowhere/engine.sock")
	require.Contains(t, s.err, "waited 2s")
}
