package secondary

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Options of a Secondary. Zero values mean the defaults, where there are any.
type Options struct {
	// Addresses are where the primary may be, tried in this order: host:port, :port, or a path with a slash. Of several
	// that answer, the one that is primary is followed.
	Addresses []string
	// Protocol is how the primary is spoken to; default: ProtocolAuto.
	Protocol Protocol
	// Dial connects to one of them, until ctx ends. Default: the plain network.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// SharedBlobs is the primary's own blob directory, which st was opened with. Nil: blobs are sent.
	SharedBlobs SharedBlobs
	// ApplyDelay says that readers see what is received later.
	ApplyDelay bool
	// BlobsOnDemand says that blobs are fetched when somebody asks for them, and need not be sent.
	BlobsOnDemand bool
	// SeedThreshold is how many bytes longer than the data file here the primary's must be for that to be taken as it
	// is, in place of its transactions one by one. 0: it never is. A new copy takes it in any case, and one that gets
	// blobs from 4 MiB on.
	SeedThreshold int64
	// SeedFrom are nodes whose data file is taken as it is before the primary is connected to for the first time: other
	// secondaries, so that the primary is spared.
	SeedFrom []string
	// Secret is proved to the primary, which must prove it, too. Empty: none.
	Secret protocol.Secret
	// NeedsIdentity says that others follow this secondary, who need to know its storage. It makes an identity of its
	// own when its primary has none to give.
	NeedsIdentity bool
	// LearnsFromAny says that a copy that was begun anew has caught up when it has what another secondary had, too. It
	// is for clusters in which no commits wait for secondaries.
	LearnsFromAny bool
	// Once says that this secondary ends when it has what one of the nodes has, as a seed: no commits count on it, and
	// a secondary without a primary will do, too, where there are several addresses.
	Once bool
	// Name is shown to the primary's operator: host name and data file.
	Name string
	// ReplicationAddr is where secondaries connect to this node, as others reach it. Empty: nowhere.
	ReplicationAddr string
	// Chain returns the value of the chain of digests over our history, from after a base up to tid, where that is
	// known, for the primary to compare with its own. Nil: it never is.
	Chain func(ctx context.Context, tid zodb.Tid) (base zodb.Tid, value zodb.Digest, ok bool)
	// MissingBlobs is told of blobs that did not come with their records, or may be such, when the records are durable:
	// they are missing, or damaged, where they came from. It does not wait. Nil: nobody is told.
	MissingBlobs func([]filestorage.BlobID)
	// Compress has the primary compress what it sends of its files as they are, for a thin line.
	Compress bool
	// SeedCopy is taken where it is the same as the primary's files, when those are taken as they are. Nil: all comes
	// from the primary.
	SeedCopy *SeedCopy
	// Appended is filestorage.AppendOptions.Durable, of what is taken of the primary's data file: so the chain need not
	// read it again. Nil: it does.
	Appended func(after zodb.Tid, start int64, txns []filestorage.Appended)
	// EpochsChanged is called when new epochs of the primary are durable, before any of their transactions is taken:
	// the secondaries of this node must learn of them first. Nil: there are none.
	EpochsChanged func()
	// Rewind returns the command that sets aside what the primary never had, when the node at an address, which may be
	// one that follows the primary itself, has refused this one. Nil: there is none.
	Rewind func(ctx context.Context, addr string) string
	// Successor is asked when the primary hands over to this node. Nil: it must not.
	Successor Successor

	MinBackoff       time.Duration // the first wait, before jitter; default 200 ms
	MaxBackoff       time.Duration // the longest wait; default 60 s
	HandshakeTimeout time.Duration // of each step that waits for the peer; default 30 s
	BlobPatience     time.Duration // for a file to be seen in the shared blob directory; default 10 s
	StallTimeout     time.Duration // without a byte of what is known to be missing; default 60 s
	WriteTimeout     time.Duration // see protocol.SessionOptions
	KeepAlive        time.Duration // see protocol.SessionOptions
	KeepAliveDelay   time.Duration // between keep-alives to a zrs2 primary; 0: none, as is the default of zc.zrs
	seedLanes        int           // on how many streams a data file comes; 0: by the round trip
	seedPatience     time.Duration // see maxReady; 0: by the heartbeat
	quietAfter       time.Duration // of silence a zrs2 stream counts as read to its end; default 2 s
	Window           uint32        // see protocol.SessionOptions; 0: chosen from the measured round trip
	MaxFrame         int64         // bytes; see protocol.Limits
	MaxRecord        int64         // bytes; see protocol.Limits
	MaxBlob          int64         // bytes; see protocol.Limits

	// Diverged is called by Run when the node at an address has said that this node has what it never had. An error
	// ends Run with that error. Nil: there is nothing to be done.
	Diverged func(ctx context.Context, addr string) error

	watch  *watchdog.Board // is called when the storage takes no transaction; may be nil
	Logger hclog.Logger
	now    func() time.Time
}

func (o Options) withDefaults() Options {
	orElse := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orElse(&o.MinBackoff, 200*time.Millisecond)
	orElse(&o.MaxBackoff, 60*time.Second)
	orElse(&o.HandshakeTimeout, 30*time.Second)
	orElse(&o.BlobPatience, 10*time.Second)
	orElse(&o.StallTimeout, 60*time.Second)
	orElse(&o.quietAfter, 2*time.Second)
	if o.Protocol == "" {
		o.Protocol = ProtocolAuto
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	e, err := endpoint.Parse(addr)
	if err != nil {
		return nil, err
	}
	return e.Dial(ctx)
}
