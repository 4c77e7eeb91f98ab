package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

type migration struct {
	number int
	name   string
	sql    string
}

// readMigrations reads the files "migrations/0001_name.sql", in their order.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	list := make([]migration, 0, len(names))
	for i, name := range names {
		base := filepath.Base(name)
		digits, _, _ := strings.Cut(base, "_")
		number, err := strconv.Atoi(digits)
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("migration %s: expected number %04d", base, i+1)
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		list = append(list, migration{number, base, string(body)})
	}
	return list, nil
}

// migrate applies what the file has not seen. The file's own user_version
// counts what it has seen, so that it changes with the migration or not at all.
func (db *DB) migrate(ctx context.Context, files fs.FS, backups string) error {
	list, err := readMigrations(files)
	if err != nil {
		return err
	}
	var seen, tables int
	err = db.reader.QueryRowContext(ctx, `
		SELECT user_version, (SELECT COUNT(*) FROM sqlite_schema)
		FROM pragma_user_version`).Scan(&seen, &tables)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema's version: %w", err)
	case seen > len(list):
		return fmt.Errorf("%w (its schema has version %d, this Berth knows up to %d)", ErrNewer, seen, len(list))
	case seen < 0, seen == 0 && tables > 0:
		return ErrForeign
	case seen == len(list):
		return nil
	case seen > 0:
		if err := db.backUp(ctx, backups, seen); err != nil {
			return err
		}
	}
	for _, m := range list[seen:] {
		if err := db.apply(ctx, m); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		db.log.InfoContext(ctx, "database migrated", "migration", m.name)
	}
	return nil
}

// apply runs one migration, whole or not at all. References are checked at its
// end instead of at each statement: to give a table another shape, SQLite has
// it made anew and the old one dropped, with which everything that refers to
// it would go (https://www.sqlite.org/lang_altertable.html#otheralter).
func (db *DB) apply(ctx context.Context, m migration) (err error) {
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
		return err
	}
	defer func() {
		_, on := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = ON")
		err = errors.Join(err, on)
	}()
	raw, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return finish(raw, func(tx *Tx) error {
		if _, err := tx.ExecContext(ctx, m.sql); err != nil {
			return err
		}
		if err := checkReferences(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(m.number))
		return err
	})
}

const (
	backupPrefix = "before-migration-"
	keepBackups  = 5
)

// backUp copies the database before a migration, and removes the oldest such
// copies.
func (db *DB) backUp(ctx context.Context, folder string, version int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder for backups: %w", err)
	}
	at := db.clock().UTC().Format("20060102T150405.000")
	path := filepath.Join(folder, fmt.Sprintf("%s%s-to-%04d.db", backupPrefix, at, version+1))
	if err := db.CopyTo(ctx, path); err != nil {
		return fmt.Errorf("copy before a migration: %w", err)
	}
	db.log.InfoContext(ctx, "database copied before a migration", "path", path)

	entries, err := os.ReadDir(folder) // sorted, and the names by their times
	if err != nil {
		return fmt.Errorf("list the backups: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), backupPrefix) || !strings.HasSuffix(e.Name(), ".db")
	})
	for _, old := range entries[:max(0, len(entries)-keepBackups)] {
		if err := os.Remove(filepath.Join(folder, old.Name())); err != nil {
			return fmt.Errorf("remove an old backup: %w", err)
		}
	}
	return nil
}
