package zeo

import (
	"errors"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// before returns the revision of oid before tid as it is while visible is the last transaction.
func (s *served) before(oid zodb.Oid, tid, visible zodb.Tid) (*filestorage.Revision, error) {
	rev, err := s.st.LoadBefore(oid, min(tid, visible+1))
	if err == nil && rev != nil && rev.Next > visible {
		rev.Next = 0
	}
	return rev, err
}

// loadBefore(oid, tid): the revision before tid, its tid, and that of the next one.
func (c *client) loadBefore(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	c.storage.stats.loads.Add(1)
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
		rev, err := c.storage.before(oid, tid, visible)
		if err != nil || rev == nil {
			return nil, err
		}
		return pickle.Tuple{pickle.Bytes(rev.Data), tidValue(rev.Tid), tidOrNone(rev.Next)}, nil
	})
}

// loadSerial(oid, tid): exactly that revision.
func (c *client) loadSerial(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
		if tid > visible {
			return nil, &zodb.POSKeyError{Oid: oid, Tid: tid}
		}
		data, err := c.storage.st.LoadSerial(oid, tid)
		return pickle.Bytes(data), err
	})
}

// getTid(oid): the tid of the current revision.
func (c *client) getTid(m *wire.Message, a *arguments) error {
	oid := a.oid()
	if err := a.end(); err != nil {
		return err
	}
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
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
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
		entries, err := c.storage.st.History(oid, int(min(max(size, 0), maxRevisions)))
		if err != nil {
			return nil, err
		}
		list := &pickle.List{}
		for i := range entries {
			e := &entries[i]
			if e.Tid > visible {
				continue
			}
			d := extensionOf(e.Extension)
			d.Items = append(d.Items, dict("time", e.Tid.TimeStamp().Unix(), "user_name", pickle.Bytes(e.User),
				"description", pickle.Bytes(e.Description), "tid", tidValue(e.Tid), "size", e.Size).Items...)
			list.Items = append(list.Items, d)
		}
		return list, nil
	})
}

// extensionOf returns the dictionary of a transaction's extension; one that cannot be read counts as empty.
func extensionOf(raw []byte) *pickle.Dict {
	if len(raw) > 0 {
		if v, err := pickle.Load(raw, pickle.Limits{}); err == nil {
			if d, ok := asDict(v); ok {
				return d
			}
		}
	}
	return &pickle.Dict{}
}

// asDict returns a dictionary, also one that is made by calling dict with its pairs, as subclasses of it are pickled.
func asDict(v pickle.Value) (*pickle.Dict, bool) {
	if d, ok := v.(*pickle.Dict); ok {
		return d, true
	}
	o, ok := v.(*pickle.Object)
	if !ok || o.Class != (pickle.Global{Module: "builtins", Name: "dict"}) {
		return nil, false
	}
	args, _ := o.Args.(pickle.Tuple)
	if len(args) != 1 {
		return nil, false
	}
	pairs, ok := items(args[0])
	if !ok {
		return nil, false
	}
	d := &pickle.Dict{}
	for _, p := range pairs {
		pair, _ := p.(pickle.Tuple)
		if len(pair) != 2 {
			return nil, false
		}
		d.Items = append(d.Items, pickle.Pair{Key: pair[0], Value: pair[1]})
	}
	return d, true
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

// record_iternext(oid): the first object from oid on that is not deleted, and the oid behind it.
func (c *client) recordNext(m *wire.Message, a *arguments) error {
	var from *zodb.Oid
	if a.more() && !a.none() {
		oid := a.oid()
		from = &oid
	}
	if err := a.end(); err != nil {
		return err
	}
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
		for {
			oid, _, _, next, err := c.storage.st.RecordNext(from)
			var deleted *zodb.POSKeyError
			switch {
			case errors.Is(err, io.EOF):
				return nil, raise(classValue, "no key satisfies the conditions")
			case err != nil && !errors.As(err, &deleted):
				return nil, err
			}
			rev, err := c.storage.before(oid, maxTid, visible)
			if err == nil && rev != nil {
				return pickle.Tuple{oidValue(oid), tidValue(rev.Tid), pickle.Bytes(rev.Data), oidOrNone(next)}, nil
			}
			if err != nil && !errors.As(err, &deleted) {
				return nil, err
			}
			if next == nil {
				return nil, raise(classValue, "no key satisfies the conditions")
			}
			from = next
		}
	})
}

func oidOrNone(oid *zodb.Oid) pickle.Value {
	if oid == nil {
		return nil
	}
	return oidValue(*oid)
}
