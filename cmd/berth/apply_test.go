package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"berth/internal/manifest"
)

const shopYAML = `berth: 1
projects:
  shop:
    image: shop
    stages:
      prod:
        hostname: shop.localhost
        volumes: [{name: files, path: /files}]
`

func TestApply_ShowsThePlanAndAppliesIt(t *testing.T) {
	h := newHouse(t)
	file := writeFile(t, h.home, "berth.yaml", shopYAML)

	planned := h.local("", "apply", "-f", file, "--plan")
	require.Equal(t, exitWouldChange, planned.code, planned.err)
	require.Contains(t, planned.out, "+ stage shop/prod\n    hostname: \"shop.localhost\"\n")
	require.Contains(t, planned.out, "2 to create, 0 to change, 0 to remove.")
	require.Empty(t, planned.err)

	unasked := h.local("", "apply", "-f", file)
	require.Equal(t, exitInput, unasked.code, "without a terminal nobody said yes")
	require.Contains(t, unasked.err, "--yes")
	require.Equal(t, "[]\n", h.must("--json", "project", "list"))

	require.Contains(t, h.must("apply", "-f", file, "--yes"), "Applied.")
	require.Contains(t, h.must("apply", "-f", file, "--plan"), "Nothing to change.")
	require.Contains(t, h.must("apply", "-f", file), "Nothing to change.", "there is nothing to ask about")

	exported := h.must("export")
	require.Contains(t, exported, "hostname: shop.localhost")
	again := h.local(exported, "apply", "-f", "-", "--plan", "--prune")
	require.Equal(t, exitDone, again.code, again.out+again.err)
}

func TestApply_RemovesWithPruneAlone(t *testing.T) {
	h := newHouse(t)
	h.must("apply", "-y", "-f", writeFile(t, h.home, "berth.yaml", shopYAML))
	empty := writeFile(t, h.home, "empty.yaml", "berth: 1\nprojects: {}\n")

	left := h.local("", "apply", "-f", empty, "-y")
	require.Equal(t, exitDone, left.code, left.err)
	require.Contains(t, left.err, "left alone without --prune: project shop.")

	pruned := h.must("apply", "-f", empty, "-y", "--prune")
	require.Contains(t, pruned, "- project shop")
	require.Contains(t, pruned, "these volumes stay: berth_shop_prod_files")
	require.Equal(t, "[]\n", h.must("--json", "project", "list"))
}

func TestApply_SaysWhatIsWrongAndWhere(t *testing.T) {
	h := newHouse(t)
	file := writeFile(t, h.home, "berth.yaml", strings.Replace(shopYAML, "hostname", "hostnam", 1))

	s := h.local("", "apply", "-f", file, "-y")

	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "projects.shop.stages.prod.hostnam: line 7, column 9: there is no such field; did you mean hostname?")
}

func TestApply_SaysWhoEnters(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	from := newHouse(t)
	require.Equal(t, exitDone, from.local("hunter2", "secret", "set", "infra", "CORP").code)
	file := writeFile(t, from.home, "berth.yaml", `berth: 1
providers:
  corp: {issuer: "https://id.example.com", client_id: berth, client_secret: {context: infra, name: CORP}}
administrators: ["corp:bo@example.com"]
second_factor: {required_of: administrators}
`)
	said := from.must("apply", "-y", "-f", file)
	require.Contains(t, said, "+ provider corp\n    issuer: \"https://id.example.com\"\n")
	require.Contains(t, said, "+ administrators list\n    corp:bo@example.com: \"listed\"\n")
	require.Contains(t, said, "~ second factor rule\n    required_of: \"nobody\" -> \"administrators\"\n")
	require.Contains(t, from.must("access", "admins"), "corp:bo@example.com")

	sealed := filepath.Join(from.home, "sealed.yaml")
	from.must("export", "-o", sealed, "--age-recipient", key.Recipient().String())
	to := newHouse(t)
	require.Contains(t, to.must("apply", "-y", "-f", sealed, "--age-identity", writeFile(t, to.home, "key.txt", key.String()+"\n")), "client_secret: \"••••••\"")
	require.Equal(t, from.must("export"), to.must("export"), "another server has the same")

	empty := writeFile(t, to.home, "empty.yaml", "berth: 1\nproviders: {}\n")
	require.Contains(t, to.local("", "apply", "-y", "-f", empty).err, "left alone without --prune: provider corp.")
	pruned := to.local("", "apply", "-y", "-f", empty, "--prune")
	require.Contains(t, pruned.out, "- provider corp\n    issuer: \"https://id.example.com\" is taken away\n")
	require.Contains(t, pruned.err, "the list of administrators names corp:bo@example.com, who can not sign in without the provider corp.")
}

func TestExport_SealsSecretsThatApplyOpensHere(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	from := newHouse(t)
	from.must("apply", "-y", "-f", writeFile(t, from.home, "berth.yaml", shopYAML))
	require.Equal(t, exitDone, from.local("hunter2", "secret", "set", "shop", "DATABASE_URL").code)
	file := filepath.Join(from.home, "sealed.yaml")
	from.must("export", "-o", file, "--age-recipient", key.Recipient().String())
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "hunter2")
	require.Contains(t, string(raw), "AGE ENCRYPTED FILE")
	require.Zero(t, from.run(adminPassword, "login", from.url, "-u", "admin").code)
	byToken := from.run("", "export", "--age-recipient", key.Recipient().String())
	require.Equal(t, exitDenied, byToken.code)
	require.Contains(t, byToken.err, "an API token shows no secret")
	require.Zero(t, from.run("", "export").code, "names of secrets are no secrets")

	to := newHouse(t)
	identity := writeFile(t, to.home, "key.txt", key.String()+"\n")
	require.Contains(t, to.must("apply", "-y", "-f", file, "--age-identity", identity), "+ secret shop/DATABASE_URL")
	require.Contains(t, to.must("secret"), "DATABASE_URL")
	var plan manifest.Plan
	require.NoError(t, json.Unmarshal([]byte(to.must("--json", "apply", "--plan", "-f", file, "--age-identity", identity)), &plan))
	require.Empty(t, plan.Changes, "the value is the same")
}
