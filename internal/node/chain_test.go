package node

import (
	"os"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
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
	a, b, c := three(t)
	a.commits(t)
	last := a.st.LastTid()
	want := a.await(t, "its chain is complete", chained).Storage.Chain
	for _, s := range []*seat{b, c} {
		s.has(t, last)
		if got := s.await(t, "its chain is complete", chained).Storage.Chain; *got.Value != *want.Value {
			t.Errorf("the chain is %+v, on the primary %+v", got, want)
		}
	}
	d, err := hashchain.FirstDifference(t.Context(), a.chain, b.chain)
	if err != nil || d.First != 0 || d.Common.Tid != last {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestTheChainIsKeptAtTheEnd(t *testing.T) {
	disk := diskWith(t, 3)
	site := newSite(t, disk)
	run := site.primary(t)
	want := run.await(t, "its chain is complete", chained).Storage.Chain
	run.end(t)
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
	sa, sb := newSite(t, diskWith(t, 3)), newSite(t, diskWith(t, 3))
	a := sa.seated(t, state.RolePrimary, sb)
	sb.disk = copyOf(t, sa.disk)
	b := sb.seated(t, state.RoleSecondary, sa)
	b.follows(t, a)
	if id := b.keep.State(); !id.ExternalHistory {
		t.Errorf("it is %+v", id)
	}
	c := newSite(t, simdisk.New()).seated(t, state.RoleSecondary, sa)
	c.follows(t, a)
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
	if _, err := f.WriteAt([]byte(dataOf(t, disk)), 0); err != nil {
		t.Fatal(err)
	}
	return to
}
