package zeo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// register(storage, read_only) makes the connection one of a storage. A writer that is refused may come again as a
// reader.
func (c *client) register(m *wire.Message, a *arguments) error {
	name, readOnly := a.text("storage name"), a.bool("read_only")
	if err := a.end(); err != nil {
		return err
	}
	s := c.srv.storage(name)
	switch {
	case s == nil:
		return raise(classValue, "unknown storage: "+name)
	case !readOnly && (c.srv.opt.ReadOnly || s.access() == ReadOnly):
		return zodb.ErrReadOnly
	}
	if err := c.awaitClear(s); err != nil {
		return err
	}
	if err := c.srv.registers(c); err != nil {
		return err
	}
	if !s.enter(c, func(visible zodb.Tid) {
		c.storage, c.readOnly = s, readOnly
		c.logWith("storage", name)
		c.shown.entered.Store(&entry{storage: name, encoding: c.encoding, readOnly: readOnly})
		c.reply(m, tidValue(visible))
		if !readOnly && s.access() == ReadOnly { // since a moment ago
			c.out.close(errReadOnly)
		}
	}) {
		return errWithdrawn
	}
	return nil
}

// awaitClear keeps a client out until everything that it would see may be told: after a start, or when another node was
// primary before, the last transactions may be on this disk alone.
func (c *client) awaitClear(s *served) error {
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.srv.opt.HandshakeTimeout, errNotClear)
	defer cancel()
	var last zodb.Tid
	s.view(func(visible zodb.Tid) { last = visible })
	return s.cleared(ctx, last)
}

var errNotClear = errors.New("the last transactions wait for secondaries")

// set_client_label(label) names the client in the log.
func (c *client) setLabel(m *wire.Message, a *arguments) error {
	label := a.text("label")
	if err := a.end(); err != nil {
		return err
	}
	if len(label) > maxLabel {
		label = label[:maxLabel]
	}
	c.shown.entered.Store(c.shown.entered.Load().named(label))
	c.logWith("label", label, "storage", c.storage.name)
	c.say(hclog.Info, nil, fmt.Sprintf("(%s %v) named itself", label, c.conn.RemoteAddr())) // as people search for it
	c.reply(m, nil)
	return nil
}

const maxLabel = 200

// ping() is answered behind the invalidations of everything that is visible when it arrives.
func (c *client) ping(m *wire.Message, a *arguments) error {
	if err := a.end(); err != nil {
		return err
	}
	c.storage.view(func(zodb.Tid) { c.reply(m, nil) })
	return nil
}

func (c *client) lastTransaction(m *wire.Message, _ *arguments) error {
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) { return tidValue(visible), nil })
}

func (c *client) serverStatus(m *wire.Message, _ *arguments) error {
	s := c.storage
	return c.viewed(m, func(visible zodb.Tid) (pickle.Value, error) {
		return s.status(visible, len(s.clients), c.srv.opt.TransactionTimeout > 0), nil
	})
}

// interfaces are those that a FileStorage provides, in the reference server's order.
func (s *served) interfaces() pickle.Tuple {
	names := []string{
		"IStorageRestoreable", "IStorageIteration", "IStorageUndoable", "IStorageCurrentRecordIteration", "IExternalGC",
		"IStorage",
	}
	if s.st.HasBlobs() {
		names = append([]string{"IBlobStorageRestoreable", "IBlobStorage"}, names...)
	}
	var t pickle.Tuple
	for _, name := range names {
		t = append(t, pickle.Tuple{"ZODB.interfaces", name})
	}
	return append(t, pickle.Tuple{"zope.interface", "Interface"})
}

func (c *client) getInfo(m *wire.Message, _ *arguments) error {
	s := c.storage
	return c.viewed(m, func(zodb.Tid) (pickle.Value, error) {
		return dict(
			"length", int64(s.st.Len()), "size", s.st.Size(), "name", filepath.Base(s.st.Path()), "supportsUndo", true,
			"supports_record_iternext", true, "interfaces", s.interfaces(),
		), nil
	})
}

// getInvalidations(tid) tells what was written since: from memory, or else from the storage, as long as no pack may
// have dropped transactions in between. None says that nobody knows.
func (c *client) getInvalidations(m *wire.Message, a *arguments) error {
	tid := a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	answered := false
	answer := func(upTo zodb.Tid, before []zodb.Oid) {
		c.storage.view(func(visible zodb.Tid) {
			if oids, ok := c.storage.since(upTo); ok && (visible != 0 || tid != 0) {
				c.reply(m, pickle.Tuple{tidValue(visible), oidList(union(before, oids))})
				answered = true
			}
		})
	}
	answer(tid, nil)
	for upTo, oids := tid, []zodb.Oid(nil); !answered; {
		more, err := c.storage.history(c.ctx, &upTo, oids)
		if err != nil {
			return err
		}
		if more == nil {
			c.reply(m, nil)
			return nil
		}
		oids = more
		answer(upTo, oids)
	}
	return nil
}

// maxHistory is how many oids are looked up for a client at most: with more, its cache is worth little.
const maxHistory = 1_000_000

// history reads on from *upTo to the end of the storage, and moves *upTo there. It returns nil when the storage does
// not know everything behind *upTo.
func (s *served) history(ctx context.Context, upTo *zodb.Tid, oids []zodb.Oid) ([]zodb.Oid, error) {
	found, err := s.st.Find(ctx, *upTo)
	if errors.Is(err, zodb.ErrNoTid) || err == nil && found.Status != zodb.StatusCommitted {
		return nil, nil //nolint:nilnil // nobody knows
	}
	if err != nil {
		return nil, err
	}
	it, err := s.st.Iterate(*upTo, false)
	if err != nil {
		return nil, err
	}
	defer it.Close() //nolint:errcheck // read only
	all := append([]zodb.Oid{}, oids...)
	for len(all) <= maxHistory {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading what was written since %v: %w", *upTo, err)
		}
		written, err := oidsOf(txn)
		if err != nil {
			return nil, err
		}
		if txn.Meta().Status != zodb.StatusUndone {
			all = union(all, written)
		}
		*upTo = txn.Meta().Tid
	}
	return nil, nil //nolint:nilnil // too many
}

// union appends b to a; oids may be there more than once, which costs the client a load at most.
func union(a, b []zodb.Oid) []zodb.Oid { return append(a, b...) }
