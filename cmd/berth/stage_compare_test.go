package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestStage_IsComparedWithOthers(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	for _, args := range [][]string{
		{"dev", "--hostname", "dev.localhost", "--env", "LEVEL=debug", "--env", "EMPTY=", "--env", "SAME=1"},
		{"staging", "--hostname", "staging.localhost", "--env", "LEVEL=info", "--env", "SAME=1", "--replicas", "2"},
		{"prod", "--hostname", "shop.localhost", "--env", "LEVEL=info", "--env", "SAME=1", "--secret", "DB=shop/DB_URL"},
	} {
		h.must(append([]string{"stage", "create", "shop"}, args...)...)
	}

	shown := h.must("stage", "compare", "shop", "dev", "prod")
	require.Regexp(t, `FIELD +DEV +PROD`, shown)
	require.Regexp(t, `spec\.env\.LEVEL +debug +info`, shown)
	require.Regexp(t, `spec\.env\.EMPTY +"" +-`, shown, "empty is not the same as not set")
	require.Regexp(t, `spec\.secrets\.DB +- +shop/DB_URL`, shown)
	require.NotContains(t, shown, "SAME")
	require.NotContains(t, shown, "replicas")
	require.Regexp(t, `FIELD +PROD +DEV +STAGING`, h.must("stage", "compare", "shop", "prod", "dev", "staging"))
	require.Regexp(t, `spec\.env\.SAME +1 +1`, h.must("stage", "compare", "shop", "dev", "prod", "--all"))

	var lines []deploy.Lined
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "stage", "compare", "shop", "dev", "staging", "prod")), &lines))
	require.Contains(t, lines, deploy.Lined{Field: "spec.env.LEVEL", Values: map[string]string{"dev": "debug", "staging": "info", "prod": "info"}})
	require.Contains(t, lines, deploy.Lined{Field: "spec.env.EMPTY", Values: map[string]string{"dev": ""}})

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"dev"}, exitInput, "two stages"},
		{[]string{"dev", "dev"}, exitInput, "twice"},
		{[]string{"dev", "nowhere"}, exitMissing, "nowhere"},
	} {
		s := h.local("", append([]string{"stage", "compare", "shop"}, c.args...)...)
		require.Equal(t, c.code, s.code, s.err)
		require.Contains(t, s.err, c.says)
	}
}
