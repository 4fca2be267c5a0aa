package verify

import (
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/zodb"
)

// A reference is one to an object that the file had not at that place.
type reference struct {
	from, to zodb.Oid
	tid      zodb.Tid
	pos      int64 // of the record that has it
}

// An unreadable is a record whose references could not be found.
type unreadable struct {
	oid zodb.Oid
	tid zodb.Tid
	pos int64
	err error
}

// maxPending bounds what is kept of references to objects that may still come.
const maxPending = 1 << 20

// openReferences are those of a file that lead to no object, as far as it has been read.
type openReferences struct {
	pending    []reference
	unreadable []unreadable
	passed     int64 // not kept, for want of room
}

// note takes what a record refers to. now may know more than the file up to the record.
func (r *openReferences) note(rec *scanned, to []zodb.Oid, now *filestorage.Offsets) {
	if rec.err != nil && now.Get(rec.oid) == rec.pos {
		if len(r.unreadable) < maxPending {
			r.unreadable = append(r.unreadable, unreadable{rec.oid, rec.tid, rec.pos, rec.err})
		}
		return
	}
	for _, oid := range to {
		if now.Get(oid) != 0 {
			continue
		}
		if len(r.pending) == maxPending {
			r.shrink(now)
		}
		if len(r.pending) == maxPending {
			r.passed++
			continue
		}
		r.pending = append(r.pending, reference{rec.oid, oid, rec.tid, rec.pos})
	}
}

// shrink drops those that lead to an object by now, and those of records that are not current any more.
func (r *openReferences) shrink(now *filestorage.Offsets) {
	kept := r.pending[:0]
	for _, p := range r.pending {
		if now.Get(p.to) == 0 && now.Get(p.from) == p.pos {
			kept = append(kept, p)
		}
	}
	r.pending = kept
}

// judge reports what is left at the end.
func (r *openReferences) judge(now *filestorage.Offsets, report func(check.Finding)) {
	r.shrink(now)
	for _, p := range r.pending {
		report(check.Finding{Severity: check.Warning, Kind: KindReference, Pos: &p.pos, Tid: &p.tid, Oid: &p.from,
			Text: fmt.Sprintf("it refers to object %v, which does not exist: who follows the reference gets a "+
				"POSKeyError", p.to)})
	}
	for _, u := range r.unreadable {
		if now.Get(u.oid) == u.pos {
			report(check.Finding{Severity: check.Warning, Kind: KindPickle, Pos: &u.pos, Tid: &u.tid, Oid: &u.oid,
				Text: fmt.Sprintf("its references cannot be read, so a pack with garbage collection fails: %v", u.err)})
		}
	}
	if r.passed > 0 {
		report(check.Finding{Severity: check.Warning, Kind: KindReference,
			Text: fmt.Sprintf("%d references to objects that come later in the file were not looked at: they "+
				"are too many", r.passed)})
	}
}
