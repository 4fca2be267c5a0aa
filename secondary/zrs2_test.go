package secondary

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A visit is a connection to a scripted zc.zrs primary that has said hello.
type visit struct {
	net.Conn
	version string
	start   zodb.Tid
	number  int // 1 for the first
}

// oldPrimary plays a zc.zrs primary: it hangs up on whoever does not speak zrs2, and lets play answer the others, one
// after the other. The function that it returns tells how many spoke what.
func oldPrimary(t *testing.T, play func(v *visit) error) (addr string, spoken func(proto string) int) {
	t.Helper()
	l := listen(t)
	var mu sync.Mutex
	protocols := map[string]int{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			v, err := hear(conn)
			if err == nil {
				mu.Lock()
				protocols[v.version]++
				v.number = protocols[zrs.V20] + protocols[zrs.V21]
				mu.Unlock()
				if v.version != protocol.Native {
					err = play(v)
				}
			}
			if err != nil && !errors.Is(err, io.EOF) {
				t.Logf("the scripted primary: %v", err)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), func(proto string) int {
		mu.Lock()
		defer mu.Unlock()
		return protocols[proto]
	}
}

func hear(conn net.Conn) (*visit, error) {
	v := &visit{Conn: conn}
	first, err := protocol.ReadSized(conn, nil, 8)
	if v.version = string(first); err != nil || v.version == protocol.Native {
		return v, err
	}
	second, err := protocol.ReadSized(conn, nil, 8)
	if err != nil {
		return nil, err
	}
	v.start = zodb.Tid(binary.BigEndian.Uint64(second))
	return v, nil
}

// send streams transactions after where the secondary wants to begin.
func (v *visit) send(txns ...*plain) error {
	_, err := v.Write(streamOf(v.start, txns...))
	return err
}

// untilGone waits until the secondary has hung up.
func (v *visit) untilGone() error {
	_, err := io.Copy(io.Discard, v)
	return err
}

// serve plays a primary with these transactions, as zc.zrs does it: whoever is ahead is hung up on.
func serve(history func() []*plain) func(v *visit) error {
	return func(v *visit) error {
		var rest []*plain
		last := zodb.Tid(0)
		for _, txn := range history() {
			if last = txn.meta.Tid; last > v.start {
				rest = append(rest, txn)
			}
		}
		if v.start > last {
			return nil
		}
		return errors.Join(v.send(rest...), v.untilGone())
	}
}

// streamOf encodes transactions. It panics where they cannot be.
func streamOf(start zodb.Tid, txns ...*plain) []byte {
	var b bytes.Buffer
	enc := zrs.NewEncoder(&b, start)
	for _, txn := range txns {
		txn.read = false
		if err := enc.Encode(txn); err != nil {
			panic(err)
		}
	}
	if err := enc.Flush(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// boundaries returns the offsets after each message of a stream.
func boundaries(stream []byte) (ends []int) {
	for at := 0; at < len(stream); {
		at += 4 + int(binary.BigEndian.Uint32(stream[at:]))
		ends = append(ends, at)
	}
	return ends
}

func inZrs2(o *Options) { o.Protocol, o.quietAfter = ProtocolZrs2, 20*time.Millisecond }

func inAuto(o *Options) { o.quietAfter = 20 * time.Millisecond }

// holding returns a site that has these transactions.
func holding(t *testing.T, txns ...*plain) *site {
	t.Helper()
	s := inMemory(t)
	for _, txn := range txns {
		txn.read = false
		if _, _, err := (&Secondary{st: s.st, opt: Options{}.withDefaults()}).restore(
			t.Context(),
			linked{txn},
			&meteredReader{},
		); err != nil {
			t.Fatal(err)
		}
	}
	for has := s.st.LastTid(); has != txns[len(txns)-1].meta.Tid; has = s.st.LastTid() {
		it, err := s.st.Iterate(has, true)
		if err != nil {
			t.Fatal(err)
		}
		_, err = it.Next(t.Context())
		if err := errors.Join(err, it.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func described(txn *plain, status zodb.Status, description, extension string) *plain {
	txn.meta.Status, txn.meta.Description, txn.meta.Extension = status, []byte(description), []byte(extension)
	return txn
}

func TestFollowingAZrsdPrimaryInZrs2CopiesEverything(t *testing.T) {
	from := inMemory(t).named(t).history(t, 10)
	addr := from.asPrimary(t)
	to := inMemory(t)
	r := to.follow(t, addr, inZrs2)
	r.has(t, from.st.LastTid())
	mustEqual(t, from, to)
	last := from.commit(t, 1, "one more", "with a blob")
	r.has(t, last)
	mustEqual(t, from, to)
	st := r.eventually(t, "live", func(st Status) bool { return st.State == StateLive })
	if st.Protocol != zrs.V21 || st.Connections != 1 || st.StorageID != "" {
		t.Errorf("%+v", st)
	}
}

func TestAConnectionInZrs2ResumesAfterTheLastTransaction(t *testing.T) {
	from := inMemory(t).named(t).history(t, 10)
	to := inMemory(t)
	r := to.follow(t, from.asPrimary(t), inZrs2)
	r.has(t, from.st.LastTid())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	last := from.history(t, 5).st.LastTid()
	again := to.follow(t, from.asPrimary(t), inZrs2)
	again.has(t, last)
	again.eventually(t, "five transactions further", func(st Status) bool { return st.Transactions == 5 })
	mustEqual(t, from, to)
}

func TestAutoFindsOutWhatThePrimarySpeaks(t *testing.T) {
	addr, spoken := oldPrimary(t, serve(func() []*plain { return []*plain{transaction(5, "five")} }))
	r := inMemory(t).follow(t, addr, inAuto)
	r.has(t, 5)
	r.eventually(t, "live", func(st Status) bool { return st.State == StateLive && st.Protocol == zrs.V21 })
	if n := spoken(protocol.Native); n != patience {
		t.Errorf("%d times native", n)
	}
}

// A connection that is cut before the primary has answered says nothing of what it speaks: one that speaks both
// protocols is followed in our own.
func TestAFirstConnectionThatIsResetDoesNotLeadToZrs2(t *testing.T) {
	from := inMemory(t).named(t).history(t, 10)
	to := inMemory(t)
	cut := 0
	r := to.follow(t, from.asPrimary(t), inAuto, func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			if cut++; err == nil && cut == 1 {
				conn = resetConn{conn}
			}
			return conn, err
		}
	})
	r.has(t, from.st.LastTid())
	r.eventually(t, "live", func(st Status) bool {
		if st.Protocol == zrs.V20 || st.Protocol == zrs.V21 {
			t.Fatalf("it follows in %s", st.Protocol)
		}
		return st.State == StateLive
	})
	mustEqual(t, from, to)
}

// A resetConn is reset before anything comes from the other side.
type resetConn struct{ net.Conn }

func (resetConn) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
}

func TestAutoRemembersWhatThePrimarySpeaksForAWhile(t *testing.T) {
	var late timeShift
	addr, spoken := oldPrimary(t, func(v *visit) error {
		if v.number == 4 {
			late.shift(nativeAgain)
		}
		return v.send(transaction(5, "five"))
	})
	inMemory(t).follow(t, addr, inAuto, func(o *Options) { o.now = late.now })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for spoken(zrs.V21) < 6 {
		<-tick.C
	}
	if n := spoken(protocol.Native); n != 2*patience {
		t.Errorf("%d times native, want once at first and once when it is time to look again", n)
	}
}

// A timeShift is a clock that can be put forward.
type timeShift struct {
	mu sync.Mutex
	by time.Duration
}

func (c *timeShift) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *timeShift) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

func TestWhoWasSureOfItsPrimaryDoesNotFallBackByItself(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		says   string
	}{
		{"an identity", func(*Options) {}, "--protocol zrs2"},
		{"a secret", func(o *Options) { o.Secret = protocol.Secret("a secret of some length, say") }, "secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, spoken := oldPrimary(t, serve(func() []*plain { return []*plain{transaction(5, "five")} }))
			s := inMemory(t)
			if tt.name == "an identity" {
				s.named(t)
			}
			r := s.follow(t, addr, inAuto, tt.change)
			r.eventually(t, "told", func(st Status) bool { return strings.Contains(st.LastError, tt.says) })
			if n := spoken(zrs.V21); n != 0 {
				t.Errorf("%d times zrs2", n)
			}
		})
	}
}

func TestAnOperatorMayFallBack(t *testing.T) {
	addr, _ := oldPrimary(t, serve(func() []*plain { return []*plain{transaction(5, "five")} }))
	inMemory(t).named(t).follow(t, addr, inZrs2).has(t, 5)
}

// A secondary that native secondaries follow has an identity, also where its primary has none. It is not one that
// keeps it from going on in zrs2.
func TestASecondaryThatServesOthersMakesAnIdentity(t *testing.T) {
	addr, _ := oldPrimary(t, serve(func() []*plain { return []*plain{transaction(5, "five")} }))
	middle := inMemory(t)
	r := middle.follow(t, addr, inAuto, func(o *Options) { o.NeedsIdentity = true })
	r.has(t, 5)
	end := inMemory(t)
	st := end.follow(t, middle.serve(t, r.Identity)).has(t, 5)
	if st.Protocol != protocol.Native || st.StorageID == "" || st.StorageID != r.Status().StorageID {
		t.Errorf("%+v after %+v", st, r.Status())
	}
	inMemory(t).follow(t, middle.serve(t, r.Identity), inZrs2).has(t, 5)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := middle.follow(t, addr, inAuto)
	again.eventually(t, "following again", func(st Status) bool { return st.State == StateLive })
	if !middle.id.GeneratedID {
		t.Error("the identity is not marked as made here")
	}
}

func TestADivergedHistoryIsNotFollowed(t *testing.T) {
	// What the secondary has; it asks for the stream from transaction 4.
	ours := func() []*plain { return []*plain{transaction(4, "four"), transaction(6, "six")} }
	for _, tt := range []struct {
		name   string
		theirs func() []*plain
		says   string // empty: nothing is wrong
	}{
		{"the same", func() []*plain { return append(ours(), transaction(7, "seven")) }, ""},
		{"other content", func() []*plain { return []*plain{transaction(6, "SIX"), transaction(7, "seven")} },
			"other content"},
		{"other length", func() []*plain { return []*plain{transaction(6, "six!"), transaction(7, "seven")} },
			"other content"},
		{"other description", func() []*plain {
			return []*plain{described(transaction(6, "six"), ' ', "x", ""), transaction(7, "seven")}
		}, "another description"},
		{"extension with content", func() []*plain {
			return []*plain{described(transaction(6, "six"), ' ', "", "}X\x01\x00\x00\x00aK\x01s."),
				transaction(7, "seven")}
		}, "another extension"},
		{"extension without", func() []*plain {
			return []*plain{described(transaction(6, "six"), ' ', "", "\x80\x02}q\x00."), transaction(7, "seven")}
		}, ""},
		{"not there", func() []*plain { return []*plain{transaction(7, "seven")} }, "7 instead"},
		{"packed away", func() []*plain { return []*plain{described(transaction(7, "seven"), 'p', "", "")} }, ""},
		{"packed", func() []*plain {
			return []*plain{described(transaction(6, "less"), 'p', "", ""), transaction(7, "seven")}
		}, ""},
		{"another before", func() []*plain {
			return []*plain{transaction(5, "five"), transaction(6, "six"), transaction(7, "seven")}
		}, "before it the primary has"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := oldPrimary(t, serve(tt.theirs))
			r := holding(t, ours()...).follow(t, addr, inZrs2)
			if tt.says == "" {
				r.has(t, 7)
				return
			}
			st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
			if st.Durable != 6 || !strings.Contains(st.LastError, "diverged at transaction 0000000000000006") ||
				!strings.Contains(st.LastError, tt.says) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// zc.zrs hangs up on a secondary that is ahead, and says nothing.
func TestAPrimaryThatHangsUpTimeAndAgainIsARefusal(t *testing.T) {
	addr, spoken := oldPrimary(t, serve(func() []*plain { return []*plain{transaction(2, "two")} }))
	r := holding(t, transaction(4, "four"), transaction(6, "six")).follow(t, addr, inZrs2)
	st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if n := spoken(zrs.V21); n < patience || !strings.Contains(st.LastError, "ends with 0000000000000006") {
		t.Errorf("after %d connections %+v", n, st)
	}
}

func TestAPrimaryThatHangsUpOnceIsTriedAgain(t *testing.T) {
	addr, _ := oldPrimary(t, func(v *visit) error {
		if v.number < patience {
			return nil
		}
		return errors.Join(v.send(transaction(5, "five")), v.untilGone())
	})
	r := inMemory(t).follow(t, addr, inZrs2)
	if st := r.has(t, 5); st.State == StateRefused {
		t.Errorf("%+v", st)
	}
}

func TestTransactionsOfZrs2AreAppliedInTheOrderOfThePrimary(t *testing.T) {
	addr, _ := oldPrimary(t, func(v *visit) error {
		return errors.Join(v.send(transaction(5, "five"), transaction(4, "four")), v.untilGone())
	})
	r := inMemory(t).follow(t, addr, inZrs2)
	r.eventually(t, "has both", func(st Status) bool { return st.Transactions == 2 && st.Durable == 4 })
}

// Wherever the stream ends, whole transactions are there and nothing of the one that was cut.
func TestAStreamCutAtAnyMessageLeavesWholeTransactions(t *testing.T) {
	history := func() []*plain { return []*plain{transaction(5, "five"), transaction(6, "six")} }
	ends := boundaries(streamOf(0, history()...))
	for _, end := range append([]int{1, 6}, ends...) {
		starts := make(chan zodb.Tid, 100)
		addr, _ := oldPrimary(t, func(v *visit) error {
			starts <- v.start
			if v.number == 1 {
				_, err := v.Write(streamOf(0, history()...)[:end])
				return err
			}
			return serve(history)(v)
		})
		s := inMemory(t)
		s.follow(t, addr, inZrs2).has(t, 6)
		whole := 0
		for _, e := range ends[:len(ends)/2] {
			if e <= end {
				whole++
			}
		}
		want := zodb.Tid(0) // a stream from before the first transaction sends that once more
		if end == ends[len(ends)-1] {
			want = 5
		}
		if first, second := <-starts, <-starts; first != 0 || second != want {
			t.Errorf("cut at %d: began at %v, then at %v, want %v", end, first, second, want)
		}
		if data, tid, err := s.st.Load(1); string(data) != "six" || tid != 6 || err != nil {
			t.Errorf("cut at %d: %q, %v, %v", end, data, tid, err)
		}
		if n, _, err := s.st.Count(t.Context(), 0); n != 2 || err != nil {
			t.Errorf("cut at %d: %d transactions, %v", end, n, err)
		}
	}
}

func TestATransactionWithAWrongDigestIsNotThereAndComesAgain(t *testing.T) {
	history := func() []*plain { return []*plain{transaction(5, "five"), transaction(6, "six")} }
	seen := make(chan struct{}) // closed when the error was seen, which goes with the next connection
	addr, _ := oldPrimary(t, func(v *visit) error {
		if v.number > 1 {
			<-seen
			return serve(history)(v)
		}
		stream := streamOf(0, history()...)
		at := bytes.LastIndex(stream, []byte("six"))
		stream[at]++
		if _, err := v.Write(stream); err != nil {
			return err
		}
		return v.untilGone()
	})
	s := inMemory(t)
	r := s.follow(t, addr, inZrs2)
	r.eventually(t, "telling of the digest", func(st Status) bool { return strings.Contains(st.LastError, "digest") })
	close(seen)
	r.has(t, 6)
	if data, _, err := s.st.Load(1); string(data) != "six" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// What is damaged on its way proves nothing.
func TestADamagedProofIsNoDivergence(t *testing.T) {
	history := func() []*plain {
		return []*plain{transaction(4, "four"), transaction(6, "six"), transaction(7, "seven")}
	}
	addr, _ := oldPrimary(t, func(v *visit) error {
		if v.number > 1 {
			return serve(history)(v)
		}
		stream := streamOf(v.start, history()[1:]...)
		stream[bytes.Index(stream, []byte("six"))]++
		if _, err := v.Write(stream); err != nil {
			return err
		}
		return v.untilGone()
	})
	var refused bool
	r := holding(t, history()[:2]...).follow(t, addr, inZrs2)
	r.eventually(t, "complete", func(st Status) bool {
		refused = refused || st.State == StateRefused
		return st.Durable == 7
	})
	if refused {
		t.Error("it was taken for a refusal")
	}
}

func TestKeepAlivesAreEmptyMessages(t *testing.T) {
	heard := make(chan []byte, 1)
	addr, _ := oldPrimary(t, func(v *visit) error {
		b := make([]byte, 12)
		if _, err := io.ReadFull(v, b); err != nil {
			return err
		}
		heard <- b
		return v.untilGone()
	})
	inMemory(t).follow(t, addr, inZrs2, func(o *Options) { o.KeepAliveDelay = time.Millisecond })
	if b := <-heard; !bytes.Equal(b, make([]byte, 12)) {
		t.Errorf("got % x", b)
	}
}

func TestWhatAnOldPrimaryHasIsUnknownUntilItIsQuiet(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tid, err := zodb.TidFromTime(now.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	k := newTracker(func() time.Time { return now })
	k.joined(zrs.V21, tid)
	if st := k.snapshot(tid); st.State != StateCatchingUp || st.Lag.Seconds == nil || *st.Lag.Seconds < 59 {
		t.Errorf("not yet quiet: %+v", st)
	}
	k.began(tid + 1)
	k.streamQuiet()
	if st := k.snapshot(tid); st.State != StateCatchingUp {
		t.Errorf("in a transaction: %+v", st)
	}
	k.durable(tid+1, 1)
	k.streamQuiet()
	st := k.snapshot(tid + 1)
	if st.State != StateLive || *st.Lag.Seconds != 0 || st.Lag.Transactions != nil || st.Lag.Bytes != nil {
		t.Errorf("quiet: %+v", st)
	}
	k.failed(StateWaiting, io.EOF, io.EOF)
	now = now.Add(time.Hour)
	if st := k.snapshot(tid + 1); *st.Lag.Seconds != 3600 {
		t.Errorf("without a connection: %+v", st)
	}
}

func TestAZcZrsPrimaryThatDoesNotAnswerIsGivenUpInTime(t *testing.T) {
	addr, _ := oldPrimary(t, (*visit).untilGone)
	r := holding(t, transaction(4, "four")).follow(t, addr, inZrs2,
		func(o *Options) { o.HandshakeTimeout = 2 * time.Millisecond })
	r.eventually(t, "told", func(st Status) bool { return strings.Contains(st.LastError, "too long to answer") })
}

// A large last transaction, perhaps with gigabytes of blobs, is not fetched again with each connection: its beginning
// proves the common history, and the stream is asked for from after it.
func TestALargeLastTransactionIsComparedInPartOnly(t *testing.T) {
	const size = 64 << 20
	ours := func() []*plain { return []*plain{transaction(4, "four"), transaction(6, strings.Repeat("x", size))} }
	other := func() []*plain {
		return []*plain{transaction(6, "y"+strings.Repeat("x", size-1)), transaction(7, "seven")}
	}
	for _, tt := range []struct {
		name   string
		theirs func() []*plain
		same   bool
	}{
		{"the same", func() []*plain { return append(ours(), transaction(7, "seven")) }, true},
		{"packed since", func() []*plain {
			return []*plain{described(transaction(6, strings.Repeat("y", size)), 'p', "", ""), transaction(7, "seven")}
		}, true},
		{"another", other, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			starts := make(chan zodb.Tid, 100)
			var sent int // of the first connection
			addr, _ := oldPrimary(t, func(v *visit) error {
				starts <- v.start
				var rest []*plain
				for _, txn := range tt.theirs() {
					if txn.meta.Tid > v.start {
						rest = append(rest, txn)
					}
				}
				n, err := v.Write(streamOf(v.start, rest...))
				if v.number == 1 {
					sent = n
				}
				return errors.Join(err, v.untilGone())
			})
			r := holding(t, ours()...).follow(t, addr, inZrs2)
			if !tt.same {
				r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
				return
			}
			r.has(t, 7)
			if first, second := <-starts, <-starts; first != 4 || second != 6 {
				t.Errorf("asked for the stream from %v, then from %v", first, second)
			}
			if sent > size/2 {
				t.Errorf("%d MB were sent of what is there already", sent>>20)
			}
		})
	}
}

func TestExtensionsThatAreNoDictionariesAreCompared(t *testing.T) {
	ordered := []byte("\x80\x03ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00xq\x02K\x01s.")
	unlinked := []byte("\x80\x03ccollections\nOrderedDict\n)RX\x01\x00\x00\x00xK\x01s.")
	text := []byte("\x80\x03X\x01\x00\x00\x00x.")
	if !sameExtension(ordered, unlinked) || sameExtension(ordered, text) ||
		!sameExtension(text, []byte("X\x01\x00\x00\x00xq\x00.")) {
		t.Error("what is the same, or is not, is not told apart")
	}
}

// Where this storage ends with tids that go down, the stream is asked for from below all of them, what is here already
// is compared in the order of the file, and nothing after it is missing.
func TestZrs2IsResumedWhereTidsGoDown(t *testing.T) {
	down := func() []*plain {
		return []*plain{transaction(10, "ten"), transaction(20, "twenty"), transaction(15, "fifteen")}
	}
	more := func() []*plain { return append(down(), transaction(16, "sixteen"), transaction(30, "thirty")) }
	byOrder := func(history []*plain) func(v *visit) error { // as zc.zrs begins: with the first that is above
		return func(v *visit) error {
			i := slices.IndexFunc(history, func(txn *plain) bool { return txn.meta.Tid > v.start })
			return errors.Join(v.send(history[i:]...), v.untilGone())
		}
	}
	s := holding(t, down()...)
	addr, _ := oldPrimary(t, byOrder(more()))
	r := s.follow(t, addr, inZrs2)
	r.eventually(t, "has all", func(st Status) bool { return st.Transactions == 2 && st.Durable == 30 })
	if _, tid, err := s.st.Load(1); err != nil || tid != 30 {
		t.Errorf("visible is %v, %v", tid, err)
	}
	for _, tid := range []zodb.Tid{10, 20, 15, 16, 30} {
		if _, err := s.st.Find(t.Context(), tid); err != nil {
			t.Error(err)
		}
	}

	later := holding(t, more()[:4]...) // ends with tids that rise, and the primary looks from the front
	addr, _ = oldPrimary(t, byOrder(more()))
	at := later.follow(t, addr, inZrs2).
		eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(at.LastError, "tids of this database go down") || later.st.LastTid() != 16 {
		t.Errorf("%+v", at)
	}

	other := holding(t, down()...)
	history := more()
	history[1] = described(transaction(20, "twenty"), zodb.StatusCommitted, "of another history", "")
	addr, _ = oldPrimary(t, byOrder(history))
	st := other.follow(t, addr, inZrs2).
		eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(st.LastError, "tids of this database go down") || other.st.LastTid() != 15 {
		t.Errorf("%+v", st)
	}
}
