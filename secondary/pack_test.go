package secondary

import (
	"fmt"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// pack packs a site up to its last transaction.
func (s *site) pack(t *testing.T) {
	t.Helper()
	r, err := s.st.Pack(t.Context(), s.st.LastTid(), filestorage.PackOptions{})
	if err != nil || !r.Packed {
		t.Fatal(r, err)
	}
}

// mustAgree checks that two sites have the same current objects.
func mustAgree(t *testing.T, a, b *site) {
	t.Helper()
	for oid := range zodb.Oid(4) {
		data, tid, err := a.st.Load(oid)
		data2, tid2, err2 := b.st.Load(oid)
		if err != nil || err2 != nil || tid != tid2 || string(data) != string(data2) {
			t.Errorf("oid %v is %q of %v, %v; and %q of %v, %v", oid, data, tid, err, data2, tid2, err2)
		}
	}
}

func TestReplicationGoesOnOverPacksOfAnyNode(t *testing.T) {
	a, b, c := inMemory(t).named(t).history(t, 12), inMemory(t), inMemory(t)
	second := b.secondary(a.asPrimary(t))
	second.run(t)
	third := c.follow(t, b.serve(t, second.Identity))
	third.has(t, a.st.LastTid())
	for i, s := range []*site{a, b, c, a} {
		s.pack(t)
		third.has(t, a.commit(t, zodb.Oid(i), fmt.Sprintf("after pack %d", i), "and a blob"))
	}
	mustAgree(t, a, b)
	mustAgree(t, a, c)
	if st := third.Status(); st.Reconnects != 0 {
		t.Errorf("%+v", st)
	}
}

// A secondary that was away while its primary was packed goes on, whether the pack has left the transaction at which it
// stands, has left of it what is still current, or nothing.
func TestASecondaryComesBackAfterAPackOfItsPrimary(t *testing.T) {
	for name, meanwhile := range map[string]int{"nothing came": 0, "all was replaced": 20, "some was": 2} {
		t.Run(name, func(t *testing.T) {
			p, s := inMemory(t).named(t).history(t, 12), inMemory(t)
			addr := p.asPrimary(t)
			r := s.follow(t, addr)
			r.has(t, p.st.LastTid())
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			p.history(t, meanwhile).pack(t)
			r = s.follow(t, addr)
			r.has(t, p.commit(t, 1, "afterwards", ""))
			mustAgree(t, p, s)
		})
	}
}
