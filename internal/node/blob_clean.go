package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// cleaner removes from the object store what is not needed any more.
func (s *session) cleaner(p *blobPlaces) *blobcache.Cleaner {
	return blobcache.NewCleaner(blobcache.CleanOptions{
		Objects: *p.objects, FS: vfs.OrOS(s.c.FS), Data: s.c.Data, Grace: s.c.BlobPlaces.Grace,
		Leads: p.leads, Claim: s.claim, Others: p.askedNodes, Now: time.Now,
		Has:      func(oid zodb.Oid, tid zodb.Tid) (bool, error) { return s.st.HasRevision(oid, tid) },
		NextPack: func() func(context.Context) error { return s.st.NextPack() },
		Logger:   s.c.Logger.Named("blobs"),
	})
}

// claim says in which epoch this node leads, by what it has written down.
func (s *session) claim() (blobcache.Claim, bool) {
	if s.node == nil || !s.node.IsPrimary() {
		return blobcache.Claim{}, false
	}
	id := s.keep.State()
	if id == nil || id.StorageID == "" || len(id.Epochs) == 0 || !id.Own() {
		return blobcache.Claim{}, false
	}
	return blobcache.Claim{Storage: id.StorageID, Epoch: id.Epoch().Number, Node: id.Node}, true
}

// askedNodes are the other nodes that are known, also those that cannot be asked now.
func (p *blobPlaces) askedNodes() (list []blobcache.Asked) {
	v := p.c.verifiable.Load()
	if v == nil || v.peers == nil {
		return []blobcache.Asked{{Name: "of this storage", Ask: func(context.Context, *protocol.RecordQuery) (
			*protocol.RecordAnswer, error) {
			return nil, errors.New("the others are not known yet")
		}}}
	}
	addresses := append(v.peers(), v.others()...)
	slices.Sort(addresses)
	for _, addr := range slices.Compact(addresses) {
		list = append(list, blobcache.Asked{Name: addr, Ask: func(ctx context.Context, q *protocol.RecordQuery) (
			*protocol.RecordAnswer, error) {
			return p.askRecords(ctx, addr, q)
		}})
	}
	return list
}

// askRecords asks another node which records it has. It must have this storage.
func (p *blobPlaces) askRecords(ctx context.Context, addr string, q *protocol.RecordQuery) (
	answer *protocol.RecordAnswer, err error) {
	dial := func(ctx context.Context) (net.Conn, error) { return p.c.dialServer(ctx, addr) }
	remote, err := hashchain.Dial(ctx, dial, p.c.read.secret, p.c.name()+" (blobs)")
	if err != nil {
		return nil, err
	}
	defer remote.Close() //nolint:errcheck // it was only asked
	if answer, err = remote.Records(ctx, q); err != nil {
		return nil, err
	}
	if _, id := remote.Node(); id != p.storageID() {
		return nil, fmt.Errorf("it has storage %.40q, and this node %q", id, p.storageID())
	}
	return answer, nil
}

// showCleaning adds what was removed to a status.
func (p *blobPlaces) showCleaning(out *admin.BlobStore) {
	if p.clean == nil {
		return
	}
	s := p.clean.Stats()
	out.Cleaning = &admin.BlobCleaning{Grace: p.c.BlobPlaces.Grace.Seconds(), Unneeded: s.Unneeded,
		UnneededBytes: s.UnneededBytes, Removed: s.Removed, RemovedBytes: s.RemovedBytes}
	if !s.Looked.IsZero() {
		out.Cleaning.Looked = admin.Known(s.Looked.UTC())
	}
	if s.Trouble != nil {
		out.Cleaning.LastError, out.Cleaning.LastErrorAt = admin.Known(s.Trouble.Error()), admin.Known(s.Since.UTC())
	}
}
