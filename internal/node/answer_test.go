package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A shop is what clients of a node use.
type shop struct {
	mu  sync.Mutex
	st  *filestorage.Storage
	opt zeo.StorageOptions
}

func (s *shop) offer(st *filestorage.Storage, opt zeo.StorageOptions) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st, s.opt = st, opt
	return func() {}
}

// load loads revision tid of object 1 as a client does.
func (s *shop) load(ctx context.Context, tid zodb.Tid) ([]byte, error) {
	s.mu.Lock()
	st, correct := s.st, s.opt.Correct
	s.mu.Unlock()
	data, err := st.LoadSerial(1, tid)
	if damage := filestorage.DamageIn(err); damage != nil && correct(ctx, damage) {
		return st.LoadSerial(1, tid)
	}
	return data, err
}

// answered is load until the other node has answered: one that has no processor for some seconds is passed over.
func (s *shop) answered(ctx context.Context, tid zodb.Tid) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, nodetest.Patience)
	defer cancel()
	for {
		data, err := s.load(ctx, tid)
		if filestorage.DamageIn(err) == nil || !pause.For(ctx, answerAgain/10) {
			return data, err
		}
	}
}

// shops is couple with n transactions, what clients of the two use, and healing in a mode.
func shops(t *testing.T, n int, mode string) (a, b *running, atA, atB *shop) {
	t.Helper()
	sa, sb := newSite(t, nodetest.DiskWith(t, n)), newSite(t, &badDisk{FS: simdisk.New()})
	atA, atB = &shop{}, &shop{}
	a = sa.run(t, func(ctx context.Context) error {
		cfg := PrimaryConfig{Config: sa.config()}
		cfg.Heal, cfg.offer, cfg.setAccess = mode, atA.offer, func(zeo.Access) {}
		return runPrimary(ctx, cfg)
	})
	b = sb.run(t, func(ctx context.Context) error {
		cfg := sb.secondaryConfig(sa)
		cfg.Heal, cfg.offer, cfg.setAccess = mode, atB.offer, func(zeo.Access) {}
		return runSecondary(ctx, cfg)
	})
	sameHistory(t, a, b)
	return a, b, atA, atB
}

// A badDisk does not give a part of Data.fs.
type badDisk struct {
	vfs.FS
	at    atomic.Int64 // 0: it gives all
	stays atomic.Bool  // also when it was written
}

func (d *badDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || path != "Data.fs" {
		return f, err
	}
	return &badFile{f, d}, nil
}

type badFile struct {
	vfs.File
	d *badDisk
}

func (f *badFile) ReadAt(b []byte, off int64) (int, error) {
	at := f.d.at.Load()
	if at == 0 || at < off || at >= off+int64(len(b)) {
		return f.File.ReadAt(b, off)
	}
	n, err := f.File.ReadAt(b[:at-off], off)
	return n, errors.Join(err, &fs.PathError{Op: "read", Path: "Data.fs", Err: syscall.EIO})
}

func (f *badFile) WriteAt(b []byte, off int64) (int, error) {
	if at := f.d.at.Load(); off <= at && at < off+int64(len(b)) && !f.d.stays.Load() {
		f.d.at.Store(0) // the disk puts a spare sector in its place
	}
	return f.File.WriteAt(b, off)
}

// places are where the transactions of a file begin, with their tids.
func places(t *testing.T, disk vfs.FS) (tids []zodb.Tid, records []int64) {
	t.Helper()
	in, err := filestorage.Inspect(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for txn, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			tids, records = append(tids, txn.Meta.Tid), append(records, rec.Pos)
		}
	}
	return tids, records
}

// A load of a damaged record is answered by what another node has: on a primary from its secondary, on a secondary from
// its primary, and before an operator agrees to a repair. Loads of other records are answered as ever.
func TestALoadOfADamagedRecordIsAnsweredFromAnotherNode(t *testing.T) {
	a, b, atA, atB := shops(t, 20, HealAsk)
	tids, records := places(t, a.disk)
	for name, n := range map[string]struct {
		node *running
		at   *shop
	}{"primary": {a, atA}, "secondary": {b, atB}} {
		const i = 7
		right, err := n.at.load(t.Context(), tids[i])
		if err != nil {
			t.Fatal(err)
		}
		flip(t, n.node.disk, "Data.fs", records[i]+7) // its oid
		damaged := dataOf(t, n.node.disk)
		if got, err := n.at.load(t.Context(), tids[i]); err != nil || !bytes.Equal(got, right) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, right)
		}
		if _, err := n.at.load(t.Context(), tids[i+1]); err != nil {
			t.Errorf("%s: the next record: %v", name, err)
		}
		if !bytes.Equal(dataOf(t, n.node.disk), damaged) {
			t.Errorf("%s: it was written to without an operator", name)
		}
		st := n.node.Await(t, "it says so", func(st *admin.Status) bool { return st.Heal.Pending == 1 })
		if st.Heal.Answered != 1 || st.Heal.Unanswered != 0 || st.Heal.Healed != 0 || len(st.Troubles) == 0 {
			t.Errorf("%s: got %+v", name, st.Heal)
		}
		flip(t, n.node.disk, "Data.fs", records[i]+7)
	}
}

// What a verification has found to be wrong in the data of a record no load can notice: it is answered by what another
// node has, or fails, and never with what is known to be wrong.
func TestWhatIsKnownToBeWrongIsNotLoaded(t *testing.T) {
	a, b, atA, _ := shops(t, 1500, HealAsk) // more than a block, of which a verification notes the checksum
	tids, records := places(t, a.disk)
	const i = 7
	right, err := atA.load(t.Context(), tids[i])
	if err != nil {
		t.Fatal(err)
	}
	a.verify(t, admin.VerifyRequest{}) // it notes checksums
	flip(t, a.disk, "Data.fs", records[i]+42+2)
	if pass := a.verify(t, admin.VerifyRequest{}); pass.Damages == 0 {
		t.Fatal("nothing was found")
	}
	if got, err := atA.answered(t.Context(), tids[i]); err != nil || !bytes.Equal(got, right) {
		t.Errorf("got %q, %v, want %q", got, err, right)
	}
	b.End(t)
	const j = 1000
	flip(t, a.disk, "Data.fs", records[j]+42+2)
	a.verify(t, admin.VerifyRequest{})
	if got, err := atA.load(t.Context(), tids[j]); filestorage.DamageIn(err) == nil {
		t.Errorf("without the other node: got %q, %v", got, err)
	}
	if _, err := atA.load(t.Context(), tids[j+1]); err != nil {
		t.Errorf("without the other node, the next record: %v", err)
	}
}

// What the disk does not give is damage, too: a load of it is answered by another node, and it is healed, after which
// the disk is asked again.
func TestWhatTheDiskDoesNotGiveIsHealed(t *testing.T) {
	a, b, _, atB := shops(t, 20, HealAuto)
	disk := b.disk.(*badDisk)
	tids, records := places(t, a.disk)
	const i = 7
	right, err := atB.load(t.Context(), tids[i])
	if err != nil {
		t.Fatal(err)
	}
	disk.at.Store(records[i] + 44)
	if got, err := atB.answered(t.Context(), tids[i]); err != nil || !bytes.Equal(got, right) {
		t.Errorf("got %q, %v, want %q", got, err, right)
	}
	st := b.Await(t, "it is healed", func(st *admin.Status) bool { return st.Heal.Healed == 1 && st.Heal.Pending == 0 })
	if disk.at.Load() != 0 || st.Heal.Quarantined != 1 {
		t.Errorf("got %+v", st.Heal)
	}
}

// Where the disk does not give what a repair has just written, the repair fails: the damaged bytes are in quarantine,
// an operator is told to replace the disk, loads are answered by the other node, and it is not tried again.
func TestADiskThatDoesNotKeepARepairIsGivenUp(t *testing.T) {
	a, b, _, atB := shops(t, 20, HealAuto)
	disk := b.disk.(*badDisk)
	tids, records := places(t, a.disk)
	const i = 7
	disk.stays.Store(true)
	disk.at.Store(records[i] + 44)
	for range 2 {
		if got, err := atB.answered(t.Context(), tids[i]); err != nil || string(got) != "state 7" {
			t.Errorf("got %q, %v", got, err)
		}
		st := b.Await(t, "the repair has failed", func(st *admin.Status) bool { return st.Heal.Failed > 0 })
		if st.Heal.Failed != 1 || st.Heal.Pending != 1 || st.Heal.Next != nil || st.Heal.Error == nil ||
			!strings.Contains(*st.Heal.Error, "replace the disk") || len(st.Troubles) == 0 {
			t.Errorf("got %+v, %v", st.Heal, st.Troubles)
		}
	}
	kept, err := disk.ReadDir(filestorage.QuarantineFolder)
	if err != nil || len(kept) != 2 {
		t.Errorf("got %v, %v: want what was there, and why", kept, err)
	}
}

// A place that was healed and is damaged again and again is left to an operator.
func TestAPlaceIsNotHealedForEver(t *testing.T) {
	cfg := Config{Data: "Data.fs", Heal: HealAuto}
	cfg.fill()
	h := newHealer(&cfg)
	damage := &zodb.CorruptError{File: "Data.fs", Pos: 100}
	for n := range healedAgain + 1 {
		h.meets(damage)
		due := h.due()
		if want := n < healedAgain; (len(due) == 1) != want {
			t.Fatalf("after %d times: %d are due", n, len(due))
		}
		if len(due) == 1 {
			h.settle(&heal.Report{Items: []heal.Item{{Result: heal.Healed, Of: due[0].Suspect}}})
		}
	}
}

// What can be undone is listed, and transactions are iterated over, with what another node has where a length is
// damaged, on a primary that asks its operator before it repairs.
func TestAListOfWhatCanBeUndoneIsAnsweredFromAnotherNode(t *testing.T) {
	a, _, atA, _ := shops(t, 20, HealAsk)
	atA.mu.Lock()
	st, correct := atA.st, atA.opt.Correct
	atA.mu.Unlock()
	flip(t, a.disk, "Data.fs", endOfFirst(t, a.disk)+14) // the length of the second one
	count := func() (n int, err error) {
		list, err := st.UndoLog(t.Context(), 0, 100, nil)
		if err != nil {
			return 0, err
		}
		for txn, err := range st.Transactions(t.Context(), 0) {
			if err != nil {
				return n, err
			}
			if len(list) == 20 && txn.Meta().Tid == list[19-n].Tid {
				n++
			}
		}
		return n, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	n, err := count()
	if filestorage.DamageIn(err) == nil {
		t.Fatalf("nothing was met: %d, %v", n, err)
	}
	for err != nil && filestorage.DamageIn(err) != nil && (correct(ctx, err) || pause.For(ctx, answerAgain/10)) {
		n, err = count()
	}
	if n != 20 || err != nil {
		t.Errorf("%d transactions, %v", n, err)
	}
	a.Await(t, "it is known", func(st *admin.Status) bool { return st.Heal.Pending > 0 && st.Heal.Healed == 0 })
}
