package state

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
)

// keeper returns one of a storage that has a state.
func keeper(t *testing.T, disk vfs.FS, data string) *Keeper {
	t.Helper()
	k, err := Open(disk, data)
	if err != nil {
		t.Fatal(err)
	}
	if k.State() == nil {
		if err := k.Create(); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestAKeeperWithoutAStateHasNoneToChange(t *testing.T) {
	k, err := Open(nil, dataPath(t))
	if err != nil || k.State() != nil || isNoUUID(k.Node()) {
		t.Fatalf("%+v, %v", k.State(), err)
	}
	node := k.Node()
	if err := k.Update(func(*State) error { return nil }); !errors.Is(err, ErrNoState) {
		t.Errorf("got %v", err)
	}
	if err := k.Adopt(someID, twoEpochs, false); err != nil || k.State().StorageID != someID ||
		k.State().Node != node || k.Node() != node {
		t.Errorf("%+v, %v", k.State(), err)
	}
}

// A file that a process has written that was killed, and that was read, counts only when it is on the disk: the node
// answers others by it.
func TestWhatAStartHasReadSurvivesAPowerFailure(t *testing.T) {
	for n := 1; n <= 6; n++ { // create, write, sync, rename, sync of the folder, and none
		for seed := range uint64(8) {
			disk := folder(t)
			k, err := Open(disk, crashData)
			must(t, err, k.Create())
			disk.KillAt(len(disk.Ops()) + n)
			_ = k.Update(func(s *State) error { s.MaxEpochSeen = 3; return nil })
			disk.Revive()
			again, err := Open(disk, crashData)
			must(t, err)
			if s, err := Load(disk.Crash(seed), crashData); err != nil || s.MaxEpochSeen != again.State().MaxEpochSeen {
				t.Errorf("killed at %d: the start has read %+v, and left %+v, %v", n, again.State(), s, err)
			}
		}
	}
}

// What cannot be made durable does not count.
func TestWhatAStartCannotSyncIsRefused(t *testing.T) {
	for _, kind := range []simdisk.Kind{simdisk.Sync, simdisk.SyncDir} {
		disk := simdisk.New()
		keeper(t, disk, "Data.fs")
		disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		if _, err := Open(disk, "Data.fs"); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s failed: %v", kind, err)
		}
	}
}

// A file of an older version has no id of its node. It gets one, once, and is no copy.
func TestANodeWithoutAnIdGetsOne(t *testing.T) {
	path := dataPath(t)
	old := sealed(`{"format":1,"storage":"` + someID + `","epochs":[{"number":3,"begin":"00"}]}`)
	must(t, os.WriteFile(path+Suffix, old, 0o666))
	k := keeper(t, vfs.OS{}, path)
	if s := k.State(); isNoUUID(s.Node) || s.Was != "" || s.Copied || !s.Own() {
		t.Errorf("it is %+v", s)
	}
	if again := keeper(t, vfs.OS{}, path); again.Node() != k.Node() {
		t.Errorf("it was %s, and is %s", k.Node(), again.Node())
	}
}

// A copy of a copy is one of the original. One that is found later, by its Data.fs, is known as a copy at once.
func TestWhatACopyIsACopyOf(t *testing.T) {
	for was, want := range map[string]string{"": "itself", nodeB: nodeB} {
		k := keeper(t, simdisk.New(), "Data.fs")
		node := k.Node()
		must(t, k.Update(func(s *State) error { s.Was = was; return nil }), k.Settle())
		if want == "itself" {
			want = node
		}
		if s := k.State(); s.Was != want || s.Node == node || !s.Copied || s.Own() {
			t.Errorf("it is %+v, want one of %s", s, want)
		}
	}
}

// A disk that does not say which file it is, or when it was made, says nothing of copies; nor does an older state.
func TestWhichMarksDiffer(t *testing.T) {
	for _, c := range []struct {
		a, b   uint64
		differ bool
	}{{1, 2, true}, {1, 1, false}, {0, 1, false}, {1, 0, false}, {0, 0, false}} {
		if differ(c.a, c.b) != c.differ {
			t.Errorf("%d and %d differ: %v", c.a, c.b, !c.differ)
		}
	}
	path := dataPath(t)
	for inode, copied := range map[uint64]bool{0: false, 1: true} {
		content, err := encode(&State{StorageID: someID, Node: someNode, Epochs: twoEpochs, inode: inode})
		must(t, err, os.WriteFile(path+Suffix, content, 0o666))
		if s, err := Load(vfs.OS{}, path); err != nil || s.Copied != copied {
			t.Errorf("written as file %d: %+v, %v", inode, s, err)
		}
	}
}

func TestNoChangeOverwritesAnother(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := k.Update(func(s *State) error { s.MaxEpochSeen++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := k.State().MaxEpochSeen; got != 20 {
		t.Errorf("20 changes came to %d", got)
	}
}

func TestARefusedChangeChangesNothing(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	before := k.State()
	refusal := errors.New("no")
	err := k.Update(func(s *State) error {
		s.Epochs[0].Number = 9
		s.Role = RolePrimary
		return refusal
	})
	if !errors.Is(err, refusal) || k.State() != before || before.Epochs[0].Number != 1 {
		t.Errorf("%v, %+v", err, k.State())
	}
}

func TestAChangeThatTheDiskRefusesIsNotBelieved(t *testing.T) {
	disk := simdisk.New()
	k := keeper(t, disk, "Data.fs")
	for n := 1; n <= 4; n++ { // create, write, sync, rename
		disk.FailAt(len(disk.Ops())+n, syscall.ENOSPC)
		err := k.Update(func(s *State) error { s.Role = RoleSecondary; return nil })
		disk.Heal()
		if !errors.Is(err, syscall.ENOSPC) || k.State().Role != "" {
			t.Fatalf("operation %d failed: %v, role %q", n, err, k.State().Role)
		}
	}
	if err := k.Update(func(s *State) error { s.Role = RoleSecondary; return nil }); err != nil {
		t.Fatal(err)
	}
	if again := keeper(t, disk, "Data.fs"); again.State().Role != RoleSecondary {
		t.Errorf("kept %+v", again.State())
	}
}

func TestACrashLeavesTheVoteOrTheStateBeforeIt(t *testing.T) {
	create := func(d *simdisk.Disk) {
		if _, err := adopt(d, crashData, someID, twoEpochs); err != nil {
			t.Fatal(err)
		}
	}
	vote := func(d *simdisk.Disk) error {
		k, err := Open(d, crashData)
		if err != nil {
			return err
		}
		return k.Update(func(s *State) error {
			s.MaxEpochSeen, s.Successor, s.Role = 3, someNode, RoleSecondary
			return nil
		})
	}
	crashes(t, create, vote, func(s *State, err error, done bool) {
		if err != nil || s.StorageID != someID || !cmp.Equal(s.Epochs, twoEpochs) {
			t.Fatalf("left %+v, %v", s, err)
		}
		whole := s.MaxEpochSeen == 3 && s.Successor == someNode && s.Role == RoleSecondary
		none := s.MaxEpochSeen == 0 && s.Successor == "" && s.Role == ""
		if !whole && (done || !none) {
			t.Errorf("done %v, left %+v", done, s)
		}
	})
}

func TestACopyIsANodeOfItsOwn(t *testing.T) {
	path := dataPath(t)
	k := keeper(t, vfs.OS{}, path)
	if err := k.Update(func(s *State) error {
		s.Role, s.Follow, s.Frozen, s.MaxEpochSeen = RolePrimary, []string{"a:1"}, true, 4
		s.Epochs = append(s.Epochs, protocol.Epoch{Number: 2, Begin: 7, By: "db1"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	original := k.State()
	content, err := os.ReadFile(path + Suffix)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "Data.fs")
	if err := os.WriteFile(copied+Suffix, content, 0o666); err != nil {
		t.Fatal(err)
	}
	for round, want := range []bool{true, false} { // the second time it is known already
		c := keeper(t, vfs.OS{}, copied).State()
		if c.Copied != want || c.Node == original.Node || c.Was != original.Node || c.Own() {
			t.Errorf("round %d: a copy is %+v", round, c)
		}
		if c.StorageID != original.StorageID || !cmp.Equal(c.Epochs, original.Epochs) || c.MaxEpochSeen != 4 {
			t.Errorf("round %d: of the history there is %+v", round, c)
		}
	}
	c := keeper(t, vfs.OS{}, copied)
	if err := c.Update(func(s *State) error { s.Restore(); return nil }); err != nil {
		t.Fatal(err)
	}
	if s := c.State(); s.Node != original.Node || s.Was != "" || s.Role != RolePrimary || !s.Frozen {
		t.Errorf("as it was, it is %+v", s)
	}
	again := keeper(t, vfs.OS{}, path).State()
	if again.Copied || again.Node != original.Node || again.Role != RolePrimary {
		t.Errorf("the original is %+v", again)
	}
}

// Disks use the numbers of files again, so the number alone is no proof.
func TestACopyInAFileOfTheSameNumberIsACopy(t *testing.T) {
	path := dataPath(t)
	node := keeper(t, vfs.OS{}, path).State().Node
	s, err := Load(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if s.born == 0 {
		s.born = 1 // as if this disk said when files were made
	}
	s.born++
	content, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path+Suffix, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	at, err := marksOf(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if at.born == 0 {
		return // nothing is known of it here
	}
	if s := keeper(t, vfs.OS{}, path).State(); !s.Copied || s.Was != node || s.Node == node {
		t.Errorf("it is %+v", s)
	}
}

// An epoch is begun by one node, and nobody else leads it.
func TestWhoseEpochItIs(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	if !k.State().Own() {
		t.Error("the first epoch is not that of the node that made the storage")
	}
	for by, own := range map[string]bool{"": true, k.Node(): true, someNode: false} {
		if err := k.Update(func(s *State) error { s.Epochs[0].Node = by; return nil }); err != nil {
			t.Fatal(err)
		}
		if k.State().Own() != own {
			t.Errorf("begun by %q: own %v", by, !own)
		}
	}
	if err := k.Update(func(s *State) error {
		s.Epochs = append(s.Epochs, protocol.Epoch{Number: 4, Begin: 9, Node: someNode})
		s.Was, s.Rival = someNode, someNode
		s.BeginEpoch(protocol.Epoch{Number: 5, Begin: 7}) // the file ends before the epoch of the other one
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s := k.State()
	if !s.Own() || s.Was != "" || s.Rival != "" || len(s.Epochs) != 2 || s.Epoch().Number != 5 ||
		s.Epoch().Node != s.Node {
		t.Errorf("it is %+v", s)
	}
	must(t, k.Update(func(s *State) error { s.BeginEpoch(protocol.Epoch{Number: 6, Begin: 7}); return nil }))
	if s := k.State(); len(s.Epochs) != 3 { // one without transactions is part of the history
		t.Errorf("it is %+v", s)
	}
	must(t, k.Update(func(s *State) error {
		s.Epochs = []protocol.Epoch{{Number: 6, Begin: 7}}
		s.BeginEpoch(protocol.Epoch{Number: 7, Begin: 6})
		return nil
	}))
	if s := k.State(); len(s.Epochs) != 1 || s.Epoch().Number != 7 {
		t.Errorf("it is %+v", s)
	}
}

// A database of its own has nothing of the other one but what is in the file.
func TestANewIdentity(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	before := k.State()
	if err := k.Update(func(s *State) error {
		s.Was, s.Role, s.Follow, s.MaxEpochSeen = someNode, RoleSecondary, []string{"a:1"}, 9
		s.Renew()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s := k.State()
	if s.StorageID == before.StorageID || s.Node == before.Node || !s.Own() || s.Role != "" || s.Follow != nil ||
		s.Highest() != 1 {
		t.Errorf("it is %+v", s)
	}
}

func TestAMovedFileIsNoCopy(t *testing.T) {
	path := dataPath(t)
	node := keeper(t, vfs.OS{}, path).State().Node
	moved := filepath.Join(filepath.Dir(path), "Other.fs")
	if err := os.Rename(path+Suffix, moved+Suffix); err != nil {
		t.Fatal(err)
	}
	if s := keeper(t, vfs.OS{}, moved).State(); s.Copied || s.Node != node {
		t.Errorf("it is %+v", s)
	}
}
