package rewind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// A stage is a storage with blobs that is to be rewound.
type stage struct {
	*Storage
	disk   *simdisk.Disk
	prefix []byte // Data.fs up to the last common transaction
	plan   *state.Rewind
	tids   []zodb.Tid // of what goes
}

func open(t *testing.T, disk vfs.FS) *filestorage.Storage {
	t.Helper()
	blobs, err := blobstore.Open("db/blobs", blobstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(context.Background(), "db/Data.fs", filestorage.Options{FS: disk, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// commit stores data under some oids, with a blob where the data are those of one.
func commit(t *testing.T, st *filestorage.Storage, user string, data map[zodb.Oid]string) zodb.Tid {
	t.Helper()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{User: []byte(user), Description: []byte("by " + user)})
	if err != nil {
		t.Fatal(err)
	}
	for oid := zodb.Oid(0); oid < 100; oid++ {
		content, ok := data[oid]
		if !ok {
			continue
		}
		serial, _ := st.GetTid(oid)
		if blob, is := strings.CutPrefix(content, "blob:"); is {
			err = txn.StoreBlob(oid, serial, blobRecord, strings.NewReader(blob))
		} else {
			err = txn.Store(oid, serial, []byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tid, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func read(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// toRewind makes a storage of which three transactions have to go: they change an old object, make new ones, have
// blobs, and undo something that stays.
func toRewind(t *testing.T) *stage {
	t.Helper()
	disk := simdisk.New()
	if err := errors.Join(disk.Mkdir("db", 0o777), disk.SyncDir("")); err != nil {
		t.Fatal(err)
	}
	st := open(t, disk)
	commit(t, st, "ann", map[zodb.Oid]string{1: "one", 2: "two", 3: "blob:kept"})
	common := commit(t, st, "bob", map[zodb.Oid]string{1: "one, changed"})
	size := st.Size()
	s := &stage{
		disk:    disk,
		Storage: &Storage{FS: disk, Data: "db/Data.fs", Blobs: "db/blobs", Logger: hclog.NewNullLogger()},
	}
	s.tids = append(s.tids,
		commit(t, st, "cy", map[zodb.Oid]string{2: "two, changed", 4: "new"}),
		commit(t, st, "dan", map[zodb.Oid]string{3: "blob:lost", 5: "blob:new"}),
	)
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{User: []byte("eve")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Undo(t.Context(), common); err != nil {
		t.Fatal(err)
	}
	last, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.tids = append(s.tids, last)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s.prefix = read(t, disk, "db/Data.fs")[:size]
	keep, err := state.Open(disk, s.Data)
	if err == nil {
		err = keep.Create()
	}
	if err == nil {
		err = disk.SyncDir("db/blobs")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.plan = &state.Rewind{
		Last: common, First: s.tids[0], Until: last, Follow: []string{"db2:5000"},
		Epochs: []protocol.Epoch{{Number: 1}},
	}
	return s
}

// rewind does all of it.
func (s *stage) rewind(ctx context.Context) error {
	if err := s.Begin(s.plan); err != nil {
		return err
	}
	_, err := s.Finish(ctx)
	return err
}

// done expects that the storage has what was common, the fragment everything else, and nothing is in both.
func (s *stage) done(t *testing.T, disk vfs.FS) {
	t.Helper()
	if got := read(t, disk, s.Data); !bytes.Equal(got, s.prefix) {
		t.Fatalf("the storage has %d bytes, want the first %d as they were", len(got), len(s.prefix))
	}
	st := open(t, disk)
	defer st.Close()
	for oid, want := range map[zodb.Oid]string{1: "one, changed", 2: "two", 4: "", 5: ""} {
		if data, _, _ := st.Load(oid); string(data) != want {
			t.Errorf("oid %v is %q, want %q", oid, data, want)
		}
	}
	if got := blobsIn(t, disk, "db/blobs"); got != "kept" {
		t.Errorf("blobs of the storage: %s", got)
	}
	keep, err := state.Open(disk, s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if id := keep.State(); id.Rewind != nil || id.Role != state.RoleSecondary || id.Follow[0] != "db2:5000" {
		t.Errorf("the state is %+v", id)
	}
	s.fragment(t, disk)
}

// blobsIn returns the contents of all blobs below a folder.
func blobsIn(t *testing.T, disk vfs.FS, dir string) string {
	t.Helper()
	store, err := blobstore.Open(dir, blobstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := store.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
		f, err := store.OpenBlob(oid, tid)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		all = append(all, string(content))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// fragment expects a complete one.
func (s *stage) fragment(t *testing.T, disk vfs.FS) {
	t.Helper()
	f := FragmentOf(s.Data, s.plan.First)
	m, err := ReadManifest(disk, f.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, txn := range m.Transactions {
		text := txn.Tid.String() + " " + txn.User
		for _, o := range txn.Objects {
			text += fmt.Sprintf(" %d/%d/%v/%v", uint64(o.Oid), o.Size, o.Blob, o.Base != 0)
		}
		got = append(got, text)
	}
	want := []string{
		s.tids[0].String() + " cy 2/12/false/true 4/3/false/false",
		s.tids[1].String() + " dan 3/25/true/true 5/25/true/false",
		s.tids[2].String() + " eve 1/3/false/true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if class := m.Transactions[1].Objects[0].Class; class != "ZODB.blob.Blob" {
		t.Errorf("class %q", class)
	}
	if got := blobsIn(t, disk, f.Blobs); got != "lost new" {
		t.Errorf("blobs of the fragment: %s", got)
	}
	st, err := filestorage.Open(t.Context(), f.Data, filestorage.Options{FS: disk, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for oid, want := range map[zodb.Oid]string{1: "one", 2: "two, changed", 4: "new"} {
		if data, _, err := st.Load(oid); string(data) != want {
			t.Errorf("in the fragment oid %v is %q, %v, want %q", oid, data, err, want)
		}
	}
}

func TestWhatThePrimaryNeverHadIsSetAside(t *testing.T) {
	s := toRewind(t)
	if err := s.rewind(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.done(t, s.disk)
	if f, err := s.Finish(t.Context()); f != nil || err != nil {
		t.Errorf("once more: %v, %v", f, err)
	}
}

// The index that is left fits: opening does not read the whole file.
func TestARewoundStorageOpensByItsIndex(t *testing.T) {
	s := toRewind(t)
	if err := s.rewind(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := int64(-1) // where the scan begins
	st, err := filestorage.Open(t.Context(), s.Data, filestorage.Options{
		FS: s.disk, Progress: func(done, _ int64) {
			if first < 0 {
				first = done
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if end := int64(len(s.prefix)); first != end {
		t.Errorf("scanned from %d of %d", first, end)
	}
}

// Power is lost before each operation in turn, and the rest is done at the next start.
func TestAnInterruptedRewindingIsFinished(t *testing.T) {
	for n := 1; ; n++ {
		finished := false
		for seed := range uint64(4) {
			s := toRewind(t)
			s.disk.PowerOffAt(len(s.disk.Ops()) + n)
			if s.rewind(t.Context()) == nil {
				finished = true
				break
			}
			after := s.disk.Crash(seed)
			s.FS = after
			keep, err := state.Open(after, s.Data)
			if err != nil {
				t.Fatal(err)
			}
			if keep.State().Rewind == nil && keep.State().Role == "" { // it has not begun
				if err := s.Begin(s.plan); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Finish(t.Context()); err != nil {
				t.Fatalf("operation %d, seed %d: %v", n, seed, err)
			}
			s.done(t, after)
			if t.Failed() {
				t.Fatalf("operation %d, seed %d", n, seed)
			}
		}
		if finished {
			return
		}
	}
}

// The disk refuses each operation in turn: nothing is lost, and what failed can be done again. A few may fail, such as
// saving an index that is only there to save time.
func TestARewindingThatTheDiskRefusesCanBeRepeated(t *testing.T) {
	whole := toRewind(t)
	before := len(whole.disk.Ops())
	if err := whole.rewind(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for n := 1; n <= len(whole.disk.Ops())-before; n++ {
		s := toRewind(t)
		s.disk.FailAt(len(s.disk.Ops())+n, syscall.ENOSPC)
		err := s.rewind(t.Context())
		s.disk.Heal()
		if err != nil {
			refused++
			s.again(t, n, err)
		}
		s.done(t, s.disk)
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
	}
	if refused < 40 {
		t.Errorf("only %d operations could fail", refused)
	}
}

// again finishes what failed at operation n.
func (s *stage) again(t *testing.T, n int, failure error) {
	t.Helper()
	keep, err := state.Open(s.disk, s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if keep.State().Rewind == nil && keep.State().Role == "" { // it had not begun
		if err := s.Begin(s.plan); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Finish(t.Context()); err != nil {
		t.Fatalf("operation %d failed with %v; then %v", n, failure, err)
	}
}

func TestAStorageThatWasChangedMeanwhileIsLeftAlone(t *testing.T) {
	s := toRewind(t)
	if err := s.Begin(s.plan); err != nil {
		t.Fatal(err)
	}
	st := open(t, s.disk)
	commit(t, st, "fay", map[zodb.Oid]string{9: "later"})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	before := read(t, s.disk, s.Data)
	if _, err := s.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(before, read(t, s.disk, s.Data)) {
		t.Error("it was changed")
	}
}

// A node that was rewound, restored from a backup and rewound again begins at the same transaction. What was set aside
// the first time stays, and is not taken for what is set aside now.
func TestWhatWasSetAsideBeforeIsNeitherLostNorTakenForThis(t *testing.T) {
	s := toRewind(t)
	earlier := FragmentOf(s.Data, s.plan.First)
	old := &Manifest{Storage: "another rewind", Last: s.plan.Last, Transactions: []Transaction{{Tid: s.plan.First}}}
	if err := old.write(s.disk, earlier.Manifest); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(s.plan); err != nil {
		t.Fatal(err)
	}
	f, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ReadManifest(s.disk, earlier.Manifest); err != nil || m.Storage != old.Storage {
		t.Errorf("the earlier one: %+v, %v", m, err)
	}
	if m, err := ReadManifest(s.disk, f.Manifest); err != nil || len(m.Transactions) != len(s.tids) || *f == earlier {
		t.Errorf("this one, in %s: %+v, %v", f.Data, m, err)
	}
}

// A state file that says nothing of the fragment, as older versions wrote them, and the list of another rewind in its
// place: nothing is cut off.
func TestAListOfAnotherRewindStopsThisOne(t *testing.T) {
	s := toRewind(t)
	if err := s.Begin(s.plan); err != nil {
		t.Fatal(err)
	}
	old := &Manifest{Storage: "another rewind", Last: s.plan.Last, Transactions: []Transaction{{Tid: s.plan.First}}}
	if err := old.write(s.disk, FragmentOf(s.Data, s.plan.First).Manifest); err != nil {
		t.Fatal(err)
	}
	before := read(t, s.disk, s.Data)
	if _, err := s.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(read(t, s.disk, s.Data), before) {
		t.Error("something was cut off")
	}
}

// Blobs are set aside with their records: they are found beside the Data.fs, or nothing is done without them.
func TestNothingIsSetAsideWithoutItsBlobs(t *testing.T) {
	found := toRewind(t)
	found.Blobs = ""
	if err := found.rewind(t.Context()); err != nil {
		t.Fatal(err)
	}
	found.done(t, found.disk)

	s := toRewind(t)
	if err := s.disk.Rename("db/blobs", "db/elsewhere"); err != nil {
		t.Fatal(err)
	}
	s.Blobs = ""
	before := read(t, s.disk, s.Data)
	var refusal *Refusal
	if err := s.rewind(t.Context()); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "--blobs") {
		t.Fatalf("got %v", err)
	}
	if !bytes.Equal(read(t, s.disk, s.Data), before) {
		t.Error("something was cut off")
	}
	s.Blobs = "db/elsewhere"
	if _, err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.fragment(t, s.disk)
}

// A rewound node knows that the primary's epoch has begun, so that nobody takes it for one that has everything of the
// epoch before. It remembers what it has done without being asked.
func TestARewoundStorageKnowsOfThePrimarysEpoch(t *testing.T) {
	for name, why := range map[string]string{"asked": "", "by itself": "nobody was told"} {
		s := toRewind(t)
		s.plan.Begun, s.plan.Why = 7, why
		if err := s.rewind(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.done(t, s.disk)
		id, err := state.Load(s.disk, s.Data)
		if err != nil {
			t.Fatal(err)
		}
		if id.MaxEpochBegun != 7 || id.Latest() != 7 || id.Waits != nil {
			t.Errorf("%s: the state is %+v", name, id)
		}
		noted := len(id.SetAside) == 1 && id.SetAside[0].Why == why && id.SetAside[0].First == s.plan.First &&
			id.SetAside[0].Until == s.plan.Until && id.SetAside[0].Last == s.plan.Last &&
			id.SetAside[0].File == FragmentOf(s.Data, s.plan.First).Data
		if noted != (why != "") {
			t.Errorf("%s: it remembers %+v", name, id.SetAside)
		}
	}
}
