package inside

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// Places knows by which path the root leads to objects, while transactions come one after the other.
//
//	survey     parent of each object, on a shortest way; made once
//	moved      parents since then: an object gets a new one, of a transaction, when no path leads to it
//	names      by which objects on paths refer to others, which says also whether they still do
//
// So a path is one of those that lead to an object, and stays as long as it does. An object that a transaction takes
// away from its place, and puts nowhere else, has no path, even where an object that was not written refers to it, too.
//
// It is for one goroutine.
type Places struct {
	path string
	opt  Options
	st   *filestorage.Storage // what the file has by the last look, read-only
	base *numbering
	ways *ways

	surveyed zodb.Tid // the survey is of then

	since map[zodb.Oid]bool // objects that were written since st was opened or refreshed

	moved    map[zodb.Oid]zodb.Oid
	maxMoved int
	names    map[zodb.Oid]map[zodb.Oid]string
	named    int // names in names

	ctx     context.Context //nolint:containedctx // of the transaction, from Begin on
	tid     zodb.Tid        // of the transaction
	order   []zodb.Oid
	refs    map[zodb.Oid][]zodb.Oid
	led     map[zodb.Oid]bool // objects to which a path leads in this transaction
	scanner references.Scanner
}

// maxMoved bounds the parents that are remembered beside the survey; then another one is made.
const maxMoved = 1 << 20

// maxDepth is of paths that are followed.
const maxDepth = 100_000

// NewPlaces makes a survey of the storage at a path as it was after a transaction, or where a pack has removed the
// state of then, as of the pack: objects of the transactions up to there have the places of the pack. The caller
// closes it.
func NewPlaces(ctx context.Context, path string, after zodb.Tid, opt Options) (*Places, error) {
	opt.fill()
	p := &Places{path: path, opt: opt, maxMoved: maxMoved}
	if err := p.survey(ctx, after); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close closes the file.
func (p *Places) Close() error {
	if p.st == nil {
		return nil
	}
	return p.st.Close()
}

// survey finds the parents of then, beside clients, who go first.
func (p *Places) survey(ctx context.Context, tid zodb.Tid) error {
	done := make(chan error, 1)
	go func() {
		p.opt.begin()
		done <- recovered.Do(p.opt.Logger, "the paths of a feed", func() error { return p.open(ctx, tid) })
	}()
	return <-done
}

func (p *Places) open(ctx context.Context, tid zodb.Tid) error {
	if err := p.Close(); err != nil {
		return err
	}
	p.moved, p.since = make(map[zodb.Oid]zodb.Oid), make(map[zodb.Oid]bool)
	opt := filestorage.Options{FS: p.opt.FS, ReadOnly: true, MustExist: true, Progress: p.opt.Progress}
	st, err := filestorage.OpenMoment(ctx, p.path, tid, opt)
	if packed := (*filestorage.MomentPackedError)(nil); errors.As(err, &packed) {
		if tid, err = p.lastPacked(ctx, tid, opt); err == nil {
			st, err = filestorage.OpenMoment(ctx, p.path, tid, opt)
		}
	}
	if err != nil {
		return err
	}
	p.st, p.surveyed = st, tid
	s, err := Take(ctx, st, p.opt)
	if err == nil {
		p.base, p.ways = s.oids, s.walk()
	}
	return err
}

// lastPacked returns the last transaction after tid that a pack has written.
func (p *Places) lastPacked(ctx context.Context, tid zodb.Tid, opt filestorage.Options) (last zodb.Tid, err error) {
	st, err := filestorage.Open(ctx, p.path, opt)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for txn, err := range st.Transactions(ctx, tid) {
		if err != nil {
			return 0, err
		}
		if txn.Meta().Status != zodb.StatusPacked {
			break
		}
		last = txn.Meta().Tid
	}
	return last, nil
}

// Begin is called with the next transaction, before what it has written.
func (p *Places) Begin(ctx context.Context, tid zodb.Tid) error {
	if len(p.moved) > p.maxMoved {
		if err := p.survey(ctx, tid-1); err != nil {
			return fmt.Errorf("find the places of all objects anew: %w", err)
		}
	}
	if len(p.since) > maxMoved {
		if err := p.refresh(ctx); err != nil {
			return err
		}
	}
	p.ctx, p.tid, p.order = ctx, tid, p.order[:0]
	p.refs, p.led = make(map[zodb.Oid][]zodb.Oid), make(map[zodb.Oid]bool)
	return nil
}

// refresh has the storage know what was written since.
func (p *Places) refresh(ctx context.Context) error {
	clear(p.since)
	return p.st.Refresh(ctx)
}

// Add takes the record of an object that the transaction has written; nil: it does not exist any more, or is too large.
func (p *Places) Add(oid zodb.Oid, data []byte) {
	if p.tid <= p.surveyed {
		return
	}
	p.order = append(p.order, oid)
	p.since[oid] = true
	if _, ok := p.names[oid]; ok {
		p.forget(oid)
		if data != nil {
			p.remember(oid, p.namesIn(data))
		}
	}
	if data == nil {
		return
	}
	if refs, err := p.scanner.Scan(data, nil); err == nil {
		p.refs[oid] = refs
	}
}

// End is called after all objects of the transaction: what they refer to, and no path leads to, gets a place.
func (p *Places) End() {
	waiting := p.order
	for found := true; found && len(waiting) > 0; {
		found = false
		var rest []zodb.Oid
		for _, oid := range waiting {
			if !p.leads(oid) {
				rest = append(rest, oid)
				continue
			}
			p.adopt(oid)
			found = true
		}
		waiting = rest
	}
	for _, oid := range waiting {
		p.keep(oid)
	}
}

// keep gives a place to what an object refers to that no path leads to: one may do so later.
func (p *Places) keep(from zodb.Oid) {
	for _, to := range p.refs[from] {
		if !p.leads(to) && !p.held(to) && !p.below(from, to) {
			p.moved[to] = from
		}
	}
}

// held reports whether the object by which another one was reached still refers to it.
func (p *Places) held(oid zodb.Oid) bool {
	parent, ok := p.parent(oid)
	if ok {
		_, ok = p.refers(parent)[oid]
	}
	return ok
}

// below reports whether an object was reached by way of another, or is it.
func (p *Places) below(oid, other zodb.Oid) bool {
	for ok := true; ok; oid, ok = p.parent(oid) {
		if oid == other {
			return true
		}
	}
	return false
}

// adopt gives a place to what an object refers to, which a path leads to, and to what that refers to in turn.
func (p *Places) adopt(oid zodb.Oid) {
	for queue := []zodb.Oid{oid}; len(queue) > 0; queue = queue[1:] {
		from := queue[0]
		refs, written := p.refs[from]
		if !written { // it may have come with what no survey has reached
			refs = slices.Sorted(maps.Keys(p.refers(from)))
		}
		for _, to := range refs {
			if parent, ok := p.parent(to); ok && parent == from || p.leads(to) {
				continue
			}
			p.moved[to] = from // no path leads to it, and so not by way of it to from: there is no circle
			p.led[to] = true
			queue = append(queue, to)
		}
	}
}

// parent returns by which object another one was reached.
func (p *Places) parent(oid zodb.Oid) (zodb.Oid, bool) {
	if parent, ok := p.moved[oid]; ok {
		return parent, true
	}
	number, ok := p.base.number(oid)
	if !ok || p.ways.above(number) == none {
		return 0, false
	}
	return p.base.oid(p.ways.above(number)), true
}

// leads reports whether the known path to an object is still one.
func (p *Places) leads(oid zodb.Oid) bool {
	var way []zodb.Oid
	for oid != 0 && !p.led[oid] {
		parent, ok := p.parent(oid)
		if !ok || len(way) > maxDepth {
			return false
		}
		if _, ok := p.refers(parent)[oid]; !ok {
			return false
		}
		way = append(way, oid)
		oid = parent
	}
	for _, oid := range way {
		p.led[oid] = true
	}
	return true
}

// refers returns what an object refers to in this transaction, by which names.
func (p *Places) refers(oid zodb.Oid) map[zodb.Oid]string {
	names, ok := p.names[oid]
	if !ok {
		names = p.namesIn(p.load(oid))
		p.remember(oid, names)
	}
	return names
}

// load returns the record of an object after the transaction; nil where there is none, or it cannot be read, which is
// as if it referred to nothing.
func (p *Places) load(oid zodb.Oid) []byte {
	if p.since[oid] && p.refresh(p.ctx) != nil {
		return nil
	}
	rev, err := p.st.LoadBefore(oid, max(p.tid, p.surveyed)+1)
	if err != nil || rev == nil {
		return nil
	}
	return rev.Data
}

func (p *Places) remember(oid zodb.Oid, names map[zodb.Oid]string) {
	if p.named += len(names) + 1; p.names == nil || p.named > maxNames {
		p.names, p.named = make(map[zodb.Oid]map[zodb.Oid]string), len(names)+1
	}
	p.names[oid] = names
}

func (p *Places) forget(oid zodb.Oid) {
	p.named -= len(p.names[oid]) + 1
	delete(p.names, oid)
}

// namesIn returns the names of references. Those of a record that cannot be decoded have none.
func (p *Places) namesIn(data []byte) map[zodb.Oid]string {
	if names := RefNames(data); names != nil || data == nil {
		return names
	}
	names := make(map[zodb.Oid]string)
	oids, _ := p.scanner.Scan(data, nil) // what comes before an error
	for _, oid := range oids {
		names[oid] = ""
	}
	return names
}

// Path returns a path to an object after the transaction, as Path.String does; false where none is known.
func (p *Places) Path(oid zodb.Oid) (string, bool) {
	if !p.leads(oid) {
		return "", false
	}
	var names []string
	for oid != 0 {
		parent, _ := p.parent(oid)
		if name := p.refers(parent)[oid]; name != "" {
			names = append(names, name)
		}
		oid = parent
	}
	var path strings.Builder
	for i := range names {
		path.WriteByte('/')
		path.WriteString(names[len(names)-1-i])
	}
	if len(names) == 0 {
		return "/", true
	}
	return path.String(), true
}
