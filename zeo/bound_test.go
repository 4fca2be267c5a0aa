package zeo

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

func tidAt(t *testing.T, at time.Time) zodb.Tid {
	t.Helper()
	tid, err := zodb.TidFromTime(at)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// giving begins a transaction of a tid that the client chooses, 0 for none.
func (p *peer) giving(tid zodb.Tid) {
	var given pickle.Value
	if tid != 0 {
		given = tidValue(tid)
	}
	p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), &pickle.Dict{}, given, " ")
}

// A client may choose tids, as a copy does, and oids, as an import does. What leaves none for later transactions and
// new objects is refused at the vote, and everything goes on.
func TestAClientCannotUseUpTidsOrOids(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.commit(1, 0, "one")
	store := func(oid zodb.Oid) { p.tell("storea", oidValue(oid), tidValue(0), pickle.Bytes("x"), handle) }
	for name, c := range map[string]struct {
		tid  zodb.Tid
		does func()
	}{
		"the last tid":           {math.MaxUint64, func() { store(2) }},
		"the last tid for loads": {zodb.MaxTid, func() { store(2) }},
		"a tid in eleven years":  {tidAt(t, time.Now().AddDate(11, 0, 0)), func() {}},
		"a revision with the last": {0, func() {
			p.tell("restorea", oidValue(2), tidValue(math.MaxUint64), pickle.Bytes("x"), nil, handle)
		}},
		"the last oid": {0, func() { store(math.MaxUint64) }},
		"a restored last oid": {0, func() {
			p.tell("restorea", oidValue(math.MaxUint64), tidValue(s.st.LastTid()), pickle.Bytes("x"), nil, handle)
		}},
	} {
		p.giving(c.tid)
		c.does()
		m := p.answer(p.send(0, "vote", handle))
		if f, ok := m.Args.(pickle.Tuple); m.Flag == 0 || !ok || f[0] != classStorage {
			t.Errorf("%s: the vote is answered with %v %v", name, m.Flag, m.Args)
		}
		p.call("tpc_abort", handle)
	}
	if tid := p.commit(3, 0, "the next"); tid.Time().After(time.Now().Add(time.Hour)) {
		t.Errorf("the next transaction is %v", tid)
	}
	if oids := p.newOids(); oids[0] == 0 || oids[0] > maxGivenOid {
		t.Errorf("new oids are %v", oids)
	}
}

// A file of a clock that was wrong has such tids already. Copies of what comes after them are taken.
func TestTidsMayBeAsFarAheadAsThoseThatAreThere(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	wrong := tidAt(t, time.Now().AddDate(30, 0, 0))
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Tid: wrong})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	p, _ := s.register(t)
	for after, want := range map[time.Duration]bool{time.Hour: true, 48 * time.Hour: false} {
		p.giving(tidAt(t, wrong.Time().Add(after)))
		m := p.answer(p.send(0, "vote", handle))
		if (m.Flag == 0) != want {
			t.Errorf("%v after the last one: %v %v", after, m.Flag, m.Args)
		}
		if m.Flag != 0 &&
			!strings.Contains(m.Args.(pickle.Tuple)[1].(pickle.Tuple)[0].(string), "set the clocks right") {
			t.Errorf("said %v", m.Args)
		}
		p.call("tpc_abort", handle)
	}
	p.commit(3, 0, "and so go on")
}
