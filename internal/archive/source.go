package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Node is what a source says of itself.
type Node struct {
	Storage  string // id of the storage
	Epochs   []protocol.Epoch
	ID       string // of the node, a UUID
	Name     string
	Primary  bool // it takes transactions of clients: what it lacks of its own epoch will not come
	External bool // the hash chain over transactions proves nothing
}

// A Source is a storage that is archived. Its methods are called by one goroutine.
type Source interface {
	// Node says who it is at present.
	Node(ctx context.Context) (Node, error)
	// File opens the data file as it is now.
	File(ctx context.Context) (File, error)
	// History returns the value of the hash chain over transactions that begins after base, 0: after its own one, after
	// transaction tid. The error is an *UnknownError where the node cannot tell.
	History(ctx context.Context, base, tid zodb.Tid) (History, error)
	// Content returns the digest of a transaction, zero where it cannot be told, as after a pack. The error wraps
	// zodb.ErrNoTid where there is none, and no pack has removed it.
	Content(ctx context.Context, tid zodb.Tid) (Digest, error)
	// Blob opens the blob of a revision; *zodb.POSKeyError: there is none.
	Blob(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (Blob, error)
}

// A File is a data file. What was committed when it was opened, or renewed, does not change, nor go away when a pack
// puts another file in its place.
type File interface {
	io.ReaderAt
	End() int64     // after the last transaction
	Last() zodb.Tid // that transaction; 0: there is none
	// Number is that of the file on its disk, which no other file there has; 0: it is not known.
	Number() uint64
	// EndsAt reports whether transaction tid ends at pos.
	EndsAt(ctx context.Context, tid zodb.Tid, pos int64) (bool, error)
	// Renew takes what was committed since, as far as the file grows, and reports whether it is still the file of the
	// storage: false when another one has taken its place, and this one will not grow any more.
	Renew(ctx context.Context) (current bool, err error)
	Close() error
}

// A Blob is an open blob.
type Blob interface {
	objectstore.Content
	io.Closer
}

// An UnknownError says that a node cannot tell a value of its history; it may be the same or not.
type UnknownError struct {
	Tid zodb.Tid
	Err error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the value of the history at %v is not known: %v", e.Tid, e.Err)
}

func (e *UnknownError) Unwrap() error { return e.Err }
