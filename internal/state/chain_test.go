package state

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// someChain has n checkpoints.
func someChain(n int) Chain {
	c := Chain{Base: 7}
	for i := range n {
		c.Checkpoints = append(c.Checkpoints, Checkpoint{
			Tid: zodb.Tid(10 + i), Count: uint64(i + 1),
			Digest: zodb.Digest{1, byte(i)}, Value: zodb.Digest{2, byte(i)},
		})
	}
	return c
}

func TestAChainIsKept(t *testing.T) {
	disk := simdisk.New()
	want := someChain(MaxCheckpoints)
	if err := keeper(t, disk, "Data.fs").Update(func(s *State) error { s.Chain = want; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, keeper(t, disk, "Data.fs").State().Chain); diff != "" {
		t.Error(diff)
	}
}

func TestAChainThatBreaksARuleIsRefused(t *testing.T) {
	tooMany := someChain(MaxCheckpoints + 1)
	before := Chain{Base: 10, Checkpoints: someChain(1).Checkpoints}
	falling, same := someChain(3), someChain(3)
	slices.Reverse(falling.Checkpoints)
	same.Checkpoints[2].Count = same.Checkpoints[1].Count
	for name, c := range map[string]Chain{
		"too many": tooMany, "at the base": before, "falling tids": falling, "the same count": same,
	} {
		k := keeper(t, simdisk.New(), "Data.fs")
		if err := k.Update(func(s *State) error { s.Chain = c; return nil }); err == nil {
			t.Errorf("%s: it was kept", name)
		}
	}
}
