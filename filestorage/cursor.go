package filestorage

import (
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A reader is how a cursor reads a file: bytes returns the n bytes at pos, valid until it is called again.
type reader interface {
	bytes(pos int64, n int) ([]byte, error)
	corrupt(pos int64, want, got string) error
}

// A cursor is at a transaction. Scans, walkers, iterators, searches and inspectors each have one: they differ in how
// they read, and in what they check beside the lengths.
//
//	tid length status … │ records … │ length │ next transaction
//	└ pos                └ first()  └ second() └ after()
type cursor struct {
	pos int64
	txn txnHeader // of the transaction at pos
}

// enter goes to the transaction at pos and takes its header as it is, which is also returned.
func (c *cursor) enter(r reader, pos int64) ([]byte, error) {
	b, err := r.bytes(pos, txnHeaderLen)
	if err != nil {
		return nil, err
	}
	c.pos = pos
	c.txn.decode(b)
	return b, nil
}

// first returns where the first record begins.
func (c *cursor) first() int64 { return c.pos + c.txn.headerLen() }

// second returns where the records end, and the length stands again.
func (c *cursor) second() int64 { return c.pos + int64(c.txn.Length) }

// after returns where the next transaction begins.
func (c *cursor) after() int64 { return c.second() + lengthLen }

// secondLength reads the length after the records.
func (c *cursor) secondLength(r reader) (uint64, error) {
	b, err := r.bytes(c.second(), lengthLen)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// whole reports whether the length is repeated after the records.
func (c *cursor) whole(r reader) (bool, error) {
	length, err := c.secondLength(r)
	return err == nil && length == c.txn.Length, err
}

// checkSecond is whole as an error.
func (c *cursor) checkSecond(r reader) error {
	length, err := c.secondLength(r)
	if err != nil {
		return err
	}
	return c.compare(r, length)
}

// compare checks the length that was found after the records.
func (c *cursor) compare(r reader, length uint64) error {
	if length == c.txn.Length {
		return nil
	}
	want := fmt.Sprintf("the length %d of the transaction at %d again", c.txn.Length, c.pos)
	return r.corrupt(c.second(), want, fmt.Sprint(length))
}

// meta returns what the header says, with text, which is after it.
func (h *txnHeader) meta(text []byte) zodb.TxnMeta {
	u, d := int(h.ULen), int(h.ULen)+int(h.DLen)
	return zodb.TxnMeta{
		Tid: h.Tid, Status: h.Status, User: text[:u:u], Description: text[u:d:d], Extension: text[d:],
	}
}

// A plain reader reads what it is asked for and nothing more.
type plain struct {
	file vfs.File
	path string
	buf  [txnHeaderLen]byte
}

func (p *plain) bytes(pos int64, n int) ([]byte, error) {
	b := p.buf[:n]
	if err := readFull(p.file, b, pos); err != nil {
		return nil, err
	}
	return b, nil
}

func (p *plain) corrupt(pos int64, want, got string) error { return corruptAt(p.path, pos, want, got) }
