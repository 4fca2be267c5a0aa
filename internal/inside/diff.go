package inside

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// What an ObjectChange is, and why.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"

	WhyNew       = "new"          // created: there was no such object
	WhyReachable = "reachable"    // created: it was there, and the root did not lead to it
	WhyWritten   = "written"      // changed: its record has other bytes
	WhyGone      = "empty-record" // deleted: its record is empty, by deleteObject or an undo of its creation
	WhyDetached  = "unreachable"  // deleted: its record is there, and the root does not lead to it any more
)

// An ObjectChange is what has become of an object between two moments.
type ObjectChange struct {
	Oid    zodb.Oid `json:"oid"`
	Change string   `json:"change"`
	Why    string   `json:"why"`
	From   *Version `json:"from"` // nil: it did not exist
	To     *Version `json:"to"`   // nil: it does not exist any more
}

// A Version is an object as it was at a moment.
type Version struct {
	Tid   zodb.Tid     `json:"tid"`
	Time  time.Time    `json:"time"`
	Class string       `json:"class"`
	Bytes int64        `json:"bytes"`
	Path  *string      `json:"path"` // nil: the root does not lead to it
	State *record.Node `json:"state,omitempty"`
	Error string       `json:"error,omitempty"` // why there is no state
}

// A DiffMoment is one of the two moments.
type DiffMoment struct {
	Tid    zodb.Tid  `json:"tid"` // of its last transaction
	Time   time.Time `json:"time"`
	Unread int       `json:"unread"` // objects whose record cannot be read: what they refer to is not known
}

// A DiffSummary is what there was between two moments.
type DiffSummary struct {
	Path      string     `json:"path"`
	From      DiffMoment `json:"from"`
	To        DiffMoment `json:"to"`
	Created   int64      `json:"created"`
	Changed   int64      `json:"changed"`
	Deleted   int64      `json:"deleted"`
	Rewritten int64      `json:"rewritten"` // written with the bytes that they had: no change
}

// DiffOptions choose what is compared.
type DiffOptions struct {
	Options
	From, To zodb.Tid
	Classes  record.ClassPatterns // only objects of these, at one of the moments
	Oids     []zodb.Oid           // only these; none: all
	States   bool
}

var errPackedMeanwhile = errors.New("the file was packed while it was read: ask again")

// Diff compares the storage at a path at two moments, and calls each for the objects that differ, by ascending oids.
//
// Of both moments it makes a Survey. An object that no transaction between them has written may differ too: it is
// deleted when the last reference to it is.
func Diff(ctx context.Context, path string, opt DiffOptions, each func(*ObjectChange) error) (*DiffSummary, error) {
	before, err := surveyAt(ctx, path, opt.From, opt.Options)
	if err != nil {
		return nil, err
	}
	after, err := surveyAt(ctx, path, opt.To, opt.Options)
	if err != nil {
		return nil, errors.Join(err, before.st.Close())
	}
	d := &differ{
		opt: &opt, from: before, to: after, each: each, sum: DiffSummary{
			Path: path, From: before.diffMoment(), To: after.diffMoment(),
		},
	}
	err = d.run(ctx)
	return &d.sum, errors.Join(err, before.st.Close(), after.st.Close())
}

func surveyAt(ctx context.Context, path string, tid zodb.Tid, opt Options) (*Survey, error) {
	st, err := filestorage.OpenMoment(ctx, path, tid, filestorage.Options{Progress: opt.Progress})
	if err != nil {
		return nil, err
	}
	s, err := Take(ctx, st, opt)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

func (s *Survey) diffMoment() DiffMoment {
	tid := s.st.LastTid()
	return DiffMoment{tid, tid.Time().UTC(), len(s.findings.unread)}
}

// A differ compares two surveys.
type differ struct {
	opt      *DiffOptions
	from, to *Survey
	written  []uint64 // bits, by the numbers of to: what transactions between the moments have written
	each     func(*ObjectChange) error
	sum      DiffSummary
}

func (d *differ) run(ctx context.Context) error {
	if err := d.findWritten(ctx); err != nil {
		return err
	}
	if len(d.opt.Oids) > 0 {
		oids := slices.Clone(d.opt.Oids)
		slices.Sort(oids)
		for _, oid := range slices.Compact(oids) {
			if err := d.object(oid); err != nil {
				return err
			}
		}
		return nil
	}
	var a, b uint32
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		oid, ok := d.next(&a, &b)
		if !ok {
			return nil
		}
		if err := d.object(oid); err != nil {
			return err
		}
	}
}

// next returns the smallest oid that comes next at one of the moments, where a and b have come to.
func (d *differ) next(a, b *uint32) (oid zodb.Oid, ok bool) {
	moreA, moreB := int(*a) < d.from.oids.count, int(*b) < d.to.oids.count
	var oidA, oidB zodb.Oid
	if moreA {
		oidA = d.from.oids.oid(*a)
	}
	if moreB {
		oidB = d.to.oids.oid(*b)
	}
	takeA := moreA && (!moreB || oidA <= oidB)
	takeB := moreB && (!moreA || oidB <= oidA)
	if takeA {
		*a, oid = *a+1, oidA
	}
	if takeB {
		*b, oid = *b+1, oidB
	}
	return oid, takeA || takeB
}

// findWritten reads which objects transactions between the moments have written.
func (d *differ) findWritten(ctx context.Context) error {
	d.written = make([]uint64, d.to.oids.count/64+1)
	it, err := d.to.st.IterateRecords(d.from.st.LastTid(), false)
	if err != nil {
		return err
	}
	defer it.Close() //nolint:errcheck // it has only read
	for txn, err := range zodb.Transactions(ctx, it) {
		if err != nil {
			return err
		}
		if txn.Meta().Status == zodb.StatusUndone {
			continue
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				return err
			}
			if n, ok := d.to.oids.number(rec.Oid); ok {
				d.written[n/64] |= 1 << (n % 64)
			}
		}
	}
	return nil
}

// presence is what a survey knows of an oid.
type presence struct {
	number         uint32
	known          bool // it has a record, if an empty one
	exists, rooted bool
}

func (s *Survey) presence(oid zodb.Oid) (p presence) {
	p.number, p.known = s.oids.number(oid)
	if p.known {
		p.exists, p.rooted = s.exists(p.number), s.walk().reached(p.number)
	}
	return p
}

// object tells what has become of an object.
func (d *differ) object(oid zodb.Oid) error {
	a, b := d.from.presence(oid), d.to.presence(oid)
	c := &ObjectChange{Oid: oid}
	switch {
	case a.known && !b.known:
		return errPackedMeanwhile
	case !a.exists && !b.exists:
		return nil
	case !a.exists:
		c.Change, c.Why = Created, WhyNew
	case !b.exists:
		c.Change, c.Why = Deleted, WhyGone
	case a.rooted && !b.rooted:
		c.Change, c.Why = Deleted, WhyDetached
	case !a.rooted && b.rooted:
		c.Change, c.Why = Created, WhyReachable
	case d.written[b.number/64]&(1<<(b.number%64)) != 0:
		c.Change, c.Why = Changed, WhyWritten
	default:
		return nil
	}
	if !d.wants(a, b) {
		return nil
	}
	if c.Change == Changed && d.same(oid) {
		d.sum.Rewritten++
		return nil
	}
	d.count(c.Change)
	if a.exists {
		c.From = d.from.version(oid, a, d.opt.States)
	}
	if b.exists {
		c.To = d.to.version(oid, b, d.opt.States)
	}
	return d.each(c)
}

func (d *differ) count(change string) {
	switch change {
	case Created:
		d.sum.Created++
	case Changed:
		d.sum.Changed++
	case Deleted:
		d.sum.Deleted++
	}
}

// wants reports whether an object has one of the classes that were asked for, at one of the moments.
func (d *differ) wants(a, b presence) bool {
	return a.exists && d.opt.Classes.Match(d.from.className(a.number)) ||
		b.exists && d.opt.Classes.Match(d.to.className(b.number))
}

// same reports whether the record of an object has the same bytes at both moments. What cannot be read is not the same.
func (d *differ) same(oid zodb.Oid) bool {
	a, _, errA := d.from.st.Load(oid)
	b, _, errB := d.to.st.Load(oid)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func (s *Survey) className(number uint32) string {
	own := s.classes[number]
	return s.name(own)
}

func (s *Survey) version(oid zodb.Oid, p presence, state bool) *Version {
	v := &Version{Class: s.className(p.number), Bytes: s.sizes.of(p.number)}
	v.Tid, _ = s.st.GetTid(oid)
	v.Time = v.Tid.Time().UTC()
	if p.rooted {
		text := s.path(p.number).String()
		v.Path = &text
	}
	if !state {
		return v
	}
	data, _, err := s.st.Load(oid)
	if err == nil {
		var d *record.Decoded
		if d, err = record.Decode(data, record.Limits{}); err == nil {
			v.State = d.State
		}
	}
	if err != nil {
		v.Error = err.Error()
	}
	return v
}
