package primary

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// packed has a transaction at second 0, lost those of 1 to 3 to a pack, and has one packed at 4 and one plain at 5.
func packed() *memSource {
	return newSource(memTxn{tid: tidAt(0), status: 'p', data: "a"}, memTxn{tid: tidAt(4), status: 'p', data: "b"},
		memTxn{tid: tidAt(5), status: ' ', data: "c"})
}

func TestWhoMayFollow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		src    *memSource
		change func(*protocol.Hello)
		code   protocol.Code // 0: welcome
		tid    zodb.Tid
		says   string
	}{
		{name: "same history", src: newSource(plain(5)...)},
		{name: "no storage id yet", change: func(h *protocol.Hello) { h.StorageID = "" }},
		{name: "no storage id yet, and epochs of what was there before", change: func(h *protocol.Hello) {
			h.StorageID, h.Epochs = "", []protocol.Epoch{{Number: 1, Node: "x"}, {Number: 2, Node: "y"}}
		}},
		{name: "no storage id yet, and a vote in another cluster", change: func(h *protocol.Hello) {
			h.StorageID, h.MaxEpochSeen = "", 3*state.MaxStep
		}},
		{name: "a copy without a state, of other content after a pack", src: packed(), change: func(h *protocol.Hello) {
			h.StorageID, h.Last.Tid, h.Last.Digest = "", tidAt(4), zodb.Digest{1}
		}, code: protocol.CodeDiverged, tid: tidAt(4), says: "no state file"},
		{name: "a file without a state, of another storage with later transactions", change: func(h *protocol.Hello) {
			h.StorageID, h.Last.Tid = "", tidAt(9)
		}, code: protocol.CodeDiverged, tid: tidAt(9), says: "another storage"},
		{name: "a file without a state, of another storage with earlier transactions", change: func(h *protocol.Hello) {
			h.StorageID, h.Last.Tid = "", tidAt(3)+1
		}, code: protocol.CodeDiverged, tid: tidAt(3) + 1, says: "move the Data.fs and its blobs away"},
		{name: "a file without a state, and an empty primary", src: newSource(), change: func(h *protocol.Hello) {
			h.StorageID = ""
		}, code: protocol.CodeDiverged, tid: tidAt(3), says: "which is empty"},
		{name: "another storage", change: func(h *protocol.Hello) { h.StorageID = "other" },
			code: protocol.CodeWrongStorage, says: "check the address"},
		{name: "messages of another version", change: func(h *protocol.Hello) { h.Version = 3 },
			code: protocol.CodeProtocol, says: "same version of zrsd"},
		{name: "empty", change: func(h *protocol.Hello) { h.Last, h.Magic = protocol.Position{}, zodb.Magic{} }},
		{name: "file of Python 2", change: func(h *protocol.Hello) { h.Magic = zodb.MagicFS21 },
			code: protocol.CodeMagic, says: "Python"},
		{name: "no blob directory, none needed", change: func(h *protocol.Hello) { h.Blobs = false }},
		{name: "no blob directory", src: withBlobs(), change: func(h *protocol.Hello) { h.Blobs = false },
			code: protocol.CodeBlobsRequired, says: "--blobs"},
		{name: "ahead", change: func(h *protocol.Hello) { h.Last.Tid = tidAt(9) },
			code: protocol.CodeAhead, tid: tidAt(9), says: "5s earlier"},
		{name: "ahead of an empty primary", src: newSource(), code: protocol.CodeAhead, tid: tidAt(3),
			says: "the primary is empty"},
		{name: "other content at the same tid", change: func(h *protocol.Hello) { h.Last.Digest[0]++ },
			code: protocol.CodeDiverged, tid: tidAt(3), says: tidAt(3).String()},
		{name: "other content after a pack of the secondary",
			change: func(h *protocol.Hello) { h.Last.Digest[0]++; h.Last.Status = 'p' }},
		{name: "other content after a pack of the primary", src: packed(),
			change: func(h *protocol.Hello) { h.Last.Digest[0]++; h.Last.Tid = tidAt(4) }},
		{name: "a transaction that the primary packed away", src: packed()},
		{name: "a transaction that the primary never had",
			change: func(h *protocol.Hello) { h.Last.Tid = tidAt(3) + 1 },
			code:   protocol.CodeDiverged, tid: tidAt(3) + 1, says: "never was in the primary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.src == nil {
				tt.src = newSource(plain(5)...)
			}
			p := start(t, tt.src, Options{})
			h := hello(protocol.Position{Tid: tidAt(3), Status: ' ', Digest: digestOf(t, tt.src, tidAt(3))})
			if tt.change != nil {
				tt.change(h)
			}
			answer := connect(t, p.addr).ask(h)
			if tt.code == 0 {
				w, ok := answer.(*protocol.Welcome)
				if !ok || w.StorageID != storageID || w.LastTid != tt.src.LastTid() {
					t.Fatalf("got %#v, want a welcome", answer)
				}
				return
			}
			r, ok := answer.(*protocol.Refusal)
			if !ok || r.Code != tt.code || r.Tid != tt.tid || !strings.Contains(r.Text, tt.says) {
				t.Fatalf("got %#v, want code %d tid %v saying %q", answer, tt.code, tt.tid, tt.says)
			}
			if s := p.Status(); len(s.Refusals) != 1 || s.Refusals[0].Code != tt.code || s.Refusals[0].Name != "test" {
				t.Errorf("refusals in the status: %+v", s.Refusals)
			}
		})
	}
}

// A node without an identity may be a secondary, or a primary with a conflict: it says where to look.
func TestANodeWithoutAnIdentitySaysWhereToLook(t *testing.T) {
	p := start(t, newSource(plain(5)...), Options{Identity: func() (string, []protocol.Epoch) { return "", nil }})
	r, ok := connect(t, p.addr).ask(hello(protocol.Position{})).(*protocol.Refusal)
	if !ok || r.Code != protocol.CodeShuttingDown || !strings.Contains(r.Text, "zrsd status of it says") {
		t.Errorf("got %#v", r)
	}
}

// twoEpochs is a history of two epochs: the second one begins after second 2, and everything up to 3 was packed since.
func twoEpochs(t *testing.T) *running {
	t.Helper()
	src := newSource(memTxn{tid: tidAt(2), status: 'p', data: "b"}, memTxn{tid: tidAt(4), status: 'p', data: "d"},
		memTxn{tid: tidAt(5), status: ' ', data: "e"})
	return start(t, src, Options{Identity: func() (string, []protocol.Epoch) {
		return storageID, []protocol.Epoch{{Number: 1, Node: "a"}, {Number: 2, Begin: tidAt(2), Node: "b"}}
	}})
}

// Who has something from after the begin of an epoch that one side does not know has diverged, whether a pack took
// it away or not, and whatever stands under the same tid.
func TestANodeWithTransactionsOfAnUnknownEpochHasDiverged(t *testing.T) {
	first, second := protocol.Epoch{Number: 1, Node: "a"}, protocol.Epoch{Number: 2, Begin: tidAt(2), Node: "b"}
	p := twoEpochs(t)
	digest := digestOf(t, p.src.(*memSource), tidAt(5))
	for _, tt := range []struct {
		name   string
		epochs []protocol.Epoch
		last   zodb.Tid
		code   protocol.Code
	}{
		{"it knows both", []protocol.Epoch{first, second}, tidAt(5), 0},
		{"it knows both, and a pack took its last away", []protocol.Epoch{first, second}, tidAt(3), 0},
		{"it knows the first, and ends there", []protocol.Epoch{first}, tidAt(2), 0},
		{"it ended before, and a pack took that away", []protocol.Epoch{first}, tidAt(1), 0},
		{"it went on, and a pack went over that", []protocol.Epoch{first}, tidAt(3), protocol.CodeDiverged},
		{"it went on, and has what the primary has", []protocol.Epoch{first}, tidAt(5), protocol.CodeDiverged},
		{"it went on further", []protocol.Epoch{first}, tidAt(9), protocol.CodeAhead},
		{"the second is that of another node", []protocol.Epoch{first, {Number: 2, Begin: tidAt(2), Node: "c"}},
			tidAt(3),
			protocol.CodeDiverged},
		{"the second began earlier", []protocol.Epoch{first, {Number: 2, Begin: tidAt(0), Node: "b"}}, tidAt(1),
			protocol.CodeDiverged},
	} {
		h := hello(protocol.Position{Tid: tt.last, Status: ' ', Digest: digest})
		h.Epochs = tt.epochs
		answer := connect(t, p.addr).ask(h)
		r, _ := answer.(*protocol.Refusal)
		if tt.code == 0 && r != nil || tt.code != 0 && (r == nil || r.Code != tt.code) {
			t.Errorf("%s: got %#v, want code %d", tt.name, answer, tt.code)
		}
		if says := "it has epochs up to 1 of node a, the primary has epochs up to 2 of node b"; len(tt.epochs) == 1 &&
			tt.code == protocol.CodeDiverged && !strings.Contains(r.Text, says) {
			t.Errorf("%s: %q does not say %q", tt.name, r.Text, says)
		}
	}
}

// A copy without a state file knows no epochs: only a transaction that is there proves whose copy it is.
func TestACopyWithoutAStateIsProvedByWhatIsThere(t *testing.T) {
	p := twoEpochs(t)
	for last, welcome := range map[zodb.Tid]bool{tidAt(5): true, tidAt(3): false, tidAt(1): false} {
		h := hello(protocol.Position{Tid: last, Status: ' ', Digest: digestOf(t, p.src.(*memSource), tidAt(5))})
		h.StorageID, h.Epochs = "", nil
		_, is := connect(t, p.addr).ask(h).(*protocol.Welcome)
		if is != welcome {
			t.Errorf("last transaction %v: welcome %v", last, is)
		}
	}
}

func withBlobs() *memSource {
	s := newSource(plain(5)...)
	s.blobs = true
	return s
}

func TestAPrimaryWithoutIdentityAsksToTryAgain(t *testing.T) {
	p := start(t, newSource(), Options{Identity: func() (string, []protocol.Epoch) { return "", nil }})
	r, ok := connect(t, p.addr).ask(hello(protocol.Position{})).(*protocol.Refusal)
	if !ok || r.Final() {
		t.Fatalf("got %#v, want a refusal that is not final", r)
	}
}

func TestTheNameOfASecondaryIsPrintable(t *testing.T) {
	p := start(t, newSource(), Options{})
	h := hello(protocol.Position{})
	h.Name = "a\nb\x1b[2J" + strings.Repeat("c", 999)
	c := connect(t, p.addr)
	c.ask(h)
	if got := only(p.Status()).Name; !strings.HasPrefix(got, "a?b?[2Jccc") || len(got) > maxName {
		t.Errorf("got %q", got)
	}
}

func TestAFirstMessageThatIsNoHelloIsRefused(t *testing.T) {
	p := start(t, newSource(), Options{})
	c := connect(t, p.addr)
	if err := c.control.Send(&protocol.Ack{}); err != nil {
		t.Fatal(err)
	}
	if r, ok := c.receive().(*protocol.Refusal); !ok || r.Code != protocol.CodeUnknownMessage {
		t.Fatalf("got %#v", r)
	}
}

func TestAnUnknownProtocolIsRefusedInWords(t *testing.T) {
	p := start(t, newSource(), Options{})
	conn := dial(t, p.addr)
	if err := protocol.WriteSized(conn, []byte("zrsd/99")); err != nil {
		t.Fatal(err)
	}
	answer, err := protocol.ReadSized(conn, nil, 4096)
	if err != nil || !strings.HasPrefix(string(answer), "refused 2 ") || !strings.Contains(string(answer), "zrsd/99") {
		t.Fatalf("got %q, %v", answer, err)
	}
}

func TestAnUnknownVersionOfZcZrsIsHungUpOnWithoutAWord(t *testing.T) {
	p := start(t, newSource(), Options{})
	conn := dial(t, p.addr)
	if err := protocol.WriteSized(conn, []byte("zrs2.9")); err != nil {
		t.Fatal(err)
	}
	if answer, err := protocol.ReadSized(conn, nil, 4096); err == nil {
		t.Fatalf("got %q", answer)
	}
	p.eventually(t, "the refusal in the status", func(s Status) bool {
		return len(s.Refusals) == 1 && s.Refusals[0].Code == protocol.CodeProtocol
	})
}
