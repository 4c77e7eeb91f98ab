package sqlite_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/sqlite"
)

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
