package primary

import (
	"context"
	"slices"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// share puts a token into the blob directory when the secondary asks for it, and names it in the welcome. The caller
// calls done when the handshake is over, whatever came of it.
func (c *peer) share(h *protocol.Hello, w *protocol.Welcome) (done func(), refusal *protocol.Refusal) {
	if !slices.Contains(h.Capabilities, protocol.SharedBlobs) || !c.p.src.HasBlobs() {
		return func() {}, nil
	}
	if c.p.opt.PutToken == nil {
		return nil, refuse(protocol.CodeBlobsNotShared, 0, "the primary only reads a blob directory that it shares "+
			"itself, and cannot prove it; connect to the primary that owns the directory, or start this secondary "+
			"with a blob directory of its own")
	}
	token, remove, err := c.p.opt.PutToken()
	if err != nil {
		return nil, refuse(protocol.CodeBlobsNotShared, 0, "the primary cannot prove its blob directory to a "+
			"secondary that shares it: %v; let zrsd write there, or start this secondary with a blob directory of its "+
			"own", err)
	}
	w.Capabilities = append(w.Capabilities, protocol.SharedBlobs)
	w.Token = token
	return func() {
		if err := remove(); err != nil {
			c.log.Warn("cannot remove the token in the blob directory", "name", token.Name, "error", err,
				"warning", warning.CleanupLeft)
		}
	}, nil
}

// shares reports whether a welcome promises that blobs stay where they are.
func shares(w *protocol.Welcome) bool { return slices.Contains(w.Capabilities, protocol.SharedBlobs) }

// A sharing iterator yields transactions for a secondary that sees the blob directory: records of blobs are marked, and
// the blobs are not sent.
type sharing struct{ zodb.Iterator }

func (s sharing) Next(ctx context.Context) (zodb.Transaction, error) {
	txn, err := s.Iterator.Next(ctx)
	if err != nil {
		return nil, err
	}
	return sharingTxn{txn}, nil
}

type sharingTxn struct{ zodb.Transaction }

func (s sharingTxn) NextRecord() (*zodb.Record, error) {
	rec, err := s.Transaction.NextRecord()
	if err != nil || rec.Blob == nil {
		return rec, err
	}
	out := *rec
	out.Blob, out.SharedBlob = nil, !rec.BlobDamaged
	return &out, nil
}

// A recordSource also yields transactions without their blobs, which it does not open.
type recordSource interface {
	IterateRecords(after zodb.Tid, follow bool) (zodb.Iterator, error)
}

// iterate begins where a secondary is, without blobs where it asks for each that somebody needs.
func (p *Primary) iterate(h *protocol.Hello) (it zodb.Iterator, onDemand bool, err error) {
	src, can := p.src.(recordSource)
	if can && p.src.HasBlobs() && slices.Contains(h.Capabilities, protocol.BlobsOnDemand) {
		it, err = src.IterateRecords(h.Last.Tid, true)
		return it, true, err
	}
	it, err = p.src.Iterate(h.Last.Tid, true)
	return it, false, err
}
