package secondary

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/internal/protocoltest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A session of version 1 of the messages, which was recorded with a version that knows no other one.
const recordedSession = "../protocol/testdata/version1/session"

// recordedAs returns what was recorded of one direction of a stream, cut into its sized messages. The first one is the
// stream's header, where this side has opened it.
func recordedAs(t *testing.T, name string) (messages [][]byte) {
	t.Helper()
	r := bytes.NewReader(recordedBytes(t, name))
	for {
		msg, err := readSized(r)
		if errors.Is(err, io.EOF) {
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, msg)
	}
}

func recordedBytes(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordedSession, name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readSized reads one sized message, and returns it with its length.
func readSized(r io.Reader) ([]byte, error) {
	payload, err := protocol.ReadSized(r, nil, 1<<20)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...), nil
}

// isKind reports whether a sized message is of a kind: an array of two, whose first element is a short str.
func isKind(msg []byte, kind string) bool {
	return bytes.HasPrefix(msg[4:], append([]byte{0x92, 0xa0 | byte(len(kind))}, kind...))
}

// only returns the one message of a kind.
func only(t *testing.T, messages [][]byte, kind string) []byte {
	t.Helper()
	var found [][]byte
	for _, msg := range messages {
		if isKind(msg, kind) {
			found = append(found, msg)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d messages of kind %s", len(found), kind)
	}
	return found[0]
}

// asMessage returns what a message says.
func asMessage[T any](t *testing.T, msg []byte) T {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _, _ = server.Write(msg) }()
	got, err := protocol.NewControl(client).Receive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got.(T)
}

// recordedSite returns a storage of the recorded session.
func recordedSite(t *testing.T, file string) *site {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, filepath.Join(recordedSession, file), filepath.Join(dir, "Data.fs"))
	if err := os.CopyFS(filepath.Join(dir, "blobs"), os.DirFS(filepath.Join(recordedSession, "blobs"))); err != nil {
		t.Fatal(err)
	}
	return onDisk(t, vfs.OS{}, dir)
}

// A recordedMember is the recorded primary as a member of its cluster.
type recordedMember struct{ node string }

func (m recordedMember) Info() primary.NodeInfo {
	return primary.NodeInfo{
		Node: m.node, IsPrimary: true, Sync: protocol.SyncRule{Required: 1, Names: []string{"db2", "db3"}},
	}
}

func (recordedMember) Status(*protocol.StatusRequest) (*protocol.NodeStatus, *protocol.Refusal) {
	return &protocol.NodeStatus{}, nil
}

func (recordedMember) Vote(context.Context, *protocol.VoteRequest) (*protocol.Vote, *protocol.Refusal) {
	return &protocol.Vote{}, nil
}

func (recordedMember) Outranked(uint64)              {}
func (recordedMember) Surpassed(zodb.Tid)            {}
func (recordedMember) Counts(primary.Counting) error { return nil }
func (recordedMember) HandedOver(*protocol.Hello)    {}

// A secondary of version 1 gets from this primary, byte for byte, what it got from one of version 1.
func TestAPrimaryAnswersARecordedSecondaryOfVersion1(t *testing.T) {
	says, hears := recordedAs(t, "control-from-secondary"), recordedAs(t, "control-from-primary")
	welcome := asMessage[*protocol.Welcome](t, only(t, hears, "welcome"))
	p := recordedSite(t, "primary.fs")
	pr := primary.New(p.st, primary.Options{
		Identity:  func() (string, []protocol.Epoch) { return welcome.StorageID, welcome.Epochs },
		Heartbeat: welcome.Heartbeat, Name: welcome.Name, Member: recordedMember{welcome.Node},
	})
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- pr.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	session := callRaw(t, l.Addr().String())
	control := openRaw(t, session)
	replication := openRaw(t, session)
	must(t, send(control, says[0], only(t, says, "hello")), expect(control, only(t, hears, "welcome")),
		send(replication, recordedBytes(t, "replication-from-secondary")))
	frames := recordedBytes(t, "replication-from-primary")
	got := make([]byte, len(frames))
	if _, err := io.ReadFull(replication, got); err != nil || !bytes.Equal(got, frames) {
		t.Errorf("the stream differs, %v", err)
	}
	for _, msg := range says {
		if isKind(msg, "ack") {
			must(t, send(control, msg))
		}
	}
	node, last := asMessage[*protocol.Hello](t, only(t, says, "hello")).Node, p.st.LastTid()
	ready := make(chan error, 1)
	go func() {
		ready <- pr.CheckHandover(t.Context(), node, &protocol.HandoverCheck{Epoch: 2, Last: last})
	}()
	must(t, expect(control, only(t, hears, "prepare")), send(control, only(t, says, "prepared")), <-ready,
		pr.TakeOver(node, &protocol.TakeOver{Epoch: 2, Last: last}), expect(control, only(t, hears, "take_over")),
		session.Close()) // or the primary waits for it
}

// must ends the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// callRaw begins a session.
func callRaw(t *testing.T, addr string) *yamux.Session {
	t.Helper()
	conn, err := dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := protocol.ClientPreface(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	session, err := protocol.ClientSession(conn, protocol.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func openRaw(t *testing.T, session *yamux.Session) net.Conn {
	t.Helper()
	stream, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return stream
}

// send writes messages.
func send(w io.Writer, messages ...[]byte) error {
	for _, msg := range messages {
		if _, err := w.Write(msg); err != nil {
			return err
		}
	}
	return nil
}

// expect reads messages up to the first one that does not come again and again, and compares that.
func expect(r io.Reader, want []byte) error {
	for {
		got, err := readSized(r)
		switch {
		case err != nil:
			return fmt.Errorf("waiting for %q: %w", want, err)
		case bytes.Contains(got, []byte("replication_addr")):
			return fmt.Errorf("a message of version 2: %q", got)
		case isKind(got, "heartbeat"), isKind(got, "ack"):
			continue
		case !bytes.Equal(got, want):
			return fmt.Errorf("got\n%q, want\n%q", got, want)
		}
		return nil
	}
}

// A readySuccessor takes over whenever it is asked.
type readySuccessor struct{ over chan struct{} }

func (s *readySuccessor) CheckHandover(*protocol.HandoverCheck) error { return nil }
func (s *readySuccessor) TakeOver(*protocol.TakeOver)                 { close(s.over) }

// A primary of version 1 refuses a hello of version 2. Then it gets from this secondary, byte for byte, what it got
// from one of version 1, and what it sends becomes the same storage.
func TestASecondaryFollowsARecordedPrimaryOfVersion1(t *testing.T) {
	says, hears := recordedAs(t, "control-from-secondary"), recordedAs(t, "control-from-primary")
	hello := asMessage[*protocol.Hello](t, only(t, says, "hello"))
	from, s := recordedSite(t, "primary.fs"), recordedSite(t, "secondary.fs")
	known := func(id *state.State) error { id.Node = hello.Node; return nil }
	must(t, s.keep.Adopt(hello.StorageID, hello.Epochs, false), s.keep.Update(known))
	old := &recordedPrimary{
		hello: only(t, says, "hello"), refusal: recordedBytes(t, "refusal-of-hello"),
		welcome: only(t, hears, "welcome"), header: recordedBytes(t, "replication-from-secondary"),
		frames:  recordedBytes(t, "replication-from-primary"),
		prepare: only(t, hears, "prepare"), prepared: only(t, says, "prepared"), takeOver: only(t, hears, "take_over"),
		refused: make(chan []byte, 1),
	}
	addr := old.serve(t)
	successor := &readySuccessor{make(chan struct{})}
	r := s.follow(t, addr, func(o *Options) {
		o.Name, o.ReplicationAddr, o.Successor = hello.Name, hello.ReplicationAddr, successor
		o.Chain = func(context.Context, zodb.Tid) (zodb.Tid, zodb.Digest, bool) {
			return hello.Last.Base, hello.Last.Value, true
		}
	})
	r.has(t, from.st.LastTid())
	<-successor.over
	must(t, r.stop())
	if newest := asMessage[*protocol.Hello](t, <-old.refused); newest.Version != protocol.MessageVersion {
		t.Errorf("it began with version %d", newest.Version)
	}
	mustEqual(t, from, s)
}

// A recordedPrimary has what a primary of version 1 said, and what it heard.
type recordedPrimary struct {
	hello, refusal, welcome, header, frames, prepare, prepared, takeOver []byte

	refused chan []byte // the hello that it has refused
}

// serve takes two connections: it refuses the hello of the first one as a primary of version 1 does, and plays its part
// of the recorded session on the second one.
func (p *recordedPrimary) serve(t *testing.T) (addr string) {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	played := make(chan error, 1)
	go func() { played <- errors.Join(p.accept(ctx, l, p.refuse), p.accept(ctx, l, p.play)) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-played; err != nil {
			t.Error(err)
		}
		cancel()
	})
	return l.Addr().String()
}

// accept has f speak on the control stream of the next connection, and waits until the secondary closes that.
func (p *recordedPrimary) accept(ctx context.Context, l net.Listener, f func(context.Context, *yamux.Session,
	net.Conn) error) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	session, control, err := protocoltest.Accept(ctx, conn)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := f(ctx, session, control); err != nil {
		return err
	}
	<-session.CloseChan()
	return nil
}

func (p *recordedPrimary) refuse(_ context.Context, _ *yamux.Session, control net.Conn) error {
	hello, err := readSized(control)
	if err != nil {
		return err
	}
	p.refused <- hello
	_ = send(control, p.refusal) // the secondary may have it, and be gone, before this returns
	return nil
}

func (p *recordedPrimary) play(ctx context.Context, session *yamux.Session, control net.Conn) error {
	if err := errors.Join(expect(control, p.hello), send(control, p.welcome)); err != nil {
		return err
	}
	replication, err := session.AcceptStreamWithContext(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(expect(replication, p.header), send(replication, p.frames)); err != nil {
		return err
	}
	if err := errors.Join(p.awaitAck(control), send(control, p.prepare), expect(control, p.prepared)); err != nil {
		return err
	}
	_ = send(control, p.takeOver) // the secondary may have it, and be gone, before this returns
	return nil
}

// awaitAck reads messages until the secondary has everything.
func (p *recordedPrimary) awaitAck(control net.Conn) error {
	for {
		msg, err := readSized(control)
		if err != nil {
			return err
		}
		if isKind(msg, "ack") && bytes.Contains(msg, p.durable()) {
			return nil
		}
	}
}

// durable is how an acknowledgement says that all is durable: the tid is that of the question about a handover.
func (p *recordedPrimary) durable() []byte {
	tid := p.prepare[bytes.Index(p.prepare, []byte("\xa4last"))+5:][:2+8]
	return append([]byte("\xa7durable"), tid...)
}
