package filestorage

import (
	"context"
	"errors"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// An iterator walks the transactions of a source from a position up to its moving end. It reads ahead in one buffer and
// reuses the transaction and the record that it returns. Transactions of status 'u' are among what it returns: whoever
// copies a file needs them.
//
// It stays usable after an error that passes, such as a context's: the next call of Next tries the same transaction.
type iterator struct {
	txnReader
	follow bool
	pos    int64 // after the transaction returned last
	last   zodb.Tid
	closed bool
}

// iterate returns an iterator over the transactions of src with tids above after. It releases src when it is closed.
func iterate(src *source, after zodb.Tid, follow bool) (*iterator, error) {
	pos, err := src.positionAfter(context.Background(), after)
	if err != nil {
		return nil, src.met(err)
	}
	return &iterator{txnReader: txnReader{src: src}, follow: follow, pos: pos, last: after}, nil
}

// Next returns the next transaction; what the last call returned is void.
func (it *iterator) Next(ctx context.Context) (zodb.Transaction, error) {
	if it.closed {
		return nil, zodb.ErrClosed
	}
	if err := it.closeBlob(); err != nil {
		return nil, err
	}
	end, err := it.more(ctx)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := it.open(it.pos, end); err != nil {
		return nil, it.meets(err)
	}
	it.pos, it.last = it.after(), it.meta.Tid
	return &it.txnReader, nil
}

// more returns how far the source is committed, once that is after pos.
func (it *iterator) more(ctx context.Context) (end int64, err error) {
	for {
		end, _ := it.src.get()
		if it.pos < end {
			return end, nil
		}
		if !it.follow && it.pos == end && it.src.ended() == nil {
			return 0, io.EOF
		}
		err := it.src.wait(ctx, end)
		if errors.Is(err, errReplaced) {
			err = it.succeed(ctx)
		}
		if err != nil {
			return 0, err
		}
	}
}

// succeed goes over to the file that took the place of the one now read to its end.
func (it *iterator) succeed(ctx context.Context) error {
	next, err := it.src.successor(ctx)
	if err != nil {
		return err
	}
	pos, err := next.positionAfter(ctx, it.last)
	if err != nil {
		return errors.Join(err, next.release())
	}
	old := it.src
	it.txnReader = txnReader{src: next, win: window{buf: it.win.buf[:0]}, text: it.text}
	it.pos = pos
	return old.release()
}

// Pending reports whether more is committed.
func (it *iterator) Pending() bool {
	end, _ := it.src.get()
	return it.pos < end
}

// Position returns the offset after the transaction returned last.
func (it *iterator) Position() int64 { return it.pos }

// Committed returns the offset up to which there are transactions now.
func (it *iterator) Committed() int64 {
	end, _ := it.src.get()
	return end
}

// Again returns an iterator whose first transaction is the one returned last, and which ends where this one's file is
// committed now.
func (it *iterator) Again() (zodb.Iterator, error) {
	if it.closed || it.src.share == nil {
		return nil, zodb.ErrClosed
	}
	src := it.src.share()
	return &iterator{txnReader: txnReader{src: src}, pos: it.txnReader.pos, last: it.last}, nil
}

// Close closes the blob that is open and lets go of the file.
func (it *iterator) Close() error {
	if it.closed {
		return nil
	}
	it.closed = true
	return errors.Join(it.closeBlob(), it.src.release())
}

// Park releases the buffers of an iterator that is not used for a while. The iterator continues at the same place; of
// the last result only the tid and the status are still valid.
func (it *iterator) Park() {
	it.win = window{file: it.win.file, size: it.win.size}
	it.small.Reset(nil)
	it.text = nil
	it.meta = zodb.TxnMeta{Tid: it.meta.Tid, Status: it.meta.Status}
}
