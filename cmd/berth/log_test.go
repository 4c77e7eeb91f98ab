package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"berth/internal/settings"
)

func TestLogger_WritesAsTheSettingsSay(t *testing.T) {
	for what, c := range map[string]struct {
		environ  []string
		terminal bool
		json     bool
		least    slog.Level
	}{
		"JSON":                          {json: true},
		"text on a terminal":            {terminal: true},
		"text wherever it is asked for": {environ: []string{"BERTH_LOG_FORMAT=text"}},
		"JSON wherever it is asked for": {environ: []string{"BERTH_LOG_FORMAT=json"}, terminal: true, json: true},
		"auto on a terminal":            {environ: []string{"BERTH_LOG_FORMAT=auto"}, terminal: true},
		"warnings and more":             {environ: []string{"BERTH_LOG_LEVEL=warn"}, json: true, least: slog.LevelWarn},
		"everything":                    {environ: []string{"BERTH_LOG_LEVEL=debug"}, terminal: true, least: slog.LevelDebug},
		"everything, for debugging":     {environ: []string{"BERTH_DEBUG=true"}, json: true, least: slog.LevelDebug},
		"the level that is named":       {environ: []string{"BERTH_DEBUG=true", "BERTH_LOG_LEVEL=error"}, json: true, least: slog.LevelError},
	} {
		t.Run(what, func(t *testing.T) {
			s, err := settings.Load(c.environ, t.TempDir())
			require.NoError(t, err)
			w, written := file(t)
			if c.terminal {
				w, written = terminal(t)
			}
			log := newLogger(s, w)
			var want []slog.Level
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				log.Log(t.Context(), level, "said", "took", 1500*time.Millisecond)
				if level >= c.least {
					want = append(want, level)
				}
			}
			lines := written()
			require.Len(t, lines, len(want), lines)
			for n, line := range lines {
				require.Equal(t, c.json, json.Valid([]byte(line)), line)
				require.Contains(t, line, want[n].String())
				require.Contains(t, line, "1.5s")
			}
		})
	}
}

// file gives one to write to, and what reads its lines.
func file(t *testing.T) (w *os.File, written func() []string) {
	t.Helper()
	w, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w, func() []string {
		_, err := w.Seek(0, io.SeekStart)
		require.NoError(t, err)
		return linesOf(w)
	}
}

// terminal gives one to write to, and what reads its lines.
func terminal(t *testing.T) (w *os.File, written func() []string) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = screen.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetUint32(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	w, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return w, func() []string {
		_ = w.Close() // after what was written, reading ends with an error
		return linesOf(screen)
	}
}

func linesOf(r io.Reader) (lines []string) {
	for in := bufio.NewScanner(r); in.Scan(); {
		lines = append(lines, in.Text())
	}
	return lines
}
