package zeo

import (
	"bufio"
	"errors"
	"math"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// before returns the revision of oid before tid as it is while visible is the last transaction.
func (s *storage) before(oid zodb.Oid, tid, visible zodb.Tid) (*filestorage.Revision, error) {
	if s.opt.Moment != nil {
		return s.beforeMoment(oid, tid, visible)
	}
	rev, err := s.st.LoadBefore(oid, min(tid, visible+1))
	switch {
	case err != nil, tid <= visible+1, rev != nil && rev.Next <= visible:
	case rev != nil && s.hides(rev.Next, visible):
		rev.Next = 0
	default: // a newer revision may be there, of a clock that was ahead
		newer, err := s.st.LoadBefore(oid, tid)
		if err != nil || newer == nil || !s.hides(newer.Tid, visible) {
			return newer, err
		}
	}
	return rev, err
}

// hides reports whether a transaction that was read from the storage is not yet to be seen while visible is the last
// one. Above visible are those that are committed and not announced, up to the storage's last; above that are only
// those of a clock that was ahead, in the midst of the file. As of a moment nothing above is to be seen.
func (s *storage) hides(tid, visible zodb.Tid) bool {
	return tid > visible && (s.opt.Moment != nil || tid <= s.st.LastTid())
}

// load answers the next message if it is a load as clients write it and there is what it asks for. All others take the
// general way, with the same answers.
func (c *client) load(r *bufio.Reader) (answered bool, err error) {
	if c.storage == nil {
		return false, nil
	}
	n, err := wire.Next(r)
	if err != nil || n > wire.SizeLen+wire.MaxLoad {
		return false, nil //nolint:nilerr // the general way meets it again
	}
	message, err := r.Peek(int(n))
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	l, ok := c.codec.Load(message[wire.SizeLen:])
	if !ok || !c.storage.find(l, c.out, c.codec, c.srv.opt.MaxMessage) {
		return false, nil
	}
	c.counters.loads.Add(1)
	c.spoke = true
	_, err = r.Discard(int(n))
	return true, err
}

// A buffer is for a record on its way from the file to an outbox. As much as it holds is read at a time, so it is large
// enough for most records, and not much larger: a record of 4,000 bytes costs half as much again in one of 8 KiB.
type buffer [4<<10 + 256]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// find puts the revision that l asks for on an outbox, for the caller to flush, and reports whether there is one, of at
// most limit bytes where it is compressed.
func (s *storage) find(l wire.Load, out *outbox, codec wire.Codec, limit int64) bool {
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	s.mu.RLock()
	defer s.mu.RUnlock()
	rev, err := s.st.ReadBefore(buf[:], l.Oid, min(l.Before, s.visible+1))
	if err != nil || rev.Tid == 0 {
		return false
	}
	switch {
	case rev.Next <= s.visible:
	case s.moment != nil:
		rev.Next = 0
	default: // rare: the general way looks whether it is one to be seen
		return false
	}
	data, err := s.unpacked(rev.Data, limit)
	if err != nil {
		return false
	}
	s.stats.loads.Add(1)
	out.add(len(data), func(waiting []byte) []byte {
		return codec.AppendLoaded(waiting, l, wire.Loaded{Data: data, Tid: rev.Tid, Next: rev.Next})
	})
	return true
}

// loadBefore(oid, tid): the revision before tid, its tid, and that of the next one.
func (c *client) loadBefore(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	c.storage.stats.loads.Add(1)
	c.counters.loads.Add(1)
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) {
		rev, err := c.storage.before(oid, tid, visible)
		if err != nil || rev == nil {
			return nil, err
		}
		data, err := c.unpacked(rev.Data)
		return pickle.Tuple{pickle.Bytes(data), tidValue(rev.Tid), tidOrNone(rev.Next)}, err
	})
}

// loadSerial(oid, tid): exactly that revision.
func (c *client) loadSerial(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	return c.answerCorrected(m, func(last bool) (err, damage error) {
		record, failure := c.asClientsSee(c.storage.st.LoadSerial(oid, tid)) // may be far back: nobody waits meanwhile
		if !last && filestorage.DamageIn(failure) != nil {
			return nil, failure
		}
		c.storage.view(func(visible zodb.Tid) {
			if failure != nil && tid >= visible { // it may have come since
				record, failure = c.asClientsSee(c.storage.st.LoadRecent(oid, tid))
			}
			if failure == nil && c.storage.hides(tid, visible) {
				failure = &zodb.POSKeyError{Oid: oid, Tid: tid}
			}
			if failure != nil {
				err = c.answered(m, failure)
			} else {
				c.reply(m, pickle.Bytes(record))
			}
		})
		return err, nil
	})
}

// getTid(oid): the tid of the current revision.
func (c *client) getTid(m *wire.Message, a *arguments) error {
	oid := a.oid()
	if err := a.end(); err != nil {
		return err
	}
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) {
		rev, err := c.storage.before(oid, maxTid, visible)
		if err == nil && rev == nil {
			err = &zodb.POSKeyError{Oid: oid}
		}
		if err != nil {
			return nil, err
		}
		return tidValue(rev.Tid), nil
	})
}

// revisions returns up to size revisions of oid, the newest first, as they are while visible is the last transaction.
func (s *storage) revisions(oid zodb.Oid, size int, visible zodb.Tid) ([]filestorage.HistoryEntry, error) {
	for later := 0; ; {
		entries, err := s.st.History(oid, size+later)
		if err != nil || size == 0 {
			return nil, err
		}
		hidden := 0
		for hidden < len(entries) && s.hides(entries[hidden].Tid, visible) {
			hidden++
		}
		if hidden > later && len(entries) == size+later {
			later = hidden // and look for as many more
			continue
		}
		if hidden == len(entries) {
			return nil, &zodb.POSKeyError{Oid: oid}
		}
		return entries[hidden:min(len(entries), hidden+size)], nil
	}
}

// maxRevisions bounds what history returns.
const maxRevisions = 10_000

// history(oid, size=1): the last revisions.
func (c *client) history(m *wire.Message, a *arguments) error {
	if a.none() {
		return &zodb.POSKeyError{}
	}
	oid, size := a.oid(), int64(1)
	if a.more() {
		size = a.int("size")
	}
	if err := a.end(); err != nil {
		return err
	}
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) {
		entries, err := c.storage.revisions(oid, int(min(max(size, 0), maxRevisions)), visible)
		if err != nil {
			return nil, err
		}
		list := &pickle.List{}
		for i := range entries {
			e := &entries[i]
			d := c.plainer().extensionOf(e.Extension)
			d.Items = append(d.Items, dict("time", e.Tid.TimeStamp().Unix(), "user_name", pickle.Bytes(e.User),
				"description", pickle.Bytes(e.Description), "tid", tidValue(e.Tid), "size", e.Size).Items...)
			list.Items = append(list.Items, d)
		}
		return list, nil
	})
}

// items returns those of a list or tuple.
func items(v pickle.Value) ([]pickle.Value, bool) {
	switch v := v.(type) {
	case pickle.Tuple:
		return v, true
	case *pickle.List:
		return v.Items, true
	}
	return nil, false
}

// record_iternext(oid): the first object from oid on that is not deleted, and the one after it.
func (c *client) recordNext(m *wire.Message, a *arguments) error {
	var from zodb.Oid
	if a.more() && !a.none() {
		from = a.oid()
	}
	if err := a.end(); err != nil {
		return err
	}
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) {
		oid, err := c.storage.existing(&from, visible)
		if err != nil {
			return nil, err
		}
		if oid == nil {
			return nil, raise(classValue, "no key satisfies the conditions")
		}
		rev, err := c.storage.before(*oid, maxTid, visible)
		if err != nil {
			return nil, err
		}
		data, err := c.unpacked(rev.Data)
		if err != nil {
			return nil, err
		}
		var next *zodb.Oid
		if *oid < math.MaxUint64 {
			after := *oid + 1
			next, err = c.storage.existing(&after, visible)
		}
		return pickle.Tuple{oidValue(*oid), tidValue(rev.Tid), pickle.Bytes(data), oidOrNone(next)}, err
	})
}

// existing returns the first object from an oid on that is there while visible is the last transaction, nil where there
// is none.
func (s *storage) existing(from *zodb.Oid, visible zodb.Tid) (*zodb.Oid, error) {
	for {
		oid, ok := s.st.NextOid(*from)
		if !ok {
			return nil, nil //nolint:nilnil // the end is an answer
		}
		rev, err := s.before(oid, maxTid, visible)
		if deleted := (*zodb.POSKeyError)(nil); err != nil && !errors.As(err, &deleted) {
			return nil, err
		}
		switch {
		case err == nil && rev != nil:
			return &oid, nil
		case oid == math.MaxUint64:
			return nil, nil //nolint:nilnil // as above
		}
		oid++
		from = &oid
	}
}

func oidOrNone(oid *zodb.Oid) pickle.Value {
	if oid == nil {
		return nil
	}
	return oidValue(*oid)
}
