package state

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
)

// folder returns a disk with a durable folder for a database.
func folder(t *testing.T) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	if err := errors.Join(disk.Mkdir("db", 0o777), disk.SyncDir("")); err != nil {
		t.Fatal(err)
	}
	return disk
}

const crashData = "db/Data.fs"

// crashes calls change on a disk that loses power before each of its operations in turn, and after the last. found is
// told what is there afterwards, and whether change had returned without an error.
func crashes(t *testing.T, prepare func(*simdisk.Disk), change func(*simdisk.Disk) error,
	found func(s *State, err error, done bool)) {
	t.Helper()
	for n := 1; ; n++ {
		for seed := range uint64(8) {
			disk := folder(t)
			prepare(disk)
			disk.PowerOffAt(len(disk.Ops()) + n)
			err := change(disk)
			s, loaded := Load(disk.Crash(seed), crashData)
			found(s, loaded, err == nil)
			if err == nil && seed == 7 {
				return
			}
		}
	}
}

// begun opens a keeper of the storage at path, and lets it make the state.
func begun(disk vfs.FS, path string, change func(*Keeper) error) (*State, error) {
	k, err := Open(disk, path)
	if err != nil {
		return nil, err
	}
	if err := change(k); err != nil {
		return nil, err
	}
	return k.State(), nil
}

func create(disk vfs.FS, path string) (*State, error) { return begun(disk, path, (*Keeper).Create) }

func createUnnamed(disk vfs.FS, path string) (*State, error) {
	return begun(disk, path, (*Keeper).CreateUnnamed)
}

func adopt(disk vfs.FS, path, storageID string, epochs []protocol.Epoch) (*State, error) {
	return begun(disk, path, func(k *Keeper) error { return k.Adopt(storageID, epochs, false) })
}

func TestACrashWhileCreatingLeavesAWholeStateOrNone(t *testing.T) {
	crashes(t, func(*simdisk.Disk) {}, func(d *simdisk.Disk) error {
		_, err := adopt(d, crashData, someID, twoEpochs)
		return err
	}, func(s *State, err error, done bool) {
		switch {
		case err == nil:
			if s.StorageID != someID || !cmp.Equal(s.Epochs, twoEpochs) {
				t.Errorf("left %+v", s)
			}
		case !errors.Is(err, fs.ErrNotExist) || done:
			t.Errorf("done %v, then: %v", done, err)
		}
	})
}

func TestACrashWhileSavingLeavesTheOldStateOrTheNewOne(t *testing.T) {
	old := []protocol.Epoch{{Number: 1}}
	prepare := func(d *simdisk.Disk) {
		if _, err := adopt(d, crashData, someID, old); err != nil {
			t.Fatal(err)
		}
	}
	save := func(d *simdisk.Disk) error {
		s, err := Load(d, crashData)
		if err != nil {
			return err
		}
		s.Epochs = twoEpochs
		return s.Save()
	}
	crashes(t, prepare, save, func(s *State, err error, done bool) {
		if err != nil || s.StorageID != someID {
			t.Fatalf("left %+v, %v", s, err)
		}
		if isNew := cmp.Equal(s.Epochs, twoEpochs); !isNew && (done || !cmp.Equal(s.Epochs, old)) {
			t.Errorf("saved %v, left %+v", done, s)
		}
	})
}

func TestAFailedSaveLeavesTheOldStateAndNoRubbish(t *testing.T) {
	for n := 1; n <= 4; n++ { // create, write, sync, rename
		disk := folder(t)
		s, err := adopt(disk, crashData, someID, twoEpochs[:1])
		if err != nil {
			t.Fatal(err)
		}
		disk.FailAt(len(disk.Ops())+n, syscall.ENOSPC)
		s.Epochs = twoEpochs
		if err := s.Save(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), crashData+Suffix) {
			t.Errorf("operation %d failed and Save said %v", n, err)
		}
		disk.Heal()
		left, err := Load(disk, crashData)
		if err != nil || len(left.Epochs) != 1 {
			t.Errorf("left %+v, %v", left, err)
		}
		if _, err := disk.Stat(crashData + Suffix + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("operation %d failed and left a temporary file: %v", n, err)
		}
	}
}

// Written first under another name, synced, renamed, the folder synced: in this order.
func TestTheOrderOfASave(t *testing.T) {
	disk := folder(t)
	begin := len(disk.Ops())
	if _, err := adopt(disk, crashData, someID, twoEpochs); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, op := range disk.Ops()[begin:] {
		got = append(got, op.String())
	}
	want := []string{
		"create db/Data.fs.zrsd.tmp", "write db/Data.fs.zrsd.tmp 0+288", "sync db/Data.fs.zrsd.tmp",
		"rename db/Data.fs.zrsd.tmp db/Data.fs.zrsd", "syncdir db",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
