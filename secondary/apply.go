package secondary

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A pendingCommit is the newest transaction that was handed to the storage for commit.
type pendingCommit struct {
	commit *filestorage.Commit
	tid    zodb.Tid
	count  uint64               // transactions of this connection up to this one
	lacks  []filestorage.BlobID // blobs that did not come with this one, or with those that it has replaced
}

// A source is the stream that apply reads.
type source struct {
	decoder
	wire  *meteredReader                  // under the decoder
	ended func(ctx context.Context) error // returns why the stream ended between two transactions
}

// A decoder reads transactions from the primary. At the end of the stream its error is io.EOF, and every error is
// final.
type decoder interface {
	Next() (zodb.Transaction, error)
}

// apply restores transactions from the stream until that ends or is wrong. Each one that is complete replaces its
// predecessor in out, of which nobody but acknowledge takes; out is closed at the end.
func (s *Secondary) apply(ctx context.Context, from *source, out chan pendingCommit) error {
	defer close(out)
	in := guarded{from.decoder, s.log}
	for count := uint64(1); ; count++ {
		txn, err := in.Next()
		if errors.Is(err, io.EOF) {
			return from.ended(ctx)
		}
		if err != nil {
			return err
		}
		tid := txn.Meta().Tid
		s.track.began(tid)
		commit, lacks, err := s.restore(ctx, txn, from.wire)
		if err != nil {
			return fmt.Errorf("transaction %v: %w", tid, err)
		}
		from.wire.arrived(tid)
		select {
		case before := <-out: // commits complete in order: to wait for the newest is to wait for all
			lacks = missing(before.lacks, lacks)
		default:
		}
		out <- pendingCommit{commit, tid, count, lacks}
	}
}

// ended waits for the reason why the stream ended, which comes on the control stream and then ends ctx.
func ended(ctx context.Context) error {
	pause.For(ctx, closeTimeout)
	return errEnded
}

// restore writes one transaction to the storage and hands it over for commit, or aborts it. It returns which blobs did
// not come with it.
func (s *Secondary) restore(
	ctx context.Context,
	in zodb.Transaction,
	from *meteredReader,
) (commit *filestorage.Commit, lacks []filestorage.BlobID, err error) {
	if err := s.believes(in.Meta().Tid); err != nil {
		return nil, nil, err
	}
	s.handing.Waits("the storage to take a transaction")
	txn, err := s.st.Replay(ctx, in.Meta())
	s.handing.Done()
	if err != nil {
		return nil, nil, s.blame(ctx, from, err)
	}
	held, lacks, err := s.records(txn, in)
	if err == nil {
		err = s.awaitBlobs(ctx, held)
	}
	if err == nil {
		commit, err = txn.Enqueue(ctx)
	}
	if err != nil {
		return nil, nil, s.blame(ctx, from, errors.Join(err, txn.Abort()))
	}
	return commit, lacks, nil
}

// records restores all records, and returns which blobs are elsewhere, and which lack though they had to come. The
// error is nil only when the digest of the transaction was right.
func (s *Secondary) records(txn *filestorage.Txn, in zodb.Transaction) (held []heldBlob, lacks []filestorage.BlobID,
	err error) {
	for {
		rec, err := in.NextRecord()
		if errors.Is(err, io.EOF) {
			return held, lacks, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if rec.SharedBlob {
			held = append(held, heldBlob{rec.Oid, rec.Tid, rec.BlobSize})
		}
		if s.lacks(rec) {
			lacks = missing(lacks, []filestorage.BlobID{{Oid: rec.Oid, Tid: rec.Tid}})
		}
		if err := txn.Restore(rec); err != nil {
			return nil, nil, err
		}
	}
}

// blame distinguishes an error of the storage from one of the stream that the storage was reading.
func (s *Secondary) blame(ctx context.Context, from *meteredReader, err error) error {
	switch {
	case ctx.Err() != nil, from.failed, ofStream(err):
		return err
	case errors.Is(err, zodb.ErrTidOrder):
		return fmt.Errorf(
			"%w: the primary sends its last transaction twice, or another history; check the primary",
			err,
		)
	}
	return &localError{err}
}

// ofStream reports whether an error is about what a stream says, in either protocol.
func ofStream(err error) bool {
	var (
		frame  *protocol.FrameError
		digest *protocol.DigestError
		large  *protocol.TooLargeError
		fault  *recovered.Error
	)
	return errors.As(err, &fault) || errors.As(err, &frame) || errors.As(err, &digest) || errors.As(err, &large)
}

// guarded decodes what the primary sends. A panic over that is the end of the stream; one of the storage that what was
// decoded goes into is none of these, and ends the process.
type guarded struct {
	decoder
	log hclog.Logger
}

func (g guarded) Next() (txn zodb.Transaction, err error) {
	err = recovered.Do(g.log, "decoding what the primary sends", func() (err error) {
		txn, err = g.decoder.Next()
		return err
	})
	if err != nil {
		return nil, err
	}
	return guardedTxn{txn, g.log}, nil
}

type guardedTxn struct {
	zodb.Transaction
	log hclog.Logger
}

func (t guardedTxn) NextRecord() (rec *zodb.Record, err error) {
	err = recovered.Do(t.log, "decoding what the primary sends", func() (err error) {
		rec, err = t.Transaction.NextRecord()
		return err
	})
	return rec, err
}
