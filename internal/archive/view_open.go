package archive

import (
	"container/list"

	"github.com/zrsd/zrsd/internal/vfs"
)

// maxOpenSegments is how many files of segments stay open: to open one for each read takes longer than the read.
const maxOpenSegments = 64

// An openSegment is the open file of a segment. It is closed when nobody reads it and it is not kept any more.
type openSegment struct {
	vfs.File
	of    *keptSegment
	users int  // of the cache's mu
	kept  bool // likewise
}

// openSegments are the files that stay open, under the cache's mu: the last used in front, and at most maxOpenSegments.
type openSegments struct{ order list.List }

// use returns the open file of a segment for one more reader; nil: it is not open.
func (o *openSegments) use(e *keptSegment) *openSegment {
	if e.at == nil {
		return nil
	}
	o.order.MoveToFront(e.at)
	f := e.at.Value.(*openSegment)
	f.users++
	return f
}

// keep lets a file stay open that somebody has opened, unless another one of the segment is. What was used longest ago
// gives way.
func (o *openSegments) keep(f *openSegment) {
	if f.of.at != nil {
		return
	}
	f.kept, f.of.at = true, o.order.PushFront(f)
	if o.order.Len() > maxOpenSegments {
		o.forget(o.order.Back().Value.(*openSegment).of)
	}
}

// forget closes the file of a segment, or has the last one close it who reads it.
func (o *openSegments) forget(e *keptSegment) {
	if e.at == nil {
		return
	}
	f := o.order.Remove(e.at).(*openSegment)
	f.kept, e.at = false, nil
	if f.users == 0 {
		_ = f.Close() // it was only read
	}
}

// forgetAll does so with all of them.
func (o *openSegments) forgetAll() {
	for o.order.Len() > 0 {
		o.forget(o.order.Front().Value.(*openSegment).of)
	}
}
