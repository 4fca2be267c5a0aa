package primary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Snapshot is the data file of the source as it is at one time: a *filestorage.Snapshot. It stays readable when a
// pack replaces the file. ReadAt may be called concurrently.
type Snapshot interface {
	io.ReaderAt
	// End is the end of transaction Last, the last one in it.
	End() int64
	Last() zodb.Tid
	// EndsAt reports whether transaction tid ends at this offset of the file.
	EndsAt(ctx context.Context, tid zodb.Tid, pos int64) (bool, error)
	Close() error
}

// A BlobFile is an open blob.
type BlobFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// SeedOptions say how parts of the data file are sent as they are, to secondaries whose own file is the beginning of
// it.
type SeedOptions struct {
	// Snapshot opens the data file. Nil: all secondaries get their transactions one by one.
	Snapshot func() (Snapshot, error)
	// OpenBlob opens the blob of a revision; the error is a *zodb.POSKeyError where there is none. Nil: there are no
	// blobs.
	OpenBlob func(zodb.Oid, zodb.Tid) (BlobFile, error)
	// BlobHere is OpenBlob of a node that has a part of the blobs, without fetching one that is not here. Nil: OpenBlob
	// fetches none. Nodes that only ask for some blobs get no others: two that fetch from each other would wait for
	// each other.
	BlobHere func(zodb.Oid, zodb.Tid) (BlobFile, error)
	// Max is how many secondaries may be seeded at a time; default 2.
	Max int
	// Rate bounds the bytes per second that all of them get together; 0: no bound.
	Rate int64
	// MaxDiffs is how many bytes one of them gets in a turn while others wait for theirs; 0: no bound.
	MaxDiffs int64
}

const (
	defaultMaxSeeds = 2

	// seedPatience is how long a secondary that is seeded may take nothing of what it asked for, and ask for nothing on
	// any stream, as when its disk is
	// slow. Then its connection is closed: the data file of before a pack is kept for it.
	seedPatience = 10 * time.Minute

	// rangeStep is how many bytes are sent at a time: heartbeats wait for as much, and on a line of some KB per second
	// a larger write would take longer than one may.
	rangeStep = 128 << 10
)

// A seed is what a connection is that gets parts of the data file.
type seed struct {
	asked    atomic.Int64 // requests, on all streams
	snapshot Snapshot
	stream   *protocol.RangeStream
	done     seedProgress
}

// A seedProgress is how far a secondary is that is seeded. Its methods may be called concurrently.
type seedProgress struct {
	from, end int64
	last      zodb.Tid // the transaction that ends at end
	begun     time.Time

	mu      sync.Mutex
	pos     int64    // up to where it says that its file is durable
	durable zodb.Tid // the transaction that ends there; 0: not known
	moved   time.Time
}

// ack takes what the secondary has made durable on this connection. Tids of old files go down here and there: what is
// higher than the last one says nothing.
func (s *seedProgress) ack(m *protocol.Ack, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pos := s.from + int64(min(m.Bytes, uint64(s.end-s.from))); pos > s.pos {
		s.pos, s.moved = pos, now
		if m.Durable <= s.last {
			s.durable = m.Durable
		}
	}
}

// seedAck takes an acknowledgement of a secondary that is seeded. It does not count for commits that wait for
// secondaries: what those wait for is after the end of the seed, or is counted when the secondary connects again.
func (c *native) seedAck(m *protocol.Ack, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seed == nil {
		return false
	}
	c.seed.ack(m, now)
	return true
}

// show fills in what is shown of a secondary that is seeded, of a storage of this size. What it says to have is of the
// midst of the file, so how old the first transaction is that it lacks is not known exactly.
func (s *seedProgress) show(st *SecondaryStatus, troubled bool, stallAfter time.Duration, size int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.State = StateSeeding
	if troubled || now.Sub(s.moved) >= stallAfter {
		st.State = StateStalled
	}
	st.Seed = &SeedStatus{Done: s.pos - s.from, Total: s.end - s.from, Begun: s.begun}
	st.Lag = Lag{Transactions: 1, Bytes: max(size-s.pos, 0), Seconds: st.Lag.Seconds}
	if s.durable != 0 {
		st.AppliedTid, st.DurableTid = s.durable, s.durable
		st.Lag.Seconds = max(now.Sub(s.durable.Time()).Round(time.Millisecond).Seconds(), 0)
	}
}

// A SeedStatus is how far a secondary is that gets the data file as it is.
type SeedStatus struct {
	Done  int64     `json:"done"`  // bytes of the data file that are durable there, since the connection began
	Total int64     `json:"total"` // bytes that there were to get then
	Begun time.Time `json:"begun"`
}

// openSeed answers the header of a stream of ranges. Where its answer is a refusal, the seed is nil, and the secondary
// may open another stream. The caller ends a seed.
func (c *native) openSeed(ctx context.Context, stream *protocol.RangeStream, h protocol.StreamHeader,
	renewed <-chan struct{}) (*seed, error) {
	refuse := func(code protocol.Code, format string, args ...any) (*seed, error) {
		text := fmt.Sprintf(format, args...)
		c.log.Info("a secondary gets no parts of the data file", "reason", text)
		defer closeQuietly(stream)
		return nil, stream.SendHead(&protocol.RangesHead{Code: code, Text: text})
	}
	if !c.p.seeds.take(c.identity(), c.p.opt.now()) {
		return refuse(protocol.CodeTooMany, "%d secondaries are being seeded; it is tried again by itself, or raise "+
			"the primary's --max-seeds", c.p.opt.Seed.Max)
	}
	s, why, err := c.takeSnapshot(ctx, h)
	if s == nil {
		c.p.seeds.release()
	}
	switch {
	case err != nil:
		return nil, errors.Join(c.p.sourceFailed(err), stream.Close())
	case s == nil:
		return refuse(protocol.CodeDiverged, "%s", why)
	}
	s.stream = stream
	select {
	case <-renewed: // the snapshot may have transactions of an epoch that the secondary was not told of
		err = errRenewed
	default:
		err = stream.SendHead(&protocol.RangesHead{
			End: s.done.end, Last: s.done.last, Digest: protocol.RangeDigest(h.Digest),
			Pack: protocol.RangePacking(h.Pack),
		})
	}
	if err != nil {
		c.endSeed(s)
		return nil, err
	}
	return s, nil
}

// takeSnapshot returns a seed for a secondary whose file ends with a transaction and at a position, or why there is
// none.
func (c *native) takeSnapshot(ctx context.Context, h protocol.StreamHeader) (s *seed, why string, err error) {
	snapshot, err := c.p.opt.Seed.Snapshot()
	if err != nil {
		return nil, "", err
	}
	at, err := snapshot.EndsAt(ctx, h.Start, h.Position)
	switch {
	case err == nil && !at:
		why = fmt.Sprintf("transaction %v ends at another place in the primary's file than at %d: the two files are "+
			"not byte for byte the same, as after a pack of one of them", h.Start, h.Position)
	case err == nil && h.Position <= snapshot.End():
		now := c.p.opt.now()
		return &seed{snapshot: snapshot, done: seedProgress{
			from: h.Position, end: snapshot.End(), last: snapshot.Last(), pos: h.Position, durable: h.Start,
			begun: now, moved: now,
		}}, "", nil
	}
	return nil, why, errors.Join(err, snapshot.Close())
}

// endSeed lets go of the data file.
func (c *native) endSeed(s *seed) {
	closeQuietly(s.stream)
	closeQuietly(s.snapshot) // read only
	c.p.seeds.release()
}

// seeding runs an accepted secondary that asks for parts of the data file until something ends it.
func (c *native) seeding(ctx context.Context, f *follower) error {
	g, inner := errgroup.WithContext(ctx)
	defer c.log.Info("stopped seeding a secondary")
	c.log.Info("seeding a secondary", "from", f.seed.done.from, "to", f.seed.done.end, "last", f.seed.done.last)
	before := c.bytes.Load() // now: the first answers may be out before the turn is watched
	g.Go(c.recovering(func() error { return c.serveRanges(inner, f, f.seed.stream) }))
	g.Go(c.recovering(func() error { return c.acceptRanges(inner, g, f) }))
	g.Go(c.recovering(func() error { return c.untilDrained(inner) }))
	g.Go(c.recovering(func() error { return c.untilCapped(inner, f, before) }))
	return c.attend(ctx, inner, g, f)
}

// untilDrained ends a seed when the primary shuts down: the secondary resumes where it is.
func (c *native) untilDrained(ctx context.Context) error {
	select {
	case <-c.p.draining.Done():
		return errShutdown
	case <-ctx.Done():
		return nil
	}
}

// errCapped ends a seed so that another secondary gets its turn.
var errCapped = goodbye("other secondaries wait to be seeded, and this one has had its turn; it goes on by itself")

// untilCapped ends a seed when its turn is over: a secondary that takes what it gets slowly, or never comes to its end,
// must not keep others from being seeded. It had got so many bytes on this connection before its turn began.
func (c *native) untilCapped(ctx context.Context, f *follower, before int64) error {
	return every(ctx, c.p.opt.Heartbeat, func() error {
		if !c.p.seeds.over(c.identity(), c.bytes.Load()-before, f.seed.done.begun, c.p.opt.now()) {
			return nil
		}
		c.p.caughtUp(func(t *CatchUps) { t.DiffCapped++ })
		return errCapped
	})
}

// identity is what a secondary is known by: its node id, or its name where it has none yet.
func (c *native) identity() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.node, c.name)
}

// acceptRanges serves further streams of ranges of the same connection.
func (c *native) acceptRanges(ctx context.Context, g *errgroup.Group, f *follower) error {
	for range protocol.MaxRangeStreams - 1 {
		conn, h, err := protocol.AcceptStream(ctx, f.session)
		if err != nil && f.session.IsClosed() {
			return nil // why, the control stream says
		}
		if err != nil {
			return err
		}
		if h.Kind != protocol.StreamRanges || h.Start != f.start || h.Position != f.seed.done.from {
			closeQuietly(conn)
			return goodbye("while it is seeded, a secondary opened a %q stream from %v at %d", clean(string(h.Kind)),
				h.Start, h.Position)
		}
		stream := protocol.NewRangeStream(conn)
		head := &protocol.RangesHead{
			End: f.seed.done.end, Last: f.seed.done.last, Digest: protocol.RangeDigest(h.Digest),
			Pack: protocol.RangePacking(h.Pack),
		}
		if err := stream.SendHead(head); err != nil {
			return errors.Join(err, stream.Close())
		}
		g.Go(c.recovering(func() error { return c.serveRanges(ctx, f, stream) }))
	}
	return nil
}

// serveRanges answers requests until the secondary closes the stream, or ctx ends.
func (c *native) serveRanges(ctx context.Context, f *follower, stream *protocol.RangeStream) error {
	defer closeQuietly(stream)
	defer context.AfterFunc(ctx, func() { closeQuietly(stream) })()
	out := &rangeSender{ctx: ctx, c: c, s: f.seed, stream: stream}
	for {
		err := out.answer()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF), err != nil && f.session.IsClosed():
			return nil // why, the control stream says
		case errors.Is(err, protocol.ErrUnknownMessage):
			return goodbye("the secondary asked for what this version does not know: %w; %s", err, sameVersion)
		case err != nil:
			return err
		}
	}
}

// A rangeSender answers the requests of one stream.
type rangeSender struct {
	ctx    context.Context
	c      *native
	s      *seed
	stream *protocol.RangeStream
	open   func(zodb.Oid, zodb.Tid) (BlobFile, error) // nil: that of SeedOptions
	// lends says that single blobs and records are asked for: to call a damaged blob missing would be wrong.
	lends bool
	buf   []byte
}

// answer answers the next request. Nothing is read that was not asked for, and nothing beyond the snapshot.
func (r *rangeSender) answer() error {
	if err := r.await(); err != nil {
		return err
	}
	request, err := r.stream.ReceiveRequest()
	if err != nil {
		return err
	}
	switch m := request.(type) {
	case *protocol.RangeRequest:
		return r.file(m)
	case *protocol.BlobRequest:
		return r.blob(m)
	case *protocol.RecordRequest:
		return r.record(m)
	}
	return fmt.Errorf("a request of type %T", request)
}

// await waits for the next request, for as long as something is asked for on this stream or another one of the seed:
// there may be no blobs for hours, or nothing to be asked of a node beside which others give parts.
func (r *rangeSender) await() error {
	for {
		before := r.s.asked.Load()
		if err := r.stream.Deadlines(time.Now().Add(r.c.p.opt.seedPatience)); err != nil {
			return err
		}
		if !r.stream.Waiting() {
			if err := r.stream.Flush(); err != nil {
				return err
			}
		}
		err := r.stream.Await()
		if err == nil {
			r.s.asked.Add(1)
			return nil
		}
		var late net.Error
		if !errors.As(err, &late) || !late.Timeout() || r.s.asked.Load() == before {
			return err
		}
	}
}

// file answers with a part of the data file.
func (r *rangeSender) file(m *protocol.RangeRequest) error {
	if m.From > r.s.done.end-m.Length {
		return goodbye("the secondary asked for %d bytes at %d of a file that ends at %d", m.Length, m.From,
			r.s.done.end)
	}
	data := r.room(m.Length)
	if _, err := io.ReadFull(io.NewSectionReader(r.s.snapshot, m.From, m.Length), data); err != nil {
		return r.c.p.sourceFailed(fmt.Errorf("read %d bytes at %d for a secondary: %w", m.Length, m.From, err))
	}
	rest, err := r.stream.AnswerRange(m, data)
	if err != nil {
		return err
	}
	return r.send(rest)
}

// blob answers with a part of a blob.
func (r *rangeSender) blob(m *protocol.BlobRequest) error {
	size, data, err := r.readBlob(m)
	if damaged := (*zodb.DamagedBlobError)(nil); errors.As(err, &damaged) {
		return goodbye("%v; ask another node", err)
	}
	if err != nil {
		return r.c.p.sourceFailed(fmt.Errorf("read the blob of oid %v tid %v for a secondary: %w", m.Oid, m.Tid, err))
	}
	rest, err := r.stream.AnswerBlob(m, size, data)
	if err != nil {
		return err
	}
	return r.send(rest)
}

func (r *rangeSender) readBlob(m *protocol.BlobRequest) (size int64, data []byte, err error) {
	open := r.open
	if open == nil {
		open = r.c.p.opt.Seed.OpenBlob
	}
	if open == nil {
		return protocol.NoBlob, nil, nil
	}
	f, err := open(m.Oid, m.Tid)
	var missing *zodb.POSKeyError
	var damaged *zodb.DamagedBlobError
	switch {
	case errors.As(err, &missing):
		return protocol.NoBlob, nil, nil
	case errors.As(err, &damaged) && !r.lends:
		r.c.log.Warn("a secondary that is seeded gets a blob that is damaged here as one that is missing", "oid", m.Oid,
			"tid", m.Tid, "error", err, "warning", warning.Damaged)
		return protocol.NoBlob, nil, nil
	case err != nil:
		return 0, nil, err
	}
	defer closeQuietly(f) // read only
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	size = info.Size()
	data = r.room(min(m.Length, max(size-m.Offset, 0)))
	_, err = io.ReadFull(io.NewSectionReader(f, m.Offset, int64(len(data))), data)
	return size, data, err
}

// room returns the buffer of the stream, of at most protocol.MaxRange bytes.
func (r *rangeSender) room(n int64) []byte {
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	return r.buf[:n]
}

// send sends the bytes of an answer, as fast as the secondary takes them and all secondaries together may get them.
func (r *rangeSender) send(data []byte) error {
	for len(data) > 0 {
		part := data[:min(rangeStep, len(data))]
		data = data[len(part):]
		if err := r.c.p.seeds.wait(r.ctx, len(part)); err != nil {
			return err
		}
		if err := r.stream.Deadlines(time.Now().Add(r.c.p.opt.seedPatience)); err != nil {
			return err
		}
		n, err := r.stream.Write(part)
		r.c.bytes.Add(int64(n))
		if err != nil {
			return err
		}
		if len(data) > 0 && r.c.p.seeds.rate > 0 { // the next part may leave much later
			if err := r.stream.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
