package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Digests are what passes have noted of the blobs of a storage. They do not change.
type Digests struct{ known digestLog }

// OpenDigests reads what is noted beside the data file at path: 72 bytes for each blob. Where nothing is noted, nothing
// is found.
func OpenDigests(disk vfs.FS, path string) (*Digests, error) {
	l, err := openDigests(vfs.OrOS(disk), path)
	if err != nil {
		return nil, err
	}
	return &Digests{*l}, nil
}

// Find returns what is noted of a blob, and whether something is. It may be called concurrently.
func (d *Digests) Find(oid zodb.Oid, tid zodb.Tid) (protocol.BlobDigest, bool) {
	i, found := d.known.index(oid, tid)
	if !found {
		return protocol.BlobDigest{}, false
	}
	return d.known.known[i].forPeers(), true
}

// forPeers is what is told of a blob to other nodes.
func (d *blobDigest) forPeers() protocol.BlobDigest {
	return protocol.BlobDigest{Oid: d.oid, Tid: d.tid, Size: d.size, Sum: [16]byte(d.digest[:16])}
}

// comparePeerBlobs compares what is noted of the blobs up to a transaction with what another node has noted of its own.
func (p *pass) comparePeerBlobs(ctx context.Context, peer Peer, remote Remote, end zodb.Tid) error {
	if p.digests == nil {
		return nil
	}
	found := p.result.Kinds[KindBlobPeer]
	batch := make([]*blobDigest, 0, protocol.MaxBlobQuery)
	ask := func() error {
		if len(batch) == 0 {
			return nil
		}
		defer func() { batch = batch[:0] }()
		return p.askBlobs(ctx, peer, remote, batch)
	}
	for d := range p.digests.present() {
		if d.tid > end {
			continue
		}
		if batch = append(batch, d); len(batch) == protocol.MaxBlobQuery {
			if err := ask(); err != nil {
				return ignoreNoBlobs(err)
			}
		}
	}
	if err := ask(); err != nil {
		return ignoreNoBlobs(err)
	}
	if p.result.Kinds[KindBlobPeer] > found {
		p.result.Diff++
		return errDiffers
	}
	return nil
}

// ignoreNoBlobs takes a node that compares no blobs for one that is the same.
func ignoreNoBlobs(err error) error {
	if errors.Is(err, hashchain.ErrNoBlobs) {
		return nil
	}
	return err
}

func (p *pass) askBlobs(ctx context.Context, peer Peer, remote Remote, batch []*blobDigest) error {
	query := new(protocol.BlobQuery)
	for _, d := range batch {
		query.Add(d.forPeers())
	}
	answer, err := remote.Blobs(ctx, query)
	if err != nil {
		return err
	}
	p.result.BlobsPeers += int64(answer.Known)
	for _, i := range answer.Other {
		d := batch[i]
		p.result.report(Finding{Where: Unknown, Peer: &peer.Name, Finding: check.Finding{Severity: check.Damage,
			Kind: KindBlobPeer, Tid: &d.tid, Oid: &d.oid, Text: fmt.Sprintf("node %s has noted other content of this "+
				"blob than its %d bytes here; each noted what it found at first, so one of the two was damaged before "+
				"that: compare both with a third node, or with a backup", peer.Name, d.size)}})
	}
	return nil
}
