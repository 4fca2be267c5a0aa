package hashchain_test

import (
	"errors"
	"testing"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// saving returns what keeps chains in the state of k.
func saving(k *state.Keeper) func(state.Chain) error {
	return func(c state.Chain) error {
		return k.Update(func(s *state.State) error { s.Chain = c; return nil })
	}
}

// Wherever the power fails while a checkpoint is written, the state is whole, with the old chain or the new one, and
// what is computed from it is what is computed from nothing.
func TestAfterACrashTheChainIsTheSame(t *testing.T) {
	for n := 1; n <= 6; n++ { // create, write, sync, rename, sync the folder; and none
		for seed := range uint64(8) {
			disk := simdisk.New()
			if err := errors.Join(disk.Mkdir("db", 0o777), disk.SyncDir("")); err != nil {
				t.Fatal(err)
			}
			if k, err := state.Open(disk, "db/Data.fs"); err != nil || k.Create() != nil {
				t.Fatal("no state was made: ", err)
			}
			begin := session(t, disk, newMemory(plain(5)...), 0)
			session(t, disk, newMemory(plain(9)...), n)
			crashed := disk.Crash(seed)
			saved, err := state.Load(crashed, "db/Data.fs")
			if err != nil {
				t.Fatal(err)
			}
			if at := saved.Chain.Last().Tid; at != 90 && (at != 50 || n > 5) {
				t.Errorf("the crash left the chain at %v", at)
			}
			if saved.StorageID != begin {
				t.Errorf("the storage has another id")
			}
			l := hashchain.Keep(newMemory(plain(12)...), hashchain.Options{Saved: saved.Chain})
			st := reaches(t, l, 120)
			l.Close()
			if want := values(t, 0, plain(12)); st.Head != want[12] {
				t.Errorf("got %+v, want %+v", st.Head, want[12])
			}
		}
	}
}

// session follows m until it is at its end, with the power failing at the n-th operation of the disk; 0: never.
func session(t *testing.T, disk *simdisk.Disk, m *memory, n int) (storageID string) {
	t.Helper()
	k, err := state.Open(disk, "db/Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		disk.PowerOffAt(len(disk.Ops()) + n)
	}
	l := hashchain.Keep(m, hashchain.Options{Saved: k.State().Chain, Save: saving(k)})
	reaches(t, l, m.LastTid())
	l.Close()
	return k.State().StorageID
}
