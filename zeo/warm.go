package zeo

import "github.com/zrsd/zrsd/zodb"

// An iterator has a buffer of 256 KiB to read ahead, and a client may have a thousand iterators. So buffers are kept
// only for the iterators that a client used last, one over transactions and one over records as a rule, and only as
// long as there are few of all clients. The others are parked: they read again what they need.
const (
	maxWarm       = 64 // of all clients
	maxClientWarm = 2
)

// A parker can give its buffers back.
type parker interface{ Park() }

// A warmth counts the buffers that are kept.
type warmth chan struct{}

func newWarmth() warmth { return make(warmth, maxWarm) }

// used keeps the buffer of an iterator that was just used, if there is room, and parks what was used before.
func (is *iterators) used(id int64, it zodb.Iterator) {
	p, ok := it.(parker)
	if !ok {
		return
	}
	for i, w := range is.warm {
		if w.id == id {
			is.warm = append(append(is.warm[:i:i], is.warm[i+1:]...), w)
			return
		}
	}
	if len(is.warm) == maxClientWarm {
		is.cool(is.warm[0].id)
	}
	select {
	case is.room <- struct{}{}:
		is.warm = append(is.warm, warmIterator{id, p})
	default:
		p.Park()
	}
}

// A warmIterator is one whose buffer is kept.
type warmIterator struct {
	id int64
	it parker
}

// cool parks an iterator whose buffer is kept; others are left alone.
func (is *iterators) cool(id int64) {
	for i, w := range is.warm {
		if w.id == id {
			w.it.Park()
			is.warm = append(is.warm[:i:i], is.warm[i+1:]...)
			<-is.room
			return
		}
	}
}
