package verify

import (
	"hash/crc32"
	"sync"
	"sync/atomic"

	"github.com/zrsd/zrsd/zodb"
)

// A blockCheck sums up the blocks of a data file as they are read, and holds them against those of the pass before.
type blockCheck struct {
	before *blockSums // nil: there is nothing to compare with

	mu   sync.Mutex
	is   *blockSums
	bad  []*badBlock
	some atomic.Bool // bad is not empty

	// Of the goroutine that walks over the file.
	marks []mark // of before, that have still to come
	next  int64  // where the next mark may be made
	last  mark   // the last place where a transaction ended
	same  int64  // up to here the file is what before is about
}

// A badBlock is one whose checksum is not what it was.
type badBlock struct {
	no       int
	from, to int64 // where it differs: the block, or one byte of it
	exact    bool

	// What is there, when it has been read.
	tid *zodb.Tid
	oid *zodb.Oid
	pos *int64 // of the record, or the transaction
	txn int64  // where the transaction begins; 0: not known
}

// maxBadBlocks bounds what is kept of a file that is another one.
const maxBadBlocks = 1000

func newBlockCheck(before, is *blockSums) *blockCheck {
	c := &blockCheck{is: is, next: markLen}
	if before != nil && before.sameFile(is) {
		c.before, c.marks = before, before.marks
	}
	return c
}

// chunk sums up a part of the file, which begins with a block. It is called in the order of the file.
func (c *blockCheck) chunk(_ int64, b []byte) {
	for ; len(b) >= blockLen; b = b[blockLen:] {
		c.block(crc32.Checksum(b[:blockLen], castagnoli))
	}
}

func (c *blockCheck) block(sum uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	no := len(c.is.sums)
	c.is.sums = append(c.is.sums, sum)
	if c.before == nil || no >= len(c.before.sums) || c.before.sums[no] == sum || len(c.bad) == maxBadBlocks {
		return
	}
	bad := &badBlock{no: no, from: int64(no) * blockLen, to: int64(no+1) * blockLen}
	if at, ok := flippedBit(c.before.sums[no], sum); ok {
		bad.exact, bad.from = true, bad.from+int64(at)
		bad.to = bad.from + 1
	}
	c.bad = append(c.bad, bad)
	c.some.Store(true)
}

// at says what is in a part of the file: a transaction, or, with an oid, a record of it. The smallest one that has the
// beginning of a difference is what names it.
func (c *blockCheck) at(from, to int64, tid zodb.Tid, oid *zodb.Oid) {
	if c.some.Load() {
		c.name(from, to, tid, oid)
	}
}

func (c *blockCheck) name(from, to int64, tid zodb.Tid, oid *zodb.Oid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, bad := range c.bad {
		if from < bad.to && bad.from < to && (bad.oid == nil && (bad.tid == nil || oid != nil)) {
			bad.tid, bad.pos = &tid, &from
			if oid == nil {
				bad.txn = from
			} else {
				copied := *oid
				bad.oid = &copied
			}
		}
	}
}

// boundary says that a transaction ends at pos.
func (c *blockCheck) boundary(pos int64, tid zodb.Tid) {
	c.last = mark{pos, tid}
	if pos >= c.next {
		c.is.marks = append(c.is.marks, c.last)
		c.next = pos - pos%markLen + markLen
	}
	for len(c.marks) > 0 && c.marks[0].pos <= pos {
		if c.marks[0] == c.last {
			c.same = pos
		}
		c.marks = c.marks[1:]
	}
}

// judged returns the blocks that differ where the file is the same as before. Of a file that could not be read to its
// end all are believed: it may be the difference that is the cause.
func (c *blockCheck) judged(toTheEnd bool) (bad []*badBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bad {
		if !toTheEnd || b.from < c.same {
			bad = append(bad, b)
		}
	}
	return bad
}

// result returns what is to be kept: of the file up to the end of its last transaction, and of blocks that differ what
// they were, so that the next pass finds them again unless they have been healed.
func (c *blockCheck) result() *blockSums {
	bad := c.judged(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.is.sums = c.is.sums[:min(len(c.is.sums), int(c.last.pos/blockLen))]
	for _, b := range bad {
		if b.no < len(c.is.sums) {
			c.is.sums[b.no] = c.before.sums[b.no]
		}
	}
	for n := len(c.is.marks); n == 0 || c.is.marks[n-1] != c.last; n = len(c.is.marks) {
		c.is.marks = append(c.is.marks, c.last)
	}
	return c.is
}
