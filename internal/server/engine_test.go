package server

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/needs"
)

func TestEngine_SaysInWordsThatItIsNotThere(t *testing.T) {
	e := newEngine("unix:///nowhere/engine.sock", slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()

	require.False(t, e.await(t.Context()))

	_, err := e.Info(t.Context())
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Contains(t, fault.Message(err), "BERTH_ENGINE")
	for _, err := range e.Logs(t.Context(), "x", container.LogOptions{}) {
		require.Equal(t, fault.NotNow, fault.KindOf(err))
	}
	require.Equal(t, fault.NotNow, fault.KindOf(e.Start(t.Context(), "x")))
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, e.Close())
}

func TestEngine_IsTakenUpWhenItComesLater(t *testing.T) {
	socket := needs.Engine(t, "podman")
	dir, err := os.MkdirTemp("", "berth") //nolint:usetesting // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	later := filepath.Join(dir, "engine.sock")
	e := newEngine("unix://"+later, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	require.False(t, e.await(t.Context()))

	require.NoError(t, os.Symlink(strings.TrimPrefix(socket, "unix://"), later))

	require.Eventually(t, func() bool {
		info, err := e.Info(t.Context())
		return err == nil && info.Name == "podman"
	}, time.Minute, 50*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, e.Close())
}
