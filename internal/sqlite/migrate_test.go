package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

func TestMigrate_GoesForwardOverYesterdaysRowsAndCopiesFirst(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "berth.db")
	db := open(t, path, notes)
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('yesterday')"))
	require.NoError(t, db.Close())
	require.NoDirExists(t, filepath.Join(folder, "backups"), "there was nothing to copy")

	db = open(t, path, notes, "ALTER TABLE notes ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0", "CREATE INDEX notes_pinned ON notes (pinned)")
	require.Equal(t, 1, count(t, db, "notes WHERE pinned = 0"))
	require.Equal(t, "3", pragma(t, db, "user_version"))
	require.NoError(t, db.Close())

	copies, err := filepath.Glob(filepath.Join(folder, "backups", "*.db"))
	require.NoError(t, err)
	require.Len(t, copies, 1, "one copy before all that was to be done")
	before := open(t, copies[0], notes)
	require.Equal(t, 1, count(t, before, "notes"))
	require.Equal(t, "1", pragma(t, before, "user_version"))
	require.NoError(t, before.Close())
}

func TestMigrate_FailsWholeAndCanBeTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	require.NoError(t, open(t, path, notes).Close())

	_, log, err := openLogged(t, path, notes, "CREATE TABLE good (id INTEGER); INSERT INTO good VALUES (1); INSERT INTO nowhere VALUES (1)")
	require.ErrorContains(t, err, "migration 0002_step.sql")
	require.NotContains(t, log, "database migrated")

	db := open(t, path, notes, "CREATE TABLE good (id INTEGER)")
	require.Equal(t, 0, count(t, db, "good"))
	require.NoError(t, db.Close())
}

func TestMigrate_MayGiveATableAnotherShape(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db := open(t, path, notes)
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (id, text) VALUES (1, 'kept')"))
	require.NoError(t, write(t.Context(), db, "INSERT INTO replies (note) VALUES (1)"))
	require.NoError(t, db.Close())

	db = open(t, path, notes, `
		CREATE TABLE new_notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
		INSERT INTO new_notes SELECT id, text FROM notes;
		DROP TABLE notes;
		ALTER TABLE new_notes RENAME TO notes;`)
	require.Equal(t, 1, count(t, db, "replies"), "dropping the old table took nothing with it")
	require.ErrorContains(t, write(t.Context(), db, "INSERT INTO replies (note) VALUES (7)"), "FOREIGN KEY", "references are held again")
	require.NoError(t, db.Close())
}

func TestMigrate_RefusesToLeaveReferencesToNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db := open(t, path, notes)
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (id, text) VALUES (1, 'x')"))
	require.NoError(t, write(t.Context(), db, "INSERT INTO replies (note) VALUES (1)"))
	require.NoError(t, db.Close())

	_, _, err := openLogged(t, path, notes, "DELETE FROM notes")
	require.ErrorContains(t, err, "migration 0002_step.sql")
	require.ErrorContains(t, err, "replies")
	db = open(t, path, notes)
	require.Equal(t, 1, count(t, db, "notes"))
	require.NoError(t, db.Close())
}

func TestMigrate_RefusesADatabaseFromANewerBerth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	require.NoError(t, open(t, path, notes, "CREATE TABLE newer (id INTEGER)").Close())
	_, log, err := openLogged(t, path, notes)
	require.ErrorIs(t, err, sqlite.ErrNewer)
	require.ErrorContains(t, err, "schema has version 2, this Berth knows up to 1")
	require.ErrorContains(t, err, "run the newer one")
	require.NotContains(t, log, "not clean")

	_, log, err = openLogged(t, path, notes, "CREATE TABLE newer (id INTEGER)")
	require.NoError(t, err)
	require.NotContains(t, log, "not clean", "refusing it was no unclean stop")
}

func TestMigrate_KeepsTheNewestFiveCopies(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "berth.db")
	other := filepath.Join(folder, "backups", "mine.db")
	require.NoError(t, os.MkdirAll(filepath.Dir(other), 0o700))
	require.NoError(t, os.WriteFile(other, nil, 0o600))

	steps := []string{notes}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 9 {
		now = now.Add(time.Hour)
		db, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: path, Clock: func() time.Time { return now }}, schema(steps...))
		require.NoError(t, err)
		require.NoError(t, db.Close())
		steps = append(steps, "SELECT 1")
	}
	copies, err := filepath.Glob(filepath.Join(folder, "backups", "before-migration-*.db"))
	require.NoError(t, err)
	require.Len(t, copies, 5)
	require.Contains(t, copies[0], "20260101T050000.000-to-0005")
	require.Contains(t, copies[4], "20260101T090000.000-to-0009")
	require.FileExists(t, other, "what is not ours stays")
}

func TestMigrate_WantsNumbersWithoutGaps(t *testing.T) {
	_, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")},
		fstest.MapFS{"migrations/0002_two.sql": &fstest.MapFile{Data: []byte("SELECT 1")}})
	require.ErrorContains(t, err, "expected number 0001")
}
