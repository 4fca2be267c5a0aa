package zeo

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// maxPosition bounds positions in the undo log.
const maxPosition = 1 << 30

// undoLog(first, last): transactions that can be undone, the newest first.
func (c *client) undoLog(m *wire.Message, a *arguments) error {
	first, last := a.int("first"), a.int("last")
	if err := a.end(); err != nil {
		return err
	}
	c.listUndo(m, first, last, nil)
	return nil
}

// undoInfo(first=0, last=-20, filter=None): those that have the filter's values.
func (c *client) undoInfo(m *wire.Message, a *arguments) error {
	first, last := int64(0), int64(-20)
	if a.more() {
		first = a.int("first")
	}
	if a.more() {
		last = a.int("last")
	}
	var filter *pickle.Dict
	if a.more() && !a.none() {
		v := a.next("filter")
		var ok bool
		if filter, ok = v.(*pickle.Dict); !ok {
			a.wrong("filter", v)
		}
	}
	if err := a.end(); err != nil {
		return err
	}
	c.listUndo(m, first, last, filter)
	return nil
}

func (c *client) listUndo(m *wire.Message, first, last int64, filter *pickle.Dict) {
	first, last = min(max(first, 0), maxPosition), min(max(last, -maxPosition), maxPosition)
	c.background(m, func() (pickle.Value, error) {
		var visible zodb.Tid
		c.storage.view(func(tid zodb.Tid) { visible = tid })
		var entries []filestorage.UndoEntry
		err := c.corrected(func() (err error) {
			entries, err = c.storage.st.UndoLog(c.ctx, int(first), int(last), func(e *filestorage.UndoEntry) bool {
				return !c.storage.hides(e.Tid, visible) && (filter == nil || matches(c.undoEntry(e), filter))
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		list := &pickle.List{}
		for i := range entries {
			list.Items = append(list.Items, c.undoEntry(&entries[i]))
		}
		return list, nil
	})
}

// undoEntry describes a transaction. What the extension has wins.
func (c *client) undoEntry(e *filestorage.UndoEntry) *pickle.Dict {
	d := dict("id", pickle.Bytes(e.ID()), "time", e.Tid.TimeStamp().Unix(), "user_name", pickle.Bytes(e.User),
		"description", pickle.Bytes(e.Description), "size", e.Size)
	for _, p := range c.plainer().extensionOf(e.Extension).Items {
		replace(d, p)
	}
	return d
}

// replace puts a pair into a dictionary whose keys are text; what else the pair may have as key is not among them.
func replace(d *pickle.Dict, p pickle.Pair) {
	if key, isText := p.Key.(string); isText {
		for i := range d.Items {
			if text, isText := d.Items[i].Key.(string); isText && text == key {
				d.Items[i].Value = p.Value
				return
			}
		}
	}
	d.Items = append(d.Items, p)
}

// matches reports whether an entry has all the filter's values.
func matches(entry, filter *pickle.Dict) bool {
	for _, p := range filter.Items {
		key, isText := pickle.Text(p.Key)
		got, has := entry.Get(key)
		if !isText || !has || !equalValue(got, p.Value) {
			return false
		}
	}
	return true
}

// equalValue compares a value with that of a filter, which may be Zope's Prefix.
func equalValue(got, want pickle.Value) bool {
	switch w := want.(type) {
	case *pickle.Object:
		b, ok := got.(pickle.Bytes)
		return ok && prefixed(string(b), w)
	case pickle.Bytes:
		b, ok := got.(pickle.Bytes)
		return ok && string(b) == string(w)
	case string:
		switch g := got.(type) {
		case pickle.Bytes:
			return string(g) == w
		case string:
			return g == w
		}
	case int64:
		return got == w
	case float64:
		return got == w
	case bool:
		return got == w
	case nil:
		return got == nil
	}
	return false
}

// prefixed reports whether a user name, "/path user", is below the path of a ZopeUndo.Prefix.Prefix.
func prefixed(user string, prefix *pickle.Object) bool {
	state, _ := prefix.State.(*pickle.Dict)
	if prefix.Class != (pickle.Global{Module: "ZopeUndo.Prefix", Name: "Prefix"}) || state == nil {
		return false
	}
	v, _ := state.Get("path")
	path, _ := v.(*pickle.List)
	if path == nil {
		return false
	}
	if at := strings.LastIndex(user, " "); at >= 0 {
		user = user[:at]
	}
	parts := strings.Split(user, "/")
	if len(parts) < len(path.Items) {
		return false
	}
	for i, want := range path.Items {
		if want != parts[i] {
			return false
		}
	}
	return true
}

// undoa(id, txn)
func (c *client) undo(m *wire.Message, a *arguments) error {
	id := a.bytes("undo id")
	return c.buffered(m, a, func(t *transaction) error {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(id)))
		if err != nil || len(raw) != 8 {
			return t.Undo(0) // no transaction has this tid: the vote says so
		}
		tid, err := filestorage.ParseUndoID(string(id))
		if err != nil {
			return t.Undo(0)
		}
		return t.Undo(tid)
	})
}

// pack(time, wait=True)
func (c *client) pack(m *wire.Message, a *arguments) error {
	at, wait := a.float("time"), true
	if a.more() {
		wait = a.bool("wait")
	}
	if err := a.end(); err != nil {
		return err
	}
	stop, err := zodb.TidFromUnix(at)
	if err != nil {
		return raise(classValue, err.Error())
	}
	s := c.storage
	if s.opt.Moment != nil {
		return zodb.ErrReadOnly
	}
	run := func() (pickle.Value, error) {
		if !s.use() {
			return nil, errWithdrawn
		}
		defer s.users.Done()
		if wait {
			c.counters.packing.Store(now())
			defer c.counters.packing.Store(nil)
		}
		return nil, c.srv.pack(s, stop, c.logger())
	}
	if wait {
		c.background(m, run)
		return nil
	}
	c.reply(m, nil)
	c.srv.packs.Go(func() {
		if _, err := run(); err != nil {
			c.logger().Error("packing failed", "error", err, "warning", warning.PackFailed)
		}
	})
	return nil
}

// pack packs a storage and informs its clients.
func (s *Server) pack(st *storage, stop zodb.Tid, log hclog.Logger) error {
	begun := time.Now()
	log.Info("pack started", "storage", st.name, "until", stop)
	var result filestorage.PackResult
	var err error
	recovered.Must("packing", func() {
		result, err = st.st.Pack(s.packing, stop, st.opt.Pack)
	})
	if err != nil {
		return err
	}
	log.Info("pack done", "storage", st.name, "before", result.Before, "after", result.After, "pause", result.Pause,
		"duration", time.Since(begun))
	st.tellSize()
	return nil
}

// Resized sends the clients of a storage its size after a pack. The storage must be open until it returns.
func (s *Server) Resized(name string) {
	if st := s.storage(name); st != nil {
		st.tellSize()
	}
}

func (s *storage) tellSize() {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := wire.Call("info", dict("length", s.length(), "size", s.size()))
	var encoded encodings
	for c := range s.clients {
		c.out.put(encoded.of(c, info))
	}
}
