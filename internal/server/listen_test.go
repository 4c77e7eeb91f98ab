package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"berth/internal/fault"
)

func TestListenUnix_RemovesASocketButNothingElse(t *testing.T) {
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "berth.sock")
	require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))

	_, err = listenUnix(t.Context(), path)

	require.Equal(t, fault.Clash, fault.KindOf(err))
	require.FileExists(t, path)
	_, err = listenUnix(t.Context(), "/"+strings.Repeat("x", 107))
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "BERTH_DATA_DIR")
}

func TestListenTCP_SaysWhatIsWrongWithAnAddress(t *testing.T) {
	_, err := listenTCP(t.Context(), "BERTH_LISTEN", "192.0.2.1:80") // RFC 5737: nobody's
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "BERTH_LISTEN")
}

func TestLockDir_IsOneProcessAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	unlock, err := lockDir(dir)
	require.NoError(t, err)

	_, err = lockDir(dir)
	require.Equal(t, fault.Clash, fault.KindOf(err))

	require.NoError(t, unlock())
	unlock, err = lockDir(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())
}

func TestMaxConnections_AreNoMoreThanTheProcessMayOpen(t *testing.T) {
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) })
	s := newServer(t, "BERTH_MAX_CONNECTIONS=2000")
	require.Equal(t, 2000, s.maxConnections())
	few := before
	few.Cur = 1024
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	require.Equal(t, (1024-filesOfOurs)/2, s.maxConnections())
}
