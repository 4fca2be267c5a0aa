package filestorage

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// An UndoEntry describes a transaction that can be undone, unless later ones are in the way.
type UndoEntry struct {
	Tid         zodb.Tid
	Size        int64 // in bytes, without the second length
	User        []byte
	Description []byte
	Extension   []byte // raw; ZODB adds the entries of this dictionary to the others, and they win
}

// ID returns the id that ZODB's undo methods know the transaction by: the tid in base64, 12 characters.
func (e *UndoEntry) ID() string {
	b := e.Tid.Bytes()
	return base64.StdEncoding.EncodeToString(b[:])
}

// ParseUndoID is the reverse of UndoEntry.ID. The error is a *zodb.UndoError.
func ParseUndoID(id string) (zodb.Tid, error) {
	b, err := base64.StdEncoding.DecodeString(id)
	if err != nil || len(b) != len(zodb.Tid(0).Bytes()) {
		return 0, &zodb.UndoError{Reason: fmt.Sprintf("%s: %.20q", undoNoTransaction, id)}
	}
	return zodb.Tid(binary.BigEndian.Uint64(b)), nil
}

// UndoLog is as Storage.UndoLog.
func (a *Attached) UndoLog(ctx context.Context, first, last int, filter func(*UndoEntry) bool) ([]UndoEntry, error) {
	src, err := a.acquire()
	if err != nil {
		return nil, err
	}
	return src.listUndo(ctx, first, last, filter)
}

// listUndo is the last that is done with the source.
func (s *source) listUndo(ctx context.Context, first, last int, filter func(*UndoEntry) bool) ([]UndoEntry, error) {
	if last < 0 {
		last = first - last
	}
	list, err := s.undoLog(ctx, first, last, filter)
	if err != nil {
		err = s.met(err)
	}
	if err = errors.Join(err, s.release()); err != nil {
		return nil, fmt.Errorf("list what can be undone in %s: %w", s.path, err)
	}
	return list, nil
}

func (s *source) undoLog(ctx context.Context, first, last int, filter func(*UndoEntry) bool) ([]UndoEntry, error) {
	p, err := s.headerCursor()
	if err != nil {
		return nil, err
	}
	var list []UndoEntry
	for n := 0; n < last && p.pos > magicLen; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := p.prev(); err != nil {
			return nil, err
		}
		if p.txn.Status == zodb.StatusPacked {
			break
		}
		if p.txn.Status != zodb.StatusCommitted {
			continue
		}
		if n < first && filter == nil {
			n++
			continue
		}
		e, err := p.undoEntry()
		if err != nil {
			return nil, err
		}
		if filter != nil && !filter(e) {
			continue
		}
		if n >= first {
			list = append(list, *e)
		}
		n++
	}
	return list, nil
}

// undoEntry describes the transaction at the header cursor.
func (p *headerCursor) undoEntry() (*UndoEntry, error) {
	meta := make([]byte, p.txn.headerLen()-txnHeaderLen)
	if err := p.win.peek(meta, p.pos+txnHeaderLen); err != nil {
		return nil, readError(err)
	}
	m := p.txn.meta(meta)
	return &UndoEntry{
		Tid: m.Tid, Size: int64(p.txn.Length), User: m.User, Description: m.Description, Extension: m.Extension,
	}, nil
}
