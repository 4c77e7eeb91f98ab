package sqlite_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

// schema is a small migration set: the tests bring their own, so that they say
// what they need.
func schema(migrations ...string) fs.FS {
	files := fstest.MapFS{}
	for i, sql := range migrations {
		files[fmt.Sprintf("migrations/%04d_step.sql", i+1)] = &fstest.MapFile{Data: []byte(sql)}
	}
	return files
}

const notes = `
	CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
	CREATE TABLE replies (id INTEGER PRIMARY KEY, note INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE) STRICT;`

func open(t *testing.T, path string, migrations ...string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: path}, schema(migrations...))
	require.NoError(t, err)
	return db
}

// openNotes gives a database of notes that is closed at the test's end.
func openNotes(t *testing.T) *sqlite.DB {
	t.Helper()
	db := open(t, filepath.Join(t.TempDir(), "berth.db"), notes)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func write(ctx context.Context, db *sqlite.DB, query string, args ...any) error {
	return db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

func count(t *testing.T, db *sqlite.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n)
	}))
	return n
}

func pragma(t *testing.T, db *sqlite.DB, name string) (value string) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value)
	}))
	return value
}

func TestOpen_AppliesTheRealMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "berth.db")
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	require.Equal(t, 0, count(t, db, "events"))
	require.NoError(t, db.Close())

	db, err = sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err, "and finds them applied the next time")
	require.NoError(t, db.Close())
	require.NoDirExists(t, filepath.Join(filepath.Dir(path), "backups"))
}

func TestOpen_SetsWhatTheStoreRestsOn(t *testing.T) {
	db := openNotes(t)
	require.Equal(t, "wal", pragma(t, db, "journal_mode"))
	require.Equal(t, "1", pragma(t, db, "foreign_keys"))
	require.Equal(t, "10000", pragma(t, db, "busy_timeout"))
}

func TestOpen_TakesPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{"with space", "per%20cent", "what?", "hash#tag", "a&b=c", "semi;colon", "äöü-日本", "quote'\"", "file:x", "back\\slash"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			path := filepath.Join(folder, name+".db")
			db := open(t, path, notes)
			require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('here')"))
			require.NoError(t, db.CopyTo(t.Context(), filepath.Join(folder, name+".copy")))
			require.NoError(t, db.Close())

			entries, err := os.ReadDir(folder)
			require.NoError(t, err)
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			require.ElementsMatch(t, []string{name + ".db", name + ".db-open", name + ".copy"}, names)
			for _, file := range []string{path, filepath.Join(folder, name+".copy")} {
				again := open(t, file, notes)
				require.Equal(t, 1, count(t, again, "notes"))
				require.NoError(t, again.Close())
			}
		})
	}
}

func TestOpen_RefusesNoPath(t *testing.T) {
	for _, path := range []string{"", "a\x00b"} {
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		require.ErrorContains(t, err, "path is empty")
	}
}

func TestOpen_KeepsFilesFromOthers(t *testing.T) {
	mode := func(path string) fs.FileMode {
		t.Helper()
		is, err := os.Stat(path)
		require.NoError(t, err)
		return is.Mode().Perm()
	}
	folder := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(folder, "berth.db")
	db := open(t, path, notes)
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('mine')"))
	require.NoError(t, db.CopyTo(t.Context(), filepath.Join(folder, "copy.db")))
	require.Equal(t, fs.FileMode(0o700), mode(folder))
	for _, file := range []string{path, path + "-wal", path + "-shm", path + "-open", filepath.Join(folder, "copy.db")} {
		require.Equal(t, fs.FileMode(0o600), mode(file), file)
	}
	require.NoError(t, db.Close())

	require.NoError(t, os.Chmod(path, 0o644))
	db = open(t, path, notes, "ALTER TABLE notes ADD COLUMN more TEXT")
	require.Equal(t, fs.FileMode(0o600), mode(path), "what was open to others is closed")
	require.Equal(t, fs.FileMode(0o700), mode(filepath.Join(folder, "backups")))
	copies, err := filepath.Glob(filepath.Join(folder, "backups", "*"))
	require.NoError(t, err)
	require.Len(t, copies, 1)
	require.Equal(t, fs.FileMode(0o600), mode(copies[0]))
	require.NoError(t, db.Close())
}
