package settings_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

const key = "0123456789abcdef0123456789abcdef"

func TestLoad_GivesDefaultsWhenNothingIsSet(t *testing.T) {
	dir := t.TempDir()

	s, err := settings.Load(nil, dir)

	require.NoError(t, err)
	require.Equal(t, "http://localhost:8080", s.BaseURL.String())
	require.Equal(t, "127.0.0.1:8080", s.Listen)
	require.Equal(t, filepath.Join(dir, "data"), s.DataDir)
	require.Equal(t, filepath.Join(dir, "data", "berth.db"), s.DatabasePath)
	require.Equal(t, "auto", s.Engine)
	require.Equal(t, slog.LevelInfo, s.LogLevel)
	require.Equal(t, settings.LogAuto, s.LogFormat)
	require.Equal(t, 30*time.Second, s.ShutdownTimeout)
	require.Equal(t, int64(1<<30), s.MaxBodyBytes)
	require.Equal(t, 14*24*time.Hour, s.LogRetention)
	require.InDelta(t, 1, float64(s.AccessLog), 0)
	require.Empty(t, s.MetricsListen)
	require.Empty(t, s.Warnings)
}

func TestLoad_TakesEnvironmentOverDotenvOverDefault(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ".env", "BERTH_LISTEN=127.0.0.1:9001\nBERTH_ENGINE='/run/docker.sock'\nOTHER=x\n")

	s, err := settings.Load([]string{"BERTH_LISTEN=127.0.0.1:9002", "BERTH_DATA_DIR="}, dir)

	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:9002", s.Listen)
	require.Equal(t, "http://localhost:9002", s.BaseURL.String(), "the default follows the port")
	require.Equal(t, "unix:///run/docker.sock", s.Engine)
	require.Equal(t, "environment", described(t, s, "BERTH_LISTEN").Source)
	require.Equal(t, filepath.Join(dir, ".env"), described(t, s, "BERTH_ENGINE").Source)
	require.Equal(t, "default", described(t, s, "BERTH_DATA_DIR").Source, "an empty value counts as not set")
}

func TestLoad_ReadsTheFileThatEnvFileNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "production.env", "BERTH_LOG_LEVEL=warn")

	s, err := settings.Load([]string{"BERTH_ENV_FILE=production.env"}, dir)
	require.NoError(t, err)
	require.Equal(t, slog.LevelWarn, s.LogLevel)

	_, err = settings.Load([]string{"BERTH_ENV_FILE=missing.env"}, dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "BERTH_ENV_FILE")
}

func TestLoad_DoesNotQuoteABrokenDotenv(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ".env", "BERTH_SECRET_KEY="+key+"\n!!"+key)

	_, err := settings.Load(nil, dir)

	require.ErrorContains(t, err, ".env")
	require.NotContains(t, err.Error(), key)
}

func TestLoad_ReadsAValueFromAFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "key", key+"\n")
	write(t, dir, "empty", "\n")
	write(t, dir, "large", strings.Repeat("x", 70_000))

	s, err := settings.Load([]string{"BERTH_SECRET_KEY_FILE=key"}, dir)
	require.NoError(t, err)
	require.Equal(t, key, s.SecretKey.Reveal())

	for file, says := range map[string]string{"empty": "is empty", "large": "at most", "none": "no such file"} {
		_, err := settings.Load([]string{"BERTH_SECRET_KEY_FILE=" + file}, dir)
		require.ErrorContains(t, err, "BERTH_SECRET_KEY_FILE")
		require.ErrorContains(t, err, says)
	}
}

func TestLoad_RefusesAVariableBesideItsFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "key", key)
	both := "BERTH_SECRET_KEY=" + key + "\nBERTH_SECRET_KEY_FILE=key"

	_, err := settings.Load(strings.Split(both, "\n"), dir)
	require.ErrorContains(t, err, "both it and BERTH_SECRET_KEY_FILE are set in environment")
	require.NotContains(t, err.Error(), key)

	write(t, dir, ".env", "BERTH_SECRET_KEY="+key)
	s, err := settings.Load([]string{"BERTH_SECRET_KEY_FILE=key"}, dir)
	require.NoError(t, err, "the environment wins over .env, in either form")
	require.Equal(t, "key", described(t, s, "BERTH_SECRET_KEY").Source)
}

func TestLoad_ReportsEveryMistakeTogether(t *testing.T) {
	_, err := settings.Load([]string{
		"BERTH_LISTEN=8080", "BERTH_BASE_URL=https://berth.example.com/x", "BERTH_DATABASE_URL=postgres://x",
		"BERTH_SECRET_KEY=short-and-secret", "BERTH_ADMIN_PASSWORD=hunter2", "BERTH_ENGINE=banana", "BERTH_DEBUG=perhaps",
		"BERTH_LOG_LEVEL=loud", "BERTH_LOG_FORMAT=xml", "BERTH_ACCESS_LOG=2", "BERTH_MAX_BODY=big",
		"BERTH_SHUTDOWN_TIMEOUT=soon", "BERTH_LOG_RETENTION=5m", "BERTH_METRICS_LISTEN=:0",
	}, t.TempDir())

	require.ErrorAs(t, err, new(*settings.MistakesError))
	text := err.Error()
	for _, name := range []string{
		"LISTEN", "BASE_URL", "DATABASE_URL", "SECRET_KEY", "ADMIN_PASSWORD", "ENGINE", "DEBUG", "LOG_LEVEL",
		"LOG_FORMAT", "ACCESS_LOG", "MAX_BODY", "SHUTDOWN_TIMEOUT", "LOG_RETENTION", "METRICS_LISTEN",
	} {
		require.Equal(t, 1, strings.Count(text, "BERTH_"+name+": "), "%s in:\n%s", name, text)
	}
	require.Contains(t, text, `got "banana" from environment; it takes auto, or the address`)
	require.Contains(t, text, `got "perhaps" from environment; it takes true or false: the value is neither`)
	require.NotContains(t, text, "hunter2")
	require.NotContains(t, text, "short-and-secret")
}

func TestLoad_TakesAndRefuses(t *testing.T) {
	const remote = "BERTH_SECRET_KEY=" + key
	for _, c := range []struct {
		set  string
		says string // nothing when it is taken
	}{
		{set: "BERTH_BASE_URL=https://berth.example.com/"},
		{set: "BERTH_BASE_URL=https://berth.example.com:8443"},
		{set: "BERTH_BASE_URL=http://127.0.0.1:8080"},
		{set: "BERTH_BASE_URL=http://[::1]:8080"},
		{set: "BERTH_BASE_URL=http://berth.localhost"},
		{set: "BERTH_BASE_URL=http://berth.example.com", says: "plain HTTP"},
		{set: "BERTH_BASE_URL=ftp://berth.example.com", says: "neither http nor https"},
		{set: "BERTH_BASE_URL=berth.example.com", says: "not a URL"},
		{set: "BERTH_BASE_URL=https://user@berth.example.com", says: "more than"},
		{set: "BERTH_BASE_URL=https://berth.example.com:99999", says: "port"},
		{set: "BERTH_BASE_URL=https://:443", says: "no host"},
		{set: "BERTH_LISTEN=:80"},
		{set: "BERTH_LISTEN=[::]:80"},
		{set: "BERTH_LISTEN=http://localhost:80", says: "host:port"},
		{set: "BERTH_LISTEN=:0", says: "port"},
		{set: "BERTH_LISTEN=a/b:80", says: "a host that is none"},
		{set: "BERTH_DATABASE_URL=sqlite:////var/lib/berth/berth.db"},
		{set: "BERTH_DATABASE_URL=sqlite:///./x.db"},
		{set: "BERTH_DATABASE_URL=sqlite:///", says: "names no file"},
		{set: "BERTH_DATABASE_URL=sqlite:///x.db?mode=ro", says: "more than a path"},
		{set: "BERTH_ENGINE=unix:///run/podman/podman.sock"},
		{set: "BERTH_ENGINE=/run/podman/podman.sock"},
		{set: "BERTH_ENGINE=tcp://127.0.0.1:2375"},
		{set: "BERTH_ENGINE=unix://run/podman.sock", says: "neither"},
		{set: "BERTH_ENGINE=://", says: "not an address"},
		{set: "BERTH_ACCESS_LOG=off"},
		{set: "BERTH_ACCESS_LOG=0.01"},
		{set: "BERTH_ACCESS_LOG=NaN", says: "none of them"},
		{set: "BERTH_MAX_BODY=0"},
		{set: "BERTH_MAX_BODY=1.5 GB"},
		{set: "BERTH_MAX_BODY=-1", says: "not a size"},
		{set: "BERTH_MAX_BODY=9999999TiB", says: "not a size"},
		{set: "BERTH_MAX_CONNECTIONS=100000"},
		{set: "BERTH_MAX_CONNECTIONS=0", says: "not between 16 and"},
		{set: "BERTH_MAX_REQUESTS=1"},
		{set: "BERTH_MAX_REQUESTS=many", says: "not a number"},
		{set: "BERTH_SHUTDOWN_TIMEOUT=0s"},
		{set: "BERTH_SHUTDOWN_TIMEOUT=-1s", says: "less than"},
		{set: "BERTH_ADMIN_PASSWORD=ten chars!"},
		{set: "BERTH_ADMIN_PASSWORD=" + strings.Repeat("é", 36)},
		{set: "BERTH_ADMIN_PASSWORD=ninechars", says: "has 9 characters"},
		{set: "BERTH_ADMIN_PASSWORD=ééééééééé", says: "has 9 characters"},
		{set: "BERTH_ADMIN_PASSWORD=" + strings.Repeat("é", 37), says: "has 74 bytes"},
		{set: "BERTH_LOG_RETENTION=30d"},
		{set: "BERTH_LOG_RETENTION=-30d", says: "not a duration"},
	} {
		t.Run(c.set, func(t *testing.T) {
			_, err := settings.Load([]string{c.set, remote}, t.TempDir())
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestLoad_ReadsSizes(t *testing.T) {
	for given, want := range map[string]int64{"10": 10, "10b": 10, "2k": 2048, "1MiB": 1 << 20, "1.5 GB": 1_500_000_000, "1t": 1 << 40} {
		s, err := settings.Load([]string{"BERTH_MAX_BODY=" + given}, t.TempDir())
		require.NoError(t, err)
		require.Equal(t, want, s.MaxBodyBytes, given)
	}
}

func TestLoad_RelatesDatabaseToWorkingDirectory(t *testing.T) {
	dir := t.TempDir()

	s, err := settings.Load([]string{"BERTH_DATABASE_URL=sqlite:///./sub/x.db"}, dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "sub", "x.db"), s.DatabasePath)

	s, err = settings.Load([]string{"BERTH_DATABASE_URL=sqlite:////var/x.db"}, dir)
	require.NoError(t, err)
	require.Equal(t, "/var/x.db", s.DatabasePath)
}

func TestLoad_WarnsOfUnknownVariablesWithTheNearestName(t *testing.T) {
	s, err := settings.Load([]string{
		"BERTH_LISTN=:1", "BERTH_SECRET_KEYS_FILE=/x", "BERTH_WEATHER=fine", "BERTH_TOKEN=x", "BERTH_CHROMIUM=x", "BERTH_TEST_DOCKER=x", "HOME=/",
	}, t.TempDir())

	require.NoError(t, err)
	require.Len(t, s.Warnings, 3)
	require.Contains(t, s.Warnings[0], "did you mean BERTH_LISTEN?")
	require.Contains(t, s.Warnings[1], "did you mean BERTH_SECRET_KEY_FILE?")
	require.NotContains(t, s.Warnings[2], "did you mean")
}

func TestDescribe_ShowsEveryVariableAndNoSecret(t *testing.T) {
	s, err := settings.Load([]string{"BERTH_SECRET_KEY=" + key, "BERTH_ADMIN_PASSWORD=correct horse battery"}, t.TempDir())
	require.NoError(t, err)

	for _, v := range s.Describe() {
		require.NotEmpty(t, v.Source, v.Name)
		require.NotEmpty(t, v.Help, v.Name)
		require.NotContains(t, v.Value, key)
		require.NotContains(t, v.Value, "horse")
	}
	require.Equal(t, "••••••", described(t, s, "BERTH_SECRET_KEY").Value)
}

func described(t *testing.T, s *settings.Settings, name string) settings.Value {
	t.Helper()
	for _, v := range s.Describe() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("%s is not described", name)
	return settings.Value{}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
}

func TestLoad_WarnsOfSigningInWithoutTLSFromOtherMachines(t *testing.T) {
	for listen, base := range map[string]string{
		":8080": "", "0.0.0.0:8080": "", "[::]:8080": "", "192.0.2.7:8080": "http://berth.localhost:8080",
	} {
		s, err := settings.Load([]string{"BERTH_LISTEN=" + listen, "BERTH_BASE_URL=" + base}, t.TempDir())
		require.NoError(t, err)
		require.Len(t, s.Warnings, 1, "%s %s", listen, base)
		require.Contains(t, s.Warnings[0], "BERTH_LISTEN "+listen+" takes connections from other machines")
	}
	for listen, base := range map[string]string{
		"127.0.0.1:8080": "", "[::1]:8080": "", "localhost:8080": "", ":8080": "https://berth.example.com",
	} {
		s, err := settings.Load([]string{"BERTH_LISTEN=" + listen, "BERTH_BASE_URL=" + base, "BERTH_SECRET_KEY=" + key}, t.TempDir())
		require.NoError(t, err)
		require.Empty(t, s.Warnings, "%s %s", listen, base)
	}
}

func TestLoad_TakesAbsoluteFoldersToMount(t *testing.T) {
	s, err := settings.Load([]string{"BERTH_BIND_PATHS= /srv/media , /mnt/photos"}, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{"/srv/media", "/mnt/photos"}, s.BindPaths)
	for _, wrong := range []string{"/", "media", "/srv/../", "/srv,relative"} {
		_, err := settings.Load([]string{"BERTH_BIND_PATHS=" + wrong}, t.TempDir())
		require.ErrorContains(t, err, "BERTH_BIND_PATHS", wrong)
	}
}
