package zodb

import (
	"context"
	"io"
)

// MaxMetaLen is the most bytes that user, description and extension may have, each.
const MaxMetaLen = 65535

// A Magic is the first four bytes of a Data.fs. It says which Python wrote the pickles inside, nothing about the
// layout.
type Magic [4]byte

// The two magics that exist: files of Python 3, and of Python 2 or ZODB before 4.
var (
	MagicFS30 = Magic{'F', 'S', '3', '0'}
	MagicFS21 = Magic{'F', 'S', '2', '1'}
)

// Known reports whether m is one of the two magics that exist.
func (m Magic) Known() bool { return m == MagicFS30 || m == MagicFS21 }

// String returns the four characters.
func (m Magic) String() string { return string(m[:]) }

// A Status is the one-byte state of a transaction in a file.
type Status byte

// The states of a transaction.
const (
	StatusCommitted  Status = ' ' // committed
	StatusPacked     Status = 'p' // committed, and written by a pack
	StatusUndone     Status = 'u' // undone by a mechanism that no longer exists: counts as absent
	StatusCheckpoint Status = 'c' // voted, not finished: not there yet, garbage after a crash
)

// Known reports whether s is one of the four states that exist.
func (s Status) Known() bool {
	return s == StatusCommitted || s == StatusPacked || s == StatusUndone || s == StatusCheckpoint
}

// TxnMeta is everything about a transaction but its records. User, Description and Extension are raw bytes of at most
// MaxMetaLen each, never interpreted on their way: Extension is a pickle, or empty, or no pickle at all.
type TxnMeta struct {
	Tid         Tid
	Status      Status
	User        []byte
	Description []byte
	Extension   []byte
}

// A Record is one revision of one object on its way from a storage to another.
//
// Data and Blob, where present, are read once, front to back, Data first, and are valid until the next record is asked
// for. A reader that is left early is skipped by the maker of the record.
type Record struct {
	Oid Oid
	Tid Tid // the revision's serial; equal to the transaction's tid in practice

	// DataTxn is the tid of the record that a back pointer leads to, one hop, and 0 when the file holds the data here.
	DataTxn Tid
	// HasPrev reports whether the file links this revision to an earlier one. It differs from "an earlier one exists"
	// only for records that a pack wrote.
	HasPrev bool

	// Size is the number of bytes in Data, or NoData for a revision without any: a deletion or an undone creation.
	Size int64
	Data io.Reader

	// Blob is the content of the blob file, of BlobSize bytes, or of as many as come where that is UnknownSize; nil
	// when the record is no blob record or has no file.
	Blob     io.Reader
	BlobSize int64
	// SharedBlob says that there is a blob of BlobSize bytes in a directory which both sides see, and that it does not
	// travel: Blob is nil.
	SharedBlob bool
}

// NoData is the Size of a revision that has no data.
const NoData int64 = -1

// UnknownSize is the BlobSize of a blob whose size shows at its end.
const UnknownSize int64 = -1

// A Transaction is one committed transaction, read front to back.
type Transaction interface {
	// Meta is valid until the iterator's next step and must not be changed.
	Meta() *TxnMeta
	// NextRecord returns the next record in file order, io.EOF after the last. The record is valid until the next
	// call.
	NextRecord() (*Record, error)
}

// An Iterator walks the committed transactions of a storage in file order. It is for one goroutine.
type Iterator interface {
	// Next returns the next transaction. At the end of what is committed a following iterator blocks until there is
	// more or ctx ends, and returns the context's cause; any other one returns io.EOF.
	Next(ctx context.Context) (Transaction, error)
	// Pending reports whether Next would return without waiting for a commit. Streams flush when it is false.
	Pending() bool
	// Position returns the file offset after the last transaction returned.
	Position() int64
	Close() error
}

// A BlobDraft is the content of a blob before its transaction votes, in a file of the blob directory. It is for one
// goroutine.
type BlobDraft interface {
	// Write appends to it.
	io.Writer
	// Size is the number of bytes so far.
	Size() int64
	// Stage gives the content to a revision, without copying it. The draft stays, for another vote, and may not be
	// written to any more.
	Stage(oid Oid, tid Tid) (StagedBlob, error)
	// Discard drops the draft. What was staged stays. It is idempotent.
	Discard() error
}

// A StagedBlob is the complete content of a blob on its way into a blob directory, not yet under its final name.
//
// The order that keeps a commit atomic is: Sync, then the transaction's records made durable with status 'c', then
// Publish and SyncDir, then the status flipped.
type StagedBlob interface {
	Oid() Oid
	Tid() Tid
	// Sync makes the content durable under its temporary name.
	Sync() error
	// Publish renames the blob to its final name, replacing a file that is there.
	Publish() error
	// SyncDir makes the final name durable, folders created on the way included.
	SyncDir() error
	// Discard removes the blob, under whichever name it has. It is idempotent.
	Discard() error
}
