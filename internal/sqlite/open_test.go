package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/needs"
	"berth/internal/sqlite"
)

// asProcess is the environment variable with which this test binary becomes
// another Berth that opens the database named in it and says so.
const asProcess = "BERTH_TEST_OPEN"

func TestMain(m *testing.M) {
	path := os.Getenv(asProcess)
	if path == "" {
		os.Exit(m.Run())
	}
	db, err := sqlite.OpenWith(context.Background(), sqlite.Config{Path: path}, schema(notes))
	if err == nil {
		err = write(context.Background(), db, "INSERT INTO notes (text) VALUES ('from the other')")
	}
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("open\n")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until it is killed, or told to end
	if err := db.Close(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// startOther starts another process with the database open.
func startOther(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), asProcess+"="+path)
	_, err := other.StdinPipe()
	require.NoError(t, err)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", said)
	return other
}

func kill(t *testing.T, other *exec.Cmd) {
	t.Helper()
	require.NoError(t, other.Process.Kill())
	_ = other.Wait()
}

// openLogged opens and gives what was logged.
func openLogged(t *testing.T, path string, migrations ...string) (db *sqlite.DB, log string, err error) {
	t.Helper()
	var said bytes.Buffer
	db, err = sqlite.OpenWith(t.Context(), sqlite.Config{Path: path, Log: slog.New(slog.NewTextHandler(&said, nil))}, schema(migrations...))
	return db, said.String(), err
}

func TestOpen_RefusesASecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	other := startOther(t, path)
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		_, _, err := openLogged(t, name, notes)
		require.ErrorIs(t, err, sqlite.ErrInUse)
		require.ErrorContains(t, err, "another data folder")
		require.ErrorContains(t, err, "process")
	}
	kill(t, other)
	db, _, err := openLogged(t, path, notes)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func TestOpen_RefusesASecondTimeAndHarmsNotTheFirst(t *testing.T) {
	db := openNotes(t)
	_, err := sqlite.OpenWith(t.Context(), sqlite.Config{Path: db.Path()}, schema(notes))
	require.ErrorIs(t, err, sqlite.ErrInUse)
	require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES ('still mine')"))
}

func TestOpen_ChecksAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	kill(t, startOther(t, path))

	db, log, err := openLogged(t, path, notes)
	require.NoError(t, err)
	require.Contains(t, log, "the last stop was not clean")
	require.Contains(t, log, "the database is whole")
	require.Equal(t, 1, count(t, db, "notes"), "what the other committed is here")
	require.NoError(t, db.Close())

	db, log, err = openLogged(t, path, notes)
	require.NoError(t, err)
	require.NotContains(t, log, "not clean")
	require.NoError(t, db.Close())
}

// damage fills a database, has its last stop not clean, and spoils pages.
func damage(t *testing.T, spoil func(file []byte)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	db := open(t, path, notes)
	for i := range 200 {
		require.NoError(t, write(t.Context(), db, "INSERT INTO notes (text) VALUES (?)", strings.Repeat("note ", 50)+string(rune('A'+i))))
	}
	require.NoError(t, db.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	spoil(file)
	require.NoError(t, os.WriteFile(path, file, 0o600))
	require.NoError(t, os.WriteFile(path+"-open", []byte("12345\n"), 0o600))
	return path
}

func TestOpen_SaysInWordsThatTheFileIsDamaged(t *testing.T) {
	for name, spoil := range map[string]func([]byte){
		"a page of zeroes":    func(file []byte) { clear(file[len(file)/2/4096*4096:][:4096]) },
		"noise in the middle": func(file []byte) { copy(file[len(file)/2:], bytes.Repeat([]byte{0xA5}, 9000)) },
		"the schema is noise": func(file []byte) { copy(file[100:], bytes.Repeat([]byte{0xA5}, 3000)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := damage(t, spoil)
			for range 2 { // it stays unclean: the next start checks again
				_, _, err := openLogged(t, path, notes)
				require.ErrorIs(t, err, sqlite.ErrDamaged)
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, "put a copy from "+filepath.Join(filepath.Dir(path), "backups"))
			}
		})
	}
}

func TestOpen_FindsRowsThatReferToNothing(t *testing.T) {
	needs.Program(t, "sqlite3")
	path := damage(t, func([]byte) {})
	out, err := exec.CommandContext(t.Context(), "sqlite3", path, "INSERT INTO replies (note) VALUES (9999)").CombinedOutput()
	require.NoError(t, err, string(out))
	_, _, err = openLogged(t, path, notes)
	require.ErrorIs(t, err, sqlite.ErrDamaged)
	require.ErrorContains(t, err, "replies")
}

func TestOpen_LeavesFilesOfOthersAlone(t *testing.T) {
	text := filepath.Join(t.TempDir(), "letter.txt")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("Dear reader, ", 400)), 0o600))
	_, _, err := openLogged(t, text, notes)
	require.ErrorIs(t, err, sqlite.ErrForeign)
	left, err := os.ReadFile(text)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("Dear reader, ", 400), string(left))

	db := openNotes(t)
	require.NoError(t, write(t.Context(), db, "PRAGMA user_version = 0"))
	path := filepath.Join(t.TempDir(), "another.db")
	require.NoError(t, db.CopyTo(t.Context(), path))
	_, _, err = openLogged(t, path, notes)
	require.ErrorIs(t, err, sqlite.ErrForeign, "a database with tables, but none of our migrations")
}

func TestOpen_GoesOnAfterAStopInTheMiddleOfARead(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "berth.db"), notes)
	begun, done := make(chan struct{}), make(chan error, 1)
	hold := make(chan struct{})
	go func() {
		done <- db.Read(context.Background(), func(tx *sqlite.Tx) error {
			close(begun)
			<-hold
			var n int
			return tx.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM notes").Scan(&n)
		})
	}()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	require.NoError(t, <-closed)
	<-done // whatever came of it, it has come to its end
	db, log, err := openLogged(t, db.Path(), notes)
	require.NoError(t, err)
	require.NotContains(t, log, "not clean")
	require.NoError(t, db.Close())
}
