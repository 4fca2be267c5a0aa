package zeo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// register(storage, read_only) makes the connection one of a storage. A writer that is refused may come again as a
// reader. What may be better in a moment is no reason to refuse a client: ZEO's does not try an address again that has
// refused it, as long as another one is silent.
func (c *client) register(m *wire.Message, a *arguments) error {
	name, readOnly := a.text("storage name"), a.bool("read_only")
	if err := a.end(); err != nil {
		return err
	}
	s, known := c.srv.storage(name), c.srv.knows(name)
	if ended := c.srv.ended(name); s == nil && ended != nil {
		return raise(classStorage, ended.Error())
	}
	switch {
	case s == nil && known: // it is being opened again
		pause.For(c.ctx, reopening)
		return c.again(m)
	case s == nil:
		return raise(classValue, "unknown storage: "+name)
	case !readOnly && c.srv.opt.ReadOnly:
		return zodb.ErrReadOnly
	}
	if err := c.srv.registers(c); err != nil {
		return err
	}
	where := admitted
	var err error
	c.patiently(func(ctx context.Context) {
		if !readOnly {
			where, c.changes = s.placeFor(ctx, c.since, c.greeted)
		}
		switch where {
		case admitted, onlyReads:
			err = s.awaitClear(ctx)
		case otherLeads:
			c.leaves = s.caughtUp(ctx)
		}
	})
	switch {
	case where == refused:
		c.turned = true
		return zodb.ErrReadOnly
	case err != nil || where == again || where == otherLeads && !c.leaves:
		return c.again(m)
	case !s.enter(c, m, readOnly || c.leaves, where == onlyReads):
		return c.again(m)
	}
	return nil
}

// reopening is how long a client waits whose storage is being opened again.
const reopening = time.Second

// awaitClear keeps a client out until everything that it would see may be told: after a start, or when another node was
// primary before, the last transactions may be on this disk alone. And until it sees what this node's time as primary
// began with: a client may have seen what is lost.
//
// It does not wait for long: as long as one server keeps a client waiting, ZEO's does not register at another one,
// which may lead by now. The error says that it is to try the others first.
func (s *storage) awaitClear(ctx context.Context) (err error) {
	limit := holdFor
	if s.access() == ReadOnly {
		limit = clearWithin
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	defer func() { s.unclear.Store(err != nil) }()
	s.mu.RLock()
	floor := s.floor
	s.mu.RUnlock()
	if err := s.await(ctx, floor); err != nil {
		return err
	}
	var last zodb.Tid
	s.view(func(visible zodb.Tid) { last = visible })
	return s.awaitCommitted(ctx, last)
}

// set_client_label(label) names the client in the log.
func (c *client) setLabel(m *wire.Message, a *arguments) error {
	label := a.text("label")
	if err := a.end(); err != nil {
		return err
	}
	if len(label) > maxLabel {
		label = label[:maxLabel]
	}
	c.counters.entered.Store(c.counters.entered.Load().named(label))
	c.logWith("label", label, "storage", c.storage.name)
	c.say(hclog.Info, nil, fmt.Sprintf("(%s %v) named itself", label, c.conn.RemoteAddr())) // as people search for it
	c.reply(m, nil)
	return nil
}

const maxLabel = 200

// ping() is answered after the invalidations of everything that is visible when it arrives.
func (c *client) ping(m *wire.Message, a *arguments) error {
	if err := a.end(); err != nil {
		return err
	}
	c.storage.view(func(zodb.Tid) { c.reply(m, nil) })
	return nil
}

func (c *client) lastTransaction(m *wire.Message, _ *arguments) error {
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) { return tidValue(visible), nil })
}

func (c *client) serverStatus(m *wire.Message, _ *arguments) error {
	s := c.storage
	return c.answerInView(m, func(visible zodb.Tid) (pickle.Value, error) {
		return s.status(visible, len(s.clients), c.srv.opt.TransactionTimeout > 0), nil
	})
}

// interfaces are those that a FileStorage provides, in the reference server's order.
func (s *storage) interfaces() pickle.Tuple {
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
	return c.answerInView(m, func(zodb.Tid) (pickle.Value, error) {
		return dict(
			"length", s.length(), "size", s.size(), "name", filepath.Base(s.st.Path()), "supportsUndo", true,
			"supports_record_iternext", true, "interfaces", s.interfaces(),
		), nil
	})
}

// getInvalidations(tid) returns what was written since: from memory, or else from the storage, as long as no pack may
// have dropped transactions in between. None means unknown, and makes the client drop its cache: it is for a
// transaction that is not of this history, or that clients must not see yet.
func (c *client) getInvalidations(m *wire.Message, a *arguments) error {
	tid := a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	var until zodb.Tid
	answer := func(upTo zodb.Tid, before []zodb.Oid) (answered bool) {
		c.storage.view(func(visible zodb.Tid) {
			until = visible
			if oids, ok := c.storage.since(upTo); ok && (visible != 0 || tid != 0) {
				c.reply(m, pickle.Tuple{tidValue(visible), oidList(union(before, oids))})
				answered = true
			}
		})
		return answered
	}
	if answer(tid, nil) {
		return nil
	}
	for upTo, oids := tid, []zodb.Oid(nil); upTo < until; {
		more, err := c.storage.history(c.ctx, upTo, until, oids)
		if err != nil {
			return err
		}
		if more == nil {
			break
		}
		upTo, oids = until, more
		if answer(upTo, oids) {
			return nil
		}
	}
	c.say(hclog.Info, nil, "a client must drop its cache: its last transaction is not in this history, or too old",
		"cache", tid, "last", until)
	c.reply(m, nil)
	return nil
}

// maxHistory is how many oids are looked up for a client at most: with more, its cache is worth little.
const maxHistory = 1_000_000

// history appends what was written after the transaction upTo, as far as the transaction until. It returns nil when
// the storage does not know all of that.
func (s *storage) history(ctx context.Context, upTo, until zodb.Tid, oids []zodb.Oid) ([]zodb.Oid, error) {
	found, err := s.st.Find(ctx, upTo)
	if errors.Is(err, zodb.ErrNoTid) || err == nil && found.Status != zodb.StatusCommitted {
		return nil, nil //nolint:nilnil // nobody knows
	}
	if err != nil {
		return nil, err
	}
	it, err := s.st.IterateRecords(upTo, false)
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
			return nil, fmt.Errorf("reading what was written since %v: %w", upTo, err)
		}
		written, err := oidsOf(txn)
		if err != nil {
			return nil, err
		}
		if txn.Meta().Status != zodb.StatusUndone {
			all = union(all, written)
		}
		if txn.Meta().Tid == until {
			return all, nil
		}
	}
	return nil, nil //nolint:nilnil // too many
}

// union appends b to a; oids may be there more than once, which costs the client a load at most.
func union(a, b []zodb.Oid) []zodb.Oid { return append(a, b...) }

// olderReleases are the releases of ZEO by the protocol that their clients choose at best.
var olderReleases = []struct{ protocol, release string }{
	{
		"4",
		"ZEO 4",
	},
	{"3101", "ZEO 3.10"},
	{"310", "ZEO 3.10"},
	{"309", "ZODB 3.9"},
	{"308", "ZODB 3.8"},
	{"303", "ZODB 3.3"},
	{"2", "ZODB 3.2"},
}

// strangeClient explains the answer of what is no client of protocol 5, for the log: its users see that it never
// connects.
func strangeClient(answer string) string {
	if strings.HasPrefix(answer, "zrsd/") || strings.HasPrefix(answer, "zrs2.") {
		return ": it wants to replicate, and this is a ZEO server: give it the address that is --replicate-to"
	}
	version, isOne := strings.CutPrefix(answer, "Z")
	if !isOne {
		return ""
	}
	for _, old := range olderReleases {
		if version == old.protocol || old.protocol == "2" && len(version) == 3 && version[0] == '2' {
			return ": it is of " + old.release + ", which does not speak protocol 5; upgrade ZEO in this client to " +
				"5.4 (the last " +
				"one for Python 2) or 6, with the ZODB that goes with it. The data stay as they are; runzeo of ZEO " +
				"5 and 6 refuses " +
				"such clients, too"
		}
	}
	return ""
}
