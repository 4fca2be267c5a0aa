package secondary

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func TestALateJoinerGetsAllHistoryThenEachCommit(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 30), inMemory(t)
	r := s.follow(t, p.asPrimary(t))
	r.eventually(t, "live", func(st Status) bool { return st.State == StateLive })
	mustEqual(t, p, s)
	for i := range 10 {
		r.has(t, p.commit(t, 1, fmt.Sprintf("live %d", i), "live blob"))
	}
	st := r.eventually(t, "live with everything", func(st Status) bool {
		return st.State == StateLive && st.Transactions >= 40 // which are counted after they are durable
	})
	mustEqual(t, p, s)
	if st.Transactions != 40 || st.Reconnects != 0 || st.LastError != "" || st.PrimaryLast != p.st.LastTid() {
		t.Errorf("%+v", st)
	}
	if st.Lag.Seconds == nil || *st.Lag.Seconds != 0 || *st.Lag.Bytes != 0 || *st.Lag.Transactions != 0 {
		t.Errorf("lag %+v", st.Lag)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if st := r.Status(); st.State != StateStopped {
		t.Errorf("afterwards it is %s", st.State)
	}
}

// A welcome proves the identity that it gives, so that one connection is enough.
func TestANewSecondaryConnectsOnce(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	dials := 0
	r := s.follow(t, p.asPrimary(t), func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			dials++
			return dial(ctx, addr)
		}
	})
	r.has(t, p.st.LastTid())
	mustHaveTaken(t, r, 3)
	if dials != 1 {
		t.Errorf("it connected %d times", dials)
	}
}

func TestANewSecondaryTakesThePrimarysIdentityAndKeepsIt(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	r := s.follow(t, p.asPrimary(t))
	r.has(t, p.st.LastTid())
	if id, epochs := r.Identity(); id != p.id.StorageID || len(epochs) != 1 {
		t.Errorf("identity %s %v", id, epochs)
	}
	kept, err := state.Load(s.fs, s.data())
	if err != nil || kept.StorageID != p.id.StorageID {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

func TestACopyWithoutIdentityGoesOnFromWhereItIs(t *testing.T) {
	p := onDisk(t, vfs.OS{}, t.TempDir()).named(t).history(t, 5)
	s := onDisk(t, vfs.OS{}, copyOf(t, p))
	p.history(t, 5)
	r := s.follow(t, p.asPrimary(t))
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := r.Status().Transactions; n != 5 {
		t.Errorf("%d transactions were sent, want the 5 new ones", n)
	}
	mustEqual(t, p, s)
}

func TestAChainOfThreeHasTheSameBytes(t *testing.T) {
	a, b, c := inMemory(t).named(t).history(t, 10), inMemory(t), inMemory(t)
	second := b.secondary(a.asPrimary(t))
	third := c.follow(t, b.serve(t, second.Identity)) // refused while b has no identity, for the time being
	third.eventually(t, "turned away", func(st Status) bool { return st.LastError != "" })
	second.run(t)
	third.has(t, a.st.LastTid())
	for i := range 5 {
		third.has(t, a.commit(t, zodb.Oid(i), "through the chain", "with a blob"))
	}
	mustEqual(t, a, b)
	mustEqual(t, a, c)
	if third.Status().State == StateRefused {
		t.Error("a primary that has no identity yet is worth trying again")
	}
}

func TestASecondAddressIsTriedWhenTheFirstIsDead(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	dead := listen(t)
	addr := dead.Addr().String()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	r := s.follow(t, addr, func(o *Options) { o.Addresses = append(o.Addresses, p.asPrimary(t)) })
	if st := r.has(t, p.st.LastTid()); st.Address == addr {
		t.Errorf("connected to %s", st.Address)
	}
}

func TestAUnixSocketIsAnAddress(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	s.follow(t, p.onSocket(t)).has(t, p.st.LastTid())
}

func TestTheMagicOfThePrimaryIsTaken(t *testing.T) {
	p, s := fixture(t, "fs21"), inMemory(t)
	if s.st.Magic() != zodb.MagicFS30 {
		t.Fatal("the test needs a secondary that was created as FS30")
	}
	s.follow(t, p.asPrimary(t)).has(t, p.st.LastTid())
	if s.st.Magic() != zodb.MagicFS21 {
		t.Errorf("magic %s", s.st.Magic())
	}
}
