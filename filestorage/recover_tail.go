package filestorage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/zrsd/zrsd/zodb"
)

// tailLimit is how many bytes of whole transactions, the largest not counted, can stand in the tail of an interrupted
// commit. It is above what a storage lets be on its way to the disk (maxUnsynced).
const tailLimit = 64 << 20

// unwritten reports whether the header b begins a part of the file that grew without ever being written: where the
// status and the lengths of the metadata belong are zeros, and a status is never zero.
func unwritten(b []byte) bool {
	for _, x := range b[statusAt:txnHeaderLen] {
		if x != 0 {
			return false
		}
	}
	return true
}

// checkUnfinished decides about a transaction at pos that never became final. It begins the tail, also when whole
// transactions follow: those of its group. More of them than a group can have mean that a good file was damaged here.
func (c *scan) checkUnfinished() error {
	ahead, err := c.wholeAhead()
	if err != nil {
		return err
	}
	behind, _, err := c.wholeBehind()
	if err != nil {
		return err
	}
	if n := max(ahead.besides, behind.besides); n > tailLimit {
		return c.corrupt(c.pos+statusAt,
			fmt.Sprintf("a finished transaction, since more than %d MiB of them follow", n>>20), "one that is not")
	}
	return nil
}

// checkTorn decides about a transaction at pos whose status is final and whose length h cannot be right. It is the
// tail if it is the last one and its end is missing. If it is there after all, or if a whole transaction stands
// after it, the length was damaged, and good data would be lost by cutting.
func (c *scan) checkTorn(h *txnHeader) error {
	behind, exact, err := c.wholeBehind()
	if err != nil {
		return err
	}
	var because string
	switch {
	case behind.n > 0:
		because = fmt.Sprintf("the transaction at %d after it is complete", behind.first)
	case exact:
		because = "the file ends with its second length"
	default:
		end, err := c.endByRecords(h)
		if err != nil {
			return err
		}
		if end == 0 {
			return nil
		}
		because = fmt.Sprintf("its records and its second length end at %d", end)
	}
	return c.corrupt(c.pos+8, "the length of a transaction ("+because+")", fmt.Sprint(h.Length))
}

// A chain is a number of adjacent whole transactions.
type chain struct {
	n              int
	first          int64 // offset of the first one
	besides        int64 // their bytes without those of the largest
	largest        int64
	tooLongForTail bool
}

func (ch *chain) add(at, bytes int64) {
	ch.n++
	ch.first = at
	ch.besides += min(bytes, ch.largest)
	ch.largest = max(bytes, ch.largest)
	ch.tooLongForTail = ch.besides > tailLimit
}

// wholeBehind follows second lengths backwards from the end of the file for as long as they lead to transactions after
// pos whose tids rise up to the end. exact says that one led to pos itself.
func (c *scan) wholeBehind() (ch chain, exact bool, err error) {
	next := zodb.Tid(math.MaxUint64)
	for end := c.size; end-c.pos >= txnHeaderLen+lengthLen && !ch.tooLongForTail; {
		var b [txnHeaderLen]byte
		if err := c.peek(b[:lengthLen], end-lengthLen); err != nil {
			return ch, false, err
		}
		length, room := binary.BigEndian.Uint64(b[:]), uint64(end-lengthLen-c.pos)
		if length < txnHeaderLen || length >= room {
			return ch, length == room, nil
		}
		at := end - lengthLen - int64(length)
		if err := c.peek(b[:], at); err != nil {
			return ch, false, err
		}
		var h txnHeader
		h.decode(b[:])
		if h.Length != length || int64(length) < h.headerLen() || !h.Status.Known() ||
			h.Tid <= c.last || h.Tid >= next {
			return ch, false, nil
		}
		ch.add(at, end-at)
		next, end = h.Tid, at
	}
	return ch, false, nil
}

// wholeAhead follows lengths forwards from pos for as long as the second ones agree.
func (c *scan) wholeAhead() (ch chain, err error) {
	r := &plain{file: c.file, path: c.path}
	for at := c.pos; c.size-at >= txnHeaderLen+lengthLen && !ch.tooLongForTail; {
		var next cursor
		if _, err := next.enter(r, at); err != nil {
			return ch, err
		}
		h := &next.txn
		if h.Length > uint64(c.size-at-lengthLen) || int64(h.Length) < h.headerLen() || !h.Status.Known() {
			return ch, nil
		}
		if whole, err := next.whole(r); err != nil || !whole {
			return ch, err
		}
		ch.add(at, next.behind()-at)
		at = next.behind()
	}
	return ch, nil
}

// endByRecords follows the records of the transaction at pos without looking at its length. It returns where they end,
// if the length that fits stands there and after it nothing or another transaction; else 0.
func (c *scan) endByRecords(h *txnHeader) (int64, error) {
	pos := c.pos + h.headerLen()
	for {
		r, err := c.header(pos, c.size, c.pos)
		if noRecord(err) {
			break
		}
		if err != nil {
			return 0, err
		}
		pos += r.length()
	}
	var b [lengthLen + txnHeaderLen]byte
	n := min(c.size-pos, int64(len(b)))
	if n != lengthLen && n != int64(len(b)) {
		return 0, nil
	}
	if err := c.peek(b[:n], pos); err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint64(b[:]) != uint64(pos-c.pos) {
		return 0, nil
	}
	var next txnHeader
	if next.decode(b[lengthLen:]); n > lengthLen && (next.Tid <= h.Tid || !next.Status.Known()) {
		return 0, nil
	}
	return pos, nil
}

// noRecord reports whether err says that the bytes read are no record of the transaction, rather than that they could
// not be read.
func noRecord(err error) bool {
	var corrupt *zodb.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, ErrVersions)
}

// before decodes the header of the transaction that ends at end, and returns where it begins.
func (c *scan) before(end int64, h *txnHeader) (int64, error) {
	var b [txnHeaderLen]byte
	if end < magicLen+txnHeaderLen+lengthLen {
		return 0, c.corrupt(magicLen, "a transaction", "the end of it at "+fmt.Sprint(end))
	}
	if err := c.peek(b[:lengthLen], end-lengthLen); err != nil {
		return 0, err
	}
	length := binary.BigEndian.Uint64(b[:])
	if length < txnHeaderLen || length > uint64(end-lengthLen-magicLen) {
		return 0, c.corrupt(end-lengthLen, "a transaction's second length", fmt.Sprint(length))
	}
	at := end - lengthLen - int64(length)
	if err := c.peek(b[:], at); err != nil {
		return 0, err
	}
	h.decode(b[:])
	if h.Length != length || int64(length) < h.headerLen() || !h.Status.Known() {
		return 0, c.corrupt(at, fmt.Sprintf("a transaction of length %d", length),
			fmt.Sprintf("length %d, status 0x%02x", h.Length, byte(h.Status)))
	}
	return at, nil
}

// peek fills b from pos without reading ahead.
func (c *scan) peek(b []byte, pos int64) error {
	return readFull(c.file, b, pos)
}
