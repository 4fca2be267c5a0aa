package zeo

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait; a healthy run never comes near it.
const patience = 5 * time.Minute

// A site is a server with one storage, "1".
type site struct {
	*Server
	st       *filestorage.Storage
	addr     string
	withdraw func()
	stop     func() // disconnects all clients, and returns when nobody uses the storage any more
}

func start(t *testing.T, opt Options, of StorageOptions) *site {
	t.Helper()
	dir := t.TempDir()
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return offer(t, st, opt, of)
}

// offer serves st until the end of the test, or until stop is called.
func offer(t *testing.T, st *filestorage.Storage, opt Options, of StorageOptions) *site {
	t.Helper()
	s := &site{Server: New(opt), st: st}
	var err error
	if s.withdraw, err = s.Offer("1", st, of); err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		s.withdraw()
		s.Close()
	})
	t.Cleanup(s.stop)
	return s
}

// A peer is a client made by hand.
type peer struct {
	t     *testing.T
	conn  net.Conn
	codec wire.Codec
	next  int64
}

// dial connects, and answers the announcement in the encoding named.
func (s *site) dial(t *testing.T, encoding string) *peer {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn}
	p.codec, _ = wire.CodecFor(encoding)
	if hello, err := wire.Read(conn, 100); err != nil || string(hello) != s.announced() {
		t.Fatalf("announced %q, %v", hello, err)
	}
	p.raw([]byte(encoding))
	return p
}

func (p *peer) raw(body []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(wire.AppendRaw(nil, body)); err != nil {
		p.t.Fatal(err)
	}
}

// register enters as a writer and returns the last tid.
func (s *site) register(t *testing.T) (*peer, zodb.Tid) {
	t.Helper()
	p := s.dial(t, wire.Z5)
	return p, tidIn(t, p.call("register", "1", false))
}

func tidIn(t *testing.T, v pickle.Value) zodb.Tid {
	t.Helper()
	b, ok := v.(pickle.Bytes)
	if !ok || len(b) != 8 {
		t.Fatalf("got %#v, want a tid", v)
	}
	return zodb.Tid(binary.BigEndian.Uint64(b))
}

func (p *peer) send(flag int, method string, args ...pickle.Value) int64 {
	p.t.Helper()
	m := &wire.Message{ID: int64(0), Flag: flag, Method: method, Args: pickle.Tuple(args)}
	if flag == 0 {
		p.next++
		m.ID = p.next
	}
	b, err := p.codec.Append(nil, m)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
	return p.next
}

func (p *peer) tell(method string, args ...pickle.Value) { p.send(1, method, args...) }

func (p *peer) receive() *wire.Message {
	p.t.Helper()
	b, err := wire.Read(p.conn, 1<<30)
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := p.codec.Decode(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// answer waits for the reply to the call with this id, past what the server calls.
func (p *peer) answer(id int64) *wire.Message {
	p.t.Helper()
	for {
		if m := p.receive(); m.IsReply() {
			if m.ID != id {
				p.t.Fatalf("reply to %v, want %d", m.ID, id)
			}
			return m
		}
	}
}

func (p *peer) call(method string, args ...pickle.Value) pickle.Value {
	p.t.Helper()
	m := p.answer(p.send(0, method, args...))
	if m.Flag != 0 {
		p.t.Fatalf("%s: %v", method, m.Args)
	}
	return m.Args
}

// refused expects an exception of this class.
func (p *peer) refused(class, method string, args ...pickle.Value) {
	p.t.Helper()
	m := p.answer(p.send(0, method, args...))
	f, _ := m.Args.(pickle.Tuple)
	if m.Flag == 0 || len(f) != 2 || f[0] != class {
		p.t.Errorf("%s: got %v, want %s", method, m.Args, class)
	}
}

// cut expects the end of the connection.
func (p *peer) cut() {
	p.t.Helper()
	for {
		if _, err := wire.Read(p.conn, 1<<30); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				p.t.Error("still connected")
			}
			return
		}
	}
}

const handle = int64(1) << 40

// stored sends a transaction with one store, up to and without the vote.
func (p *peer) stored(oid zodb.Oid, serial zodb.Tid, data string) {
	p.tell("tpc_begin", handle, pickle.Bytes("user"), pickle.Bytes("note"), &pickle.Dict{}, nil, " ")
	p.tell("storea", oidValue(oid), tidValue(serial), pickle.Bytes(data), handle)
}

func (p *peer) commit(oid zodb.Oid, serial zodb.Tid, data string) zodb.Tid {
	p.t.Helper()
	p.stored(oid, serial, data)
	if v := p.call("vote", handle); len(v.(*pickle.List).Items) != 0 {
		p.t.Fatalf("vote: %#v", v)
	}
	return tidIn(p.t, p.call("tpc_finish", handle))
}

// current returns the data and tid of the current revision.
func (p *peer) current(oid zodb.Oid) (string, zodb.Tid) {
	p.t.Helper()
	v, ok := p.call("loadBefore", oidValue(oid), tidValue(maxTid)).(pickle.Tuple)
	if !ok || len(v) != 3 || v[2] != nil {
		p.t.Fatalf("load: %#v", v)
	}
	return string(v[0].(pickle.Bytes)), tidIn(p.t, v[1])
}

func TestACommitIsSeenByTheOthersAfterItsInvalidation(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, last := s.register(t)
	reader, _ := s.register(t)
	if last != 0 {
		t.Errorf("an empty storage ends at %v", last)
	}
	first := writer.commit(1, 0, "one")
	m := reader.receive()
	args, _ := m.Args.(pickle.Tuple)
	if m.Method != "invalidateTransaction" || tidIn(t, args[0]) != first || len(args[1].(*pickle.List).Items) != 1 {
		t.Fatalf("got %s %#v", m.Method, m.Args)
	}
	if data, tid := reader.current(1); data != "one" || tid != first {
		t.Errorf("got %q of %v", data, tid)
	}
	second := writer.commit(1, first, "two")
	if data, tid := writer.current(1); data != "two" || tid != second {
		t.Errorf("the writer got %q of %v", data, tid)
	}
	late, last := s.register(t)
	if last != second {
		t.Errorf("registered at %v, want %v", last, second)
	}
	got, _ := late.call("getInvalidations", tidValue(first)).(pickle.Tuple)
	if len(got) != 2 || tidIn(t, got[0]) != second || len(got[1].(*pickle.List).Items) != 1 {
		t.Errorf("invalidations since %v: %#v", first, got)
	}
}

func TestAConflictIsForTheClientAndLeavesTheLockFree(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	a, _ := s.register(t)
	b, _ := s.register(t)
	first := a.commit(1, 0, "old")
	second := b.commit(1, first, "theirs")
	a.stored(1, first, "mine")
	list, _ := a.call("vote", handle).(*pickle.List)
	if list == nil || len(list.Items) != 1 {
		t.Fatalf("vote: %#v", list)
	}
	serials, _ := list.Items[0].(*pickle.Dict).Get("serials")
	if pair := serials.(pickle.Tuple); tidIn(t, pair[0]) != second || tidIn(t, pair[1]) != first {
		t.Errorf("serials: %#v", serials)
	}
	third := b.commit(2, 0, "meanwhile")
	a.tell("storea", oidValue(1), tidValue(second), pickle.Bytes("both"), handle)
	a.call("vote", handle)
	if tid := tidIn(t, a.call("tpc_finish", handle)); tid <= third {
		t.Errorf("tid %v is not above %v", tid, third)
	}
	if data, _ := b.current(1); data != "both" {
		t.Errorf("got %q", data)
	}
}

func TestTheEndOfAConnectionGivesTheCommitLockBack(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for name, end := range map[string]func(p *peer){
		"closed by the client": func(p *peer) { _ = p.conn.Close() },
		"an unknown method":    func(p *peer) { p.tell("nonsense") },
		"a one-way failure":    func(p *peer) { p.tell("storea", "x") },
	} {
		holder, _ := s.register(t)
		holder.stored(1, 0, "never")
		holder.call("vote", handle)
		end(holder)
		other, _ := s.register(t)
		other.stored(7, 0, "x")
		other.call("vote", handle) // waits for the lock
		other.call("tpc_abort", handle)
		if _, _, err := s.st.Load(1); err == nil {
			t.Errorf("%s: committed", name)
		}
	}
}

func TestALockThatIsHeldTooLongIsTakenAway(t *testing.T) {
	s := start(t, Options{TransactionTimeout: 50 * time.Millisecond}, StorageOptions{})
	holder, _ := s.register(t)
	holder.stored(1, 0, "never")
	holder.send(0, "vote", handle)
	holder.cut()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Abort(); err != nil {
		t.Fatal(err)
	}
	if last := s.st.LastTid(); last != 0 {
		t.Errorf("committed %v", last)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s := start(t, Options{}, StorageOptions{Access: ReadOnly})
	p := s.dial(t, wire.M5)
	p.refused("builtins.ValueError", "register", "nope", true)
	p.refused(classReadOnly, "register", "1", false)
	p.call("register", "1", true)
	p.refused(classReadOnly, "new_oids")
	p.refused(classPOSKey, "loadBefore", oidValue(1), tidValue(maxTid))
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{})
	p.cut()
}

func TestWhatIsNoProtocolEndsTheConnection(t *testing.T) {
	s := start(t, Options{MaxMessage: 1000}, StorageOptions{})
	for name, say := range map[string]func(p *peer){
		"a call before register": func(p *peer) { p.send(0, "ping") },
		"no message":             func(p *peer) { p.raw([]byte("garbage")) },
		"a message too long":     func(p *peer) { p.raw(make([]byte, 1001)) },
		"register twice": func(p *peer) {
			p.call("register", "1", false)
			p.send(0, "register", "1", false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.dial(t, wire.Z5)
			p.t = t
			say(p)
			p.cut()
		})
	}
	p := s.dial(t, "X9")
	p.cut()
	good, _ := s.register(t)
	good.call("ping")
}

func TestAMonitorIsAnswered(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p := s.dial(t, "ruok")
	body, err := wire.Read(p.conn, 1<<20)
	if err != nil || !strings.Contains(string(body), `"1":{`) || !strings.Contains(string(body), "last-transaction") {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := wire.Read(p.conn, 10); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}

func TestAWithdrawnStorageDisconnectsItsClients(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.stored(1, 0, "x")
	p.call("vote", handle)
	s.withdraw()
	p.cut()
	var err error
	if s.withdraw, err = s.Offer("1", s.st, StorageOptions{Access: ReadOnly}); err != nil {
		t.Fatal(err)
	}
	q := s.dial(t, wire.Z5)
	q.refused(classReadOnly, "register", "1", false)
}

func TestAStorageWithoutBlobsRefusesAnUpload(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	st, err := filestorage.Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	withdraw, err := s.Offer("plain", st, StorageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	p := s.dial(t, wire.Z5)
	p.call("register", "plain", false)
	p.refused(classStorage, "storeBlobStart")
}
