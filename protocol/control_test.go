package protocol

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/zrsd/zrsd/zodb"
)

// messages has one of each kind, with every field set.
func messages() []any {
	return []any{
		&Hello{
			Version:   2,
			StorageID: "id",
			Epochs:    []Epoch{{Number: 1}, {2, 0x0123456789abcdef, "n", "db1", "when", []string{"n", "m"}}},
			Last: Position{Tid: 0x0123456789abcdef, Status: 'p', Digest: zodb.Digest{1, 31: 32}, Base: 5,
				Value: zodb.Digest{9, 31: 10}},
			Magic:           zodb.MagicFS30,
			Blobs:           true,
			Name:            "host:/var/Data.fs",
			Capabilities:    []string{"x", "y"},
			Node:            "n",
			MaxEpochSeen:    3,
			Successor:       "m",
			ReplicationAddr: "db2:5000",
		},
		&Welcome{Version: 2, StorageID: "id", Epochs: []Epoch{{Number: 3, Begin: 7}}, LastTid: 8, Size: 1 << 40,
			Magic: zodb.MagicFS21,
			Blobs: true, Heartbeat: 5 * time.Second, Name: "primary", Capabilities: []string{"z"},
			Token: Token{Name: "0f", Digest: zodb.Digest{3, 31: 4}},
			Node:  "p", IsPrimary: true, UpstreamPath: []string{"q", "r"}},
		&Refusal{Code: CodeDiverged, Text: "what to do", Tid: 9},
		&Ack{Applied: 10, Durable: 11, Count: 12, Bytes: 1 << 63, Error: "disk full"},
		&Heartbeat{LastTid: 13, Size: 14, Clock: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC),
			Roster: []RosterEntry{{"n", "name", "db2:5000", 15, time.Second}}, Sync: SyncRule{2, []string{"a", "b"}}},
		&Goodbye{Reason: "enough"},
		&Authenticate{Nonce{1, 31: 2}},
		&Challenge{Nonce{3, 31: 4}},
		&Proof{MAC{5, 31: 6}},
		&StatusRequest{
			Version: 2, StorageID: "id", MaxEpochBegun: 3, Node: "n", Run: "r", Name: "name",
			ReplicationAddr: "db2:5000", IsPrimary: true, LastTid: 16,
		},
		status(),
		&VoteRequest{Epoch: 4, StatusRequest: StatusRequest{
			Version: 2, StorageID: "id", MaxEpochBegun: 3, Node: "n", Run: "r", Name: "name",
			ReplicationAddr: "db2:5000", LastTid: 16,
		}},
		&Vote{Epoch: 4, NodeStatus: *status()},
		&HandoverCheck{Epoch: 5, Last: 18},
		&HandoverReady{Epoch: 5, Error: "frozen"},
		&TakeOver{Epoch: 5, Last: 18},
		&HistoryQuery{Version: 2, Name: "who", Base: 19, Tid: 20},
		&HistoryAnswer{StorageID: "id", Name: "primary", Base: 19, Last: 21, Tid: 20, Count: 22,
			Value: zodb.Digest{7, 31: 8}, Unknown: "packed"},
		&BlobQuery{Digests: []byte("forty bytes of a blob digest")},
		&BlobAnswer{
			Known: 2, Other: []int{1}, Digests: []byte("forty more bytes of a blob digest"), Unknown: "cannot be read",
		},
		&RecordQuery{Revisions: []byte("sixteen bytes of")},
		&RecordAnswer{There: []int{1}, Unknown: "cannot be read"},
	}
}

// status is a node status with every field set.
func status() *NodeStatus {
	return &NodeStatus{
		StorageID: "id", Node: "m", Run: "r", Name: "other", Epochs: []Epoch{{Number: 3, Begin: 7}}, MaxEpochSeen: 4,
		MaxEpochBegun: 3, IsPrimary: true, FaultReason: "disk full", UpstreamAddr: "db3:5000",
		PrimarySince: "2026-11-29T04:45:03.571Z", PrimaryForMS: 23, AsksIdentity: true, LastTid: 17,
	}
}

func receiveFrom(t *testing.T, wire []byte) (any, error) {
	t.Helper()
	c, s := pipe(t)
	go func() {
		_, _ = s.Write(wire) // fails when the reader stops early, which is its right
		_ = s.Close()
	}()
	return NewControl(c).Receive(t.Context())
}

func TestMessagesComeBack(t *testing.T) {
	c, s := pipe(t)
	sent := messages()
	go func() {
		out := NewControl(s)
		for _, m := range sent {
			if err := out.Send(m); err != nil {
				t.Error(err)
			}
		}
		_ = s.Close()
	}()
	in := NewControl(c)
	for _, want := range sent {
		got, err := in.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if beat, ok := got.(*Heartbeat); ok {
			beat.Clock = beat.Clock.UTC()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := in.Receive(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestAMessageHasExactlyTheseBytes(t *testing.T) {
	got, err := marshalMessage(kindAck, &Ack{Applied: 0x0102030405060708, Durable: 1, Count: 300, Error: "e"})
	if err != nil {
		t.Fatal(err)
	}
	want := "92" + "a361636b" + // ["ack",
		"85" + // {5 fields
		"a76170706c696564" + "c4080102030405060708" +
		"a764757261626c65" + "c4080000000000000001" +
		"a5636f756e74" + "cd012c" +
		"a56279746573" + "00" +
		"a56572726f72" + "a165"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func sized(t *testing.T, v any) []byte {
	t.Helper()
	payload, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := WriteSized(&wire, payload); err != nil {
		t.Fatal(err)
	}
	return wire.Bytes()
}

func TestUnknownFieldsAreSkippedAndMissingOnesZero(t *testing.T) {
	wire := sized(t, []any{"goodbye", map[string]any{"later": []any{1, "x", map[string]int{"y": 2}}, "reason": "r"}})
	if got, err := receiveFrom(t, wire); err != nil || got.(*Goodbye).Reason != "r" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := receiveFrom(t, sized(t, []any{"ack", map[string]any{}})); err != nil || *got.(*Ack) != (Ack{}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnUnknownMessageIsNoCorruption(t *testing.T) {
	c, s := pipe(t)
	wire := append(sized(t, []any{"later", map[string]int{"a": 1}}), sized(t, []any{"goodbye", map[string]int{}})...)
	go func() { _, _ = s.Write(wire) }()
	in := NewControl(c)
	if _, err := in.Receive(t.Context()); !errors.Is(err, ErrUnknownMessage) || errors.Is(err, errCorruptMessage) ||
		!strings.Contains(err.Error(), "later") {
		t.Fatalf("got %v", err)
	}
	if got, err := in.Receive(t.Context()); err != nil {
		t.Errorf("the message after: %v, %v", got, err)
	}
}

func TestCorruptMessages(t *testing.T) {
	deep := strings.Repeat("\x91", maxDepth) + "\xc0"
	for name, payload := range map[string]string{
		"nothing":               "",
		"no msgpack":            "\xc1",
		"no array":              "\xa5hello",
		"an array of three":     "\x93\xa3ack\x80\xc0",
		"a kind that is no str": "\x92\x01\x80",
		"a body that is no map": "\x92\xa3ack\x90",
		"no body":               "\x92\xa3ack",
		"a byte after the end":  "\x92\xa3ack\x80\xc0",
		"a str beyond the end":  "\x92\xa3ack\x81\xa5error\xdb\xff\xff\xff\xff",
		"an array of billions":  "\x92\xa5hello\x81\xa6epochs\xdd\xff\xff\xff\xff",
		"a map of billions":     "\x92\xa5hello\xdf\xff\xff\xff\xff",
		"nested too deep":       "\x92\xa3ack\x81\xa1x" + deep,
		"a tid of 7 bytes":      "\x92\xa3ack\x81\xa7applied\xc4\x07abcdefg",
		"a tid that is an int":  "\x92\xa3ack\x81\xa7applied\x05",
		"a digest of 31 bytes":  "\x92\xa5hello\x81\xa4last\x81\xa6digest\xc4\x1f" + strings.Repeat("d", 31),
		"a count that is a str": "\x92\xa3ack\x81\xa5count\xa11",
	} {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			if err := WriteSized(&wire, []byte(payload)); err != nil {
				t.Fatal(err)
			}
			got, err := receiveFrom(t, wire.Bytes())
			if !errors.Is(err, errCorruptMessage) || errors.Is(err, ErrUnknownMessage) {
				t.Errorf("got %#v, %v", got, err)
			}
		})
	}
}

func TestAMessageBeyondTheLimitIsRefused(t *testing.T) {
	_, err := receiveFrom(t, []byte{0, 0x10, 0, 1})
	var large *TooLargeError
	if !errors.As(err, &large) || large.Max != maxMessage {
		t.Errorf("receiving: %v", err)
	}
	c, _ := pipe(t)
	if err := NewControl(c).Send(&Goodbye{Reason: strings.Repeat("x", maxMessage)}); !errors.As(err, &large) {
		t.Errorf("sending: %v", err)
	}
}

func TestReceiveEndsWithItsContextForGood(t *testing.T) {
	c, _ := pipe(t)
	in := NewControl(c)
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	for range 2 {
		if _, err := in.Receive(ctx); !errors.Is(err, because) {
			t.Errorf("got %v", err)
		}
		ctx = t.Context()
	}
}

func TestSendIsSafeForConcurrentUse(t *testing.T) {
	const senders, each = 4, 50
	c, s := pipe(t)
	out, in := NewControl(s), NewControl(c)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				if err := out.Send(&Goodbye{Reason: strings.Repeat("r", 500)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range senders * each {
		if _, err := in.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestOnlyMessagesCanBeSent(t *testing.T) {
	c, _ := pipe(t)
	if err := NewControl(c).Send("text"); err == nil {
		t.Error("a string was sent")
	}
}

// A number by which nodes change what they are is not believed when any of its bits has changed.
func TestADamagedEpochIsNotBelieved(t *testing.T) {
	for _, m := range messages() {
		c, is := m.(checksummed)
		if !is {
			continue
		}
		setChecksums(m)
		if err := verifyChecksums(m); err != nil {
			t.Errorf("%T: %v", m, err)
		}
		for bit := range 64 {
			*c.checksum() ^= 1 << bit
			if verifyChecksums(m) == nil {
				t.Fatalf("%T with bit %d changed", m, bit)
			}
			*c.checksum() ^= 1 << bit
		}
	}
	h := &Hello{Epochs: []Epoch{{Number: 1}}, MaxEpochSeen: 2}
	setChecksums(h)
	h.MaxEpochSeen = 6
	if verifyChecksums(h) == nil {
		t.Error("another epoch was believed")
	}
	r := &VoteRequest{Epoch: 1}
	setChecksums(r)
	if r.Epoch = 2; verifyChecksums(r) == nil {
		t.Error("a request for another epoch was believed")
	}
	v := &Vote{Epoch: 1}
	setChecksums(v)
	if v.Epoch = 2; verifyChecksums(v) == nil {
		t.Error("a vote for another epoch was believed")
	}
}

// Who somebody is, and every member of every epoch, is covered by the checksum of the identity.
func TestADamagedIdentityIsNotBelieved(t *testing.T) {
	epochs := func() []Epoch { return []Epoch{{Number: 1, Node: "a"}, {Number: 2, Begin: 7, Node: "b"}} }
	for name, damage := range map[string]func(*NodeStatus){
		"storage": func(p *NodeStatus) { p.StorageID = "t" }, "node": func(p *NodeStatus) { p.Node = "o" },
		"run": func(p *NodeStatus) { p.Run = "s" }, "begin": func(p *NodeStatus) { p.Epochs[0].Begin = 1 },
		"number":    func(p *NodeStatus) { p.Epochs[0].Number = 9 },
		"who began": func(p *NodeStatus) { p.Epochs[1].Node = "c" },
	} {
		p := &NodeStatus{StorageID: "s", Node: "n", Run: "r", Epochs: epochs()}
		setChecksums(p)
		if err := verifyChecksums(p); err != nil {
			t.Fatal(err)
		}
		damage(p)
		if verifyChecksums(p) == nil {
			t.Errorf("%s: another one was believed", name)
		}
		if p.IdentityChecksum = 0; verifyChecksums(p) == nil {
			t.Errorf("%s: it was believed without a checksum", name)
		}
	}
}

func FuzzControl(f *testing.F) {
	for version, all := range map[int][]any{MessageVersion: messages(), 1: slices.Collect(maps.Values(recorded()))} {
		for _, m := range all {
			f.Add(version == 1, sentIn(f, version, m)[sizeLen:])
		}
	}
	f.Add(false, []byte("\x92\xa5later\x81\xa1a\xc7\x03\x05abc"))
	f.Fuzz(func(t *testing.T, old bool, payload []byte) {
		var wire bytes.Buffer
		if err := WriteSized(&wire, payload); err != nil {
			t.Fatal(err)
		}
		c := NewControl(&recordedConn{in: &wire})
		if old {
			c.Speak(1)
		}
		msg, err := c.receive()
		if err != nil {
			if !errors.Is(err, errCorruptMessage) && !errors.Is(err, ErrUnknownMessage) && !errors.Is(err, errDamaged) {
				t.Errorf("neither corrupt nor unknown: %v", err)
			}
			return
		}
		for _, version := range []int{1, MessageVersion} {
			c.Speak(version)
			if err := c.Send(msg); err != nil {
				t.Errorf("cannot be sent on in version %d: %v", version, err)
			}
		}
	})
}

// noConn is a connection that must not be used.
type noConn struct{ net.Conn }

// A welcome has a digest of all that is kept of it for good; who sends none is of an older version.
func TestAWelcomeProvesTheIdentityThatItGives(t *testing.T) {
	sent := func() *Welcome {
		w := &Welcome{StorageID: "id", Epochs: []Epoch{
			{Number: 1, Node: "n"}, {Number: 2, Begin: 7, Node: "m", By: "db1", At: "now", Voters: []string{"n", "m"}},
		}}
		setChecksums(w)
		return w
	}
	if err := verifyChecksums(sent()); err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func(*Welcome){
		"the id":          func(w *Welcome) { w.StorageID = "ie" },
		"an epoch more":   func(w *Welcome) { w.Epochs = append(w.Epochs, Epoch{}) },
		"who began it":    func(w *Welcome) { w.Epochs[1].By = "db2" },
		"when":            func(w *Welcome) { w.Epochs[1].At = "then" },
		"a voter":         func(w *Welcome) { w.Epochs[1].Voters[0] = "o" },
		"a voter less":    func(w *Welcome) { w.Epochs[1].Voters = w.Epochs[1].Voters[:1] },
		"a voter as node": func(w *Welcome) { w.Epochs[0].Voters, w.Epochs[1].Voters = []string{"n"}, []string{"m"} },
	} {
		w := sent()
		if damage(w); verifyChecksums(w) == nil {
			t.Errorf("%s is another one, and nobody notices", what)
		}
	}
	w := sent()
	w.IdentityDigest = zodb.Digest{}
	if err := verifyChecksums(w); err != nil {
		t.Errorf("of an older version: %v", err)
	}
}
