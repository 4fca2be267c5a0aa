package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/zrsd/zrsd/zodb"
)

// fields reads the elements of one msgpack frame, one after the other. The first error stays and is what end returns;
// until then the values read are not to be used.
type fields struct {
	tid zodb.Tid // for errors
	r   bytes.Reader
	mp  *msgpack.Decoder // of r; keeps no bytes of its own
	one [1]byte
	id  [idLen]byte
	err error
}

func (f *fields) init() { f.mp = msgpack.NewDecoder(&f.r) }

// begin starts a frame and returns its kind, a string of one character, and the number of its elements.
func (f *fields) begin(frame []byte, tid zodb.Tid) (kind string, elements int) {
	f.tid, f.err = tid, nil
	f.r.Reset(frame)
	elements, err := f.mp.DecodeArrayLen()
	f.check(err)
	return string(f.bytes(f.one[:0], len(f.one))), elements
}

// bytes appends a byte string of at most limit bytes to dst.
func (f *fields) bytes(dst []byte, limit int) []byte {
	if f.err != nil {
		return nil
	}
	n, err := f.mp.DecodeBytesLen()
	switch {
	case err != nil:
		f.check(err)
		return nil
	case n < 0:
		f.check(errors.New("nil where a byte string should be"))
		return nil
	case n > limit || n > f.r.Len():
		f.check(fmt.Errorf("a byte string of %d bytes, at most %d can be here", n, min(limit, f.r.Len())))
		return nil
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	f.check(f.mp.ReadFull(dst[at:]))
	return dst
}

func (f *fields) number() uint64 {
	b := f.bytes(f.id[:0], idLen)
	if len(b) != idLen {
		f.check(fmt.Errorf("an id of %d bytes", len(b)))
		return 0
	}
	return uint64(tidFrom(b))
}

// numberOrNil returns 0 for nil.
func (f *fields) numberOrNil() uint64 {
	c, err := f.mp.PeekCode()
	if err != nil || c != msgpcode.Nil {
		return f.number()
	}
	f.check(f.mp.DecodeNil())
	return 0
}

func (f *fields) integer() int64 {
	n, err := f.mp.DecodeInt64()
	f.check(err)
	return n
}

func (f *fields) bool() bool {
	b, err := f.mp.DecodeBool()
	f.check(err)
	return b
}

func (f *fields) check(err error) {
	if f.err == nil && err != nil {
		f.err = &FrameError{Tid: f.tid, Want: "a well-formed frame", Got: err.Error()}
	}
}

// end returns the first error. It is one to have anything after the last element.
func (f *fields) end() error {
	if f.err == nil && f.r.Len() > 0 {
		f.check(fmt.Errorf("%d bytes after its end", f.r.Len()))
	}
	return f.err
}
