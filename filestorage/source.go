package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A source is an open Data.fs as iterators and searches see it: the file, and how far it is committed. Storage and
// Attached both are read through one. It may be used concurrently.
type source struct {
	*commitPoint
	file vfs.File
	path string

	// openBlob opens the blob of a revision; a *zodb.POSKeyError says that there is none. nil: no blob directory.
	openBlob func(zodb.Oid, zodb.Tid) (vfs.File, error)
	// damagedBlob opens what a blob has to be whose file is damaged; nil: nobody knows.
	damagedBlob func(*zodb.DamagedBlobError) (vfs.File, error)
	// index returns offsets of records all over the file, as hints for a search; nil when there are none.
	index func() *index
	// successor returns the source to continue with when this one ended with errReplaced.
	successor func(context.Context) (*source, error)
	// meets is told of errors that readers meet, and returns them; nil: nobody is told.
	meets func(error) error
	// share returns the same for another reader; nil: it is not to be shared.
	share func() *source
	// release is called when a reader is done with the source.
	release func() error
}

// errReplaced ends the commit point of a file that a pack has replaced by another: it is complete, and its last
// transaction is not the storage's last.
var errReplaced = errors.New("the data file was replaced")

// ended returns what ended the commit point, nil while it may still move.
func (f *commitPoint) ended() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closing
}

func (s *source) corrupt(pos int64, want, got string) error {
	return corruptAt(s.path, pos, want, got)
}

// met tells who is to be told of damage, and returns err.
func (s *source) met(err error) error {
	if s.meets == nil {
		return err
	}
	return s.meets(err)
}

// checkTxn decides whether h can be the header at pos of a transaction that ends at or before end.
func (s *source) checkTxn(h *txnHeader, pos, end int64) error {
	room := end - pos - lengthLen
	switch {
	case !h.Status.Known() || h.Status == zodb.StatusCheckpoint:
		return s.corrupt(pos+statusAt, "the status of a committed transaction", fmt.Sprintf("%q", byte(h.Status)))
	case room < 0 || h.Length > uint64(room):
		return s.corrupt(pos+8, fmt.Sprintf("a length of at most %d", room), fmt.Sprint(h.Length))
	case int64(h.Length) < h.headerLen():
		return s.corrupt(pos+8, fmt.Sprintf("a length of at least %d", h.headerLen()), fmt.Sprint(h.Length))
	}
	return nil
}

// view returns the n bytes at pos, at most windowLen, where they are in the window, which moves there when they are
// not inside it. They are valid until the window moves.
func (w *window) view(pos int64, n int) ([]byte, error) {
	if !w.has(n, pos) {
		if err := w.move(pos); err != nil && !w.has(n, pos) {
			return nil, readError(err)
		}
	}
	if !w.has(n, pos) {
		return nil, fmt.Errorf("read %d bytes of %s at %d: %w", n, w.file.Name(), pos, io.ErrUnexpectedEOF)
	}
	return w.buf[pos-w.at:][:n], nil
}

// readError gives the errors of a file the meaning that they have for a reader: one that was closed belongs to a closed
// storage, and an end where there should be none is not the io.EOF by which iterators end.
func readError(err error) error {
	switch {
	case errors.Is(err, fs.ErrClosed):
		return zodb.ErrClosed
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, err.Error())
	}
	return err
}

// A fileRange reads a part of a file.
type fileRange struct {
	file     vfs.File
	pos, end int64
	of       *txnReader // is told of what the disk does not give; nil: nobody is
}

func (r *fileRange) Read(b []byte) (int, error) {
	if r.pos >= r.end {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(b[:min(int64(len(b)), r.end-r.pos)], r.pos)
	r.pos += int64(n)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case r.of != nil:
		return 0, r.of.meets(notRead(r.file, r.pos, r.end, err))
	}
	return 0, fmt.Errorf("read %s at %d: %w", r.file.Name(), r.pos, readError(err))
}

// A revision is where a back pointer leads.
type revision struct {
	tid  zodb.Tid // of the record one hop away, 0 for a zero back pointer
	pos  int64    // offset of the data at the end of the chain
	size int64    // of these data, zodb.NoData when the chain ends without
}

// resolve follows the back pointer of the record of oid at pos to the end of the chain. Each step must lead to an
// earlier record of the same oid, so a chain always ends. The window does not move.
func (s *source) resolve(win *window, oid zodb.Oid, pos, back int64) (r revision, err error) {
	r.size = zodb.NoData
	for hop := 0; back != 0; hop++ {
		if back < magicLen || back > pos-recHeaderLen-backLen {
			return r, s.corrupt(pos+recHeaderLen, "a pointer to an earlier record", fmt.Sprint(back))
		}
		var b [recHeaderLen + backLen]byte
		if err := win.peek(b[:], back); err != nil {
			return r, readError(err)
		}
		var h recHeader
		h.decode(b[:])
		if h.Oid != oid {
			return r, s.corrupt(back, "a record of oid "+oid.String(), h.Oid.String())
		}
		if hop == 0 {
			r.tid = h.Tid
		}
		if h.PLen > 0 {
			room := pos - back - recHeaderLen
			if h.PLen > uint64(room) {
				return r, s.corrupt(back+34, fmt.Sprintf("at most %d bytes of data", room), fmt.Sprint(h.PLen))
			}
			r.pos, r.size = back+recHeaderLen, int64(h.PLen)
			return r, nil
		}
		pos, back = back, int64(binary.BigEndian.Uint64(b[recHeaderLen:]))
	}
	return r, nil
}
