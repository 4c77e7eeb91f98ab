package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsUnique says whether err is a breach of a UNIQUE or PRIMARY KEY constraint.
func IsUnique(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// inWords says of an error that a file could not be opened with what is wrong
// with the file, and what to do about it.
func (db *DB) inWords(err error, backups string) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // the rest tells kinds of one trouble apart
		case sqlite3.SQLITE_CORRUPT:
			err = fmt.Errorf("%w (%w)", ErrDamaged, err)
		case sqlite3.SQLITE_NOTADB:
			err = fmt.Errorf("%w (%w)", ErrForeign, err)
		case sqlite3.SQLITE_BUSY:
			err = fmt.Errorf("another program holds it locked: %w", err)
		}
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("open %s: %w: move it away and put a copy from %s in its place", db.path, err, backups)
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("open %s: %w: run the newer one, or put a copy from %s in its place", db.path, err, backups)
	case errors.Is(err, ErrForeign):
		return fmt.Errorf("open %s: %w: name another file", db.path, err)
	}
	return fmt.Errorf("open %s: %w", db.path, err)
}
