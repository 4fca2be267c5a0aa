package filestorage

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A walker goes over committed transactions, front to back, and checks their structure.
type walker struct {
	*scan
	src source // for its checks
	end int64
	pos int64 // of the transaction
	txn txnHeader
}

// newWalker returns a walker in front of the transaction at pos; the last one ends at end.
func newWalker(ctx context.Context, file vfs.File, path string, pos, end int64) *walker {
	return &walker{scan: newScan(ctx, file, path, end), src: source{path: path}, end: end, pos: pos}
}

// next goes to the next transaction and reports whether there is one.
func (w *walker) next() (bool, error) {
	if w.txn.Length > 0 {
		if err := w.checkSecond(); err != nil {
			return false, err
		}
		w.pos += int64(w.txn.Length) + lengthLen
	}
	if w.pos >= w.end {
		return false, nil
	}
	b, err := w.bytes(w.pos, txnHeaderLen)
	if err != nil {
		return false, err
	}
	w.txn.decode(b)
	return true, w.src.checkTxn(&w.txn, w.pos, w.end)
}

func (w *walker) checkSecond() error {
	at := w.pos + int64(w.txn.Length)
	b, err := w.bytes(at, lengthLen)
	if err != nil {
		return err
	}
	if second := binary.BigEndian.Uint64(b); second != w.txn.Length {
		want := fmt.Sprintf("the length %d of the transaction at %d again", w.txn.Length, w.pos)
		return w.corrupt(at, want, fmt.Sprint(second))
	}
	return nil
}

// records calls f for the records of the transaction, until it returns an error.
func (w *walker) records(f func(record) error) error {
	end := w.pos + int64(w.txn.Length)
	for pos := w.pos + w.txn.headerLen(); pos < end; {
		h, err := w.header(pos, end, w.pos)
		if err != nil {
			return err
		}
		r := record{recHeader: h, pos: pos}
		if h.PLen == 0 {
			if r.back, err = w.backPointer(pos); err != nil {
				return err
			}
		}
		if err := f(r); err != nil {
			return err
		}
		pos += h.length()
	}
	return nil
}

// backPointer returns that of the record at pos, which has no data.
func (w *walker) backPointer(pos int64) (int64, error) {
	b, err := w.bytes(pos+recHeaderLen, backLen)
	if err != nil {
		return 0, err
	}
	back := int64(binary.BigEndian.Uint64(b))
	if back < 0 || back >= pos {
		return 0, w.corrupt(pos+recHeaderLen, "a back pointer to an earlier record", fmt.Sprint(back))
	}
	return back, nil
}
