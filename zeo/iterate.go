package zeo

import (
	"errors"
	"io"

	"github.com/zrsd/zrsd/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// maxIterators is how many a connection may have at a time.
const maxIterators = 1000

// iterators are those of a connection: over transactions, and over the records of one.
type iterators struct {
	next int64 // id
	txns map[int64]*txnIterator
	recs map[int64]*recIterator

	room warmth         // the server's
	warm []warmIterator // the one used last at the end
}

// A txnIterator yields transactions up to stop.
type txnIterator struct {
	it   zodb.Iterator
	stop zodb.Tid
	txn  zodb.Transaction // returned last
}

// A recIterator yields the records of a transaction that it reads by itself.
type recIterator struct {
	it  zodb.Iterator
	txn zodb.Transaction
}

func (is *iterators) add() (int64, error) {
	if len(is.txns)+len(is.recs) >= maxIterators {
		return 0, raise(classValue, "too many iterators")
	}
	if is.txns == nil {
		is.txns, is.recs = make(map[int64]*txnIterator), make(map[int64]*recIterator)
	}
	id := is.next
	is.next++
	return id, nil
}

func (is *iterators) drop(id int64) {
	is.cool(id)
	if t := is.txns[id]; t != nil {
		_ = t.it.Close() // only read
		delete(is.txns, id)
	}
	if r := is.recs[id]; r != nil {
		_ = r.it.Close() // only read
		delete(is.recs, id)
	}
}

func (is *iterators) close() {
	for id := range is.txns {
		is.drop(id)
	}
	for id := range is.recs {
		is.drop(id)
	}
}

// iterator_start(start, stop) has inclusive bounds, None for none.
func (c *client) iteratorStart(m *wire.Message, a *arguments) error {
	start, stop := a.serial("start"), maxTid
	if !a.none() {
		stop = a.tid("stop")
	}
	if err := a.end(); err != nil {
		return err
	}
	c.storage.view(func(visible zodb.Tid) { stop = min(stop, visible) })
	id, err := c.iterators.add()
	if err != nil {
		return err
	}
	it, err := c.storage.st.Iterate(max(start, 1)-1, false)
	if err != nil {
		return err
	}
	c.iterators.txns[id] = &txnIterator{it: it, stop: stop}
	c.reply(m, id)
	return nil
}

func (c *client) iteratorNext(m *wire.Message, a *arguments) error {
	id := a.int("iterator")
	if err := a.end(); err != nil {
		return err
	}
	t := c.iterators.txns[id]
	if t == nil {
		return raise(classKey, id)
	}
	defer func() {
		if c.iterators.txns[id] != nil {
			c.iterators.used(id, t.it)
		}
	}()
	for {
		txn, err := t.it.Next(c.ctx)
		if errors.Is(err, io.EOF) || err == nil && txn.Meta().Tid > t.stop {
			c.iterators.drop(id)
			c.reply(m, nil)
			return nil
		}
		if err != nil {
			return err
		}
		t.txn = txn
		meta := txn.Meta()
		if meta.Status == zodb.StatusUndone {
			continue
		}
		c.reply(m, pickle.Tuple{tidValue(meta.Tid), string(rune(meta.Status)), pickle.Bytes(meta.User),
			pickle.Bytes(meta.Description), c.plainer().iterated(meta.Extension)})
		return nil
	}
}

// iterator_record_start(id, tid): tid is that of the transaction that the iterator returned last.
func (c *client) recordStart(m *wire.Message, a *arguments) error {
	id, tid := a.int("iterator"), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	t := c.iterators.txns[id]
	if t == nil || t.txn == nil || t.txn.Meta().Tid != tid {
		return raise("builtins.Exception", "the iterator is not at that transaction")
	}
	rid, err := c.iterators.add()
	if err != nil {
		return err
	}
	it, err := c.storage.st.Iterate(tid-1, false)
	if err != nil {
		return err
	}
	txn, err := it.Next(c.ctx)
	if err != nil {
		return errors.Join(err, it.Close())
	}
	c.iterators.recs[rid] = &recIterator{it: it, txn: txn}
	c.iterators.used(rid, it)
	c.reply(m, rid)
	return nil
}

func (c *client) recordIterNext(m *wire.Message, a *arguments) error {
	id := a.int("iterator")
	if err := a.end(); err != nil {
		return err
	}
	r := c.iterators.recs[id]
	if r == nil {
		return raise(classKey, id)
	}
	defer func() {
		if c.iterators.recs[id] != nil {
			c.iterators.used(id, r.it)
		}
	}()
	rec, err := r.txn.NextRecord()
	if errors.Is(err, io.EOF) {
		c.iterators.drop(id)
		c.reply(m, nil)
		return nil
	}
	if err != nil {
		return err
	}
	var data pickle.Value
	if rec.Size != zodb.NoData {
		if rec.Size > c.srv.opt.MaxMessage {
			return raise(classValue, "the record is longer than a message may be")
		}
		b := make(pickle.Bytes, rec.Size)
		if _, err := io.ReadFull(rec.Data, b); err != nil {
			return err
		}
		data = b
	}
	c.reply(m, pickle.Tuple{oidValue(rec.Oid), tidValue(rec.Tid), data, tidOrNone(rec.DataTxn)})
	return nil
}

// iterator_gc(ids) forgets iterators; unknown ones are none to forget.
func (c *client) iteratorGC(m *wire.Message, a *arguments) error {
	v := a.next("iterators")
	ids, ok := items(v)
	if !ok {
		a.wrong("iterators", v)
	}
	if err := a.end(); err != nil {
		return err
	}
	for _, v := range ids {
		if id, ok := v.(int64); ok {
			c.iterators.drop(id)
		}
	}
	c.reply(m, nil)
	return nil
}
