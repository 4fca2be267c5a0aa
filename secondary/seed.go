package secondary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// seedPart is how many bytes of the data file are asked for, verified and given to the storage at a time.
	seedPart = 1 << 20
	// seedWithBlobs is how much longer the primary's file has to be for a copy that gets blobs, whatever the threshold
	// is: a record of 100 bytes may have a blob of some GB, and the primary does not know how many bytes the blobs of a
	// part of its history have. A new copy begins with the file as it is in any case.
	seedWithBlobs = 4 << 20
	// seedAgain is how much more the primary must have when its file has been taken up to an end, to be taken again.
	seedAgain = 64 << 20
	// seedTold is how often the primary hears how far this secondary is.
	seedTold = time.Second
)

// Reasons for the end of a connection, after which the next one follows at once.
var (
	errSeeded   = errors.New("the primary's data file is here as it was: connecting again for what came after it")
	errSameFile = errors.New("connecting again, to take transactions one by one")
)

// A busyError says that the primary seeds as many secondaries as it may.
type busyError struct{ text string }

func (e *busyError) Error() string { return "the primary cannot seed this secondary now: " + e.text }

// again reports whether an error only means that the next connection is to follow at once, with the same address.
func again(err error) bool {
	return errors.Is(err, errConfirm) || errors.Is(err, errSeeded) || errors.Is(err, errSameFile)
}

// canSeed reports whether this secondary would take parts of the primary's data file.
func (s *Secondary) canSeed() bool { return s.opt.SeedThreshold > 0 }

// wantsSeed reports whether it should now: the primary has so much more that transactions one by one take longer.
func (s *Secondary) wantsSeed(w *protocol.Welcome) bool {
	return s.canSeed() && !s.unlike[s.addr] && slices.Contains(w.Capabilities, protocol.Ranges) &&
		w.Size-s.st.Size() >= s.seedThreshold()
}

// seedThreshold is how much more the primary must have. What it has committed while its file was taken comes one by
// one: otherwise one that commits all the time would be seeded from for ever, over one connection after the other.
func (s *Secondary) seedThreshold() int64 {
	switch least := s.opt.SeedThreshold; {
	case s.seeded:
		return max(least, seedAgain)
	case s.st.LastTid() == 0:
		return min(least, 1)
	case s.wantsBlobs():
		return min(least, seedWithBlobs)
	default:
		return least
	}
}

// wantsBlobs reports whether blobs come with what is taken.
func (s *Secondary) wantsBlobs() bool {
	return s.st.HasBlobs() && !s.opt.BlobsOnDemand && s.opt.SharedBlobs == nil
}

// unseeded says why the data file does not come as it is. Nil: the transactions come one by one.
func (s *Secondary) unseeded(head *protocol.RangesHead, last zodb.Tid) error {
	text := clean(head.Text)
	if head.Code == protocol.CodeTooMany && last == 0 {
		return &busyError{text}
	}
	if head.Code == 0 {
		text = fmt.Sprintf("it ends at %d there", head.End)
	}
	if head.Code != protocol.CodeTooMany {
		s.unlike[s.addr] = true
	}
	s.log.Info("the primary's data file is not taken as it is; its transactions come one by one", "reason", text,
		"last", last)
	return nil
}

// seed takes the data file of the primary until it is here, or something ends that, and closes l. When it returns,
// everything that was handed to the storage is durable or failed, unless ctx has ended and the disk takes its time.
func (s *Secondary) seed(ctx context.Context, l *link) error {
	defer closeQuietly(l.session)
	l.log.Info("taking the primary's data file as it is", "from", l.seed.from, "to", l.seed.end, "last", l.seed.last)
	s.track.seeding(l.seed.from, l.seed.end)
	if err := s.checkRoom(l.seed.end - l.seed.from); err != nil {
		leave(l, err)
		l.seed.close()
		return err
	}
	inner, end := context.WithCancelCause(ctx)
	var g sync.WaitGroup
	g.Go(func() { end(s.takeFile(inner, l)) })
	g.Go(func() { end(s.listen(inner, l, end)) })
	g.Go(func() { end(s.tellSeeded(inner, l)) })
	<-inner.Done()
	limit := time.AfterFunc(closeTimeout, func() { closeQuietly(l.session) })
	defer limit.Stop()
	l.seed.close()
	g.Wait()
	err := context.Cause(inner)
	if ctx.Err() != nil {
		err = errStopped
	}
	s.track.seeded(s.st.Size())
	l.log.Info("stopped taking the primary's data file as it is", "size", s.st.Size(), "last", s.st.LastTid(),
		"reason", err)
	leave(l, err)
	return err
}

// tellSeeded has the primary and the status hear how far this secondary is, now and then.
func (s *Secondary) tellSeeded(ctx context.Context, l *link) error {
	tick := time.NewTicker(seedTold)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.checkRoom(0); err != nil {
			return err
		}
		size, last := s.st.Size(), s.st.LastTid()
		s.track.seeded(size)
		if err := l.acks.send(func(a *protocol.Ack) {
			a.Applied, a.Durable, a.Bytes = last, last, uint64(max(size-l.size, 0))
		}); err != nil {
			return err
		}
	}
}

// takeFile gives the rest of the primary's data file to the storage.
func (s *Secondary) takeFile(ctx context.Context, l *link) error {
	blobs, parts := &seedBlobs{s: s, l: l}, l.seed.parts
	defer func() {
		blobs.close()
		s.tellMissing(blobs.lacking())
	}()
	most := s.believable() // it only rises
	opt := filestorage.AppendOptions{Durable: s.opt.Appended, Check: func(tid zodb.Tid) error {
		if tid <= most {
			return nil
		}
		return s.believes(tid)
	}}
	if s.st.HasBlobs() && !s.opt.BlobsOnDemand {
		opt.Blobs = func(ctx context.Context, revisions []filestorage.BlobID) (all []zodb.StagedBlob, err error) {
			parts.meanwhile(func() { all, err = blobs.stage(ctx, revisions) })
			return all, err
		}
		s.keepParts(true)
	}
	s.awaitChain(ctx, chainFirst) // it takes what is appended only where it has come to its beginning
	a, err := s.st.Append(ctx, opt)
	if err != nil {
		return s.seedError(ctx, err)
	}
	defer context.AfterFunc(ctx, func() { parts.fail(context.Cause(ctx)) })()
	var lanes sync.WaitGroup
	others := s.askOthers(ctx, l, blobs)
	defer others.stop()
	l.seed.intake.Begin(parts.patience)
	for _, f := range l.seed.lanes {
		lanes.Go(func() {
			if err := recovered.Do(l.log, "reading what the primary sends", f.run); err != nil {
				parts.fail(err)
			}
		})
	}
	err = parts.appendTo(ctx, a)
	l.seed.close()
	others.parts.stop()
	lanes.Wait()
	lost := parts.failed()
	ending, cancel := outliving(ctx, closeTimeout)
	defer cancel()
	switch closed := a.Close(ending); {
	case err != nil || closed != nil:
		return s.seedError(ctx, errors.Join(err, closed))
	case errors.Is(lost, io.ErrUnexpectedEOF):
		return ended(ctx)
	case lost != nil:
		return lost
	}
	s.awaitChain(ctx, min(minProof+time.Duration(s.st.Size()/proofRate)*time.Second, maxProofWait))
	s.seeded = true
	return errSeeded
}

// awaitChain waits until the chain of digests over the history here is known up to its end, for the next hello to prove
// with it that this is the history of the primary. Without the proof the last transaction has to do, as ever.
func (s *Secondary) awaitChain(ctx context.Context, patience time.Duration) {
	id := s.keep.State()
	if s.opt.Chain == nil || id == nil || id.ExternalHistory || s.st.LastTid() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, _, known := s.opt.Chain(ctx, s.st.LastTid())
		if known || !pause.For(ctx, proofLook) {
			return
		}
	}
}

// How long a seed waits for the proof that it is the history of the primary: as long as a slow disk takes to give the
// file, where all of that has to be read again; and how often it looks.
const (
	chainFirst   = 10 * time.Second // before it begins
	minProof     = 10 * time.Second
	proofRate    = 20 << 20 // bytes per second
	maxProofWait = 10 * time.Minute
	proofLook    = 50 * time.Millisecond
)

// seedError tells what ends an append from what is wrong with this node's own files.
func (s *Secondary) seedError(ctx context.Context, err error) error {
	var (
		other  *filestorage.NotIdenticalError
		unfit  *unfitError
		remote *remoteError
		local  *localError
	)
	switch {
	case errors.As(err, &other):
		s.unlike[s.addr] = true
		s.log.Info("the primary's data file is not byte for byte the same; its transactions come one by one", "error",
			err)
		return fmt.Errorf("%w: %w", errSameFile, err)
	case errors.Is(err, filestorage.ErrMoved):
		return fmt.Errorf("%w: %w", errSameFile, err)
	case ctx.Err() != nil, errors.As(err, &unfit), errors.As(err, &remote), errors.As(err, &local):
		return err
	}
	return &localError{err}
}

// A remoteError is trouble with what the primary sends.
type remoteError struct{ err error }

func (e *remoteError) Error() string { return e.err.Error() }
func (e *remoteError) Unwrap() error { return e.err }

// errNoSeed says that a node that was asked for its data file has nothing to give.
var errNoSeed = errors.New("the node has no data file to give that continues the one here by enough")

// seedFrom takes the data file of the nodes that are to be asked for it before the primary is. Whatever comes of that,
// the rest comes from the primary.
func (s *Secondary) seedFrom(ctx context.Context) {
	if !s.canSeed() || len(s.opt.SeedFrom) == 0 {
		return
	}
	s.seedOnly = true
	s.track.seedsFrom(true)
	defer func() {
		s.seedOnly = false
		s.track.seedsFrom(false)
		s.track.left()
	}()
	for _, addr := range s.opt.SeedFrom {
		err := s.seedFromNode(ctx, addr)
		if ctx.Err() != nil {
			return
		}
		s.log.Info("done with a node that was to give its data file", "address", addr, "last", s.st.LastTid(),
			"reason", err)
	}
}

// seedFromNode takes the data file of one node, over as many connections as bring something.
func (s *Secondary) seedFromNode(ctx context.Context, addr string) error {
	for {
		s.addr = addr
		s.track.connecting(addr)
		err := s.followNative(ctx, addr)
		switch {
		case again(err):
			s.track.leaves(err)
			continue
		case ctx.Err() == nil && s.track.progressed() && !mustReopen(err):
			continue
		case err != nil:
			s.track.failed(StateConnecting, err, err)
		}
		return err
	}
}
