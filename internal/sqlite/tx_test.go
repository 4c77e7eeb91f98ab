package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
	"berth/internal/sqlite"
)

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
	needs.Program(t, "sqlite3")
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
