package blobtools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A BlobLister is a place that can say which blobs it has.
type BlobLister interface {
	String() string
	Blobs(ctx context.Context, visit func(zodb.Oid, zodb.Tid)) error
}

const (
	askFor   = 30 * time.Second // who has one blob
	askAgain = time.Second      // after which it is asked once more: a node that is asked much refuses for a moment
	maxAway  = 64               // in a row, after which nobody is asked any more
)

// An absence is one audit's look at the blobs that are not here.
type absence struct {
	*audit
	partial bool   // the directory is a blob cache
	stored  bitset // what the object store has
	trouble error  // why the object store cannot say that
	away    int    // of how many in a row nobody could say who has them
	last    error  // of these
}

// A bitset has a bit for each revision.
type bitset []uint64

func newBitset(n int) bitset       { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)         { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool    { return b != nil && b[i/64]&(1<<(i%64)) != 0 }
func (a *audit) isHere(i int) bool { return a.seen.has(i) || a.cameMeanwhile(i) }

// isUnreadable reports whether the file belongs into a folder that cannot be read, which is a finding of its own.
func (a *audit) isUnreadable(i int) bool {
	r := &a.rec.Blobs[i]
	return a.unreadable.Contain(a.opt.Blobs.BlobPath(r.Oid, r.Tid))
}

// cameMeanwhile reports whether a heal, a recovery or a fetch has just brought a file.
func (a *audit) cameMeanwhile(i int) bool {
	r := &a.rec.Blobs[i]
	info, err := a.opt.FS.Stat(a.opt.Blobs.BlobPath(r.Oid, r.Tid))
	if err != nil {
		return false
	}
	if info.Mode().IsRegular() {
		a.sum.Files++
		a.sum.Bytes += info.Size()
	}
	return true
}

// missing reports the revisions that have no file here.
func (a *audit) missing(ctx context.Context) error {
	m := absence{audit: a}
	var err error
	if m.partial, err = a.opt.Blobs.Partial(); err != nil {
		return err
	}
	for i := range a.rec.Blobs {
		if a.isHere(i) || a.isUnreadable(i) {
			continue
		}
		if err := m.report(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// report says of a revision where it is.
func (m *absence) report(ctx context.Context, i int) error {
	if err := m.list(ctx); err != nil {
		return err
	}
	r := &m.rec.Blobs[i]
	f := &Finding{Oid: &r.Oid, Tid: &r.Tid, Path: m.opt.Blobs.BlobPath(r.Oid, r.Tid)}
	if m.partial && m.opt.Ask != nil && !m.stored.has(i) && m.away < maxAway {
		m.ask(ctx, f)
	} else {
		m.judge(f, m.stored.has(i))
	}
	if m.note(f); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return m.withTransaction(f)
}

// list notes once what the object store has.
func (m *absence) list(ctx context.Context) error {
	if m.opt.Store == nil || m.stored != nil {
		return nil
	}
	m.stored = newBitset(len(m.rec.Blobs))
	m.trouble = m.opt.Store.Blobs(ctx, func(oid zodb.Oid, tid zodb.Tid) {
		if i := m.rec.find(oid, tid); i >= 0 {
			m.stored.set(i)
		}
	})
	return context.Cause(ctx)
}

// ask asks who has a blob of a cache.
func (m *absence) ask(ctx context.Context, f *Finding) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	where, err := m.opt.Ask(ctx, *f.Oid, *f.Tid)
	nowhere := (*zodb.POSKeyError)(nil)
	if err != nil && !errors.As(err, &nowhere) && m.away == 0 {
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
		where, err = m.opt.Ask(ctx, *f.Oid, *f.Tid)
	}
	switch {
	case err == nil:
		f.Severity, f.Kind, f.Text = Note, Elsewhere, "evicted: "+where+" has it"
	case errors.As(err, &nowhere):
		f.Severity, f.Kind = Damage, Missing
		f.Text = "the blob is not in this blob cache, and nobody else has it: " + howToRecover
	default:
		f.Severity, f.Kind = Damage, Away
		f.Text = fmt.Sprintf("evicted, and who may have it cannot be asked now: %v", err)
	}
}

const howToRecover = "zrsd blobs recover looks for it in caches and copies, zrsd heal on other nodes"

// judge says where a blob is, of which nobody is asked.
func (m *absence) judge(f *Finding, stored bool) {
	f.Severity, f.Kind = Damage, Missing
	switch {
	case stored && m.partial:
		f.Severity, f.Kind, f.Text = Note, Elsewhere, "evicted: "+m.opt.Store.String()+" has it"
	case stored:
		f.Text = "the blob has no file, and " + m.opt.Store.String() + " has it: zrsd blobs pull"
	case m.partial && m.opt.Ask != nil:
		f.Kind = Away
		f.Text = fmt.Sprintf("evicted; nobody was asked any more, since of %d blobs in a row nobody could be: %v",
			m.away, m.last)
	case m.partial:
		f.Severity, f.Kind = Warning, Unasked
		f.Text = "evicted: the directory is a blob cache. Ask the node whether somebody has it: zrsd blobs audit ADDR"
	default:
		f.Text = "the blob has no file: " + howToRecover
	}
	if m.trouble != nil && !stored {
		f.Text += fmt.Sprintf(" (%s cannot say what it has: %v)", m.opt.Store, m.trouble)
	}
}

// note counts of how many blobs in a row nobody could say who has them.
func (m *absence) note(f *Finding) {
	if f.Kind != Away {
		m.away = 0
	} else if m.away++; m.away < maxAway {
		m.last = errors.New(f.Text)
	}
}
