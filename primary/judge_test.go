package primary

import (
	"strings"
	"testing"

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
		{name: "another storage", change: func(h *protocol.Hello) { h.StorageID = "other" },
			code: protocol.CodeWrongStorage, says: "check the address"},
		{name: "messages of another version", change: func(h *protocol.Hello) { h.Version = 2 },
			code: protocol.CodeProtocol, says: "same version of zrsd"},
		{name: "empty", change: func(h *protocol.Hello) { h.Last, h.Magic = protocol.Position{}, zodb.Magic{} }},
		{name: "file of Python 2", change: func(h *protocol.Hello) { h.Magic = zodb.MagicFS21 },
			code: protocol.CodeMagic, says: "Python"},
		{name: "no blob directory, none needed", change: func(h *protocol.Hello) { h.Blobs = false }},
		{name: "no blob directory", src: withBlobs(), change: func(h *protocol.Hello) { h.Blobs = false },
			code: protocol.CodeBlobsRequired, says: "--blobs"},
		{name: "ahead", change: func(h *protocol.Hello) { h.Last.Tid = tidAt(9) },
			code: protocol.CodeAhead, tid: tidAt(9), says: "5s before"},
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
