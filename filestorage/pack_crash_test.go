package filestorage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// packable commits what a pack finds to drop: old revisions and garbage, with blobs and without.
func packable(st *stage) {
	start(st)
	st.commit(0, "root|1|2", "")
	st.commit(1, withBlob, "first")
	st.commit(1, withBlob, "second")
	st.commit(3, withBlob, "garbage")
	st.commit(2, "old", "")
	st.commit(2, "new", "")
	st.undo(70, 2, "old", "")
}

// A new file that an interrupted pack has left is removed when the storage is opened, a list of blobs that ZODB has
// left is not taken for a plan, and a reader changes nothing.
func TestOpenAfterAnInterruptedPack(t *testing.T) {
	s := toPack(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(filepath.Dir(s.Path()), "blobs")
	store := openBlobs(t, blobs)
	for _, path := range []string{s.Path() + packSuffix, filepath.Join(blobs, ".removed")} {
		if err := os.WriteFile(path, []byte("FS30"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, s.Path(), Options{ReadOnly: true, Blobs: store}).Close()
	if !exists(s.Path() + packSuffix) {
		t.Error("a reader removed the new file")
	}
	mustOpen(t, s.Path(), Options{Blobs: store}).Close()
	if exists(s.Path()+packSuffix) || !exists(filepath.Join(blobs, ".removed")) {
		t.Error("the left-over is there, or what is ZODB's is not")
	}
}

// packAll packs to the last transaction and commits another one. It reports how far it got.
func packAll(st *stage, keepOld bool) (packed bool) {
	if st.s == nil {
		return false
	}
	options := PackOptions{GC: true, KeepOld: keepOld, References: toyReferences}
	_, err := st.s.Pack(st.t.Context(), 10000, options)
	st.note(err)
	st.commit(2, "after", "")
	return err == nil
}

// After a power failure before any operation of a pack, or after it, there is the old file or the new one, with all
// its blobs; what was committed after it is there; and nothing is left that belongs to neither.
func TestPowerFailureInAPack(t *testing.T) {
	for _, keepOld := range []bool{true, false} {
		t.Run(fmt.Sprintf("keep old %v", keepOld), func(t *testing.T) {
			s := story{prepare: packable, play: func(st *stage) { packAll(st, keepOld) }}
			whole := newStage(t, s)
			old := contents(t, whole.s)
			packAll(whole, keepOld)
			if whole.err != nil {
				t.Fatal(whole.err)
			}
			packed := contents(t, whole.s)
			whole.end()
			after := packed[len(packed)-1:]
			states := [][]string{old, packed[:len(packed)-1], packed, slices.Concat(old, after)}
			for n, done := 1, false; !done; n++ {
				for seed := range uint64(6) {
					when := fmt.Sprintf("power off at operation %d, seed %d", n, seed)
					done = crashInAPack(t, when, n, seed, keepOld, states)
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// crashInAPack checks one crash. states are the old and the new file, and these with the last commit.
func crashInAPack(t *testing.T, when string, n int, seed uint64, keepOld bool, states [][]string) (done bool) {
	t.Helper()
	packed, acked := false, 0
	played := play(t, story{prepare: packable, play: func(st *stage) {
		before := st.acked
		packed = packAll(st, keepOld)
		acked = st.acked - before
	}}, n)
	done = played.err == nil
	disk := played.disk.Crash(seed)
	played.end()
	st := &stage{t: t, disk: disk}
	st.open()
	if st.err != nil {
		t.Fatalf("%s: %v", when, st.err)
	}
	defer st.end()
	found := contents(t, st.s)
	state := slices.IndexFunc(states, func(s []string) bool { return slices.Equal(s, found) })
	switch {
	case state < 0 || state == 3 && packed:
		t.Fatalf("%s: neither the old file nor the new one:\n%s", when, cmp.Diff(states[0], found))
	case packed && state == 0, acked > 0 && state < 2:
		t.Fatalf("%s: packed %v, %d commits acknowledged, and the file is in state %d", when, packed, acked, state)
	}
	checkNoStrayBlobs(t, when, st.s)
	checkIndexAgainstFile(t, when, st.s)
	isNew := state == 1 || state == 2
	for name, may := range map[string]bool{
		"Data.fs.pack": false, "blobs/.removed.zrsd": false,
		"Data.fs.old": keepOld && isNew, "blobs.old": keepOld && isNew,
	} {
		if _, err := disk.Stat("db/" + name); err == nil && !may || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: in state %d there is %s, %v", when, state, name, err)
		}
	}
	st.tried = make([]string, 100)
	st.commit(2, "life goes on", "")
	if _, err := st.s.Pack(t.Context(), 10000, PackOptions{}); err != nil || st.err != nil {
		t.Errorf("%s: after going on: %v, %v", when, err, st.err)
	}
	return done
}
