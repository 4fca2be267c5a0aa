package zodb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
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
	// BlobDamaged says that the file of the blob is damaged: Blob is what another node has, or nil.
	BlobDamaged bool
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

// A BlobPart is what is there of a blob whose content comes in ranges, in any order. It outlives interruptions, and
// nobody takes it for a blob. ReadAt and WriteAt may be called concurrently.
type BlobPart interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	// Stage is called in place of Close when all of the content is there, with its size. What it returns is kept as a
	// part when it is discarded.
	Stage(size int64) (StagedBlob, error)
	Close() error
}

// A BlobBatch makes many staged blobs durable at a time, where that costs less than one after the other.
type BlobBatch interface {
	// Add reports whether the batch makes this blob durable; else its own Sync and SyncDir do. Nothing may be written
	// to it later on.
	Add(StagedBlob) (bool, error)
	// Sync makes content and names of all that were added durable, as they are now.
	Sync() error
	Close() error
}

// Transactions ranges over what it has left to return, which stays the caller's to close:
//
//	for txn, err := range zodb.Transactions(ctx, it) {
//		if err != nil {
//			return err
//		}
//		for rec, err := range zodb.Records(txn) {
//			if err != nil {
//				return err
//			}
//			…
//		}
//	}
//
// An error is the last thing that comes, and its transaction is nil. The end of a storage is none; the end of ctx is,
// also where it is the usual end of a following iterator. A transaction is valid until the next one.
func Transactions(ctx context.Context, it Iterator) iter.Seq2[Transaction, error] {
	return func(yield func(Transaction, error) bool) {
		for {
			txn, err := it.Next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, err)
				return
			case !yield(txn, nil):
				return
			}
		}
	}
}

// Records ranges over what is left of the records of a transaction. An error is the last thing that comes; a record
// that comes with it says which one it is that cannot be read. A record is valid until the next one.
func Records(txn Transaction) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for {
			rec, err := txn.NextRecord()
			if errors.Is(err, io.EOF) || !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// BlobHeadLen is how many leading bytes of a record IsBlobRecord needs to decide.
const BlobHeadLen = 64

var blobClass = []byte("cZODB.blob\nBlob\n")

// IsBlobRecord reports whether a record that begins with head is one of a blob: its first pickle is exactly the class
// ZODB.blob.Blob, optionally remembered in the memo. Nothing is unpickled. Subclasses and protocols above 3 are no
// blobs, as in ZODB.
func IsBlobRecord(head []byte) bool {
	if len(head) >= 2 && head[0] == 0x80 {
		if head[1] > 3 {
			return false
		}
		head = head[2:]
	}
	rest, ok := bytes.CutPrefix(head, blobClass)
	if !ok || len(rest) == 0 {
		return false
	}
	switch rest[0] {
	case 'q':
		rest = cut(rest, 2)
	case 'r':
		rest = cut(rest, 5)
	case 'p':
		rest = cutPut(rest[1:])
	}
	return len(rest) > 0 && rest[0] == '.'
}

func cut(b []byte, n int) []byte {
	if len(b) < n {
		return nil
	}
	return b[n:]
}

// cutPut skips the decimal memo key and the newline after a text PUT.
func cutPut(b []byte) []byte {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if n == 0 || n == len(b) || b[n] != '\n' {
		return nil
	}
	return b[n+1:]
}
