package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
)

func TestProject_IsCreatedEditedListedAndRemoved(t *testing.T) {
	h := newHouse(t)

	require.Contains(t, h.must("project", "create", "shop", "--description", "Where we sell"), "Created project shop")
	require.Contains(t, h.must("project"), "Where we sell")
	h.must("project", "edit", "shop", "--image", "ghcr.io/ana/shop")

	var p deploy.ProjectStatus
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "project", "show", "shop")), &p))
	require.Equal(t, "ghcr.io/ana/shop", p.Image)
	require.Equal(t, "Where we sell", p.Description, "what is not named stays")

	refused := h.local("", "project", "remove", "shop")
	require.Equal(t, exitInput, refused.code, "without a terminal nobody said yes")
	require.Equal(t, "berth: Project shop will be removed, with containers and history. Volumes stay, if there are any. Give --yes to go on.\n", refused.err)
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost", "--volume", "files:/var/files")
	refused = h.local("", "project", "remove", "shop")
	require.Contains(t, refused.err, "Project shop and its 1 stage (prod) will be removed")
	require.Contains(t, refused.err, "These volumes stay, with their data: berth_shop_prod_files.")
	refused = h.local("", "stage", "remove", "shop", "prod")
	require.Contains(t, refused.err, "These volumes stay, with their data: berth_shop_prod_files.")
	h.must("project", "remove", "shop", "--yes")
	require.Equal(t, "[]\n", h.must("--json", "project", "list"))
}

func TestStage_EditKeepsWhatIsNotNamed(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost", "--tags", "semver:^1.2", "--port", "3000",
		"-e", "LOG_LEVEL=info", "-e", "DSN=a=b,c", "--volume", "files:/var/files", "--memory", "512MiB", "--health", "/up",
		"--set", "drain_timeout=45s")

	h.must("stage", "edit", "shop", "prod", "--replicas", "2", "--env", "LOG_LEVEL=debug", "--unset", "env.DSN",
		"--volume", "cache:/var/cache:ro", "--set", "probe.successes=3", "--command", `["serve","-v"]`)

	var s deploy.Stage
	require.NoError(t, json.Unmarshal([]byte(h.must("--json", "stage", "show", "shop", "prod")), &s))
	require.Equal(t, "shop.localhost", s.Spec.Hostname)
	require.Equal(t, deploy.TagRule{Kind: deploy.TagSemver, Pattern: "^1.2"}, s.Spec.Tags)
	require.Equal(t, 3000, s.Spec.Port)
	require.Equal(t, map[string]string{"LOG_LEVEL": "debug"}, s.Spec.Env)
	require.Equal(t, int64(512<<20), s.Spec.Memory)
	require.Equal(t, "/up", s.Spec.Probe.Path)
	require.Equal(t, 3, s.Spec.Probe.Successes)
	require.Equal(t, 2, s.Spec.Replicas)
	require.Equal(t, []string{"serve", "-v"}, s.Spec.Command)
	require.Equal(t, []deploy.Volume{{Name: "files", Path: "/var/files"}, {Name: "cache", Path: "/var/cache", ReadOnly: true}}, s.Spec.Volumes)

	require.Contains(t, h.must("stage", "show", "shop", "prod"), "semver:^1.2")
	require.Contains(t, h.must("status"), "shop.localhost")
	h.must("stage", "remove", "shop", "prod", "-y")
	require.Contains(t, h.must("status"), "No stages yet")
}

func TestStage_TakesAWholeSpecFromAFile(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	file := writeFile(t, h.home, "spec.json", `{"hostname": "a.localhost", "tags": {"kind": "none"}, "replicas": 3}`)

	h.must("stage", "create", "shop", "prod", "--file", file, "--hostname", "b.localhost")
	shown := h.must("--json", "stage", "show", "shop", "prod")
	require.Contains(t, shown, `"hostname": "b.localhost"`)
	require.Contains(t, shown, `"replicas": 3`)

	unknown := writeFile(t, h.home, "unknown.json", `{"hostnam": "a.localhost"}`)
	s := h.local("", "stage", "edit", "shop", "prod", "--file", unknown)
	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, `unknown field "hostnam"`)
}

func TestCommands_ExitByTheKindOfFault(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"project", "show", "nothing"}, exitMissing, "nothing"},
		{[]string{"project", "create", "shop"}, exitClash, "shop"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "not a host"}, exitInput, "hostname"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "x.localhost", "--memory", "much"}, exitInput, "--memory"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "x.localhost", "--set", "replicas=two"}, exitInput, "replicas"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "x.localhost", "--set", "no.such=1"}, exitInput, "unknown field"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "x.localhost", "--volume", "files"}, exitInput, "NAME:PATH"},
		{[]string{"stage", "create", "shop", "dev", "--hostname", "x.localhost", "--secret", "A=b"}, exitInput, "CONTEXT/SLOT"},
		{[]string{"stage", "edit", "shop", "prod"}, exitInput, "nothing to change"},
		{[]string{"rollback", "shop", "prod"}, exitMissing, "no earlier release"},
		{[]string{"logs", "shop", "prod"}, exitMissing, "no such instance"},
		{[]string{"cancel", "nothing"}, exitMissing, ""},
		{[]string{"project", "frob"}, exitInput, "--help"},
		{[]string{"--token", "x", "status"}, exitInput, "--url"},
		{[]string{"--url", "http://berth.example.com", "status"}, exitInput, "plain HTTP"},
		{[]string{"--url", h.url, "status"}, exitUnauthenticated, "berth login"},
		{[]string{"--url", "http://127.0.0.1:1", "--token", "x", "status"}, exitNotNow, "can not be reached"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			s := h.local("", c.args...)
			require.Equal(t, c.code, s.code, s.err)
			require.Contains(t, s.err, c.says)
			require.Empty(t, s.out)
		})
	}
}

func TestProblems_AreJSONWhenAskedFor(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")

	s := h.local("", "--json", "stage", "create", "shop", "prod", "--hostname", "not a host")

	var problem struct {
		Code   string
		Errors []struct{ Name, Message string }
	}
	require.NoError(t, json.Unmarshal([]byte(s.err), &problem), s.err)
	require.Equal(t, "invalid", problem.Code)
	require.NotEmpty(t, problem.Errors)
	require.Contains(t, problem.Errors[0].Name, "hostname")
}

func TestProblems_SayEachFieldOnce(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	one := h.local("", "stage", "create", "shop", "prod", "--hostname", "not a host")
	require.Regexp(t, `^berth: spec\.hostname: [^\n]+\n$`, one.err)
	two := h.local("", "stage", "create", "shop", "prod", "--hostname", "not a host", "--set", "stop_timeout=90h")
	require.Regexp(t, `^berth: 2 fields are wrong:\n  spec\.[^\n]+\n  spec\.[^\n]+\n$`, two.err)
}

func TestDeployments_AreListedByAnyState(t *testing.T) {
	h := newHouse(t)
	for _, state := range []deploy.State{
		deploy.Held, deploy.Waiting, deploy.Running, deploy.Live, deploy.Replaced, deploy.Failed, deploy.Canceled, deploy.Superseded, deploy.Reverted,
	} {
		h.must("deployments", "--state", string(state))
	}
}

func TestConnect_SaysHowToReachAServerWhenNoneIsKnown(t *testing.T) {
	t.Chdir(t.TempDir())
	s := runCommand(t.Context(), "", []string{"HOME=" + t.TempDir()}, "status")
	require.Equal(t, exitNotNow, s.code)
	require.Contains(t, s.err, "berth login")

	s = runCommand(t.Context(), "", nil, "--data-dir", "/nowhere", "status")
	require.Equal(t, exitNotNow, s.code)
	require.Contains(t, s.err, "is \"berth serve\" running")
}

func TestLogin_KeepsATokenUntilLogout(t *testing.T) {
	h := newHouse(t)
	require.Equal(t, exitUnauthenticated, h.run("wrong\n", "login", h.url, "-u", "admin").code)

	s := h.run(adminPassword+"\n", "login", h.url, "-u", "admin")
	require.Zero(t, s.code, s.err)
	path := filepath.Join(h.home, ".config", "berth", "credentials")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(raw), adminPassword)

	s = h.run("", "token")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "berth login on")

	require.Zero(t, h.run("", "logout").code)
	require.Equal(t, exitUnauthenticated, h.run("", "--url", h.url, "token").code)
	require.Equal(t, exitMissing, h.run("", "logout").code)
}

func TestLogout_EndsATokenOfAnyScope(t *testing.T) {
	h := newHouse(t)
	for _, scope := range []string{"read", "deploy"} {
		require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin", "--scope", scope).code)
		kept, err := readCredentials(&process{environ: []string{"HOME=" + h.home}})
		require.NoError(t, err)
		token := kept.of(h.url).Token.Reveal()
		require.Zero(t, h.run("", "--url", h.url, "--token", token, "status").code)

		s := h.run("", "logout")
		require.Zero(t, s.code, s.err)
		require.Empty(t, s.err)
		require.Equal(t, exitUnauthenticated, h.run("", "--url", h.url, "--token", token, "status").code)
	}
}

func TestLogout_SaysWhenATokenGoesOn(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	made := h.run("", "token", "create", "reader", "--scope", "read", "--expires", "1h")
	require.Zero(t, made.code, made.err)
	require.Zero(t, h.run(made.out, "login", h.url, "--with-token").code)

	s := h.run("", "logout")
	require.Zero(t, s.code)
	require.Contains(t, s.err, "works until it expires or is removed")
	require.Zero(t, h.run("", "--url", h.url, "--token", strings.TrimSpace(made.out), "status").code)
}

func TestToken_MayDoWhatItsScopeSays(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	made := h.run("", "token", "create", "reader", "--scope", "read", "--expires", "1h")
	require.Zero(t, made.code, made.err)
	token := strings.TrimSpace(made.out)

	require.Zero(t, h.run("", "--url", h.url, "--token", token, "status").code)
	s := h.run("", "--url", h.url, "--token", token, "project", "create", "shop")
	require.Equal(t, exitDenied, s.code, s.err)

	s = h.run(token, "login", h.url, "--with-token")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "as admin")
	require.Equal(t, exitDenied, h.run("", "people").code)
}

func TestPeople_AreAddedEditedAndRemoved(t *testing.T) {
	h := newHouse(t)
	s := h.local("a long enough password\n", "people", "add", "ana", "--name", "Ana", "--email", "ana@example.com")
	require.Zero(t, s.code, s.err)
	h.must("people", "edit", "ana", "--role", "administrator", "--disabled")
	require.Regexp(t, `ana +Ana +ana@example.com +administrator +disabled`, h.must("people"))
	h.must("people", "edit", "ana", "--no-disabled")
	h.must("group", "add", "ops", "ana", "-d", "on call")
	h.must("group", "edit", "ops", "--add", "admin", "--remove", "ana")
	require.Regexp(t, `ops +1 +admin +on call`, h.must("group"))
	require.Equal(t, exitInput, h.local("", "group", "edit", "ops", "--add", "eve").code)
	h.must("group", "remove", "ops")
	require.Equal(t, exitMissing, h.local("", "group", "remove", "ops").code)
	require.Regexp(t, `ana +Ana +ana@example.com +administrator +active`, h.must("people"))

	require.Zero(t, h.local("another long password\n", "people", "password", "ana").code)
	require.Zero(t, h.run("another long password", "login", h.url, "-u", "ana").code)
	h.must("people", "remove", "ana", "-y")
	require.NotContains(t, h.must("people"), "ana")
}

func TestSecret_IsShownOnTheMachineAndWrittenDown(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.local("hunter2\n", "secret", "set", "--context", "shop", "DATABASE_URL").code)
	require.Equal(t, "hunter2\n", h.must("secret", "get", "shop", "DATABASE_URL"))
	require.Equal(t, "hunter2\n", h.must("secret", "get", "--context", "shop", "DATABASE_URL"))
	require.Contains(t, h.must("secret", "list", "--context", "shop"), "DATABASE_URL")
	require.NotContains(t, h.must("secret", "list", "--context", "other"), "DATABASE_URL")
	require.Contains(t, h.must("--json", "events"), `"secret.shown"`)
	for _, wrong := range [][]string{{"DATABASE_URL"}, {"--context", "shop", "shop", "DATABASE_URL"}} {
		s := h.local("", append([]string{"secret", "get"}, wrong...)...)
		require.NotZero(t, s.code)
		require.Contains(t, s.err, "name one secret")
	}
	require.Equal(t, exitMissing, h.local("", "secret", "get", "shop", "NOPE").code)
}

func TestSecret_IsSetFromStdinAndNeverShown(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.local("hunter2\n", "secret", "set", "shop", "DATABASE_URL").code)
	require.Equal(t, exitInput, h.local("", "secret", "set", "shop", "EMPTY").code)
	require.Contains(t, h.must("secret"), "DATABASE_URL")
	for _, args := range [][]string{{"--json", "secret"}, {"--json", "events"}} {
		require.NotContains(t, h.must(args...), "hunter2")
	}
	h.must("secret", "remove", "shop", "DATABASE_URL", "-y")
	require.NotContains(t, h.must("secret"), "DATABASE_URL")
}

// whileAsked runs the command, and calls meanwhile before it is given its secret.
func (h *house) whileAsked(meanwhile func(), args ...string) said {
	h.t.Helper()
	var out, errs bytes.Buffer
	stdin := readFunc(func(p []byte) (int, error) {
		meanwhile()
		return copy(p, "mine"), io.EOF
	})
	p := process{
		args: append([]string{"--data-dir", h.data}, args...), environ: []string{"HOME=" + h.home},
		stdin: stdin, stdout: &out, stderr: &errs,
	}
	code := p.run(h.t.Context())
	return said{out.String(), errs.String(), code}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestSecretAndAccount_AreNotSetOverWhatNobodySaw(t *testing.T) {
	h := newHouse(t)
	for _, set := range [][]string{{"secret", "set", "shop", "TOKEN"}, {"registry", "set", "GHCR.io", "-u", "ana"}} {
		others := func() { require.Zero(t, h.local("theirs", set...).code) }
		for _, before := range []string{"nothing", "a version"} {
			s := h.whileAsked(others, set...)
			require.Equal(t, exitClash, s.code, "over %s: %s", before, s.err)
			require.Contains(t, s.err, "meanwhile")
		}
		s := h.whileAsked(others, append(set, "--force")...)
		require.Zero(t, s.code, s.err)
	}
	require.Regexp(t, `shop +TOKEN +4 `, h.must("secret", "list", "shop"))
	require.Contains(t, h.must("--json", "registry"), `"version": 4`)
}

func TestRegistry_KeepsAccounts(t *testing.T) {
	h := newHouse(t)
	s := h.local("hunter2\n", "registry", "set", "ghcr.io", "-u", "ana")
	require.Zero(t, s.code, s.err)
	require.Regexp(t, `ghcr.io +ana +https`, h.must("registry"))
	h.must("registry", "remove", "ghcr.io")
	require.NotContains(t, h.must("registry"), "ghcr.io")
}

func TestImage_IsPushedLocallyAndWithAToken(t *testing.T) {
	h := newHouse(t)
	image, err := random.Image(4096, 2)
	require.NoError(t, err)
	file := filepath.Join(h.home, "image.tar")
	require.NoError(t, tarball.WriteToFile(file, name.MustParseReference("any:1"), image))

	require.Contains(t, h.must("image", "push", file, "shop:1.0"), "Pushed shop:1.0")
	require.Contains(t, h.must("image", "tags", "shop"), "1.0")
	require.Zero(t, h.run(adminPassword, "login", h.url, "-u", "admin").code)
	var system api.System
	require.NoError(t, json.Unmarshal([]byte(h.must("system", "--json")), &system))
	require.Contains(t, h.must("image", "push", file, system.RegistryHost+"/shop:1.0"), "Pushed shop:1.0")
	s := h.run("", "image", "push", file, "shop:1.1")
	require.Zero(t, s.code, s.err)
	require.Regexp(t, `shop +2 `, h.must("image"))

	made := h.run("", "token", "create", "reader", "--scope", "read", "--expires", "1h")
	require.Zero(t, made.code, made.err)
	token := strings.TrimSpace(made.out)
	s = h.run("", "--url", h.url, "--token", token, "image", "push", file, "shop:1.2")
	require.Equal(t, exitDenied, s.code, s.err)

	h.must("image", "remove", "shop:1.0", "-y")
	require.NotContains(t, h.must("image", "tags", "shop"), "1.0")
	h.must("image", "remove", "shop", "-y")
	require.NotContains(t, h.must("image"), "shop")
	require.Equal(t, exitInput, h.local("", "image", "push", "/dev/null", "shop:1").code)
}

func TestEvents_ShowWhatHappened(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("project", "create", "other")

	shown := h.must("events")
	require.Regexp(t, `(?s)project.created +shop +local.*project.created +other`, shown)
	require.NotContains(t, h.must("events", "shop"), "other")
	require.Len(t, strings.Split(strings.TrimSpace(h.must("--json", "events", "-n", "1")), "\n"), 1)
}

func TestComplete_GivesCommandsFlagsValuesAndNames(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("project", "create", "shed")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	for typed, want := range map[string]string{
		"dep":                      "deploy\ndeployment\n",
		"stage cr":                 "create\n",
		"status sho":               "shop\n",
		"deploy --wait shop ":      "prod\n",
		"stage show shop pr":       "prod\n",
		"token create x --scope r": "read\n",
		"stage edit a b --repl":    "--replicas\n",
		"completion z":             "zsh\n",
		"deployments sh":           "show\nshed\nshop\n",
		"deployments shop pr":      "prod\n",
		"deployment --sta":         "--state\n",
		"deployment --state w":     "waiting\n",
		"account end-s":            "end-session\n",
		"deploy shop prod 1 ":      "",
	} {
		words := strings.Split(typed, " ")
		require.Equal(t, want, h.must(append([]string{"__complete", "--"}, words...)...), typed)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.Contains(t, h.must("completion", shell), "berth __complete --")
	}
}

func TestConfig_ShowsSettingsWithoutSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{"BERTH_ADMIN_PASSWORD=" + adminPassword, "BERTH_LOG_LEVEL=debug", "BERTH_LISTN=:1"}

	s := runCommand(t.Context(), "", environ, "config")
	require.Zero(t, s.code)
	require.Regexp(t, `BERTH_LOG_LEVEL +debug +environment`, s.out)
	require.NotContains(t, s.out, "horse")
	require.Contains(t, s.err, "did you mean BERTH_LISTEN")

	s = runCommand(t.Context(), "", []string{"BERTH_LOG_LEVEL=loud", "BERTH_LISTEN=80"}, "config")
	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "BERTH_LOG_LEVEL")
	require.Contains(t, s.err, "BERTH_LISTEN")
}

func TestHelp_IsThereForEveryCommand(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"stage", "create", "--help"}, {"deploy", "--help"}, {"login", "--help"}} {
		s := runCommand(t.Context(), "", nil, args...)
		require.Zero(t, s.code)
		require.Contains(t, s.out, "Usage: berth")
		require.NotContains(t, s.out, "${")
	}
	require.Contains(t, runCommand(t.Context(), "", nil, "version").out, "berth ")
}

func TestJobSchedule_SaysWhenItWouldCome(t *testing.T) {
	h := newHouse(t)
	require.Regexp(t, `(?m)\A([A-Z][a-z]{2} \d{4}-\d\d-\d\d 03:30 \+00:00\n){5}\z`, h.must("job", "schedule", "30 3 * * *"))
	require.Contains(t, h.must("job", "schedule", "30 3 1 7 *", "--time-zone", "Europe/Berlin"), "-07-01 03:30 +02:00")
	require.Equal(t, exitInput, h.local("", "job", "schedule", "now and then").code)
}
