package node

import (
	"testing"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/history"
	"github.com/zrsd/zrsd/identity"
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
	d, err := history.FirstDifference(t.Context(), a.chain, b.chain)
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
	state, err := identity.Load(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	if got := state.Chain.Last(); got.Tid != *want.Tid || got.Value != *want.Value || got.Count != *want.Count {
		t.Errorf("kept %+v, want %+v", got, want)
	}
}
