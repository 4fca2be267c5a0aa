package zeo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A client keeps what it knows in the order in which it is told. Whatever it asks while others commit, it must not hear
// of a transaction before the invalidation of that, nor, after the invalidation, of what was there before.

func TestNothingIsHeardOfATransactionBeforeItsInvalidation(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := offer(t, st, Options{Recent: 3, Msgpack: true}, StorageOptions{}) // few, so that history is asked for as well
	defer s.stop()
	h := &history{}
	var watchers, writers sync.WaitGroup
	var all []*watcher
	for i := range 3 {
		w := h.watch(t, s, []string{wire.Z5, wire.M5, wire.M5}[i])
		all = append(all, w)
		watchers.Go(w.listen)
		watchers.Go(func() { w.ask(uint64(i)) })
	}
	for i := range 3 {
		writers.Go(func() { h.write(t, s, uint64(i)) })
	}
	var newcomers sync.WaitGroup
	newcomers.Go(func() { h.comeAndGo(t, s) })
	writers.Wait()
	newcomers.Wait()
	for _, w := range all {
		close(w.enough)
	}
	watchers.Wait()
	if t.Failed() {
		return
	}
	for _, w := range all {
		if want := h.since(w.first); !slices.Equal(w.told, want) {
			t.Errorf("registered at %v, a client was told of %v, and should have been of %v", w.first, w.told, want)
		}
	}
	h.verify(t)
}

// oidsInUse is how many objects everybody is after.
const oidsInUse = 6

// A history is what happened, for everybody to add to.
type history struct {
	mu      sync.Mutex
	commits []written
	seen    []revisionSeen
	gaps    []gap
}

// A revisionSeen is an answer to a load.
type revisionSeen struct {
	oid  zodb.Oid
	tid  zodb.Tid
	data string
}

// A gap is an answer to getInvalidations.
type gap struct {
	from, to zodb.Tid
	oids     []zodb.Oid
}

func dataOf(oid zodb.Oid, tid zodb.Tid) string { return fmt.Sprintf("%v based on %v", oid, tid) }

func (h *history) committed(tid zodb.Tid, oids []zodb.Oid) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, written{tid, oids})
	slices.SortFunc(h.commits, func(a, b written) int { return int(min(max(int64(a.tid)-int64(b.tid), -1), 1)) })
}

func (h *history) saw(r revisionSeen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r)
}

func (h *history) since(first zodb.Tid) (tids []zodb.Tid) {
	for _, c := range h.commits {
		if c.tid > first {
			tids = append(tids, c.tid)
		}
	}
	return tids
}

// verify compares what clients saw with what was committed.
func (h *history) verify(t *testing.T) {
	t.Helper()
	for _, r := range h.seen {
		var before zodb.Tid
		found := false
		for _, c := range h.commits {
			if slices.Contains(c.oids, r.oid) {
				if found = c.tid == r.tid; found {
					break
				}
				before = c.tid
			}
		}
		if !found || r.data != dataOf(r.oid, before) {
			t.Errorf("oid %v: %q of %v was loaded, and that one was made from %v", r.oid, r.data, r.tid, before)
		}
	}
	for _, g := range h.gaps {
		for _, c := range h.commits {
			for _, oid := range c.oids {
				if c.tid > g.from && c.tid <= g.to && !slices.Contains(g.oids, oid) {
					t.Errorf("written from %v to %v is %v, and not oid %v of %v", g.from, g.to, g.oids, oid, c.tid)
				}
			}
		}
	}
	if len(h.seen) == 0 || len(h.gaps) == 0 {
		t.Errorf("%d loads, %d times invalidations were asked for", len(h.seen), len(h.gaps))
	}
}

// A watcher is a client that asks all the time, and believes what it is told.
type watcher struct {
	*peer
	h      *history
	first  zodb.Tid // at registration
	last   zodb.Tid // the last transaction that it knows of
	told   []zodb.Tid
	known  map[zodb.Oid]zodb.Tid
	enough chan struct{}
	room   chan struct{} // a slot for each open question

	mu    sync.Mutex
	asked map[int64]question
}

type question struct {
	method string
	oid    zodb.Oid
}

func (h *history) watch(t *testing.T, s *site, encoding string) *watcher {
	t.Helper()
	w := &watcher{
		peer: s.dial(t, encoding), h: h, known: make(map[zodb.Oid]zodb.Tid), enough: make(chan struct{}),
		room: make(chan struct{}, 10), asked: make(map[int64]question),
	}
	w.first = tidIn(t, w.call("register", "1", false))
	w.last = w.first
	return w
}

// ask sends questions, a few at a time, until it is enough, and a ping then.
func (w *watcher) ask(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-w.enough:
			w.put(question{method: "ping"})
			return
		case w.room <- struct{}{}:
		}
		oid := zodb.Oid(random.IntN(oidsInUse) + 1)
		kinds := []question{{"loadBefore", oid}, {"loadBefore", oid}, {"getTid", oid}, {method: "lastTransaction"}}
		w.put(kinds[random.IntN(len(kinds))])
	}
}

func (w *watcher) put(q question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	args := pickle.Tuple{}
	switch q.method {
	case "loadBefore":
		args = pickle.Tuple{oidValue(q.oid), tidValue(maxTid)}
	case "getTid":
		args = pickle.Tuple{oidValue(q.oid)}
	}
	w.next++
	w.asked[w.next] = q
	b, err := w.codec.Append(nil, &wire.Message{ID: w.next, Method: q.method, Args: args})
	if err == nil {
		_, err = w.conn.Write(b)
	}
	if err != nil {
		w.t.Error(err)
	}
}

// listen judges what the server says, up to the answer to the ping.
func (w *watcher) listen() {
	for !w.t.Failed() {
		w.hold()
		raw, err := wire.Read(w.conn, 1<<20)
		if err != nil {
			w.t.Error(err)
			return
		}
		m, err := w.codec.Decode(raw)
		if err != nil {
			w.t.Error(err)
			return
		}
		over, err := w.hear(m)
		if err != nil {
			w.t.Errorf("%s %s: %v", m.Method, text(m.Args), err)
		}
		if over {
			return
		}
	}
}

// hold lets patience begin anew.
func (w *watcher) hold() {
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Error(err)
	}
}

func (w *watcher) hear(m *wire.Message) (over bool, err error) {
	if m.Method == "invalidateTransaction" {
		return false, w.invalidated(m)
	}
	if !m.IsReply() {
		return false, nil
	}
	id, _ := m.ID.(int64)
	w.mu.Lock()
	q, ok := w.asked[id]
	delete(w.asked, id)
	w.mu.Unlock()
	switch {
	case !ok:
		return false, errors.New("an answer without a question")
	case q.method == "ping":
		return true, nil
	}
	<-w.room
	switch {
	case m.Flag != 0 || m.Args == nil:
		return false, w.missing(q.oid)
	case q.method == "loadBefore":
		rev, _ := m.Args.(pickle.Tuple)
		if len(rev) != 3 || rev[2] != nil {
			return false, errors.New("not the current revision")
		}
		data, _ := rev[0].(pickle.Bytes)
		r := revisionSeen{q.oid, tidIn(w.t, rev[1]), string(data)}
		w.h.saw(r)
		return false, w.current(r.oid, r.tid)
	case q.method == "getTid":
		return false, w.current(q.oid, tidIn(w.t, m.Args))
	case q.method == "lastTransaction":
		if tid := tidIn(w.t, m.Args); tid != w.last {
			return false, fmt.Errorf("the last transaction that was announced is %v", w.last)
		}
	}
	return false, nil
}

func (w *watcher) invalidated(m *wire.Message) error {
	args, _ := m.Args.(pickle.Tuple)
	tid := tidIn(w.t, args[0])
	if tid <= w.last {
		return fmt.Errorf("it comes after %v", w.last)
	}
	w.last = tid
	w.told = append(w.told, tid)
	oids, _ := items(args[1])
	for _, v := range oids {
		w.known[zodb.Oid(tidIn(w.t, v))] = tid
	}
	return nil
}

// missing is the answer for an object that nobody has written yet.
func (w *watcher) missing(oid zodb.Oid) error {
	if tid, ok := w.known[oid]; ok {
		return fmt.Errorf("oid %v was written in %v", oid, tid)
	}
	return nil
}

// current checks that tid is that of the current revision, as far as the client knows.
func (w *watcher) current(oid zodb.Oid, tid zodb.Tid) error {
	switch known, ok := w.known[oid]; {
	case ok && tid != known:
		return fmt.Errorf("oid %v is of %v, and was written in %v", oid, tid, known)
	case !ok && tid > w.first:
		return fmt.Errorf("oid %v is of %v, which was not announced", oid, tid)
	}
	return nil
}

// write commits changes of a few objects each, and gives way in conflicts.
func (h *history) write(t *testing.T, s *site, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	w := h.watch(t, s, wire.Z5)
	for done := 0; done < 30 && !t.Failed(); {
		oids := random.Perm(oidsInUse)[:1+random.IntN(3)]
		w.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
		var changes []zodb.Oid
		for _, n := range oids {
			oid := zodb.Oid(n + 1)
			changes = append(changes, oid)
			w.tell("storea", oidValue(oid), tidValue(w.known[oid]), pickle.Bytes(dataOf(oid, w.known[oid])), handle)
		}
		list, _ := items(w.said("vote", handle))
		if len(list) > 0 {
			w.said("tpc_abort", handle)
			for _, oid := range changes {
				w.look(oid)
			}
			continue
		}
		tid := tidIn(t, w.said("tpc_finish", handle))
		if tid <= w.last {
			t.Errorf("committed %v after %v", tid, w.last)
		}
		w.last = tid
		for _, oid := range changes {
			w.known[oid] = tid
		}
		h.committed(tid, changes)
		done++
	}
}

// said is call with an ear for what comes before the answer.
func (w *watcher) said(method string, args ...pickle.Value) pickle.Value {
	w.hold()
	w.send(0, method, args...)
	for {
		m := w.receive()
		if m.IsReply() {
			w.named(m)
			return m.Args
		}
		if _, err := w.hear(m); err != nil {
			w.t.Error(err)
			return nil
		}
	}
}

// named checks that a vote tells of no transaction that was not announced.
func (w *watcher) named(m *wire.Message) {
	list, _ := items(m.Args)
	for _, v := range list {
		d, ok := v.(*pickle.Dict)
		if !ok {
			continue
		}
		v, _ := d.Get("serials")
		serials, _ := items(v)
		if current := tidIn(w.t, serials[0]); current > w.last {
			w.t.Errorf("a conflict with %v before that was announced", current)
		}
	}
}

// look loads what a writer does not know, being new.
func (w *watcher) look(oid zodb.Oid) {
	rev, ok := w.said("loadBefore", oidValue(oid), tidValue(maxTid)).(pickle.Tuple)
	if !ok || len(rev) != 3 {
		return
	}
	tid := tidIn(w.t, rev[1])
	if err := w.current(oid, tid); err != nil {
		w.t.Error(err)
	}
	w.known[oid] = tid
}

func (h *history) heardOfGaps() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.gaps) > 0
}

// comeAndGo registers again and again, and asks for what it has missed.
func (h *history) comeAndGo(t *testing.T, s *site) {
	t.Helper()
	var from zodb.Tid
	for i := 0; (i < 20 || !h.heardOfGaps()) && !t.Failed(); i++ { // a busy machine may be too late each time
		w := h.watch(t, s, wire.Z5)
		if from > w.first {
			t.Errorf("registered at %v after %v", w.first, from)
		}
		if answer, ok := w.said("getInvalidations", tidValue(from)).(pickle.Tuple); ok && len(answer) == 2 {
			g := gap{from: from, to: tidIn(t, answer[0])}
			if g.to != w.last {
				t.Errorf("invalidations up to %v, after that of %v", g.to, w.last)
			}
			list, _ := items(answer[1])
			for _, v := range list {
				g.oids = append(g.oids, zodb.Oid(tidIn(t, v)))
			}
			h.mu.Lock()
			h.gaps = append(h.gaps, g)
			h.mu.Unlock()
		}
		from = w.last
		if err := w.conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
