package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestStage_MountsFoldersAndMemory(t *testing.T) {
	media := t.TempDir()
	h := newHouse(t, "BERTH_BIND_PATHS="+media)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost", "--bind", media+":/media", "--tmpfs", "/cache", "--tmpfs", "/tmp:16MiB")
	mounts := func() []deploy.Mount {
		var s deploy.Stage
		require.NoError(t, json.Unmarshal([]byte(h.must("--json", "stage", "show", "shop", "prod")), &s))
		return s.Spec.Mounts
	}
	require.Equal(t, []deploy.Mount{
		{Kind: deploy.MountBind, Source: media, Path: "/media"},
		{Kind: deploy.MountTmpfs, Path: "/cache", Size: 64 << 20},
		{Kind: deploy.MountTmpfs, Path: "/tmp", Size: 16 << 20},
	}, mounts())

	h.must("stage", "edit", "shop", "prod", "--bind", media+":/media:ro")
	require.Contains(t, mounts(), deploy.Mount{Kind: deploy.MountBind, Source: media, Path: "/media", ReadOnly: true}, "one at the same path is replaced")
	require.Len(t, mounts(), 3)

	for _, c := range []struct{ flag, value, says string }{
		{"--bind", "/media", "--bind takes"},
		{"--bind", media + ":/media:rw", "--bind takes"},
		{"--bind", "/etc:/media", "spec.mounts"},
		{"--tmpfs", "/cache:much", "--tmpfs takes"},
	} {
		s := h.local("", "stage", "edit", "shop", "prod", c.flag, c.value)
		require.Equal(t, exitInput, s.code, "%s %s: %s", c.flag, c.value, s.err)
		require.Contains(t, s.err, c.says)
	}
}

func TestJob_IsListedAndRefusedInPlainWords(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost",
		"--set", `jobs=[{"name":"tidy","schedule":"30 3 * * *","time_zone":"Europe/Berlin","command":["tidy","-v"]},{"name":"asked","command":["ask"]}]`)

	shown := h.must("job", "list", "shop", "prod")
	require.Regexp(t, `tidy +30 3 \* \* \* +Europe/Berlin +\d{4}-\d\d-\d\d 03:30 \+0[12]00 +never +tidy -v`, shown)
	require.Regexp(t, `asked +.*only when asked +never +ask`, shown)
	require.Equal(t, "[]\n", h.must("--json", "job", "runs", "shop", "prod"))

	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"run", "shop", "prod", "nothing"}, exitMissing},
		{[]string{"run", "shop", "prod", "tidy"}, exitClash}, // nothing is live that it could run with
		{[]string{"logs", "shop", "prod", "nothing"}, exitMissing},
		{[]string{"cancel", "shop", "prod", "nothing"}, exitMissing},
	} {
		s := h.local("", append([]string{"job"}, c.args...)...)
		require.Equal(t, c.code, s.code, "%v: %s", c.args, s.err)
		require.Empty(t, s.out)
	}
}
