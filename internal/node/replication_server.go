package node

import (
	"context"
	"errors"
	"net"
	"slices"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A replicationServer serves the secondaries of a node.
type replicationServer struct {
	*primary.Primary
	c      *Config
	served chan error
}

// serveReplication begins to serve secondaries on ln, which it owns.
func (c *Config) serveReplication(src primary.Source, ln net.Listener, blobs blobDir,
	chain *hashchain.Local, identity func() (string, []protocol.Epoch), member primary.Member,
	rule protocol.SyncRule) *replicationServer {
	f := &replicationServer{c: c, served: make(chan error, 1), Primary: primary.New(src, primary.Options{
		Identity: identity, History: chain, Member: member, Sync: rule, SyncApplied: c.Sync.Ack == cluster.SyncApplied,
		Own: c.ownSeat(), Seed: c.seeds(src, blobs), BlobDigests: c.blobDigests(blobs), HasRevision: hasRevision(src),
		Revisions: revisions(src),
		PutToken:  blobs.putToken(), Name: c.name(), Secret: c.read.secret,
		MaxSecondaries: c.MaxSecondaries, Heartbeat: c.Heartbeat, DrainTimeout: c.DrainTimeout,
		MaxPerAddress: c.MaxPerAddress, HandshakeTimeout: c.HandshakeTimeout, IdleTimeout: c.IdleTimeout,
		Logger: c.Logger,
	})}
	c.Logger.Info("listening for secondaries", "address", ln.Addr().String())
	go func() { f.served <- f.Serve(context.Background(), ln) }()
	return f
}

// seeds says how the data file of src is sent as it is.
func (c *Config) seeds(src primary.Source, blobs blobDir) primary.SeedOptions {
	opt := primary.SeedOptions{OpenBlob: blobs.openForSeed(), BlobHere: blobs.lend(), Max: c.MaxSeeds, Rate: c.SeedRate,
		MaxDiffs: c.MaxDiffs}
	if file, can := src.(interface {
		Snapshot() (*filestorage.Snapshot, error)
	}); can {
		opt.Snapshot = func() (primary.Snapshot, error) { return file.Snapshot() }
	}
	return opt
}

// blobDigests returns what reads what passes have noted of the blobs; nil: the node has none of its own.
func (c *Config) blobDigests(blobs blobDir) func() (primary.BlobDigests, error) {
	if blobs.own == nil {
		return nil
	}
	return func() (primary.BlobDigests, error) {
		blobs.written()
		return verify.OpenDigests(c.FS, c.Data)
	}
}

// hasRevision returns what tells other nodes which records this one has; nil: its storage does not tell.
func hasRevision(src primary.Source) func(zodb.Oid, zodb.Tid) (bool, error) {
	if st, can := src.(*filestorage.Storage); can {
		return st.HasRevision
	}
	return nil
}

// revisions are the records of src that other nodes get whose own are damaged; nil: its storage gives none.
func revisions(src primary.Source) primary.Revisions {
	if st, can := src.(*filestorage.Storage); can {
		return st
	}
	return nil
}

// ownSeat is the name of this node among those that commits wait for when others lead; empty: it has none.
func (c *Config) ownSeat() string {
	if slices.Contains(c.Sync.Names, c.name()) {
		return c.name()
	}
	return ""
}

// drain lets secondaries catch up and returns when none is connected any more. Those that did not make it go on
// where they are when they connect again, so that is worth a warning only.
func (f *replicationServer) drain() {
	if err := f.Shutdown(context.Background()); err != nil {
		f.c.Logger.Warn("not all secondaries caught up before the stop", "error", err, "warning", warning.SecondaryLag)
	}
}

// chain begins to keep the digests over the history of src, with the state of keep. The caller closes it before src.
func (c *Config) chain(src hashchain.Source, keep *state.Keeper) *hashchain.Local {
	opt := hashchain.Options{Logger: c.Logger, Save: func(chain state.Chain) error {
		err := keep.Update(func(id *state.State) error { id.Chain = chain; return nil })
		if errors.Is(err, state.ErrNoState) { // of a secondary that has not met its primary
			return nil
		}
		return err
	}}
	if id := keep.State(); id != nil {
		opt.Saved = id.Chain
	}
	if st, can := src.(*filestorage.Storage); can {
		src = recordsOnly{st}
	}
	return hashchain.Keep(src, opt)
}

// recordsOnly is a storage for who needs no blobs: a blob cache would fetch each.
type recordsOnly struct{ *filestorage.Storage }

// Iterate is IterateRecords.
func (r recordsOnly) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	return r.IterateRecords(after, follow)
}

// showChain fills in how far the digests over the history are.
func showChain(out *admin.Storage, chain *hashchain.Local) {
	st := chain.Status()
	out.Chain = &admin.Chain{Behind: st.Behind}
	if st.Known {
		out.Chain.Base, out.Chain.Tid, out.Chain.Count = &st.Base, &st.Head.Tid, &st.Head.Count
		out.Chain.Value = &st.Head.Value
	}
}
