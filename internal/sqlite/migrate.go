package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

type migration struct {
	number int
	name   string
	sql    string
}

// migrations reads the embedded files, "0001_name.sql", in their order.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	list := make([]migration, 0, len(names))
	for i, name := range names {
		base := filepath.Base(name)
		number, err := strconv.Atoi(strings.SplitN(base, "_", 2)[0])
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
func (db *DB) migrate(ctx context.Context, backups string) error {
	list, err := migrations(migrationFiles)
	if err != nil {
		return err
	}
	var seen int
	if err := db.reader.QueryRowContext(ctx, "PRAGMA user_version").Scan(&seen); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if seen > len(list) {
		return fmt.Errorf("%s has schema version %d, this Berth knows up to %d: %w; run the newer one, or restore a copy from %s",
			db.path, seen, len(list), ErrNewer, backups)
	}
	if seen == len(list) {
		return nil
	}
	if seen > 0 {
		if err := db.backUp(ctx, backups, seen); err != nil {
			return err
		}
	}
	for _, m := range list[seen:] {
		err := db.Write(ctx, func(tx *Tx) error {
			if _, err := tx.ExecContext(ctx, m.sql); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(m.number))
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		db.log.InfoContext(ctx, "database migrated", "migration", m.name)
	}
	return nil
}

func (db *DB) backUp(ctx context.Context, folder string, version int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder for backups: %w", err)
	}
	name := fmt.Sprintf("before-migration-%04d-%s.db", version+1, time.Now().UTC().Format("20060102T150405.000"))
	path := filepath.Join(folder, name)
	if err := db.CopyTo(ctx, path); err != nil {
		return errors.Join(errors.New("copy before migration"), err)
	}
	db.log.InfoContext(ctx, "database copied before a migration", "path", path)
	return nil
}
