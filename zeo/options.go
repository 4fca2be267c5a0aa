package zeo

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/zodb"
)

// Options of a Server. Zero values mean the defaults.
type Options struct {
	Msgpack  bool // announce M5 instead of Z5
	ReadOnly bool // refuse clients that want to write

	// Recent is how many transactions are remembered for clients that were away: invalidation-queue-size, 100 by
	// default. Those before are found in the storage.
	Recent int
	// TransactionTimeout is how long a client may hold the commit lock; 0: as long as it likes.
	TransactionTimeout time.Duration

	MaxClients      int // registered at a time; default 10,000
	MaxUnregistered int // connections from one address that have not registered yet; default 1,000

	MaxMessage       int64         // bytes; default 512 MiB
	Backlog          int64         // bytes that may wait for a client to read; default 64 MiB
	HandshakeTimeout time.Duration // until registration; default 60 s
	IdleTimeout      time.Duration // clients send something each minute; default 5 min
	WriteTimeout     time.Duration // for a client to take anything; default 60 s
	Buffers          string        // folder for transactions under way; default: the system's temporary one

	Logger hclog.Logger
	// Critical logs what an operator must see; nil: as an error.
	Critical func(log hclog.Logger, text string)
}

func (o Options) withDefaults() Options {
	orElse := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orElse(&o.HandshakeTimeout, time.Minute)
	orElse(&o.IdleTimeout, 5*time.Minute)
	orElse(&o.WriteTimeout, time.Minute)
	if o.Recent <= 0 {
		o.Recent = 100
	}
	if o.MaxClients <= 0 {
		o.MaxClients = 10_000
	}
	if o.MaxUnregistered <= 0 {
		o.MaxUnregistered = 1000
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = 512 << 20
	}
	if o.Backlog <= 0 {
		o.Backlog = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

// An Access is what clients may do with a storage now. It may change while they are connected.
type Access int32

// The kinds of access.
const (
	Writable Access = iota
	// Frozen storages serve reads; a commit fails with ReadOnlyError, and can be tried again later.
	Frozen
	// ReadOnly storages, as those of secondaries, take only clients that are content with reading.
	ReadOnly
)

// StorageOptions are those of one storage.
type StorageOptions struct {
	Access Access // at first

	// Moment makes the storage one state of its history: clients see nothing of what was committed later, until
	// Server.Step. Access is to be ReadOnly. Nil: they see what is committed, as it is.
	Moment *filestorage.Moment

	// AwaitCommitted waits until clients may be told of transactions up to tid, for as long as ctx lasts. Until then
	// nobody sees them, and the committer gets no answer. Nil: what is durable may be told. It is called from several
	// goroutines, and should be quick where there is nothing to wait for. It is called a second time just before they
	// are told, with a lock held and a ctx that has ended: then it says whether they may be told at this moment.
	AwaitCommitted func(ctx context.Context, tid zodb.Tid) error

	// Correct is told of damage that a load has met, see filestorage.DamageIn, and has readers see what has to be
	// there, if that can be found out: then it reports true, and the load is tried again. It is called from several
	// goroutines, for as long as ctx lasts, and bounds its time by itself. Nil: such a load fails.
	Correct func(ctx context.Context, damage error) bool

	// DamagedBlobs is Correct for blobs; may be nil.
	DamagedBlobs DamagedBlobs

	// Elsewhere asks, for as long as ctx lasts and no longer than a few seconds, which other node takes writers now. It
	// is used while the storage is ReadOnly. Nil: clients that read as a fallback are not disturbed.
	Elsewhere func(ctx context.Context) Leader
	// Hold keeps clients that want to write waiting while the storage is ReadOnly and no node is primary, instead of
	// refusing them: this node may be the next primary. It needs Elsewhere.
	Hold bool
	// HoldFor is for how long there must be no primary before such clients are admitted as readers; default 15 s.
	HoldFor time.Duration
	// FallbackFor is after how long a client that reads as a fallback is to look for the leader again, whether or not
	// that has changed: it may be the client's way there that was cut. Default 5 min.
	FallbackFor time.Duration

	// Behind is called when a client has left as one does whose cache is ahead of the storage. It must not wait; may be
	// nil.
	Behind func()

	// Decompress gives clients the records of zc.zlibstorage as they were before they were compressed, and Compress
	// compresses what clients send: for clients without <zlibstorage>. Otherwise records pass as they are.
	Decompress bool
	Compress   bool

	Watch *watchdog.Board         // is called when clients cannot get invalidations; may be nil
	Pack  filestorage.PackOptions // how clients have it packed
}

const defaultFallbackFor = 5 * time.Minute

// A Leader is a node that admits writers. The zero Leader: no node does.
type Leader struct {
	// Name is one that no other node has, nor this one in another epoch, nor after a time in which it took none: the
	// same node under a new name has come back.
	Name string
	For  time.Duration // for how long it has sent none away; very long where that is not known
	Last zodb.Tid      // its last transaction when it answered; 0: not known
}

// defaultHoldFor is for how long there must be no primary before clients that want to write are admitted as readers.
const defaultHoldFor = 15 * time.Second
