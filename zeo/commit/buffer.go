package commit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zrsd/zrsd/zodb"
)

// A kind says what an operation does.
type kind byte

const (
	store kind = iota
	check
	remove
	restore
	undo
)

// An operation is one buffered call.
type operation struct {
	kind   kind
	oid    zodb.Oid
	serial zodb.Tid // that the client has seen; of a restore, the tid; of an undo, the transaction
	hint   zodb.Tid // of a restore: the transaction that has the same data
	data   []byte   // unless it was spilled
	at     int64    // in the spill file, when spilled
	size   int64    // of data; zodb.NoData for a restore without
	spilt  bool
	blob   zodb.BlobDraft
}

// A tooLargeError says that a transaction exceeds a limit.
type tooLargeError struct {
	what string // "operations" or "bytes"
	max  int64
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the transaction has more %s than the limit of %d; commit in smaller parts, or raise the "+
		"server's limit", e.what, e.max)
}

// A buffer keeps operations in the order in which they were sent first.
type buffer struct {
	opt    *Options
	ops    []*operation
	stores map[zodb.Oid]*operation // the one store of each object
	memory int64
	total  int64
	spill  *file
	broken error // what could not be kept: nothing is any more, and the vote fails by it
}

// fails notes an error of f, which keeps something. The disk space of what was kept is freed at once.
func (b *buffer) fails(f func() error) error {
	if b.broken != nil {
		return b.broken
	}
	err := f()
	if err != nil {
		err = errors.Join(err, b.drop())
		b.broken = err
	}
	return err
}

// add appends an operation, or puts a store into the place of an earlier one of the object.
func (b *buffer) add(op *operation) error {
	if op.kind == store {
		if earlier := b.stores[op.oid]; earlier != nil {
			return b.replace(earlier, op)
		}
	}
	if len(b.ops) >= b.opt.operations {
		return &tooLargeError{"operations", int64(b.opt.operations)}
	}
	if op.kind == store {
		if b.stores == nil {
			b.stores = make(map[zodb.Oid]*operation)
		}
		b.stores[op.oid] = op
	}
	b.ops = append(b.ops, op)
	return nil
}

func (b *buffer) replace(earlier, op *operation) error {
	var err error
	switch {
	case op.blob == nil:
		op.blob = earlier.blob
	case earlier.blob != nil:
		err = earlier.blob.Discard()
	}
	if !earlier.spilt {
		b.memory -= int64(len(earlier.data))
	}
	*earlier = *op
	return err
}

// keep takes data into memory, or into the file when there is too much of it.
func (b *buffer) keep(op *operation, data []byte) error {
	op.size = int64(len(data))
	if b.memory+op.size > b.opt.memory {
		r, err := b.take(op.size, bytes.NewReader(data))
		op.spilt, op.at = true, r.at
		return err
	}
	if err := b.count(op.size); err != nil {
		return err
	}
	b.memory += op.size
	op.data = append([]byte(nil), data...)
	return nil
}

// A Record is in the file of the transaction that took it.
type Record struct{ at, size int64 }

// take copies a record into the file. It needs few bytes of memory.
func (b *buffer) take(size int64, from io.Reader) (r Record, err error) {
	if err := b.count(size); err != nil {
		return r, err
	}
	if b.spill == nil {
		if b.spill, err = newFile(b.opt.Dir); err != nil {
			return r, err
		}
	}
	r = Record{b.spill.size, size}
	if _, err := io.CopyN(b.spill, from, size); err != nil {
		return r, fmt.Errorf("buffering a transaction: %w", err)
	}
	return r, nil
}

func (b *buffer) count(size int64) error {
	if b.total += size; b.total > b.opt.bytes {
		return &tooLargeError{"bytes", b.opt.bytes}
	}
	return nil
}

// record returns the data of an operation.
func (b *buffer) record(op *operation) ([]byte, error) {
	if !op.spilt {
		return op.data, nil
	}
	data := make([]byte, op.size)
	if _, err := io.ReadFull(b.spill.section(op.at, op.size), data); err != nil {
		return nil, fmt.Errorf("reading a buffered record of oid %v: %w", op.oid, err)
	}
	return data, nil
}

// A small transaction has at most so many operations, all of them in memory, without blobs.
const smallOperations = 100

// small reports whether the transaction is soon applied.
func (b *buffer) small() bool {
	if len(b.ops) > smallOperations || b.spill != nil {
		return false
	}
	for _, op := range b.ops {
		if op.kind == undo || op.kind == restore || op.blob != nil {
			return false
		}
	}
	return true
}

// drop forgets everything.
func (b *buffer) drop() error {
	err := b.spill.close()
	for _, op := range b.ops {
		if op.blob != nil {
			err = errors.Join(err, op.blob.Discard())
		}
	}
	*b = buffer{opt: b.opt}
	return err
}

// A file is one without a name: it disappears when it is closed or the process ends. Data are appended to it.
type file struct {
	f    *os.File
	size int64
}

func newFile(dir string) (*file, error) {
	f, err := os.CreateTemp(dir, "zrsd-buffer-")
	if err != nil {
		return nil, fmt.Errorf("making room for a transaction: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("making room for a transaction: %w", err), f.Close())
	}
	return &file{f: f}, nil
}

// Write appends.
func (f *file) Write(b []byte) (int, error) {
	n, err := f.f.WriteAt(b, f.size)
	f.size += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: make room there, or start the server with another temporary folder (TMPDIR)", err)
	}
	return n, err
}

// section reads n bytes from offset at.
func (f *file) section(at, n int64) *io.SectionReader { return io.NewSectionReader(f.f, at, n) }

func (f *file) close() error {
	if f == nil {
		return nil
	}
	return f.f.Close()
}
