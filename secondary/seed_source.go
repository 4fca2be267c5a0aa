package secondary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/protocol"
)

// While one node gives its data file, and so decides what the copy is to be, others can give parts of theirs: decision
// 100 in docs/architecture.md. Nothing of them is believed: the node that gives the file sends the digest of each such
// part, and what differs is asked for there. So a source that is gone, slow, behind, damaged or of another history
// costs time, and nothing else.

const (
	// maxSources is how many nodes give parts besides the one whose data file is taken.
	maxSources = 3
	// sourceLanes is on how many connections each of them gives parts of the data file over a long line.
	sourceLanes = 2
	// sourceAhead is how many parts, ranges of blobs or small blobs one of them is asked for before the first of them
	// has come. What is small takes more of them at a time.
	sourceAhead = 4
	smallAhead  = 64
	// sourceDiffers is after how many parts that differ it is asked no more.
	sourceDiffers = 8
	// sourcePatience is for how long it may send nothing of what it was asked for: others can give that.
	sourcePatience = 10 * time.Second
)

// A seedSource is another node that gives parts of its data file and its blobs.
type seedSource struct {
	s         *Secondary
	addr      string
	storageID string
	header    protocol.StreamHeader
	failed    atomic.Pointer[string] // what was logged last
	out       atomic.Bool            // since then no connection was made

	taken, differed atomic.Int64
}

// sources are the nodes to ask besides the one whose data file is taken, which has this storage.
func (s *Secondary) sources(header protocol.StreamHeader, storageID string) []*seedSource {
	var list []*seedSource
	for _, addr := range s.opt.SeedFrom {
		if addr == s.addr || len(list) == maxSources ||
			slices.ContainsFunc(list, func(o *seedSource) bool { return o.addr == addr }) {
			continue
		}
		list = append(list, &seedSource{s: s, addr: addr, header: header, storageID: storageID})
	}
	return list
}

// The others are the sources of a seed while they are asked.
type others struct {
	s       *Secondary
	l       *link
	parts   lending
	blobs   lending
	sources []*seedSource
}

// A lending is what runs until it is stopped.
type lending struct {
	ctx context.Context // it lives inside takeFile
	end context.CancelFunc
	g   sync.WaitGroup
}

func (l *lending) begin(ctx context.Context) { l.ctx, l.end = context.WithCancel(ctx) }

// stop ends it, and waits.
func (l *lending) stop() {
	l.end()
	l.g.Wait()
}

// askOthers has other nodes give parts of the file, and blobs.
func (s *Secondary) askOthers(ctx context.Context, l *link, blobs *seedBlobs) *others {
	o := &others{s: s, l: l, sources: l.seed.sources}
	o.parts.begin(ctx)
	o.blobs.begin(ctx)
	each := min(len(l.seed.lanes), sourceLanes)
	l.seed.parts.widen(int64(len(o.sources)*each*sourceAhead) * seedPart)
	for _, source := range o.sources {
		for range each {
			o.run(&o.parts, source.lendParts)
		}
		if s.wantsBlobs() {
			one := newBlobSource(source)
			blobs.sources = append(blobs.sources, one)
			o.run(&o.blobs, one.run)
		}
	}
	return o
}

// run has something lent. Trouble that is not the source's ends the seed.
func (o *others) run(to *lending, lend func(context.Context, *seedLink) error) {
	to.g.Go(func() {
		err := recovered.Do(o.l.log, "reading what another node sends",
			func() error { return lend(to.ctx, o.l.seed) })
		if err != nil {
			o.l.seed.parts.fail(err)
		}
	})
}

// stop ends the asking, waits for it, and says what each of them has given.
func (o *others) stop() {
	o.parts.stop()
	o.blobs.stop()
	for _, one := range o.sources {
		one.report()
	}
}

// report says what a source has given.
func (o *seedSource) report() {
	o.s.log.Info("another node was asked for parts of the seed", "address", o.addr, "bytes", o.taken.Load(),
		"parts_that_differed", o.differed.Load())
}

// A sourceError is trouble with a source. The seed goes on without it.
type sourceError struct {
	err   error
	final bool // it is not asked again during this seed
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// errOtherFile says that a source has another file, or a damaged one.
var errOtherFile = errors.New("what it gives is not what the node has whose data file is taken: its file was packed " +
	"at another time, or is damaged; zrsd compare tells which")

// lend calls use with one connection to the source after the other, and proof for all of them, until use has no more to
// ask for, ctx ends, or what use returns is not the source's fault.
func (o *seedSource) lend(ctx context.Context, openProof func(context.Context) (*protocol.RangeStream, error),
	use func(*borrower) error) error {
	proof, err := openProof(ctx)
	if err != nil {
		return &remoteError{fmt.Errorf("opening a stream for digests: %w", err)}
	}
	defer closeQuietly(proof)
	defer context.AfterFunc(ctx, func() { closeQuietly(proof) })()
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(o.s.opt.MinBackoff),
		backoff.WithMaxInterval(o.s.opt.MaxBackoff), backoff.WithMaxElapsedTime(0))
	for {
		err := o.once(ctx, proof, use)
		var lost *sourceError
		switch {
		case ctx.Err() != nil, err == nil:
			return nil
		case !errors.As(err, &lost):
			return err
		}
		o.note(lost)
		if lost.final || !pause.For(ctx, wait.NextBackOff()) {
			return nil
		}
	}
}

// note logs what is wrong with the source, where that is news.
func (o *seedSource) note(lost *sourceError) {
	text := lost.Error()
	o.out.Store(true)
	if before := o.failed.Swap(&text); before != nil && *before == text {
		return
	}
	o.s.log.Info("another node gives no parts of the seed now", "address", o.addr, "reason", clean(text))
}

// once calls use with one connection.
func (o *seedSource) once(ctx context.Context, proof *protocol.RangeStream, use func(*borrower) error) error {
	session, err := o.connect(ctx)
	if err != nil {
		return &sourceError{err: err}
	}
	defer closeQuietly(session)
	defer context.AfterFunc(ctx, func() { closeQuietly(session) })()
	stream, head, err := o.open(ctx, session)
	if err != nil {
		return err
	}
	defer closeQuietly(stream)
	o.out.Store(false)
	return use(&borrower{source: o, from: stream, end: head.End, proof: proof})
}

// connect asks the node which storage it has, after which it gives parts of its file.
func (o *seedSource) connect(ctx context.Context) (*yamux.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, o.s.opt.HandshakeTimeout)
	defer cancel()
	conn, err := o.s.opt.Dial(ctx, o.addr)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { closeQuietly(conn) })()
	session, control, err := protocol.Call(ctx, conn, o.s.opt.Secret, protocol.SessionOptions{
		RoundTrip: o.s.roundTrip, Window: o.s.opt.Window,
		WriteTimeout: o.s.opt.WriteTimeout, KeepAlive: o.s.opt.KeepAlive, Logger: o.s.log,
	})
	if err != nil {
		return nil, err
	}
	if err := o.ask(ctx, control); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

func (o *seedSource) ask(ctx context.Context, control *protocol.Control) error {
	query := &protocol.HistoryQuery{Version: protocol.MessageVersion, Name: o.s.opt.Name + " (seed)"}
	if err := control.Send(query); err != nil {
		return err
	}
	msg, err := control.Receive(ctx)
	if err != nil {
		return err
	}
	switch m := msg.(type) {
	case *protocol.HistoryAnswer:
		if m.StorageID != o.storageID {
			return fmt.Errorf("it has storage %s, and not %s", clean(m.StorageID), clean(o.storageID))
		}
		if !m.Ranges {
			return errors.New("it gives no parts of its data file")
		}
		return nil
	case *protocol.Refusal:
		return m
	}
	return fmt.Errorf("it answered a question about its history with a %T", msg)
}

// open asks for the data file, which has to have the same beginning as the one here.
func (o *seedSource) open(ctx context.Context, session *yamux.Session) (*protocol.RangeStream, *protocol.RangesHead,
	error) {
	conn, err := protocol.OpenStream(ctx, session, o.header)
	if err != nil {
		return nil, nil, &sourceError{err: err}
	}
	stream := protocol.NewRangeStream(conn)
	err = stream.Deadlines(time.Now().Add(o.s.opt.HandshakeTimeout))
	var head *protocol.RangesHead
	if err == nil {
		head, err = stream.ReceiveHead()
	}
	switch {
	case err != nil:
		return nil, nil, &sourceError{err: errors.Join(err, stream.Close())}
	case head.Code != 0:
		return nil, nil, &sourceError{err: errors.Join(errors.New(head.Text), stream.Close()), final: true}
	}
	return stream, head, nil
}

// A loan is something that a source is asked for, and that is used when the node whose data file is taken has confirmed
// it.
type loan interface {
	request(bare bool) any // for protocol.RangeStream.Request
	receive(from *protocol.RangeStream) (bytes int64, err error)
	same(proof *protocol.RangeStream) (bool, error) // as what was received
	use() error                                     // it is confirmed; the error is about this node
	refuse()                                        // somebody else is to be asked for it
}

// A borrower asks a source for loans over one connection. It is for one goroutine.
type borrower struct {
	source *seedSource
	from   *protocol.RangeStream
	end    int64 // of the source's data file
	proof  *protocol.RangeStream
	asked  []loan // whose answers are on their way
}

// borrow asks for one loan after the other, so many ahead, until next has none. It may wait when none is on its way. A
// *sourceError says that the source is out; what it was asked for is refused then.
func (b *borrower) borrow(ahead int, next func(wait bool) (loan, error)) error {
	for {
		for len(b.asked) < ahead {
			l, err := next(len(b.asked) == 0)
			if err != nil {
				return b.giveBack(err)
			}
			if l == nil {
				break
			}
			b.asked = append(b.asked, l)
			if err := b.proof.Request(l.request(true)); err != nil {
				return b.giveBack(&remoteError{err})
			}
			if err := b.from.Request(l.request(false)); err != nil {
				return b.giveBack(&sourceError{err: err})
			}
		}
		if len(b.asked) == 0 {
			return nil
		}
		if err := b.next(); err != nil {
			return b.giveBack(err)
		}
	}
}

// next takes the answers about the oldest loan.
func (b *borrower) next() error {
	if err := b.proof.Flush(); err != nil {
		return &remoteError{err}
	}
	err := errors.Join(b.from.Deadlines(time.Now().Add(sourcePatience)), b.from.Flush())
	if err != nil {
		return &sourceError{err: err}
	}
	l := b.asked[0]
	n, err := l.receive(b.from)
	if err != nil {
		return &sourceError{err: err}
	}
	same, err := l.same(b.proof)
	if err != nil {
		return &remoteError{err}
	}
	b.asked = b.asked[1:]
	if same {
		b.source.taken.Add(n)
		return l.use()
	}
	l.refuse()
	if b.source.differed.Add(1) >= sourceDiffers {
		return &sourceError{err: errOtherFile, final: true}
	}
	return nil
}

// giveBack refuses what has not come. The digests of it that are on their way are passed, for the next connection.
func (b *borrower) giveBack(err error) error {
	for _, l := range b.asked {
		l.refuse()
	}
	var lost *sourceError
	if !errors.As(err, &lost) {
		return err
	}
	if e := b.proof.Flush(); e != nil {
		return &remoteError{e}
	}
	for _, l := range b.asked {
		if _, e := l.same(b.proof); e != nil {
			return &remoteError{e}
		}
	}
	b.asked = nil
	return err
}

// A partLoan is a part of the data file.
type partLoan struct {
	protocol.RangeRequest
	parts *partQueue
	data  []byte
}

func (l *partLoan) request(bare bool) any {
	return &protocol.RangeRequest{From: l.From, Length: l.Length, Bare: bare}
}

func (l *partLoan) receive(from *protocol.RangeStream) (n int64, err error) {
	l.data, err = from.ReceiveRange(&l.RangeRequest, l.parts.room())
	return l.Length, err
}

func (l *partLoan) same(proof *protocol.RangeStream) (bool, error) {
	return proof.CompareRange(&protocol.RangeRequest{From: l.From, Length: l.Length, Bare: true}, l.data)
}

func (l *partLoan) use() error {
	l.parts.put(l.From, l.data)
	return nil
}

func (l *partLoan) refuse() { l.parts.refuse(&l.RangeRequest) }

// lendParts has a source give parts of the data file until there are no more.
func (o *seedSource) lendParts(ctx context.Context, l *seedLink) error {
	return o.lend(ctx, l.openMore, func(b *borrower) error {
		return b.borrow(sourceAhead, func(wait bool) (loan, error) {
			r := l.parts.lend(wait, b.end)
			if r == nil {
				return nil, nil //nolint:nilnil // there are no more
			}
			return &partLoan{RangeRequest: *r, parts: l.parts}, nil
		})
	})
}

// A blobSource is a source of blobs, to which a connection is kept from one group of transactions to the next.
type blobSource struct {
	source *seedSource
	lines  chan *borrower // a connection, when there is one and nobody uses it
	lost   chan error     // ends the connection
}

func newBlobSource(o *seedSource) *blobSource {
	return &blobSource{source: o, lines: make(chan *borrower, 1), lost: make(chan error, 1)}
}

// run keeps a connection until ctx ends.
func (o *blobSource) run(ctx context.Context, l *seedLink) error {
	return o.source.lend(ctx, l.openMore, func(b *borrower) error {
		o.lines <- b
		select {
		case err := <-o.lost:
			return err
		case <-ctx.Done():
			return nil
		}
	})
}

// borrow asks the source for blobs, as soon as there is a connection, unless done is closed before. Trouble with the
// source is nothing to the caller.
func (o *blobSource) borrow(done <-chan struct{}, ahead int, next func(wait bool) (loan, error)) error {
	select {
	case b := <-o.lines:
		err := b.borrow(ahead, next)
		if err == nil {
			o.lines <- b
			return nil
		}
		o.lost <- err
		if lost := (*sourceError)(nil); !errors.As(err, &lost) {
			return err
		}
	case <-done:
	}
	return nil
}
