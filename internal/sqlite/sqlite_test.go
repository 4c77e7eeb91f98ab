package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

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

func TestWrite_RollsBackOnErrorAndCallsNothing(t *testing.T) {
	db := openNotes(t)
	stop := errors.New("stop")
	called := false
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		tx.OnCommit(func() { called = true })
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES ('gone')"); err != nil {
			return err
		}
		return stop
	})
	require.ErrorIs(t, err, stop)
	require.False(t, called)
	require.Equal(t, 0, count(t, db, "notes"))
}

func TestWrite_RollsBackOnPanic(t *testing.T) {
	db := openNotes(t)
	require.Panics(t, func() {
		_ = db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, _ = tx.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES ('gone')")
			panic("oh")
		})
	})
	require.Equal(t, 0, count(t, db, "notes"))
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('the writer is free again')"))
}

func TestWrite_RollsBackWhenItsContextEnds(t *testing.T) {
	db := openNotes(t)
	ctx, cancel := context.WithCancel(t.Context())
	called := false
	err := db.Write(ctx, func(tx *sqlite.Tx) error {
		tx.OnCommit(func() { called = true })
		_, err := tx.ExecContext(ctx, "INSERT INTO notes (text) VALUES ('gone')")
		cancel()
		return err
	})
	require.Error(t, err)
	require.False(t, called)
	require.Equal(t, 0, count(t, db, "notes"))
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('the writer is free again')"))
}

func TestWrite_CallsBackAfterTheCommitIsVisible(t *testing.T) {
	db := openNotes(t)
	seen := 0
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		tx.OnCommit(func() { seen = count(t, db, "notes") })
		_, err := tx.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES ('here')")
		return err
	}))
	require.Equal(t, 1, seen)
}

func TestRead_CanNotWrite(t *testing.T) {
	db := openNotes(t)
	err := db.Read(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES ('no')")
		return err
	})
	require.ErrorContains(t, err, "readonly")
}

func TestRead_SeesOneState(t *testing.T) {
	db := openNotes(t)
	require.NoError(t, db.Read(t.Context(), func(tx *sqlite.Tx) error {
		var before, after int
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM notes").Scan(&before))
		require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('meanwhile')"))
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM notes").Scan(&after))
		require.Equal(t, before, after)
		return nil
	}))
	require.Equal(t, 1, count(t, db, "notes"))
}

func TestDB_HoldsReferencesAndNamesBreaches(t *testing.T) {
	db := openNotes(t)
	require.ErrorContains(t, write(t.Context(), db, "INSERT INTO replies (note) VALUES (7)"), "FOREIGN KEY")
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (id, text) VALUES (7, 'x')"))
	require.NoError(t, write(t.Context(), db, "INSERT INTO replies (note) VALUES (7)"))

	unique := write(t.Context(), db, "INSERT INTO notes (text) VALUES ('x')")
	require.True(t, sqlite.IsUnique(unique))
	require.True(t, sqlite.IsUnique(fmt.Errorf("wrapped: %w", write(t.Context(), db, "INSERT INTO notes (id, text) VALUES (7, 'y')"))))
	require.False(t, sqlite.IsUnique(write(t.Context(), db, "INSERT INTO notes (text) VALUES (NULL)")))
	require.False(t, sqlite.IsUnique(nil))

	require.NoError(t, write(t.Context(), db, "DELETE FROM notes"))
	require.Equal(t, 0, count(t, db, "replies"), "the cascade holds")
}

func TestDB_ManyWritersAndReadersAtOnce(t *testing.T) {
	db := openNotes(t)
	const writers, each = 8, 25
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range each {
				// Reads, then writes: without the lock at the beginning this is
				// what fails as busy however long the wait.
				err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
					var n int
					if err := tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM notes").Scan(&n); err != nil {
						return err
					}
					_, err := tx.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES (?)", fmt.Sprint(w, " ", i))
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range writers {
		work.Go(func() {
			last := 0
			for range each {
				n := 0
				err := db.Read(t.Context(), func(tx *sqlite.Tx) error {
					return tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM notes").Scan(&n)
				})
				if err != nil || n < last {
					t.Error(err, n, last)
					return
				}
				last = n
			}
		})
	}
	work.Wait()
	require.Equal(t, writers*each, count(t, db, "notes"))
}

func TestWrite_WaitsForAnotherProgramsLock(t *testing.T) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("needs the sqlite3 command: apt-get install sqlite3")
	}
	db := openNotes(t)
	other := exec.CommandContext(t.Context(), "sqlite3", "-cmd", ".timeout 5000", db.Path())
	in, err := other.StdinPipe()
	require.NoError(t, err)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	_, err = in.Write([]byte("BEGIN IMMEDIATE;\nINSERT INTO notes (text) VALUES ('other');\nSELECT 'locked';\n"))
	require.NoError(t, err)
	said := make([]byte, 7)
	_, err = out.Read(said)
	require.NoError(t, err)
	require.Equal(t, "locked\n", string(said))

	done := make(chan error, 1)
	go func() { done <- write(t.Context(), db, "INSERT INTO notes (text) VALUES ('ours')") }()
	require.Equal(t, 0, count(t, db, "notes"), "readers go on meanwhile")
	select {
	case err := <-done:
		t.Fatal("did not wait: ", err)
	case <-time.After(100 * time.Millisecond):
	}
	_, err = in.Write([]byte("COMMIT;\n.quit\n"))
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.NoError(t, other.Wait())
	require.Equal(t, 2, count(t, db, "notes"))
}

func TestCopyTo_IsWholeWhileOthersWrite(t *testing.T) {
	db := openNotes(t)
	var stopped atomic.Bool
	var work sync.WaitGroup
	began := make(chan struct{})
	work.Go(func() {
		for i := 0; !stopped.Load(); i++ {
			// Two rows in one transaction: a copy has both or none.
			err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
				if _, err := tx.ExecContext(t.Context(), "INSERT INTO notes (id, text) VALUES (?, ?)", i+1, strings.Repeat("x", 500)+strconv.Itoa(i)); err != nil {
					return err
				}
				_, err := tx.ExecContext(t.Context(), "INSERT INTO replies (note) VALUES (?)", i+1)
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			if i == 50 {
				close(began)
			}
		}
	})
	<-began
	for i := range 3 {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, ".db"))
		require.NoError(t, db.CopyTo(t.Context(), path))
		copied := open(t, path, notes)
		require.Positive(t, count(t, copied, "notes"))
		require.Equal(t, count(t, copied, "notes"), count(t, copied, "replies"))
		require.NoError(t, copied.Close())
	}
	stopped.Store(true)
	work.Wait()
}

func TestCopyTo_NeverOverwrites(t *testing.T) {
	db := openNotes(t)
	path := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	require.ErrorIs(t, db.CopyTo(t.Context(), path), fs.ErrExist)
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "precious", string(left))
}

func TestCopyTo_LeavesNothingHalfDone(t *testing.T) {
	db := openNotes(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "copy.db")
	require.ErrorIs(t, db.CopyTo(ctx, path), context.Canceled)
	require.NoFileExists(t, path)
}

func TestNewID_SortsByTimeAndRepeatsNever(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := sqlite.NewID(now)
	require.Len(t, last, 26)
	require.Regexp(t, `^[0-9a-v]{26}$`, last)
	seen := map[string]bool{}
	for i := range 1000 {
		id := sqlite.NewID(now.Add(time.Duration(i+1) * time.Millisecond))
		require.Greater(t, id, last)
		last = id
		same := sqlite.NewID(now)
		require.False(t, seen[same])
		seen[same] = true
	}
	require.Greater(t, sqlite.NewID(time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)), last)
}

func TestTime_ReadsWhatMillisStored(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	require.Equal(t, at, sqlite.Time(sqlite.Millis(at)))
	require.Equal(t, at, sqlite.Time(sqlite.Millis(at.In(time.FixedZone("there", 7200)))))
	require.Zero(t, sqlite.Millis(time.Time{}))
	require.True(t, sqlite.Time(0).IsZero())
}

func BenchmarkWrite(b *testing.B) {
	db, err := sqlite.OpenWith(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "berth.db")}, schema(notes))
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		require.NoError(b, write(b.Context(), db, "INSERT INTO notes (text) VALUES (?)", i))
	}
	require.NoError(b, db.Close())
}

func BenchmarkRead(b *testing.B) {
	db, err := sqlite.OpenWith(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "berth.db")}, schema(notes))
	require.NoError(b, err)
	require.NoError(b, write(b.Context(), db, "INSERT INTO notes (id, text) VALUES (1, 'x')"))
	b.SetParallelism(2 * runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := db.Read(b.Context(), func(tx *sqlite.Tx) error {
				var text string
				return tx.QueryRowContext(b.Context(), "SELECT text FROM notes WHERE id = 1").Scan(&text)
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	require.NoError(b, db.Close())
}
