package zeo

import (
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A model is what a server with a few clients has to be like: the revisions of each object, and one lock.
type model struct {
	w       *world
	actors  []*actor
	objects map[zodb.Oid][]revision // the oldest first
	txns    []written
	holder  *actor // of the commit lock
	waiter  *actor // whose vote waits for it; the model wants no second one
	step    int
}

type revision struct {
	tid  zodb.Tid
	data string
	gone bool
	blob string
}

// A written is a committed transaction.
type written struct {
	tid  zodb.Tid
	oids []zodb.Oid
}

// An actor is a client, with what the server has to know of it.
type actor struct {
	*peer
	handle pickle.Value // of its transaction; nil: it has none
	ops    []intent
	vote   int64   // the call that waits for the lock
	blob   *string // that it is sending
}

// An intent is a call that was buffered.
type intent struct {
	kind   byte
	oid    zodb.Oid
	serial zodb.Tid
	data   string
	blob   *string
}

// The kinds of intents.
const (
	storing  = 's'
	checking = 'c'
	deleting = 'd'
	undoing  = 'u'
)

func newModel(w *world) *model {
	m := &model{w: w, objects: make(map[zodb.Oid][]revision)}
	for _, encoding := range []string{wire.Z5, wire.Z5, wire.M5} {
		m.actors = append(m.actors, &actor{peer: m.enter(encoding)})
	}
	for _, oid := range []zodb.Oid{changed, steady} {
		data, tid := m.actors[0].current(oid)
		m.objects[oid] = []revision{{tid: tid, data: data}}
		m.txns = append(m.txns, written{tid, []zodb.Oid{oid}})
	}
	return m
}

func (m *model) enter(encoding string) *peer {
	p := m.w.dial(m.w.t, encoding)
	p.call("register", "1", false)
	return p
}

// last is the current revision; nil: the object is unknown.
func (m *model) last(oid zodb.Oid) *revision {
	if all := m.objects[oid]; len(all) > 0 {
		return &all[len(all)-1]
	}
	return nil
}

// serial is what a client may believe to be the current revision.
func (m *model) serial(oid zodb.Oid, pick byte) zodb.Tid {
	all := m.objects[oid]
	switch {
	case pick%4 == 0 || len(all) == 0:
		return 0
	case pick%4 == 1 && len(all) > 1:
		return all[len(all)-2].tid
	case pick%16 == 3:
		return 12345
	}
	return all[len(all)-1].tid
}

// A verdict is what a vote must find.
type verdict struct {
	fails, mayFail bool
	conflicts      []zodb.Oid
	told           []zodb.Oid // changed without the client's knowing what was written
}

func (m *model) judge(ops []intent) (v verdict) {
	for _, op := range ops {
		last := m.last(op.oid)
		switch op.kind {
		case storing:
			if last != nil && last.tid != op.serial {
				v.conflicts = append(v.conflicts, op.oid)
			}
		case checking:
			v.fails = last == nil || last.tid != op.serial
			v.mayFail = v.mayFail || last != nil && last.gone
		case deleting:
			v.fails = last == nil || last.tid != op.serial
		case undoing:
			t := m.find(op.serial)
			v.fails = t == nil
			if t != nil {
				v.told = t.oids
				v.mayFail = v.mayFail ||
					slices.ContainsFunc(t.oids, func(oid zodb.Oid) bool { return m.last(oid).tid != t.tid })
			}
		}
		if v.fails {
			return v
		}
	}
	if len(v.conflicts) > 0 {
		v.told = nil
	}
	return v
}

func (m *model) find(tid zodb.Tid) *written {
	for i := range m.txns {
		if m.txns[i].tid == tid {
			return &m.txns[i]
		}
	}
	return nil
}

// committed takes over what a transaction has done.
func (m *model) committed(a *actor, tid zodb.Tid) {
	t := written{tid: tid}
	add := func(oid zodb.Oid, r revision) {
		r.tid = tid
		m.objects[oid] = append(m.objects[oid], r)
		t.oids = append(t.oids, oid)
	}
	for _, op := range a.ops {
		switch op.kind {
		case storing:
			r := revision{data: op.data}
			if op.blob != nil {
				r.blob = *op.blob
			}
			add(op.oid, r)
		case deleting:
			add(op.oid, revision{gone: true})
		case undoing:
			for _, oid := range m.find(op.serial).oids {
				add(oid, m.before(oid, op.serial))
			}
		}
	}
	m.txns = append(m.txns, t)
}

// before is the state of an object before a transaction.
func (m *model) before(oid zodb.Oid, tid zodb.Tid) revision {
	state := revision{gone: true}
	for _, r := range m.objects[oid] {
		if r.tid >= tid {
			break
		}
		state = r
	}
	return state
}

// compare finds the storage as the model is.
func (m *model) compare() error {
	for oid, all := range m.objects {
		want := all[len(all)-1]
		data, tid, err := m.w.st.Load(oid)
		if (err != nil) != want.gone || !want.gone && (string(data) != want.data || tid != want.tid) {
			return fmt.Errorf("oid %v is %q of %v, %w, and should be %+v", oid, data, tid, err, want)
		}
		if want.blob == "" || want.gone {
			continue
		}
		if got := m.w.blob(oid, tid); got != want.blob {
			return fmt.Errorf("the blob of oid %v is %q, and should be %q", oid, got, want.blob)
		}
	}
	inFile, _, err := m.w.st.Count(m.w.t.Context(), 0)
	if err != nil || inFile != int64(len(m.txns)) {
		return fmt.Errorf("%d transactions were committed, and there are %d: %w", len(m.txns), inFile, err)
	}
	return nil
}

func undoID(tid zodb.Tid) pickle.Bytes {
	return pickle.Bytes(base64.StdEncoding.EncodeToString(tidValue(tid)))
}
