package protocol

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

const recordings = "testdata/version1"

// recorded has what the recorded messages of version 1 say, by the names of their files.
func recorded() map[string]any {
	epochs := []Epoch{{Number: 1}, {2, 0x0123456789abcdef, "n", "db1", "2026-11-29T04:45:03Z", []string{"n", "m"}}}
	asks := StatusRequest{
		Version: 1, StorageID: "id", MaxEpochBegun: 3, Node: "n", Run: "r", Name: "name", ReplicationAddr: "db2:5000",
		IsPrimary: true, LastTid: 16,
	}
	answers := NodeStatus{
		StorageID: "id", Node: "m", Run: "r", Name: "other", Epochs: epochs, MaxEpochSeen: 4, MaxEpochBegun: 3,
		IsPrimary: true, FaultReason: "disk full", UpstreamAddr: "db3:5000", PrimarySince: "2026-11-29T04:45:03.571Z",
		PrimaryForMS: 23, AsksIdentity: true, LastTid: 17,
	}
	return map[string]any{
		"hello": &Hello{
			Version: 1, StorageID: "id", Epochs: epochs,
			Last: Position{Tid: 0x0123456789abcdf0, Status: 'p', Digest: zodb.Digest{1, 31: 32}, Base: 5,
				Value: zodb.Digest{9, 31: 10}},
			Magic: zodb.MagicFS30, Blobs: true, Name: "host:/var/Data.fs",
			Capabilities: []string{"shared-blobs", "handover"}, Node: "n", MaxEpochSeen: 4, MaxEpochBegun: 3,
			Successor: "m", ReplicationAddr: "db2:5000",
		},
		"hello-few": &Hello{Version: 1},
		"welcome": &Welcome{
			Version: 1, StorageID: "id", Epochs: epochs, LastTid: 8, Size: 1 << 40, Magic: zodb.MagicFS21,
			Blobs: true, Heartbeat: 5 * time.Second, Name: "primary", Capabilities: []string{"shared-blobs"},
			Token: Token{Name: "0f", Digest: zodb.Digest{3, 31: 4}}, Node: "p", IsPrimary: true,
			UpstreamPath: []string{"q", "r"},
		},
		"welcome-few": &Welcome{Version: 1, StorageID: "id", Epochs: []Epoch{{Number: 1}}, Magic: zodb.MagicFS30},
		"refused":     &Refusal{Code: CodeDiverged, Text: "what to do", Tid: 9},
		"refused-few": &Refusal{Code: CodeTooMany},
		"ack":         &Ack{Applied: 10, Durable: 11, Count: 12, Bytes: 1 << 63, Error: "disk full"},
		"ack-few":     &Ack{},
		"heartbeat": &Heartbeat{
			LastTid: 13, Size: 14, Clock: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC),
			Roster: []RosterEntry{{"n", "name", "db2:5000", 15, time.Second}, {Node: "m"}},
			Sync:   SyncRule{2, []string{"a", "b"}},
		},
		"heartbeat-few":     &Heartbeat{},
		"goodbye":           &Goodbye{Reason: "enough"},
		"authenticate":      &Authenticate{Nonce{1, 31: 2}},
		"challenge":         &Challenge{Nonce{3, 31: 4}},
		"proof":             &Proof{MAC{5, 31: 6}},
		"bid":               &VoteRequest{Epoch: 4, StatusRequest: asks},
		"bid-question":      &asks,
		"bid-few":           &StatusRequest{Version: 1},
		"promise":           &answers,
		"promise-few":       &NodeStatus{},
		"prepare":           &HandoverCheck{Epoch: 5, Last: 18},
		"prepared":          &HandoverReady{Epoch: 5, Error: "frozen"},
		"prepared-few":      &HandoverReady{Epoch: 5},
		"take_over":         &TakeOver{Epoch: 5, Last: 18},
		"history_query":     &HistoryQuery{Version: 1, Name: "who", Base: 19, Tid: 20},
		"history_query-few": &HistoryQuery{Version: 1},
		"history_answer": &HistoryAnswer{StorageID: "id", Name: "primary", Base: 19, Last: 21, Tid: 20, Count: 22,
			Value: zodb.Digest{7, 31: 8}, Unknown: "packed"},
		"history_answer-few": &HistoryAnswer{StorageID: "id"},
	}
}

// recordedBytes returns the bytes of a recorded message.
func recordedBytes(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordings, "messages", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withoutChecksums returns what a message says.
func withoutChecksums(msg any) any {
	if m, ok := msg.(checksummed); ok {
		*m.checksum() = 0
	}
	if m, ok := msg.(identityChecksummed); ok {
		*m.identityChecksum() = 0
	}
	switch m := msg.(type) {
	case *Hello:
		m.ChecksumV1 = 0
	case *Heartbeat:
		m.Clock = m.Clock.UTC()
	}
	return msg
}

func TestRecordedMessagesOfVersion1AreRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "messages", "*.bin"))
	if want := recorded(); err != nil || len(files) != len(want) {
		t.Fatalf("%d files, %d are known, %v", len(files), len(want), err)
	}
	for name, want := range recorded() {
		t.Run(name, func(t *testing.T) {
			in := NewControl(wireOf(t, recordedBytes(t, name)))
			in.Speak(1)
			got, err := in.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, withoutChecksums(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is said to a node of version 1 has the very bytes that a node of version 1 sends.
func TestMessagesToVersion1HaveTheRecordedBytes(t *testing.T) {
	for name, msg := range recorded() {
		t.Run(name, func(t *testing.T) {
			if got := sentIn(t, 1, msg); !bytes.Equal(got, recordedBytes(t, name)) {
				t.Errorf("got\n%q, want\n%q", got, recordedBytes(t, name))
			}
		})
	}
}

// Callers set the newest version in what they send, whatever the peer speaks.
func TestAMessageToVersion1SaysVersion1(t *testing.T) {
	for name, msg := range recorded() {
		switch m := msg.(type) {
		case *Hello:
			m.Version = MessageVersion
		case *Welcome:
			m.Version = MessageVersion
		case *StatusRequest:
			m.Version = MessageVersion
		case *VoteRequest:
			m.Version = MessageVersion
		case *HistoryQuery:
			m.Version = MessageVersion
		default:
			continue
		}
		if got := sentIn(t, 1, msg); !bytes.Equal(got, recordedBytes(t, name)) {
			t.Errorf("%s: got\n%q, want\n%q", name, got, recordedBytes(t, name))
		}
	}
}

// In version 1 a vote and a status are one message: which it is, is known by the question.
func TestAPromiseOfVersion1IsAVoteWhereAVoteWasAskedFor(t *testing.T) {
	for _, question := range []any{&StatusRequest{}, &VoteRequest{Epoch: 4}, &StatusRequest{}} {
		conn := &recordedConn{in: bytes.NewReader(recordedBytes(t, "promise"))}
		c := NewControl(conn)
		c.Speak(1)
		if err := c.Send(question); err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := recorded()["promise"]
		if _, votes := question.(*VoteRequest); votes {
			want = &Vote{Epoch: 4, NodeStatus: *want.(*NodeStatus)}
		}
		if diff := cmp.Diff(want, withoutChecksums(got)); diff != "" {
			t.Errorf("answer to %T: %s", question, diff)
		}
	}
	vote := &Vote{Epoch: 4, NodeStatus: *recorded()["promise"].(*NodeStatus)}
	if got := sentIn(t, 1, vote); !bytes.Equal(got, recordedBytes(t, "promise")) {
		t.Errorf("a vote goes out as %q", got)
	}
}

// Who accepts a connection answers in the version in which the peer has begun.
func TestTheVersionIsThatOfThePeersFirstMessage(t *testing.T) {
	over := recordedBytes(t, "take_over")
	for _, first := range []string{"hello", "hello-few", "bid", "bid-question", "history_query", "welcome"} {
		conn := &recordedConn{in: bytes.NewReader(recordedBytes(t, first))}
		c := NewControl(conn)
		if _, err := c.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Send(&TakeOver{Epoch: 5, Last: 18}); err != nil || !bytes.Equal(conn.out.Bytes(), over) {
			t.Errorf("after %s of version 1 it says %q, %v", first, conn.out.Bytes(), err)
		}
	}
	for _, first := range []any{&Hello{Version: 2}, &StatusRequest{Version: 2}, &VoteRequest{
		Epoch: 1, StatusRequest: StatusRequest{Version: 2},
	}, &HistoryQuery{Version: 2}} {
		conn := &recordedConn{in: bytes.NewReader(sentIn(t, 2, first))}
		c := NewControl(conn)
		if _, err := c.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Send(&TakeOver{Epoch: 5, Last: 18}); err != nil || bytes.Equal(conn.out.Bytes(), over) {
			t.Errorf("after %T of version 2 it speaks version 1, %v", first, err)
		}
	}
}

// Messages that only version 1 has are not taken from a peer that speaks version 2.
func TestVersion2HasNoMessagesOfVersion1(t *testing.T) {
	for _, name := range []string{"promise", "prepare", "prepared"} {
		_, err := NewControl(wireOf(t, recordedBytes(t, name))).Receive(t.Context())
		if !errors.Is(err, ErrUnknownMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node of version 1 reads a hello of version 2 far enough to refuse it by its version.
func TestAHelloIsNotDamagedForVersion1(t *testing.T) {
	hello := recorded()["hello"].(*Hello)
	hello.Version = MessageVersion
	payload := sentIn(t, MessageVersion, hello)[sizeLen:]
	_, body, err := splitMessage(payload)
	if err != nil {
		t.Fatal(err)
	}
	var old helloV1
	if err := unmarshalBody(body, &old); err != nil {
		t.Fatal(err)
	}
	if old.Version != MessageVersion || verifyChecksums(&old) != nil {
		t.Errorf("version %d, %v", old.Version, verifyChecksums(&old))
	}
}

// A node that knows only version 1 is asked again in version 1. Where that is refused, too, it is no such node.
func TestWhoKnowsOnlyVersion1IsAskedInThat(t *testing.T) {
	protocol, unknown := &Refusal{Code: CodeProtocol}, &Refusal{Code: CodeUnknownMessage}
	other := &Refusal{Code: CodeTooMany}
	for name, c := range map[string]struct {
		newest, oldest error
		asked          []int
		want           error
	}{
		"speaks version 2":          {nil, nil, []int{2}, nil},
		"refuses for other reasons": {other, nil, []int{2}, other},
		"refuses the version":       {protocol, nil, []int{2, 1}, nil},
		"refuses the message":       {unknown, nil, []int{2, 1}, nil},
		"and then something else":   {unknown, other, []int{2, 1}, other},
		"is of a newer version":     {protocol, unknown, []int{2, 1}, protocol},
	} {
		var asked []int
		got, err := InVersions(func(version int) (int, error) {
			asked = append(asked, version)
			if version == MessageVersion {
				return version, c.newest
			}
			return version, c.oldest
		})
		if !cmp.Equal(asked, c.asked) || !errors.Is(err, c.want) || err == nil && got != asked[len(asked)-1] {
			t.Errorf("%s: asked in %v, got %d, %v", name, asked, got, err)
		}
	}
}

// These are the refusals by which a node of version 1 is known; they were recorded from one.
func TestRecordedRefusalsOfVersion2AreKnown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "session", "refusal-of-*.bin"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := NewControl(wireOf(t, b)).Receive(t.Context())
		if r, ok := msg.(*Refusal); !ok || !refusesVersion(r) {
			t.Errorf("%s: %+v, %v", file, msg, err)
		}
	}
}

// sentIn returns the bytes of a message in a version.
func sentIn(tb testing.TB, version int, msg any) []byte {
	tb.Helper()
	conn := new(recordedConn)
	c := NewControl(conn)
	c.Speak(version)
	if err := c.Send(msg); err != nil {
		tb.Fatal(err)
	}
	return conn.out.Bytes()
}

func wireOf(t *testing.T, b []byte) net.Conn {
	t.Helper()
	return &recordedConn{in: bytes.NewReader(b)}
}

// A recordedConn is a connection from which a recording comes.
type recordedConn struct {
	noConn
	in  io.Reader
	out bytes.Buffer
}

func (c *recordedConn) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c *recordedConn) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *recordedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *recordedConn) SetWriteDeadline(time.Time) error { return nil }

// A checksum that version 1 leaves out is not missed; one that is there is compared.
func TestVersion1MayLeaveOutTheIdentityChecksum(t *testing.T) {
	for _, m := range []any{&helloV1{Node: "n"}, &welcomeV1{Node: "n"}, &bidV1{Node: "n"}, &promiseV1{Node: "n"}} {
		setChecksums(m)
		sum := m.(identityChecksummed).identityChecksum()
		if *sum++; verifyChecksums(m) == nil {
			t.Errorf("%T: another checksum was believed", m)
		}
		if *sum = 0; verifyChecksums(m) != nil {
			t.Errorf("%T: without it is damaged", m)
		}
	}
}
