package zrs

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

const (
	blockSize = 64 << 10 // of a blob
	sizeLen   = 4

	kindTxn    = "T"
	kindRecord = "S"
	kindBlob   = "B"
	kindCommit = "C"
)

// wireLimits bound the pickles of messages. Three fields of 64 KiB, in which each byte takes two and all that pickles
// add, leave room to spare.
var wireLimits = pickle.Limits{Bytes: maxMessage, Values: 200_000, Nesting: 100}

// maxMessage is the longest message that is neither data nor block.
const maxMessage = 1 << 20

// id is an oid or a tid on the wire.
func id[T ~uint64](n T) pickle.Bytes {
	b := make(pickle.Bytes, 8)
	for i := range b {
		b[i] = byte(uint64(n) >> (56 - 8*i))
	}
	return b
}

// fields takes the values of a message one after the other. The first one that is not what it should be is the error.
type fields struct {
	left pickle.Tuple
	err  error
}

// open reads a message, and returns its kind and fields.
func open(message []byte) (kind string, f fields, err error) {
	v, err := pickle.Load(message, wireLimits)
	if err != nil {
		return "", f, err
	}
	outer, _ := v.(pickle.Tuple)
	if len(outer) != 2 {
		return "", f, fmt.Errorf("not a pair of kind and content: %T", v)
	}
	kind, isText := pickle.Text(outer[0])
	inner, isTuple := outer[1].(pickle.Tuple)
	if !isText || !isTuple {
		return "", f, errors.New("not a pair of kind and content")
	}
	return kind, fields{left: inner}, nil
}

func (f *fields) next(what string) pickle.Value {
	if f.err == nil && len(f.left) == 0 {
		f.err = fmt.Errorf("there is no %s", what)
	}
	if f.err != nil {
		return nil
	}
	v := f.left[0]
	f.left = f.left[1:]
	return v
}

func (f *fields) wrong(what string, v pickle.Value) {
	if f.err == nil {
		f.err = fmt.Errorf("the %s is a %T, or of the wrong length", what, v)
	}
}

// end makes sure that there is nothing more.
func (f *fields) end() error {
	if f.err == nil && len(f.left) > 0 {
		f.err = fmt.Errorf("%d fields too many", len(f.left))
	}
	return f.err
}

// bytes takes a field of bytes, or of text as Python 2 has it.
func (f *fields) bytes(what string, most int) []byte {
	v := f.next(what)
	var b []byte
	switch v := v.(type) {
	case pickle.Bytes:
		b = v
	case pickle.ByteString:
		b = v
	case string:
		b = []byte(v)
	default:
		f.wrong(what, v)
	}
	if len(b) > most {
		f.wrong(what, v)
		return nil
	}
	return b
}

// id takes an oid or a tid.
func (f *fields) id(what string) (n uint64) {
	b := f.bytes(what, 8)
	if len(b) != 8 {
		f.wrong(what, pickle.Bytes(b))
		return 0
	}
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// idOrNone takes a tid that may be None, which is 0.
func (f *fields) idOrNone(what string) uint64 {
	if len(f.left) > 0 && f.left[0] == nil {
		f.next(what)
		return 0
	}
	return f.id(what)
}

func (f *fields) status() zodb.Status {
	b := f.bytes("status", 1)
	if len(b) != 1 {
		f.wrong("status", pickle.Bytes(b))
		return 0
	}
	return zodb.Status(b[0])
}

// count takes a number of blocks.
func (f *fields) count(most int64) int64 {
	v := f.next("number of blocks")
	n, ok := v.(int64)
	if !ok || n < 0 || n > most {
		f.wrong("number of blocks", v)
		return 0
	}
	return n
}

// extension takes the extension, a dictionary in nearly all, and returns it as ZODB writes it into a file: nothing for
// what Python counts as false.
func (f *fields) extension() []byte {
	v := f.next("extension")
	if f.err != nil || pickle.IsFalse(v) {
		return nil
	}
	b, err := pickle.Dump(v, pickle.Proto3, pickle.Limits{Bytes: zodb.MaxMetaLen})
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("extension: %w", err)
	}
	return b
}
