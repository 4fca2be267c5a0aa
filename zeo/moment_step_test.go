package zeo

import (
	"errors"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// asOf offers the storage of s as of its last transaction, as "old", and returns a client of it.
func (s *site) asOf(t *testing.T) *peer {
	t.Helper()
	m := s.moment(t)
	withdraw, err := s.Offer("old", s.st, StorageOptions{Access: ReadOnly, Moment: &m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(withdraw)
	t.Cleanup(s.stop) // before that
	p := s.dial(t, wire.M5)
	p.call("register", "old", true)
	return p
}

func (s *site) moment(t *testing.T) filestorage.Moment {
	t.Helper()
	m, err := s.st.MomentAt(t.Context(), s.st.LastTid())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// invalidation returns the next one that the server sends.
func (p *peer) invalidation() (tid zodb.Tid, oids []zodb.Oid) {
	p.t.Helper()
	m := p.receive()
	args, _ := m.Args.(pickle.Tuple)
	if m.Method != wire.InvalidationMethod || len(args) != 2 {
		p.t.Fatalf("got %v %v instead of an invalidation", m.Method, m.Args)
	}
	list, _ := items(args[1])
	for _, v := range list {
		oids = append(oids, zodb.Oid(tidIn(p.t, v)))
	}
	return tidIn(p.t, args[0]), oids
}

// A cache must never believe that a revision was current for longer than it was. So the objects are invalidated as of
// the first transaction after the old moment, and the second message only moves the last transaction.
func TestAStepIsOneInvalidationWithAllObjects(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, _ := s.register(t)
	one := writer.commit(1, 0, "a")
	two := writer.commit(2, 0, "a")
	reader := s.asOf(t)
	first := writer.commit(1, one, "b")
	third := writer.commit(2, two, "b")
	last := writer.commit(1, first, "c")
	if got := tidIn(t, reader.call("lastTransaction")); got != two {
		t.Errorf("before the step the last transaction is %v, want %v", got, two)
	}
	if err := s.Step(t.Context(), "old", s.moment(t)); err != nil {
		t.Fatal(err)
	}
	if tid, oids := reader.invalidation(); tid != first || !slices.Equal(oids, []zodb.Oid{1, 2}) {
		t.Errorf("invalidated %v as of %v, want 1 and 2 as of %v", oids, tid, first)
	}
	if tid, oids := reader.invalidation(); tid != last || len(oids) != 0 {
		t.Errorf("then %v as of %v, want none as of %v", oids, tid, last)
	}
	for before, want := range map[zodb.Tid]string{one + 1: "a", third: "b", maxTid: "c"} {
		answer, _ := reader.call("loadBefore", oidValue(1), tidValue(before)).(pickle.Tuple)
		if len(answer) != 3 || string(answer[0].(pickle.Bytes)) != want {
			t.Errorf("the object before %v: %v, want %s", before, answer, want)
		}
	}
}

// Who was away meanwhile finds out what a client always does.
func TestAClientThatWasAwayLearnsOfAStepAsOfAnyCommit(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, _ := s.register(t)
	one := writer.commit(1, 0, "a")
	s.asOf(t)
	last := writer.commit(1, one, "b")
	if err := s.Step(t.Context(), "old", s.moment(t)); err != nil {
		t.Fatal(err)
	}
	again := s.dial(t, wire.M5)
	again.call("register", "old", true)
	answer, _ := again.call("getInvalidations", tidValue(one)).(pickle.Tuple)
	if len(answer) != 2 || tidIn(t, answer[0]) != last {
		t.Errorf("since %v: %v, want object 1 up to %v", one, answer, last)
	}
}

func TestNobodyWritesOrPacksAsOfAMoment(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, _ := s.register(t)
	one := writer.commit(1, 0, "a")
	writer.commit(1, one, "b")
	reader := s.asOf(t)
	reader.refused(classReadOnly, "pack", float64(1<<30), true)
	reader.refused(classReadOnly, "new_oids")
	s.dial(t, wire.M5).refused(classReadOnly, "register", "old", false)
	if n := len(transactions(t, s.st)); n != 2 {
		t.Errorf("%d transactions are left of 2", n)
	}
}

// Clients of a moment that does not come back hear why, instead of waiting for ever.
func TestAMomentThatHasEndedSaysWhy(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	s.Expect("old")
	waiting := s.dial(t, wire.M5)
	waiting.send(0, "register", "old", true)
	waiting.cut() // it is to try again
	s.End("old", errors.New("it was packed away"))
	s.dial(t, wire.M5).refused(classStorage, "register", "old", true)
}

// What becomes seen little by little is announced as by a secondary: each transaction once, in order, and no other.
func TestShowAnnouncesEachTransactionUpToAMoment(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, _ := s.register(t)
	one := writer.commit(1, 0, "a")
	reader := s.asOf(t)
	two := writer.commit(2, 0, "a")
	three := writer.commit(1, one, "b")
	upTo := s.moment(t)
	four := writer.commit(1, three, "c")
	for range 2 { // the second time there is nothing new
		if err := s.Show(t.Context(), "old", upTo); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []filestorage.Invalidation{
		{Tid: two, Oids: []zodb.Oid{2}}, {Tid: three, Oids: []zodb.Oid{1}},
	} {
		if tid, oids := reader.invalidation(); tid != want.Tid || !slices.Equal(oids, want.Oids) {
			t.Errorf("%v of %v was announced, want %v", oids, tid, want)
		}
	}
	if got := tidIn(t, reader.call("lastTransaction")); got != three {
		t.Errorf("the last transaction is %v, want %v", got, three)
	}
	answer, _ := reader.call("loadBefore", oidValue(1), tidValue(maxTid)).(pickle.Tuple)
	if len(answer) != 3 || tidIn(t, answer[1]) != three || answer[2] != nil {
		t.Errorf("of %v, %v and %v the object is %v", one, three, four, answer)
	}
	info, _ := reader.call("get_info").(*pickle.Dict)
	if size, ok := info.Get("size"); !ok || size != upTo.Size {
		t.Errorf("the size is %v, want %v", size, upTo.Size)
	}
}
