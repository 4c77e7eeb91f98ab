package settings_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/settings"
)

func TestEnsureSecretKey_KeepsOneKeyFromStartToStart(t *testing.T) {
	dir := t.TempDir()
	s, err := settings.Load(nil, dir)
	require.NoError(t, err)
	require.True(t, s.SecretKey.Empty())

	generated, err := s.EnsureSecretKey()
	require.NoError(t, err)
	require.True(t, generated)
	require.GreaterOrEqual(t, len(s.SecretKey.Reveal()), 32)
	info, err := os.Stat(filepath.Join(dir, "data", "secret.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, err := settings.Load(nil, dir)
	require.NoError(t, err)
	require.Equal(t, s.SecretKey.Reveal(), again.SecretKey.Reveal())
	generated, err = again.EnsureSecretKey()
	require.NoError(t, err)
	require.False(t, generated)
	require.Contains(t, described(t, again, "BERTH_SECRET_KEY").Source, "secret.key")
	left, err := os.ReadDir(filepath.Join(dir, "data"))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestEnsureSecretKey_NeverWritesOverAKey(t *testing.T) {
	dir := t.TempDir()
	s, err := settings.Load(nil, dir)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	write(t, dir, "data/secret.key", key)

	_, err = s.EnsureSecretKey()

	require.ErrorIs(t, err, os.ErrExist)
}

func TestLoad_RequiresAKeyAwayFromLoopback(t *testing.T) {
	dir := t.TempDir()
	_, err := settings.Load([]string{"BERTH_BASE_URL=https://berth.example.com"}, dir)
	require.ErrorContains(t, err, "BERTH_SECRET_KEY: is not set, and is required")
	require.NotContains(t, err.Error(), "secret.key", "none was generated here")

	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	file := filepath.Join(dir, "data", "secret.key")
	require.NoError(t, os.WriteFile(file, []byte(key), 0o600))
	_, err = settings.Load([]string{"BERTH_BASE_URL=https://berth.example.com"}, dir)
	require.ErrorContains(t, err, "to go on with one that was generated here: BERTH_SECRET_KEY_FILE="+file)

	_, err = settings.Load([]string{"BERTH_BASE_URL=https://berth.example.com", "BERTH_SECRET_KEY=" + key}, t.TempDir())
	require.NoError(t, err)
}

func TestLoad_RefusesADamagedKey(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	write(t, dir, "data/secret.key", "cut off")

	_, err := settings.Load(nil, dir)

	require.ErrorContains(t, err, "is damaged")
	require.NotContains(t, err.Error(), "cut off")
}
