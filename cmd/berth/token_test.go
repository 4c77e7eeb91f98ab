package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// TestToken_ThatIsBoundWorksInOneStage goes the way of a pipeline: push,
// deploy, look, all by BERTH_URL and BERTH_TOKEN.
func TestToken_ThatIsBoundWorksInOneStage(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	for _, project := range []string{"shop", "blog"} {
		h.must("project", "create", project)
		h.must("stage", "create", project, "prod", "--hostname", project+".localhost")
	}
	h.must("stage", "create", "shop", "staging", "--hostname", "staging.localhost")

	made := h.run("", "token", "create", "pipeline", "--project", "shop", "--stage", "staging", "--expires", "1h")
	require.Zero(t, made.code, made.err)
	list := h.run("", "token")
	require.Regexp(t, `pipeline +deploy +shop/staging +`, list.out)
	require.Regexp(t, `admin +all +`, list.out)
	for _, wrong := range [][]string{
		{"--stage", "prod"},
		{"--project", "nothing"},
		{"--project", "shop", "--stage", "none"},
		{"--project", "shop", "--scope", "admin"},
	} {
		s := h.run("", append([]string{"token", "create", "wrong", "--expires", "1h"}, wrong...)...)
		require.Equal(t, exitInput, s.code, s.err)
	}

	image, err := random.Image(1024, 1)
	require.NoError(t, err)
	file := filepath.Join(h.home, "image.tar")
	require.NoError(t, tarball.WriteToFile(file, name.MustParseReference("any:1"), image))
	t.Setenv("BERTH_URL", h.url)
	t.Setenv("BERTH_TOKEN", strings.TrimSpace(made.out))
	bound := func(args ...string) said {
		return runCommand(t.Context(), "", []string{"HOME=" + t.TempDir()}, args...)
	}
	for _, c := range []struct {
		args string
		code int
	}{
		{"account", exitDone},
		{"image push " + file + " shop:1.0", exitDone},
		{"image push " + file + " " + strings.TrimPrefix(h.url, "http://") + "/shop:1.1", exitDone},
		{"image push " + file + " blog:1.0", exitDenied},
		{"image tags shop", exitDone},
		{"image tags blog", exitDenied},
		{"image", exitDenied},
		{"status", exitDone},
		{"status shop staging", exitDone},
		{"status shop prod", exitDenied},
		{"status blog", exitDenied},
		{"deploy shop staging 1.0", exitDone},
		{"deploy shop prod 1.0", exitDenied},
		{"deploy blog prod 1.0", exitDenied},
		{"deployments shop staging", exitDone},
		{"deployments blog", exitDenied},
		{"stage edit shop staging --replicas 2", exitDenied},
		{"token create more", exitDenied},
		{"people", exitDenied},
		{"secret", exitDenied},
		{"system", exitDenied},
	} {
		s := bound(strings.Fields(c.args)...)
		require.Equal(t, c.code, s.code, "%s: %s%s", c.args, s.out, s.err)
	}
	require.Regexp(t, `For: +shop/staging`, bound("account").out)
	require.NotContains(t, bound("status").out, "prod")
}

func TestPeopleTokens_AreListedAndRemoved(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	made := h.run("", "token", "create", "pipeline", "--scope", "read", "--expires", "1h")
	require.Zero(t, made.code, made.err)
	row := regexp.MustCompile(`(?m)^(\S+) +pipeline +read`).FindStringSubmatch(h.must("people", "tokens", "admin"))
	require.NotNil(t, row)
	require.Regexp(t, `API tokens? of theirs stay`, h.local("", "people", "sign-out", "admin", "--yes").err)
	h.must("people", "remove-token", "admin", row[1])
	require.NotContains(t, h.must("people", "tokens", "admin"), "pipeline")
	require.Equal(t, exitMissing, h.local("", "people", "remove-token", "admin", row[1]).code)
}
