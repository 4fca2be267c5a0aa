package reseed

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 29, 14, 22, 0, 0, time.UTC)

const storageID, other = "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64"

// put makes a file with its path as its content, durably, with its folders.
func put(t *testing.T, disk vfs.FS, path string) {
	t.Helper()
	for at, rest := "", filepath.Dir(path); ; {
		name, after, more := strings.Cut(rest, "/")
		at = filepath.Join(at, name)
		if err := disk.Mkdir(at, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		must(t, disk.SyncDir(filepath.Dir(at)))
		if rest = after; !more {
			break
		}
	}
	f, err := disk.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666)
	must(t, err)
	_, err = f.WriteAt([]byte(path), 0)
	must(t, err, f.Sync(), f.Close(), disk.SyncDir(filepath.Dir(path)))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// content lists all files of a disk with their content.
func content(t *testing.T, disk vfs.FS, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := disk.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			maps.Copy(found, content(t, disk, path))
			continue
		}
		info, err := e.Info()
		must(t, err)
		b := make([]byte, info.Size())
		f, err := disk.OpenFile(path, os.O_RDONLY, 0)
		must(t, err)
		_, err = f.ReadAt(b, 0)
		must(t, err, f.Close())
		found[path] = string(b)
	}
	return found
}

var lost = []string{
	"db/Data.fs", "db/Data.fs.index", "db/Data.fs.old", "db/Data.fs.mount.zrsd",
	"db/blobs/0x00/0x01/a.blob", "db/blobs/0x05/b.blob",
}

var stays = []string{"db/blobs/.layout", "db/blobs/tmp/x", "db/Data.fs.tr0", "db/blobs/.aside-before/0x07/c.blob"}

// aCopy is a storage with files of all kinds, which its state file knows.
func aCopy(t *testing.T) (*simdisk.Disk, *Storage, *state.Keeper) {
	t.Helper()
	disk := simdisk.New()
	for _, path := range append(append([]string{}, lost...), stays...) {
		put(t, disk, path)
	}
	keep, err := state.Open(disk, "db/Data.fs")
	must(t, err, keep.Adopt(storageID, []protocol.Epoch{{Number: 1, Node: other}}, false))
	must(t, keep.Update(func(id *state.State) error {
		id.MaxEpochSeen, id.VotedFor = 3, other
		id.Chain.Checkpoints = []state.Checkpoint{{Tid: 7, Count: 2}}
		return nil
	}))
	return disk, site(disk), keep
}

func site(disk vfs.FS) *Storage {
	return &Storage{FS: disk, Data: "db/Data.fs", Blobs: "db/blobs", Logger: hclog.NewNullLogger()}
}

// mustBeAside expects that everything is where it belongs after a reseed, and nothing is lost.
func mustBeAside(t *testing.T, disk vfs.FS, aside string) {
	t.Helper()
	has := content(t, disk, "db")
	for _, path := range lost {
		to := path + "." + aside
		if rest, blob := strings.CutPrefix(path, "db/blobs/"); blob {
			to = "db/blobs/." + aside + "/" + rest
		}
		if has[to] != path {
			t.Errorf("%s is not at %s: %v", path, to, has)
		}
		if _, there := has[path]; there {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range stays {
		if has[path] != path {
			t.Errorf("%s does not stay: %v", path, has)
		}
	}
}

func TestEverythingIsSetAsideAndNothingDeleted(t *testing.T) {
	disk, s, keep := aCopy(t)
	before := keep.State()
	must(t, s.Begin(keep, state.ReseedDamaged, "offset 0", true, now))
	done, err := s.Finish(keep)
	must(t, err)
	if done.Aside != "aside-20261129T142200Z-damaged" || done.Had != 7 {
		t.Errorf("%+v", done)
	}
	mustBeAside(t, disk, done.Aside)
	id := keep.State()
	if id.Node == before.Node || id.Was != "" || !id.Learner || len(id.Chain.Checkpoints) != 0 {
		t.Errorf("it counts as the node that had the file: %+v", id)
	}
	if id.StorageID != storageID || id.MaxEpochSeen != 3 || id.Role != state.RoleSecondary {
		t.Errorf("it has forgotten what it promised: %+v", id)
	}
	if again, err := s.Finish(keep); again != nil || err != nil {
		t.Errorf("%+v, %v", again, err)
	}
}

// A name that is taken, by what was set aside before, is left alone.
func TestWhatWasSetAsideBeforeStays(t *testing.T) {
	disk, s, keep := aCopy(t)
	put(t, disk, "db/Data.fs.aside-20261129T142200Z-damaged")
	put(t, disk, "db/blobs/.aside-20261129T142200Z-damaged-2/0x01")
	must(t, s.Begin(keep, state.ReseedDamaged, "", true, now))
	done, err := s.Finish(keep)
	must(t, err)
	if done.Aside != "aside-20261129T142200Z-damaged-3" {
		t.Errorf("%+v", done)
	}
	mustBeAside(t, disk, done.Aside)
}

// The process is killed, or power is lost, at each operation: the next start finishes it, and no file is lost.
func TestAnInterruptedReseedIsFinished(t *testing.T) {
	disk, s, keep := aCopy(t)
	begun := len(disk.Ops())
	must(t, s.Begin(keep, state.ReseedDamaged, "", true, now))
	_, err := s.Finish(keep)
	must(t, err)
	all := len(disk.Ops()) - begun
	for e := 1; e <= all; e++ {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("operation %d, seed %d", e, seed), func(t *testing.T) {
				disk, s, keep := aCopy(t)
				disk.PowerOffAt(len(disk.Ops()) + e)
				err := s.Begin(keep, state.ReseedDamaged, "", true, now)
				if err == nil {
					_, err = s.Finish(keep)
				}
				if err == nil && e < all {
					t.Fatal("it has not noticed that the disk is away")
				}
				mustFinish(t, disk.Crash(seed))
			})
		}
	}
}

// mustFinish goes on after a crash. Either nothing was decided, and nothing is changed, or all of it happens.
func mustFinish(t *testing.T, disk vfs.FS) {
	t.Helper()
	keep, err := state.Open(disk, "db/Data.fs")
	must(t, err)
	if len(keep.State().Reseeds) == 0 {
		has := content(t, disk, "db")
		for _, path := range append(append([]string{}, lost...), stays...) {
			if has[path] != path {
				t.Errorf("%s has changed before it was decided: %v", path, has)
			}
		}
		return
	}
	_, err = site(disk).Finish(keep)
	must(t, err)
	mustBeAside(t, disk, keep.State().Reseeds[0].Aside)
	if keep.State().Reseeding() != nil {
		t.Error("it is not done")
	}
}

// A full disk, or one that refuses something, ends it with an error; later it goes on.
func TestAReseedThatTheDiskRefusesCanBeRepeated(t *testing.T) {
	for e := 1; ; e++ {
		disk, s, keep := aCopy(t)
		must(t, s.Begin(keep, state.ReseedMissing, "", true, now))
		disk.FailAt(len(disk.Ops())+e, errors.New("refused"))
		if _, err := s.Finish(keep); err == nil {
			if e < 10 {
				t.Errorf("only %d operations", e)
			}
			return
		}
		disk.Heal()
		_, err := s.Finish(keep)
		must(t, err)
		mustBeAside(t, disk, keep.State().Reseeds[0].Aside)
	}
}

func TestNothingIsSetAsideWhileSomebodyHasItOpen(t *testing.T) {
	disk, s, keep := aCopy(t)
	lock, err := disk.Lock("db/Data.fs.lock", "")
	must(t, err, s.Begin(keep, state.ReseedMissing, "", false, now))
	before := content(t, disk, "db")
	if _, err := s.Finish(keep); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("%v", err)
	}
	if _, err := s.Hold(); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("%v", err)
	}
	if !maps.Equal(before, content(t, disk, "db")) {
		t.Error("it has changed something")
	}
	must(t, lock.Close())
}

func TestWhoVouchesForACopy(t *testing.T) {
	mine := []protocol.Epoch{{Number: 1, Node: other}, {Number: 2, Begin: 4, Node: other}}
	for name, c := range map[string]struct {
		change func(*protocol.NodeStatus)
		want   string // empty: it vouches
	}{
		"the primary": {change: func(*protocol.NodeStatus) {}},
		"one of a later epoch": {change: func(p *protocol.NodeStatus) {
			p.Epochs = append(mine, protocol.Epoch{Number: 3, Begin: 7})
		}},
		"another storage":         {func(p *protocol.NodeStatus) { p.StorageID = other }, "another storage"},
		"a secondary":             {func(p *protocol.NodeStatus) { p.IsPrimary = false }, "not the primary"},
		"a clone of this node":    {func(p *protocol.NodeStatus) { p.Node = storageID }, "not the primary"},
		"one of an earlier epoch": {func(p *protocol.NodeStatus) { p.Epochs = mine[:1] }, "seen epoch 2"},
		"one that has less":       {func(p *protocol.NodeStatus) { p.LastTid = 6 }, "nowhere else"},
		"one of another history": {func(p *protocol.NodeStatus) {
			p.LastTid, p.Epochs = 9, []protocol.Epoch{mine[0], {Number: 3, Begin: 5}}
		}, "another history from after"},
	} {
		id := &state.State{StorageID: storageID, Node: storageID, Epochs: mine}
		id.Chain.Checkpoints = []state.Checkpoint{{Tid: 7, Count: 2}}
		p := &protocol.NodeStatus{
			StorageID: storageID, Node: other, IsPrimary: true, Epochs: mine, LastTid: zodb.Tid(7),
		}
		c.change(p)
		err := Vouches(id, p)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
