package zeo

import (
	"context"
	"errors"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
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

// A txnIterator yields transactions in the order of the file, which is that of their tids but in files of clocks that
// were wrong, up to the first one above stop, or that was not to be seen when it began.
type txnIterator struct {
	it      rereader
	stop    zodb.Tid
	end     int64            // of the file, when it began
	visible zodb.Tid         // and the last transaction that was to be seen
	last    zodb.Tid         // and the last that there was
	txn     zodb.Transaction // returned last
}

// A rereader is what filestorage returns.
type rereader interface {
	zodb.Iterator
	Again() (zodb.Iterator, error) // begins with the transaction that was returned last
	Committed() int64              // the end of what it can return now
}

// next returns the next transaction, nil at the end.
func (t *txnIterator) next(ctx context.Context) (zodb.Transaction, error) {
	if t.it.Position() >= t.end {
		return nil, nil //nolint:nilnil // the end is an answer
	}
	txn, err := t.it.Next(ctx)
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, err
	}
	if tid := txn.Meta().Tid; tid > t.stop || tid > t.visible && tid <= t.last {
		return nil, nil //nolint:nilnil // as above
	}
	t.txn = txn
	return txn, nil
}

// A recIterator yields the records of a transaction that it reads by itself.
type recIterator struct {
	it   zodb.Iterator
	txn  zodb.Transaction
	done int  // records that were returned
	lost bool // it has met damage, and has to begin again
}

// next returns the next record and its data, at most limit bytes.
func (r *recIterator) next(ctx context.Context, limit int64) (rec *zodb.Record, data []byte, err error) {
	if r.lost {
		if err := r.again(ctx); err != nil {
			return nil, nil, err
		}
	}
	rec, err = r.txn.NextRecord()
	if err == nil && rec.Size != zodb.NoData {
		if rec.Size > limit {
			return nil, nil, raise(classValue, "the record is longer than a message may be")
		}
		data = make([]byte, rec.Size)
		_, err = io.ReadFull(rec.Data, data)
	}
	if err != nil {
		r.lost = filestorage.DamageIn(err) != nil
		return nil, nil, err
	}
	r.done++
	return rec, data, nil
}

// again reads the transaction anew, up to the record that was returned last.
func (r *recIterator) again(ctx context.Context) error {
	old, can := r.it.(rereader)
	if !can {
		return errReadOnce
	}
	it, err := old.Again()
	if err != nil {
		return err
	}
	txn, err := it.Next(ctx)
	for n := 0; err == nil && n < r.done; n++ {
		_, err = txn.NextRecord()
	}
	if err != nil {
		return errors.Join(err, it.Close())
	}
	r.it, r.txn, r.lost = it, txn, false
	return old.Close()
}

var errReadOnce = errors.New("the transactions of this storage cannot be read twice")

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
	id, err := c.iterators.add()
	if err != nil {
		return err
	}
	var all zodb.Iterator
	err = c.corrected(func() (err error) {
		all, err = c.storage.st.IterateRecords(max(start, 1)-1, false)
		return err
	})
	if err != nil {
		return err
	}
	it, ok := all.(rereader)
	if !ok {
		return errors.Join(errReadOnce, all.Close())
	}
	t := &txnIterator{it: it, stop: stop}
	c.storage.view(func(visible zodb.Tid) { t.visible = visible })
	t.end = it.Committed() // before the last tid: what comes in between is after the end
	if t.last = c.storage.st.LastTid(); c.storage.opt.Moment != nil {
		t.last = maxTid
	}
	c.iterators.txns[id] = t
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
		var txn zodb.Transaction
		err := c.corrected(func() (err error) {
			txn, err = t.next(c.ctx)
			return err
		})
		if err != nil {
			return err
		}
		if txn == nil {
			c.iterators.drop(id)
			c.reply(m, nil)
			return nil
		}
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
	it, err := t.it.Again()
	if err != nil {
		return err
	}
	var txn zodb.Transaction
	err = c.corrected(func() (err error) {
		txn, err = it.Next(c.ctx)
		return err
	})
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
	was := r.it
	defer func() {
		if r.it != was {
			c.iterators.cool(id)
		}
		if c.iterators.recs[id] != nil {
			c.iterators.used(id, r.it)
		}
	}()
	var rec *zodb.Record
	var b []byte
	err := c.corrected(func() (err error) {
		rec, b, err = r.next(c.ctx, c.srv.opt.MaxMessage)
		return err
	})
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
		if b, err = c.unpacked(b); err != nil {
			return err
		}
		data = pickle.Bytes(b)
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
