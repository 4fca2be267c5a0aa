package zodb

import (
	"context"
	"errors"
	"io"
	"iter"
)

// Transactions ranges over what it has left to return, which stays the caller's to close:
//
//	for txn, err := range zodb.Transactions(ctx, it) {
//		if err != nil {
//			return err
//		}
//		for rec, err := range zodb.Records(txn) {
//			if err != nil {
//				return err
//			}
//			…
//		}
//	}
//
// An error is the last thing that comes, and its transaction is nil. The end of a storage is none; the end of ctx is,
// also where it is the usual end of a following iterator. A transaction is valid until the next one.
func Transactions(ctx context.Context, it Iterator) iter.Seq2[Transaction, error] {
	return func(yield func(Transaction, error) bool) {
		for {
			txn, err := it.Next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, err)
				return
			case !yield(txn, nil):
				return
			}
		}
	}
}

// Records ranges over what is left of the records of a transaction. An error is the last thing that comes; a record
// that comes with it says which one it is that cannot be read. A record is valid until the next one.
func Records(txn Transaction) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for {
			rec, err := txn.NextRecord()
			if errors.Is(err, io.EOF) || !yield(rec, err) || err != nil {
				return
			}
		}
	}
}
