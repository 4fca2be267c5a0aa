package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Peer is another node with a copy of the storage.
type Peer struct {
	Name string
	// Ask connects to it. Count is told how many bytes were sent and received.
	Ask func(ctx context.Context, count *atomic.Int64) (Remote, error)
}

// A Remote is another node: a *hashchain.Remote, for example.
type Remote interface {
	hashchain.Chain
	// Blobs asks whether it has noted other content of blobs; the error is hashchain.ErrNoBlobs where it has none.
	Blobs(ctx context.Context, query *protocol.BlobQuery) (*protocol.BlobAnswer, error)
	Close() error
}

// peerTimeout is how long the comparison with one node may take: it may have to read much of its file for an answer.
const peerTimeout = 3 * time.Minute

// peers compares what was read with the histories of other nodes.
func (p *pass) peers(ctx context.Context) error {
	var bytes atomic.Int64
	defer func() { p.result.PeerBytes = bytes.Load() }()
	p.votes, p.knowing = map[blobKey]*blobVotes{}, nil
	defer p.judgeBlobs()
	for _, peer := range p.opt.Peers {
		if p.result.Transactions > 0 && !p.ownHistory().known {
			p.opt.Logger.Info("not compared with another node: everything here was packed", "peer", peer.Name)
			continue
		}
		p.result.Attempted++
		err := p.peer(ctx, peer, &bytes)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			p.result.Failure++
			p.result.FailureNodes[peer.Name] = err.Error()
		}
	}
	return nil
}

// errDiffers says that a difference was found and reported.
var errDiffers = errors.New("it has another history, or other content: see the finding")

// peer compares with one node. The error is why that is no success.
func (p *pass) peer(ctx context.Context, peer Peer, bytes *atomic.Int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, peerTimeout, fmt.Errorf("no answer within %v", peerTimeout))
	defer cancel()
	remote, err := peer.Ask(ctx, bytes)
	if err != nil {
		return err
	}
	defer remote.Close() //nolint:errcheck // it was only asked
	span, err := remote.Span(ctx)
	if err != nil {
		return err
	}
	mine := p.ownHistory()
	if span.Last == 0 || mine.head.Tid == 0 {
		p.result.Success++
		if span.Last == 0 {
			p.result.Empty++
		}
		return nil
	}
	if span.Base > mine.base {
		if mine, err = mine.from(ctx, span.Base); err != nil {
			return err
		}
	}
	return p.compare(ctx, peer, mine, remote, span)
}

// compare holds one history against the other, up to the end of the one that is shorter.
func (p *pass) compare(ctx context.Context, peer Peer, mine *history, remote Remote, span hashchain.Span) error {
	end := min(mine.head.Tid, span.Last)
	if end < mine.base {
		return &baseError{mine.base}
	}
	here, err := mine.at(ctx, end)
	if err != nil {
		return err
	}
	there, err := remote.At(ctx, mine.base, end)
	if err != nil {
		return err
	}
	if here.Point == there {
		if err := p.locate(ctx, peer, mine, remote, end); err != nil {
			return err
		}
		p.compared(peer, mine, here.Point, span, true)
		if err := p.comparePeerBlobs(ctx, peer, remote, end); err != nil {
			return err
		}
		p.result.Success++
		if mine.head.Tid == span.Last {
			p.result.NoChange++
		} else {
			p.result.HashMatch++
		}
		return nil
	}
	d, err := mine.difference(ctx, remote, end)
	if err != nil {
		return err
	}
	p.result.Diff++
	p.compared(peer, mine, d.before, span, false)
	p.differs(peer, d)
	return errDiffers
}

func (p *pass) compared(peer Peer, mine *history, same hashchain.Point, span hashchain.Span, equal bool) {
	c := Compared{Peer: peer.Name, Equal: equal, Transactions: same.Count, Base: mine.base, Last: span.Last}
	if same.Count > 0 {
		c.Tid = same.Tid
	}
	p.result.Compared = append(p.result.Compared, c)
}

// locate finds which transaction it is that has changed on this disk between two checkpoints: the other node has the
// same history, and there it is as it was.
func (p *pass) locate(ctx context.Context, peer Peer, mine *history, remote Remote, end zodb.Tid) error {
	for i := range p.changed {
		c := &p.changed[i]
		if c.Exact || c.Gone || c.Tid > end || c.After < mine.base || c.located || i >= maxFindings {
			continue
		}
		from := mine.place(c.After)
		if err := mine.read(ctx, from, c.Tid); err != nil {
			return err
		}
		var d difference
		n, err := d.search(ctx, remote, mine.base, mine.region)
		if err != nil {
			return err
		}
		if n == len(mine.region) {
			continue
		}
		c.located = true
		pos := int64(firstTransaction)
		if n > 0 {
			pos = mine.region[n-1].Pos
		} else if from.Pos >= 0 {
			pos = from.Pos
		}
		tid := mine.region[n].Tid
		p.result.report(Finding{Where: Here, Peer: &peer.Name, Finding: check.Finding{Severity: check.Damage,
			Kind: KindPeer, Tid: &tid, Pos: &pos, Text: fmt.Sprintf("this transaction has changed on this disk; node "+
				"%s has it as it was: fetch it from there", peer.Name)}})
		p.suspect(Suspect{Start: pos, From: pos, To: pos + 1, Tid: &tid, Found: c.String()})
	}
	return nil
}

// differs reports where another node has something else.
func (p *pass) differs(peer Peer, d *difference) {
	f := Finding{Where: Unknown, Peer: &peer.Name, Finding: check.Finding{Severity: check.Damage, Kind: KindPeer,
		Tid: &d.tid, Pos: d.pos}}
	same := d.pos != nil && d.there == d.tid
	switch {
	case p.result.Kinds[KindChain] > 0 || p.result.Kinds[KindBlock] > 0:
		f.Where = Here
	case same && p.result.ChainKnown > 0:
		f.Where = There
	}
	switch {
	case same:
		f.Text = fmt.Sprintf("node %s has other content in this transaction", peer.Name)
	case d.pos == nil:
		f.Text = fmt.Sprintf("node %s has this transaction, this node does not", peer.Name)
	default:
		f.Text = fmt.Sprintf("node %s does not have this transaction; it has %v before it", peer.Name, d.there)
	}
	if !d.exact {
		f.Text += "; the first difference is there or earlier, in a part that was packed"
	}
	switch {
	case f.Where == Here:
	case p.result.ChainKnown == 0:
		f.Text += ": nothing is noted here that says which of the two is right: verify both"
	default:
		f.Text += ": what this node has noted of its own is right: verify the other one"
	}
	p.result.report(f)
}

// A baseError says that two histories have no part that can be compared.
type baseError struct{ base zodb.Tid }

func (e *baseError) Error() string {
	return fmt.Sprintf("its history ends before %v, from where on this one can be compared", e.base)
}

// A history is the chain of the file as a pass has read it. Between its places it is read again.
type history struct {
	p      *pass
	base   zodb.Tid
	places []hashchain.Place
	head   hashchain.Point
	known  bool

	region []hashchain.Place // the transactions between two places, the last that were read
	after  hashchain.Place   // which of them it begins after
}

// ownHistory is what the pass has found.
func (p *pass) ownHistory() *history {
	h := &history{p: p}
	h.base, h.places, h.head, h.known = p.chain.Recomputed()
	return h
}

// start is where the chain begins; its offset is not known.
func (h *history) start() hashchain.Place {
	return hashchain.Place{Point: hashchain.Point{Tid: h.base}, Pos: -1}
}

// place returns the last place at or before tid.
func (h *history) place(tid zodb.Tid) hashchain.Place {
	i := sort.Search(len(h.places), func(i int) bool { return h.places[i].Tid > tid })
	if i == 0 {
		return h.start()
	}
	return h.places[i-1]
}

// at returns the point after the last transaction at or before tid.
func (h *history) at(ctx context.Context, tid zodb.Tid) (hashchain.Place, error) {
	if tid >= h.head.Tid {
		return hashchain.Place{Point: h.head}, nil
	}
	from := h.place(tid)
	if from.Tid == tid {
		return from, nil
	}
	if err := h.read(ctx, from, tid); err != nil {
		return from, err
	}
	return lastOf(h.region, from, tid), nil
}

// lastOf returns the last of some transactions at or before tid, otherwise the one before them.
func lastOf(region []hashchain.Place, before hashchain.Place, tid zodb.Tid) hashchain.Place {
	i := sort.Search(len(region), func(i int) bool { return region[i].Tid > tid })
	if i == 0 {
		return before
	}
	return region[i-1]
}

// read reads the transactions from after a place to tid.
func (h *history) read(ctx context.Context, from hashchain.Place, tid zodb.Tid) error {
	if h.region != nil && h.after == from && h.region[len(h.region)-1].Tid >= tid {
		return nil
	}
	h.region, h.after = nil, from
	return h.p.reread(ctx, from.Pos, func(d *digester) {
		d.chain = hashchain.Restart(h.base, from.Point)
		d.skip = from.Tid
		d.each = func(at hashchain.Place) bool {
			h.region = append(h.region, at)
			return at.Tid < tid
		}
	})
}

// from returns the history from a later base, read again from there.
func (h *history) from(ctx context.Context, base zodb.Tid) (*history, error) {
	later := &history{p: h.p, base: base, known: true}
	var chain *hashchain.Recompute
	found := base == h.base
	err := h.p.reread(ctx, h.place(base).Pos, func(d *digester) {
		chain = hashchain.Restart(base, hashchain.Point{Tid: base})
		d.chain, d.skip = chain, base
		d.skipped = func(tid zodb.Tid) { found = found || tid == base }
	})
	if err == nil && !found && h.place(base).Tid != base {
		err = fmt.Errorf("its history begins after transaction %v, which is not in this file", base)
	}
	if err != nil {
		return nil, err
	}
	_, later.places, later.head, _ = chain.Recomputed()
	return later, nil
}

// A difference is the first transaction that two nodes do not both have.
type difference struct {
	tid   zodb.Tid
	pos   *int64   // where it is here; nil: it is not
	there zodb.Tid // the last one at or before it on the other node

	before hashchain.Point // up to which all is the same
	exact  bool            // false: it may be an earlier one
}

// difference finds it, by some dozens of questions. Up to end the histories are not the same.
func (h *history) difference(ctx context.Context, remote Remote, end zodb.Tid) (*difference, error) {
	d := &difference{exact: true}
	places := h.places[:sort.Search(len(h.places), func(i int) bool { return h.places[i].Tid > end })]
	i, err := d.search(ctx, remote, h.base, places)
	if err != nil {
		return nil, err
	}
	from, to := h.start(), end
	if i > 0 {
		from = places[i-1]
	}
	if i < len(places) {
		to = places[i].Tid
	}
	if err := h.read(ctx, from, to); err != nil {
		return nil, err
	}
	region := h.region[:sort.Search(len(h.region), func(i int) bool { return h.region[i].Tid > to })]
	if i, err = d.search(ctx, remote, h.base, region); err != nil {
		return nil, err
	}
	before := from
	if i > 0 {
		before = region[i-1]
	}
	d.tid, d.before = to, before.Point
	if i < len(region) {
		begins := before.Pos
		d.tid = region[i].Tid
		if begins >= 0 {
			d.pos = &begins
		} else {
			d.pos = new(int64(firstTransaction))
		}
	}
	at, err := remote.At(ctx, h.base, d.tid)
	if err != nil {
		return nil, err
	}
	d.there = at.Tid
	if i < len(region) && at.Tid == d.tid && at.Count > region[i].Count { // it has more before it
		if at, err = remote.At(ctx, h.base, d.tid-1); err != nil {
			return nil, err
		}
		d.there = at.Tid
	}
	if d.there < d.tid || i == len(region) {
		return d, h.earlier(ctx, remote, d, before)
	}
	return d, nil
}

// firstTransaction is the offset of the first one.
const firstTransaction = 4

// earlier corrects a difference where the other node has a transaction between two of this one.
func (h *history) earlier(ctx context.Context, remote Remote, d *difference, before hashchain.Place) error {
	if d.there <= before.Tid {
		return nil
	}
	for low := before.Tid; d.there > low+1; {
		middle := low + (d.there-low)/2
		at, err := remote.At(ctx, h.base, middle)
		if err != nil {
			return err
		}
		if at.Tid == before.Tid {
			low = middle
		} else {
			d.there = at.Tid
		}
	}
	d.tid, d.pos = d.there, nil
	return nil
}

// search returns the first of some points that the other node does not have. What it cannot tell counts as the same.
func (d *difference) search(ctx context.Context, remote Remote, base zodb.Tid, points []hashchain.Place) (int, error) {
	var failed error
	i := sort.Search(len(points), func(i int) bool {
		if failed != nil {
			return false
		}
		at, err := remote.At(ctx, base, points[i].Tid)
		var unknown *hashchain.UnknownError
		switch {
		case errors.As(err, &unknown):
			d.exact = false
			return false
		case err != nil:
			failed = err
			return false
		}
		return at != points[i].Point
	})
	return i, failed
}

// A countedConn counts what goes over a connection.
type countedConn struct {
	net.Conn
	count *atomic.Int64
}

// Counted returns a connection that tells count of each byte.
func Counted(conn net.Conn, count *atomic.Int64) net.Conn { return countedConn{conn, count} }

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.count.Add(int64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.count.Add(int64(n))
	return n, err
}

// errRead ends a reading that has come far enough.
var errRead = errors.New("read far enough")

// reread reads transactions again, from an offset on, -1 for the front.
func (p *pass) reread(ctx context.Context, pos int64, prepare func(*digester)) (err error) {
	in, err := filestorage.Inspect(p.opt.FS, p.opt.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if p.replaced(p.opens) {
		return errors.New("the data file was replaced by a pack: compare again")
	}
	if pos >= 0 {
		in.SkipTo(pos)
	}
	d := newDigester(nil)
	prepare(d)
	for txn, err := range in.Transactions() {
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if txn.End() > p.result.Bytes {
			return nil
		}
		if txn.Meta.Tid <= d.skip {
			if d.skipped != nil {
				d.skipped(txn.Meta.Tid)
			}
			continue
		}
		if err := p.redigest(in, txn, d); errors.Is(err, errRead) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
