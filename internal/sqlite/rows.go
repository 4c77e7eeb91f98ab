package sqlite

import (
	"context"
	"strings"
)

// Row is a row to read from: *sql.Row or *sql.Rows.
type Row interface{ Scan(into ...any) error }

// All reads every row of a query. With none it gives an empty list, not nil:
// what JSON is made of says "[]".
func All[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return list, nil
}

// Placeholders gives "?, ?, ?" for a list of values, and the values as
// arguments.
func Placeholders[T any](values []T) (placeholders string, args []any) {
	args = make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", "), args
}
