package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// Tx is one transaction.
type Tx struct {
	*sql.Tx
	committed []func()
}

// OnCommit has f called after the transaction has committed, and never when it
// is rolled back. f must not block and must not write.
func (tx *Tx) OnCommit(f func()) { tx.committed = append(tx.committed, f) }

// Read runs f in a transaction that sees one state of the database and can
// not write. It runs beside a writer and beside other readers.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error { return within(ctx, db.reader, f) }

// Write runs f in the one transaction that may write at a time; others wait
// their turn. It commits when f returns nil and rolls back otherwise. f must
// not call Write: it would wait for itself.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error { return within(ctx, db.writer, f) }

func within(ctx context.Context, pool *sql.DB, f func(*Tx) error) error {
	raw, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return finish(raw, f)
}

func finish(raw *sql.Tx, f func(*Tx) error) error {
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
