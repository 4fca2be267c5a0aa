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
	cursor
	src source // for its checks
	end int64
}

// newWalker returns a walker in front of the transaction at pos; the last one ends at end.
func newWalker(ctx context.Context, file vfs.File, path string, pos, end int64) *walker {
	return &walker{scan: newScan(ctx, file, path, end), src: source{path: path}, end: end,
		cursor: cursor{pos: pos}}
}

// next goes to the next transaction and reports whether there is one.
func (w *walker) next() (bool, error) {
	if w.txn.Length > 0 {
		if err := w.checkSecond(w.scan); err != nil {
			return false, err
		}
		w.pos = w.after()
	}
	if w.pos >= w.end {
		return false, nil
	}
	if _, err := w.enter(w.scan, w.pos); err != nil {
		return false, err
	}
	return true, w.src.checkTxn(&w.txn, w.pos, w.end)
}

// each goes to all transactions that are left, and calls f at each, until it returns an error.
func (w *walker) each(f func() error) error {
	for {
		if more, err := w.next(); err != nil || !more {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// records calls f for the records of the transaction, until it returns an error.
func (w *walker) records(f func(record) error) error {
	end := w.second()
	for pos := w.first(); pos < end; {
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
