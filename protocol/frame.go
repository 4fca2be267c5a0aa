package protocol

import (
	"encoding/binary"

	"github.com/zrsd/zrsd/zodb"
)

// The frames of a replication stream, by their first element, and how many elements each has.
const (
	frameTxn    = "T" // tid status user description extension
	frameRecord = "S" // oid serial data_txn has_prev size
	frameBlob   = "B" // the same, and blob_size
	frameShared = "H" // as B, and the blob is held in a directory that both sides see: only when both agreed to share
	frameCommit = "C" // digest

	lenTxn    = 6
	lenRecord = 6
	lenBlob   = 7 // of H, too
	lenCommit = 2
)

const (
	blockSize = 64 << 10 // payload of every raw frame but the last of its run

	// maxFrame bounds the payload of a T, S, B or C frame: three byte strings at their longest, and all fixed fields.
	maxFrame = 3*(zodb.MaxMetaLen+5) + 128

	bufferSize = 256 << 10 // of either side; holds the longest frame
	idLen      = 8
)

// Defaults of Limits.
const (
	defaultMaxRecord = 1 << 30
	defaultMaxBlob   = 1 << 40
	DefaultMaxFrame  = maxFrame // the longest that the protocol has
)

// Limits bound what a Decoder accepts. Those of records and blobs guard the disk, not memory: both are streamed
// whatever their size.
type Limits struct {
	MaxFrame  int64 // bytes of a frame that is not raw, so of a transaction's metadata; 0 or more: DefaultMaxFrame
	MaxRecord int64 // bytes of one record's data; 0: defaultMaxRecord
	MaxBlob   int64 // bytes of one blob; 0: defaultMaxBlob
}

// WithDefaults returns the limits with the defaults where there was none.
func (l Limits) WithDefaults() Limits {
	if l.MaxFrame <= 0 || l.MaxFrame > DefaultMaxFrame {
		l.MaxFrame = DefaultMaxFrame
	}
	if l.MaxRecord <= 0 {
		l.MaxRecord = defaultMaxRecord
	}
	if l.MaxBlob <= 0 {
		l.MaxBlob = defaultMaxBlob
	}
	return l
}

func tidFrom(b []byte) zodb.Tid { return zodb.Tid(binary.BigEndian.Uint64(b)) }

// streamable reports whether a transaction of this status is complete.
func streamable(s zodb.Status) bool { return s.Known() && s != zodb.StatusCheckpoint }
