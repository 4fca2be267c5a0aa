package node

import (
	"os"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// chained reports whether the chain of a node goes up to its end.
func chained(st *admin.Status) bool {
	return st.Storage.Chain != nil && st.Storage.Chain.Tid != nil && st.Storage.LastTid != nil &&
		*st.Storage.Chain.Tid == *st.Storage.LastTid && st.Storage.Chain.Behind == 0
}

func TestAllNodesHaveOneChain(t *testing.T) {
	sa := newSite(t, nodetest.DiskWith(t, 3))
	a := sa.session(t, state.RolePrimary)
	b := newSite(t, simdisk.New()).session(t, state.RoleSecondary, sa)
	c := newSite(t, simdisk.New()).session(t, state.RoleSecondary, sa)
	last := a.st.LastTid()
	want := a.Await(t, "its chain is complete", chained).Storage.Chain
	for _, s := range []*working{b, c} {
		s.Await(t, "it has everything", func(st *admin.Status) bool {
			return st.Storage.LastTid != nil && *st.Storage.LastTid == last
		})
		if got := s.Await(t, "its chain is complete", chained).Storage.Chain; *got.Value != *want.Value {
			t.Errorf("the chain is %+v, on the primary %+v", got, want)
		}
	}
	d, err := hashchain.FirstDifference(t.Context(), a.chain, b.chain)
	if err != nil || d.First != 0 || d.Common.Tid != last {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestTheChainIsKeptAtTheEnd(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	site := newSite(t, disk)
	run := site.primary(t)
	want := run.Await(t, "its chain is complete", chained).Storage.Chain
	run.End(t)
	saved, err := state.Load(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	if got := saved.Chain.Last(); got.Tid != *want.Tid || got.Value != *want.Value || got.Count != *want.Count {
		t.Errorf("kept %+v, want %+v", got, want)
	}
}

// A file that was copied, or filled over the protocol of zc.zrs, may have the same extensions in other bytes.
func TestTheChainOfACopyThatWasThereIsNotCompared(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, nodetest.DiskWith(t, 3))
	sa.session(t, state.RolePrimary, sb)
	sb.disk = copyOf(t, sa.disk)
	b := sb.session(t, state.RoleSecondary, sa)
	b.Await(t, "it follows", func(*admin.Status) bool { return b.sec.Status().Connected })
	if id := b.keep.State(); !id.ExternalHistory {
		t.Errorf("it is %+v", id)
	}
	c := newSite(t, simdisk.New()).session(t, state.RoleSecondary, sa)
	c.Await(t, "it follows", func(*admin.Status) bool { return c.sec.Status().Connected })
	if id := c.keep.State(); id.ExternalHistory {
		t.Errorf("one that was filled natively is %+v", id)
	}
}

// copyOf returns a disk with a copy of the data file alone.
func copyOf(t *testing.T, disk vfs.FS) vfs.FS {
	t.Helper()
	to := simdisk.New()
	f, err := to.OpenFile("Data.fs", os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(string(nodetest.Content(t, disk, "Data.fs"))), 0); err != nil {
		t.Fatal(err)
	}
	return to
}
