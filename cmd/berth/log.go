package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"berth/internal/settings"
)

// newLogger writes JSON for machines and short lines for a terminal.
func newLogger(s *settings.Settings, w io.Writer) *slog.Logger {
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if s.LogFormat == settings.LogJSON || (s.LogFormat == settings.LogAuto && !terminal) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: s.LogLevel, ReplaceAttr: words}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: s.LogLevel, ReplaceAttr: shortTime}))
}

// shortTime leaves the date to the person at the terminal.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return words(groups, a)
}

// words spells durations as people do, not as nanoseconds.
func words(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}
