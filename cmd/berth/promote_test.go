package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestStage_IsToldWhatItTakes(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "staging", "--hostname", "staging.localhost", "--tags", "regexp:main-[0-9a-f]+", "--approve")
	require.Contains(t, h.must("stage", "show", "shop", "staging"), "tags regexp:main-[0-9a-f]+, once approved")
	h.must("stage", "edit", "shop", "staging", "--no-approve")
	h.must("stage", "create", "shop", "prod", "--hostname", "prod.localhost", "--promote-from", "staging",
		"--set", "promote_after=10m", "--set", "auto_promote=true", "--set", "promote_approval=true")
	require.Contains(t, h.must("stage", "show", "shop", "prod"), "promoted from staging by itself after 10m0s healthy, once approved")
	var s deploy.Stage
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "stage", "show", "shop", "prod")), &s))
	require.Equal(t, "staging", s.Spec.PromoteFrom)

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"promote", "shop", "prod"}, exitClash, "nothing is live in shop/staging"},
		{[]string{"promote", "shop", "prod", "--release", "nope"}, exitClash, "nothing is live in shop/staging"},
		{[]string{"promote", "shop", "staging"}, exitClash, "promotes from no stage"},
		{[]string{"promote", "shop", "prod", "--earlier"}, exitInput, "--release"},
		{[]string{"deploy", "shop", "prod", "1"}, exitClash, "takes only what is promoted from staging"},
		{[]string{"stage", "remove", "shop", "staging", "--yes"}, exitClash, "prod promotes from shop/staging"},
		{[]string{"approve", "nope"}, exitMissing, "nope"},
	} {
		refused := h.local("", c.args...)
		require.Equal(t, c.code, refused.code, c.args)
		require.Contains(t, refused.err, c.says)
	}
	require.Contains(t, h.must("promote", "shop", "prod", "--compare"), "Not now: nothing is live in shop/staging to promote.")
	require.Contains(t, h.must("approve"), "WAITS FOR")
	require.Equal(t, "[]\n", h.must("--json", "approve"))

	h.must("stage", "edit", "shop", "prod", "--promote-from", "", "--unset", "promote_after", "--unset", "auto_promote", "--unset", "promote_approval")
	h.must("stage", "remove", "shop", "staging", "--yes")
}
