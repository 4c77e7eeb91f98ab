// Package sqlite keeps Berth's one file of state: it opens it, brings its
// schema up to date, hands out transactions and copies it while it is in use.
//
// Start with [Open], then [DB.Read] and [DB.Write]. What is stored belongs to
// the packages that store it: each keeps its SQL in its own store.go, and only
// the schema is kept here, in migrations/.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Config says which file to open.
type Config struct {
	// Path is the database file. Its folder is made, with mode 0700, when it
	// is not there. The file, its journal and its copies have mode 0600.
	Path string
	// Backups is the folder for the copies taken before a migration; beside
	// the file, in "backups", when empty. The newest five are kept.
	Backups string
	// Readers bounds the connections that read at one time; 0 means 4 a core,
	// and no more than 32.
	Readers int
	Clock   func() time.Time // time.Now when nil
	Log     *slog.Logger
}

// DB is one open database. Its methods may be called from many goroutines.
type DB struct {
	path   string
	clock  func() time.Time
	log    *slog.Logger
	mark   *openMark
	writer *sql.DB
	reader *sql.DB
}

// Errors that are in the chain of what [Open] refuses with.
var (
	// ErrNewer refuses a file written by a newer Berth.
	ErrNewer = errors.New("database is from a newer version of Berth")
	// ErrForeign refuses a file that another program keeps.
	ErrForeign = errors.New("this is not a database of Berth's")
	// ErrDamaged refuses a file that is not whole.
	ErrDamaged = errors.New("the database is damaged")
)

// Open opens the file, checks it when the last stop was not clean, and
// applies the migrations it has not seen, each in a transaction, after a copy.
// One process at a time has a file open: see [ErrInUse].
func Open(ctx context.Context, c Config) (*DB, error) { return open(ctx, c, migrationFiles) }

func open(ctx context.Context, c Config, migrations fs.FS) (db *DB, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Readers <= 0 {
		c.Readers = min(4*runtime.GOMAXPROCS(0), 32)
	}
	path, err := place(c.Path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", c.Path, err)
	}
	if c.Backups == "" {
		c.Backups = filepath.Join(filepath.Dir(path), "backups")
	}
	mark, unclean, err := markOpen(path)
	if err != nil {
		return nil, err
	}
	db = &DB{path: path, clock: c.Clock, log: c.Log, mark: mark}
	if err := db.prepare(ctx, c, unclean, migrations); err != nil {
		return nil, errors.Join(db.inWords(err, c.Backups), db.abandon(unclean))
	}
	return db, nil
}

// place makes the folder, and gives the one path that the file has: two names
// for it must not be two databases.
func place(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", errors.New("the path is empty or has a NUL in it")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(folder, filepath.Base(path)), err
}

// closeToOthers makes the file, or takes away what others may do with it.
// SQLite gives its journal the same mode. The file is opened only when it is
// new: closing it would undo the locks that SQLite has on it in this process
// (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func closeToOthers(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err == nil {
		return file.Close()
	}
	is, err := os.Stat(path)
	if err != nil || is.Mode().Perm()&0o077 == 0 {
		return err
	}
	return os.Chmod(path, 0o600)
}

func (db *DB) prepare(ctx context.Context, c Config, unclean bool, migrations fs.FS) (err error) {
	if err := closeToOthers(db.path); err != nil {
		return err
	}
	// The writer is first: it turns the file to WAL, which the readers find.
	if db.writer, err = connect(db.path, 1, "_txlock=immediate", "journal_mode(WAL)", "cache_size(-16000)"); err != nil {
		return err
	}
	if err := db.writer.PingContext(ctx); err != nil {
		return err
	}
	if db.reader, err = connect(db.path, c.Readers, "_txlock=deferred", "query_only(1)", "cache_size(-4000)"); err != nil {
		return err
	}
	if unclean {
		db.log.WarnContext(ctx, "the last stop was not clean; checking the database", "path", db.path)
		if err := db.check(ctx); err != nil {
			return err
		}
	}
	return db.migrate(ctx, migrations, c.Backups)
}

// connect makes a pool. A lock of "immediate" makes a writer take the write
// lock when it begins, so that it waits its turn instead of failing half way.
// A synchronous of FULL means that what was committed is on the disk: not even
// a cut of the machine's power takes it.
func connect(path string, size int, lock string, pragmas ...string) (*sql.DB, error) {
	pragmas = append([]string{
		"busy_timeout(10000)", "foreign_keys(1)", "synchronous(FULL)",
		"temp_store(MEMORY)", "journal_size_limit(67108864)",
	}, pragmas...)
	query := lock + "&" + url.Values{"_pragma": pragmas}.Encode()
	// Escaped, because in SQLite's own reading of a URI a ? or # ends the path.
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query}
	pool, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// Path gives the database's file.
func (db *DB) Path() string { return db.path }

// Close ends all connections and marks the stop as clean. It waits for
// transactions that have begun.
func (db *DB) Close() error {
	err := db.reader.Close() // first: a reader would hold the checkpoint up
	_, checkpoint := db.writer.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	if err := errors.Join(err, checkpoint, db.writer.Close()); err != nil {
		return errors.Join(fmt.Errorf("close database: %w", err), db.mark.leave())
	}
	return db.mark.clean()
}

// abandon closes what Open could not finish. The next start checks the file
// when this one would have.
func (db *DB) abandon(unclean bool) error {
	var err error
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	if unclean {
		return errors.Join(err, db.mark.leave())
	}
	return errors.Join(err, db.mark.clean())
}

// CopyTo writes a consistent copy, with mode 0600, to a file that must not
// exist yet, while others read and write. The copy is on disk when it returns.
func (db *DB) CopyTo(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	// Made here, so that it is never readable by others; SQLite takes an empty
	// file for one that is not there.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	err = db.copyInto(ctx, path)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("copy database to %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// copyInto takes a connection of its own: to SQLite a copy is a write, which a
// reader may not do, and it would keep the writer from writing.
func (db *DB) copyInto(ctx context.Context, path string) error {
	pool, err := connect(db.path, 1, "_txlock=deferred")
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, "VACUUM INTO ?", path)
	return errors.Join(err, pool.Close())
}

// check asks SQLite whether the file is whole and refers to nothing that is
// not there.
func (db *DB) check(ctx context.Context) error {
	began := db.clock()
	var said string
	if err := db.reader.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&said); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if said != "ok" {
		return fmt.Errorf("%w (%s)", ErrDamaged, strings.Join(strings.Fields(said), " "))
	}
	if err := checkReferences(ctx, db.reader); err != nil {
		return err
	}
	db.log.InfoContext(ctx, "the database is whole", "took", db.clock().Sub(began).String())
	return nil
}

// queryer is what both a pool and a transaction can do.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func checkReferences(ctx context.Context, q queryer) error {
	rows, err := q.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return fmt.Errorf("check references: %w", err)
	}
	defer rows.Close()
	if rows.Next() {
		var table, parent string
		var row sql.NullInt64
		var key int
		if err := rows.Scan(&table, &row, &parent, &key); err != nil {
			return fmt.Errorf("check references: %w", err)
		}
		return fmt.Errorf("%w (%s row %s refers to a row of %s that is not there)",
			ErrDamaged, table, strconv.FormatInt(row.Int64, 10), parent)
	}
	return rows.Err()
}
