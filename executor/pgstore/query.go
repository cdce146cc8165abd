package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

type queryer interface {
	execer
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// rowsOf returns the rows of a statement, each as row makes it.
func rowsOf[T any](ctx context.Context, q queryer, row pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, row)
}

// ask is rowsOf as a statement of its own.
func ask[T any](ctx context.Context, s *Store, row pgx.RowToFunc[T], sql string, args ...any) (list []T, err error) {
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		list, err = rowsOf(ctx, conn, row, sql, args...)
		return err
	})
	return list, err
}

// orNone is the error of a statement that need not have a row.
func orNone(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
