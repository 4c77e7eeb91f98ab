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
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Config says which file to open.
type Config struct {
	// Path is the database file. Its folder is made, with mode 0700, when it
	// is not there.
	Path string
	// Backups is the folder for the copies taken before a migration; beside
	// the file, in "backups", when empty.
	Backups string
	// Readers bounds the connections that read at one time; 0 means 4 a core.
	Readers int
	Log     *slog.Logger
}

// DB is one open database. Its methods may be called from many goroutines.
type DB struct {
	path   string
	log    *slog.Logger
	writer *sql.DB
	reader *sql.DB
}

// ErrNewer is in the chain of the error that refuses a file written by a
// newer Berth.
var ErrNewer = errors.New("database is from a newer version of Berth")

// Open opens the file, checks it when the last stop was not clean, and
// applies the migrations it has not seen, each in a transaction, after a copy.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Path == "" {
		return nil, errors.New("open database: no path")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Readers == 0 {
		c.Readers = 4 * runtime.GOMAXPROCS(0)
	}
	if c.Backups == "" {
		c.Backups = filepath.Join(filepath.Dir(c.Path), "backups")
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("make the database's folder: %w", err)
	}
	unclean, err := markOpen(c.Path)
	if err != nil {
		return nil, err
	}

	db := &DB{path: c.Path, log: c.Log}
	if db.writer, err = connect(c.Path, "immediate", 1); err != nil {
		return nil, err
	}
	if db.reader, err = connect(c.Path, "deferred", c.Readers); err != nil {
		return nil, errors.Join(err, db.writer.Close())
	}
	if err := db.prepare(ctx, unclean, c.Backups); err != nil {
		return nil, errors.Join(err, db.reader.Close(), db.writer.Close())
	}
	return db, nil
}

func (db *DB) prepare(ctx context.Context, unclean bool, backups string) error {
	if unclean {
		db.log.WarnContext(ctx, "the last stop was not clean; checking the database")
		if err := db.check(ctx); err != nil {
			return err
		}
	}
	return db.migrate(ctx, backups)
}

// connect opens a pool. _txlock makes a writer take the write lock when it
// begins, so that it waits its turn instead of failing half way.
func connect(path, lock string, size int) (*sql.DB, error) {
	q := url.Values{
		"_txlock": {lock},
		"_pragma": {
			"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)",
			"busy_timeout(10000)", "temp_store(MEMORY)", "cache_size(-16000)",
		},
	}
	if lock == "deferred" {
		q.Add("_pragma", "query_only(1)")
	}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxIdleTime(0)
	return pool, nil
}

// Tx is one transaction.
type Tx struct {
	*sql.Tx
	committed []func()
}

// OnCommit has f called after the transaction is on disk, and never when it
// is rolled back. f must not block and must not write.
func (tx *Tx) OnCommit(f func()) { tx.committed = append(tx.committed, f) }

// Read runs f in a transaction that sees one state of the database and can
// not write. It runs beside a writer and beside other readers.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error { return within(ctx, db.reader, f) }

// Write runs f in the one transaction that may write at a time; others wait
// their turn. It commits when f returns nil and rolls back otherwise.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error { return within(ctx, db.writer, f) }

func within(ctx context.Context, pool *sql.DB, f func(*Tx) error) error {
	raw, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = raw.Rollback() }() // after a commit this does nothing
	tx := &Tx{Tx: raw}
	if err := f(tx); err != nil {
		return err
	}
	if err := raw.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, then := range tx.committed {
		then()
	}
	return nil
}

// Path gives the database's file.
func (db *DB) Path() string { return db.path }

// Close ends all connections and marks the stop as clean.
func (db *DB) Close() error {
	_, checkpoint := db.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if err := errors.Join(checkpoint, db.reader.Close(), db.writer.Close()); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return markClosed(db.path)
}

// CopyTo writes a consistent copy to a file that must not exist yet, while
// others read and write.
func (db *DB) CopyTo(ctx context.Context, path string) error {
	if _, err := db.reader.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy database to %s: %w", path, err)
	}
	return os.Chmod(path, 0o600)
}

// check asks SQLite whether the file is whole.
func (db *DB) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var said string
	if err := db.reader.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return fmt.Errorf("check database %s: %w", db.path, err)
	}
	if said != "ok" {
		return fmt.Errorf("database %s is damaged (%s): restore a copy from its backups folder", db.path, said)
	}
	return nil
}

// IsUnique says whether err is a breach of a UNIQUE or PRIMARY KEY constraint.
func IsUnique(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}
