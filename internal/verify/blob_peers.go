package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// Find returns what is noted of a blob, whether that was when a client gave it, and whether something is. It may be
// called concurrently.
func (d *Digests) Find(oid zodb.Oid, tid zodb.Tid) (noted protocol.BlobDigest, committed, known bool) {
	i, found := d.known.index(oid, tid)
	if !found {
		return protocol.BlobDigest{}, false, false
	}
	return d.known.known[i].forPeers(), d.known.known[i].origin == originCommit, true
}

// forPeers is what is told of a blob to other nodes.
func (d *blobDigest) forPeers() protocol.BlobDigest {
	return protocol.BlobDigest{Oid: d.oid, Tid: d.tid, Size: d.size, Sum: [16]byte(d.digest[:16])}
}

// blobVotes are what nodes have noted of a blob of which one of them has noted other content than this node. A blob
// has no digest in the data file. What was noted at the commit is right; where all have noted what they found or
// received at first, the majority says which copy is.
type blobVotes struct {
	mine  *blobDigest
	other []blobVote
	same  int // nodes that have noted what this one has
}

type blobVote struct {
	peer   string
	digest *protocol.BlobDigest // nil: an older node, which does not say
	commit bool                 // it was noted when a client gave it to that node
}

// maxVotes bounds the blobs of which is collected what nodes have noted.
const maxVotes = 10_000

// votes returns those about a blob; nil where there are too many already.
func (p *pass) votesOf(d *blobDigest) *blobVotes {
	k := blobKey{d.oid, d.tid}
	if p.votes[k] == nil && len(p.votes) < maxVotes {
		p.votes[k] = &blobVotes{mine: d}
	}
	return p.votes[k]
}

// comparePeerBlobs compares what is noted of the blobs up to a transaction with what another node has noted of its own.
func (p *pass) comparePeerBlobs(ctx context.Context, peer Peer, remote Remote, end zodb.Tid) error {
	if p.digests == nil {
		return nil
	}
	c := &peerBlobs{p: p, peer: peer.Name, remote: remote, end: end, knows: true}
	batch := make([]*blobDigest, 0, protocol.MaxBlobQuery)
	for d := range p.digests.present() {
		if d.tid > end {
			continue
		}
		if batch = append(batch, d); len(batch) == protocol.MaxBlobQuery {
			if err := c.ask(ctx, batch); err != nil {
				return ignoreNoBlobs(err)
			}
			batch = batch[:0]
		}
	}
	if err := c.ask(ctx, batch); err != nil {
		return ignoreNoBlobs(err)
	}
	if c.knows {
		p.knowing = append(p.knowing, c)
	}
	if c.differs {
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

// peerBlobs are the answers of one node.
type peerBlobs struct {
	p       *pass
	peer    string
	remote  Remote
	end     zodb.Tid // it was asked for the blobs up to here
	knows   bool     // it has noted all of them
	differs bool
}

func (c *peerBlobs) ask(ctx context.Context, batch []*blobDigest) error {
	if len(batch) == 0 {
		return nil
	}
	query := new(protocol.BlobQuery)
	for _, d := range batch {
		query.Add(d.forPeers())
	}
	answer, err := c.remote.Blobs(ctx, query)
	if err != nil {
		return err
	}
	c.p.result.BlobsPeers += int64(answer.Known)
	c.knows = c.knows && answer.Known == len(batch)
	for n, i := range answer.Other {
		c.differs = true
		vote := blobVote{peer: c.peer, commit: answer.IsCommitted(i)}
		if digest, says := answer.OtherDigest(n); says {
			vote.digest = &digest
		}
		votes := c.p.votesOf(batch[i])
		if votes == nil {
			votes = &blobVotes{mine: batch[i]}
			c.p.reportBlob(votes, &vote, Unknown)
			continue
		}
		votes.other = append(votes.other, vote)
	}
	return nil
}

// judgeBlobs reports the blobs of which nodes have noted different contents, when all have been asked.
func (p *pass) judgeBlobs() {
	for _, k := range slices.SortedFunc(maps.Keys(p.votes), blobKey.compare) {
		v := p.votes[k]
		for _, c := range p.knowing {
			if k.tid <= c.end && !v.differs(c.peer) {
				v.same++
			}
		}
		for i := range v.other {
			p.reportBlob(v, &v.other[i], v.judge())
		}
	}
}

func (v *blobVotes) differs(peer string) bool {
	return slices.ContainsFunc(v.other, func(o blobVote) bool { return o.peer == peer })
}

// committed reports whether a node has noted other content at the commit.
func (v *blobVotes) committed() bool {
	return slices.ContainsFunc(v.other, func(o blobVote) bool { return o.commit })
}

// judge says where the content is that was not committed, or, where nobody knows, that fewer nodes have.
func (v *blobVotes) judge() Where {
	mine, most := 1+v.same, v.most()
	if here, there := v.mine.origin == originCommit, v.committed(); here != there {
		mine, most = 0, 1
		if here {
			mine, most = 1, 0
		}
	}
	switch {
	case mine > most:
		return There
	case mine < most:
		return Here
	}
	return Unknown
}

// most returns how many nodes have noted the same other content.
func (v *blobVotes) most() (most int) {
	counts := map[protocol.BlobDigest]int{}
	for _, o := range v.other {
		n := 1
		if o.digest != nil {
			counts[*o.digest]++
			n = counts[*o.digest]
		}
		most = max(most, n)
	}
	return most
}

func (p *pass) reportBlob(v *blobVotes, o *blobVote, where Where) {
	text := fmt.Sprintf("node %s has noted other content of this blob than its %d bytes here; ", o.peer, v.mine.size)
	committed := v.mine.origin == originCommit
	if committed != v.committed() {
		text += "what was noted at the commit is right: "
	} else {
		text += "each noted what it found at first, so one of the two was damaged before that: "
	}
	switch {
	case where == There && committed && !v.committed():
		text += "that is what was noted here, so it is the other one, which may have received the blob when the file " +
			"of this node was damaged"
	case where == Here && !committed && v.committed():
		text += "that is what the other node has noted, so it is this one, which received the blob damaged: see " +
			"docs/replication.md on how to take theirs"
	case where == Here:
		text += fmt.Sprintf("%d other nodes have noted the same content, and %d have that of this node, so it is this "+
			"one: see docs/replication.md on how to take theirs", v.most(), v.same)
	case where == There:
		text += fmt.Sprintf("%d other nodes have noted that of this node, so it is probably the other one", v.same)
	default:
		text += "compare both with a third node, or with a backup"
	}
	p.result.report(Finding{Where: where, Peer: &o.peer, Finding: check.Finding{Severity: check.Damage,
		Kind: KindBlobPeer, Tid: &v.mine.tid, Oid: &v.mine.oid, Text: text}})
}

// A blobKey names a blob.
type blobKey struct {
	oid zodb.Oid
	tid zodb.Tid
}

func (k blobKey) compare(other blobKey) int {
	return cmp.Or(cmp.Compare(k.oid, other.oid), cmp.Compare(k.tid, other.tid))
}
