package primary

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// remembered follows a source until the test ends, and is where that is.
func remembered(t *testing.T, src *memSource) *hashchain.Local {
	t.Helper()
	l := hashchain.Keep(src, hashchain.Options{})
	t.Cleanup(l.Close)
	deadline := time.After(limit)
	for tick := time.NewTicker(time.Millisecond); ; {
		if l.Status().Known {
			tick.Stop()
			return l
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the chain is not known")
		}
	}
}

// asks returns a Remote of a node.
func asks(t *testing.T, p *running, secret protocol.Secret) *hashchain.Remote {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	r, err := hashchain.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	}, secret, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestANodeAnswersAboutItsHistory(t *testing.T) {
	src := newSource(plain(9)...)
	chain := remembered(t, src)
	r := asks(t, start(t, src, Options{History: chain, Name: "db1", Secret: protocol.Secret("sixteen letters!")}),
		protocol.Secret("sixteen letters!"))
	span, err := r.Span(t.Context())
	if err != nil || span != (hashchain.Span{Last: tidAt(8)}) {
		t.Errorf("got %+v, %v", span, err)
	}
	if name, id := r.Node(); name != "db1" || id != storageID {
		t.Errorf("it calls itself %q, its storage %q", name, id)
	}
	for _, base := range []zodb.Tid{0, tidAt(2)} {
		for _, tid := range []zodb.Tid{tidAt(8), tidAt(4), tidAt(4) + 1, tidAt(100)} {
			want, err := chain.At(t.Context(), base, tid)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := r.At(t.Context(), base, tid); err != nil || got != want {
				t.Errorf("at %v from %v: %+v, %v, want %+v", tid, base, got, err, want)
			}
		}
	}
	unknown := (*hashchain.UnknownError)(nil)
	if _, err := r.At(t.Context(), tidAt(2)+1, tidAt(8)); !errors.As(err, &unknown) {
		t.Errorf("from a base that is not there: %v", err)
	}
}

func TestTwoNodesFindWhereTheyPart(t *testing.T) {
	ours, theirs := plain(40), plain(60)
	theirs[23].data = "other"
	var chains []hashchain.Chain
	for _, txns := range [][]memTxn{ours, theirs} {
		src := newSource(txns...)
		chains = append(chains, asks(t, start(t, src, Options{History: remembered(t, src)}), nil))
	}
	d, err := hashchain.FirstDifference(t.Context(), chains[0], chains[1])
	if err != nil || d.First != tidAt(23) || d.Common.Tid != tidAt(22) || d.Common.Count != 23 || !d.Exact {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	src := newSource(plain(3)...)
	for name, c := range map[string]struct {
		opt   Options
		query protocol.HistoryQuery
		code  protocol.Code
	}{
		"another version": {Options{History: remembered(t, src)}, protocol.HistoryQuery{Version: 3},
			protocol.CodeProtocol},
		"no hash chain": {Options{}, protocol.HistoryQuery{Version: 1}, protocol.CodeInternal},
		"no secret": {Options{History: remembered(t, src), Secret: protocol.Secret("sixteen letters!")},
			protocol.HistoryQuery{Version: 1}, protocol.CodeNotAuthorised},
	} {
		conn := connect(t, start(t, src, c.opt).addr)
		if err := conn.control.Send(&c.query); err != nil {
			t.Fatal(err)
		}
		if r, ok := conn.receive().(*protocol.Refusal); !ok || r.Code != c.code {
			t.Errorf("%s: got %#v", name, r)
		}
	}
}

// Whoever asks for ever is not answered for ever; a Remote goes on, on another connection.
func TestQuestionsOnOneConnectionAreBounded(t *testing.T) {
	src := newSource(plain(3)...)
	p := start(t, src, Options{History: remembered(t, src)})
	conn := connect(t, p.addr)
	for range protocol.MaxHistoryQueries {
		if err := conn.control.Send(&protocol.HistoryQuery{Version: 1, Tid: tidAt(2)}); err != nil {
			t.Fatal(err)
		}
		if _, ok := conn.receive().(*protocol.HistoryAnswer); !ok {
			t.Fatal("no answer")
		}
	}
	if err := conn.control.Send(&protocol.HistoryQuery{Version: 1, Tid: tidAt(2)}); err != nil {
		t.Fatal(err)
	}
	if r, ok := conn.receive().(*protocol.Refusal); !ok || r.Code != protocol.CodeTooMany {
		t.Errorf("got %#v", r)
	}
	r := asks(t, p, nil)
	for range protocol.MaxHistoryQueries + 1 {
		if _, err := r.At(t.Context(), 0, tidAt(2)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMessageOutOfPlaceEndsTheQuestions(t *testing.T) {
	src := newSource(plain(3)...)
	conn := connect(t, start(t, src, Options{History: remembered(t, src)}).addr)
	if _, ok := conn.ask(&protocol.HistoryQuery{Version: 1}).(*protocol.HistoryAnswer); !ok {
		t.Fatal("no answer")
	}
	_ = conn.control.Send(&protocol.Ack{}) // the connection may end before yamux knows that it was sent
	if msg, err := conn.control.Receive(conn.ctx); err == nil {
		t.Errorf("got %#v", msg)
	}
}

// The last transaction may be the same although something before it is not.
func TestTheChainIsJudged(t *testing.T) {
	src := newSource(plain(5)...)
	p := start(t, src, Options{History: remembered(t, src)})
	at, err := remembered(t, src).At(t.Context(), 0, tidAt(3))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		base     zodb.Tid
		value    zodb.Digest
		diverged bool
	}{
		"the same":      {0, at.Value, false},
		"not known":     {0, zodb.Digest{}, false},
		"another base":  {tidAt(1), zodb.Digest{1}, false},
		"another value": {0, zodb.Digest{1}, true},
	} {
		answer := connect(t, p.addr).ask(hello(protocol.Position{
			Tid: tidAt(3), Status: ' ', Digest: digestOf(t, src, tidAt(3)), Base: c.base, Value: c.value,
		}))
		r, refused := answer.(*protocol.Refusal)
		if refused != c.diverged || refused && (r.Code != protocol.CodeDiverged || r.Tid != tidAt(3) ||
			!strings.Contains(r.Text, "zrsd compare")) {
			t.Errorf("%s: got %#v", name, answer)
		}
	}
}

// noted are digests of blobs.
type noted map[zodb.Oid]protocol.BlobDigest

// Find says that those with an even oid were committed here.
func (n noted) Find(oid zodb.Oid, tid zodb.Tid) (d protocol.BlobDigest, committed, known bool) {
	d, known = n[oid]
	return d, oid%2 == 0, known && d.Tid == tid
}

func TestANodeComparesBlobsWithWhatItHasNoted(t *testing.T) {
	src := newSource(plain(3)...)
	digest := func(oid zodb.Oid, size int64) protocol.BlobDigest {
		return protocol.BlobDigest{Oid: oid, Tid: tidAt(1), Size: size, Sum: [16]byte{byte(oid), 15: 9}}
	}
	query := func(all ...protocol.BlobDigest) *protocol.BlobQuery {
		q := new(protocol.BlobQuery)
		for _, d := range all {
			q.Add(d)
		}
		return q
	}
	read, fails := 0, errors.New("cannot be read")
	r := asks(t, start(t, src, Options{History: remembered(t, src), BlobDigests: func() (BlobDigests, error) {
		if read++; read == 1 {
			return nil, fails
		}
		return noted{1: digest(1, 10), 2: digest(2, 20), 5: digest(5, 50)}, nil
	}}), nil)
	if _, err := r.Blobs(t.Context(), query(digest(1, 10))); err == nil {
		t.Error("it knows what it could not read")
	}
	for range protocol.MaxHistoryQueries + 1 { // what is noted is read once for a connection
		a, err := r.Blobs(t.Context(), query(digest(1, 10), digest(2, 21), digest(3, 30), digest(5, 51)))
		if err != nil || a.Known != 3 || !slices.Equal(a.Other, []int{1, 3}) || !slices.Equal(a.Committed, []int{1}) {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	if read != 3 {
		t.Errorf("what is noted was read %d times", read)
	}

	none := asks(t, start(t, src, Options{History: remembered(t, src)}), nil)
	if _, err := none.Blobs(t.Context(), query(digest(1, 10))); !errors.Is(err, hashchain.ErrNoBlobs) {
		t.Errorf("a node without blobs: %v", err)
	}
}

func TestAQuestionAboutBlobsThatIsNoneEndsTheQuestions(t *testing.T) {
	src := newSource(plain(3)...)
	p := start(t, src, Options{History: remembered(t, src), BlobDigests: func() (BlobDigests, error) {
		return noted{}, nil
	}})
	for name, digests := range map[string][]byte{
		"not whole": make([]byte, 41), "too many": make([]byte, 40*(protocol.MaxBlobQuery+1)),
	} {
		conn := connect(t, p.addr)
		if a, ok := conn.ask(&protocol.HistoryQuery{Version: 2}).(*protocol.HistoryAnswer); !ok || !a.Blobs {
			t.Fatalf("%s: %+v", name, a)
		}
		_ = conn.control.Send(&protocol.BlobQuery{Digests: digests}) // as above
		if msg, err := conn.control.Receive(conn.ctx); err == nil {
			t.Errorf("%s: got %#v", name, msg)
		}
	}
}

func TestANodeTellsWhichRevisionsItHas(t *testing.T) {
	src := newSource(plain(3)...)
	query := new(protocol.RecordQuery)
	for oid := range zodb.Oid(4) {
		query.Add(oid, tidAt(1))
	}
	fails := errors.New("cannot be read")
	r := asks(t, start(t, src, Options{History: remembered(t, src), HasRevision: func(oid zodb.Oid, tid zodb.Tid) (
		bool, error) {
		if tid != tidAt(1) {
			return false, fails
		}
		return oid%2 == 1, nil
	}}), nil)
	for range protocol.MaxHistoryQueries + 1 {
		if a, err := r.Records(t.Context(), query); err != nil || !slices.Equal(a.There, []int{1, 3}) {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	wrong := new(protocol.RecordQuery)
	wrong.Add(1, tidAt(2))
	if a, err := r.Records(t.Context(), wrong); err == nil {
		t.Errorf("what cannot be read is answered: %+v", a)
	}

	none := asks(t, start(t, src, Options{History: remembered(t, src)}), nil)
	if _, err := none.Records(t.Context(), query); !errors.Is(err, hashchain.ErrNoRecords) {
		t.Errorf("a node that does not tell: %v", err)
	}
}

func TestAQuestionAboutRecordsThatIsNoneEndsTheQuestions(t *testing.T) {
	src := newSource(plain(3)...)
	p := start(t, src, Options{History: remembered(t, src), HasRevision: func(zodb.Oid, zodb.Tid) (bool, error) {
		return false, nil
	}})
	for name, revisions := range map[string][]byte{
		"not whole": make([]byte, 17), "too many": make([]byte, 16*(protocol.MaxRecordQuery+1)),
	} {
		conn := connect(t, p.addr)
		if a, ok := conn.ask(&protocol.HistoryQuery{Version: 2}).(*protocol.HistoryAnswer); !ok || !a.Records {
			t.Fatalf("%s: %+v", name, a)
		}
		_ = conn.control.Send(&protocol.RecordQuery{Revisions: revisions}) // it may be gone
		if msg, err := conn.control.Receive(conn.ctx); err == nil {
			t.Errorf("%s: got %#v", name, msg)
		}
	}
}
