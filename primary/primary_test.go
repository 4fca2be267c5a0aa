package primary

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnEmptySecondaryGetsAllHistoryThenEachCommit(t *testing.T) {
	src := newSource(plain(50)...)
	p := start(t, src, Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	for i := range 50 {
		if got := c.next(); got != tidAt(i) {
			t.Fatalf("transaction %d: got %v, want %v", i, got, tidAt(i))
		}
	}
	for i := 50; i < 60; i++ {
		src.commit(memTxn{tid: tidAt(i), status: zodb.StatusCommitted, data: "live"})
		if got := c.next(); got != tidAt(i) {
			t.Fatalf("commit %d: got %v, want %v", i, got, tidAt(i))
		}
		c.ack(tidAt(i))
	}
	p.eventually(t, "live without lag", func(s Status) bool {
		one := only(s)
		return one.State == StateLive && one.Lag == Lag{Exact: true} && one.DurableTid == tidAt(59)
	})
}

func TestASecondaryGoesOnFromItsLastTransaction(t *testing.T) {
	src := newSource(plain(10)...)
	p := start(t, src, Options{})
	last := protocol.Position{Tid: tidAt(6), Status: ' ', Digest: digestOf(t, src, tidAt(6))}
	if got := follow(t, p.addr, hello(last)).next(); got != tidAt(7) {
		t.Fatalf("got %v, want %v", got, tidAt(7))
	}
}
