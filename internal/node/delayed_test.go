package node

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A late is a storage whose clients see what is older than four hours, and a front that counts what they see.
type late struct {
	*delayed
	front   *counter
	disk    *simdisk.Disk
	leads   atomic.Bool
	retire  func()
	storage *filestorage.Storage
}

func newLate(t *testing.T, disk *simdisk.Disk) *late {
	t.Helper()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	keep, err := state.Open(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	if keep.State() == nil {
		if err := keep.Create(); err != nil {
			t.Fatal(err)
		}
	}
	front := newCounter()
	c := &Config{Data: "Data.fs", FS: disk}
	c.fill()
	c.front, c.zeoName = front, "1"
	c.offer = func(st *filestorage.Storage, opt zeo.StorageOptions) func() { return front.Offer("1", st, opt) }
	c.setAccess = func(access zeo.Access) { front.SetAccess("1", access) }
	l := &late{delayed: c.delays(4 * time.Hour), front: front, disk: disk, storage: st}
	l.keep, l.primary = keep, l.leads.Load
	return l
}

// serve offers the storage, and returns what clients see.
func (l *late) serve(access zeo.Access) zodb.Tid {
	l.retire = l.c.offer(l.storage, zeo.StorageOptions{Access: access})
	return l.offered()
}

// offered is what clients see of the storage that was offered last; all of it: its last transaction.
func (l *late) offered() zodb.Tid {
	<-l.front.changed
	if m := l.front.moment("1"); m != nil {
		return m.Tid
	}
	return l.storage.LastTid()
}

func (l *late) close(t *testing.T) {
	t.Helper()
	l.retire()
	if err := l.storage.Close(); err != nil {
		t.Error(err)
	}
}

func (l *late) hold(t *testing.T, req admin.ApplyUntilRequest) admin.ApplyUntil {
	t.Helper()
	doc, err := l.apply(t.Context(), l.storage, req)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// sees checks what clients have come to see since it was asked last.
func (l *late) sees(t *testing.T, want ...zodb.Tid) {
	t.Helper()
	synctest.Wait()
	for _, tid := range want {
		if len(l.front.steps) == 0 {
			t.Fatalf("they do not come to see %v", tid)
		}
		if m := <-l.front.steps; m.Tid != tid {
			t.Fatalf("they come to see %v, want %v", m.Tid, tid)
		}
	}
	if len(l.front.steps) > 0 {
		t.Fatalf("they come to see %v", (<-l.front.steps).Tid)
	}
}

// Each transaction is seen when it is as old as the delay, and not before.
func TestADelayedSecondaryShowsATransactionWhenItIsOldEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, simdisk.New())
		one := store(t, l.storage, "one")
		if tid := l.serve(zeo.ReadOnly); tid != 0 {
			t.Fatalf("at first they see %v", tid)
		}
		defer l.close(t)
		pause.For(t.Context(), time.Hour)
		two := store(t, l.storage, "two")
		three := store(t, l.storage, "three")
		l.sees(t)
		pause.For(t.Context(), 3*time.Hour-time.Second)
		l.sees(t)
		pause.For(t.Context(), 2*time.Second)
		l.sees(t, one)
		pause.For(t.Context(), time.Hour-2*time.Second)
		l.sees(t)
		pause.For(t.Context(), 2*time.Second)
		synctest.Wait()
		for len(l.front.steps) > 1 {
			if m := <-l.front.steps; m.Tid != two {
				t.Errorf("they come to see %v", m.Tid)
			}
		}
		l.sees(t, three)
		four := store(t, l.storage, "four") // when nothing was hidden any more
		pause.For(t.Context(), 4*time.Hour+time.Second)
		l.sees(t, four)
		var st admin.Status
		l.show(&st)
		if d := st.ApplyDelay; d.Seconds != 4*3600 || d.Shown == nil || *d.Shown != four || *d.Hidden != 0 ||
			d.Until != nil {
			t.Errorf("the status has %+v", d)
		}
	})
}

// What clients see stays before the mistake, across a restart and a loss of power, until it is let go.
func TestApplyUntilStopsBeforeAMistakeAndIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := simdisk.New()
		l := newLate(t, disk)
		one := store(t, l.storage, "one")
		pause.For(t.Context(), time.Minute)
		mistake := store(t, l.storage, "mistake")
		l.serve(zeo.ReadOnly)
		if doc := l.hold(t, admin.ApplyUntilRequest{Until: mistake - 1, DryRun: true}); doc.Done ||
			l.keep.State().ApplyUntil != 0 || doc.Last == nil || doc.Last.Tid != one || doc.First.Tid != mistake {
			t.Errorf("the dry run says %+v", doc)
		}
		l.hold(t, admin.ApplyUntilRequest{Until: mistake - 1})
		pause.For(t.Context(), 5*time.Hour)
		l.sees(t, one)
		l.close(t)

		l = newLate(t, disk.Crash(1))
		if tid := l.serve(zeo.ReadOnly); tid != one {
			t.Fatalf("after a loss of power they see %v", tid)
		}
		pause.For(t.Context(), time.Hour)
		l.sees(t)
		var st admin.Status
		l.show(&st)
		if d := st.ApplyDelay; d.Until == nil || *d.Until != mistake-1 || *d.Hidden != 60 {
			t.Errorf("the status has %+v", d)
		}
		l.hold(t, admin.ApplyUntilRequest{Resume: true})
		l.sees(t, mistake)
		var refusal *admin.Refusal
		if _, err := l.apply(t.Context(), l.storage, admin.ApplyUntilRequest{Until: one}); !errors.As(err, &refusal) ||
			!strings.Contains(refusal.Text, "clients of this node have seen "+mistake.String()) {
			t.Errorf("what was seen is taken back: %v", err)
		}
		l.close(t)
	})
}

// A hold that is answered is on the disk: whatever step of writing it fails, clients see no more than was answered.
func TestAHoldIsAnsweredWhenItIsDurable(t *testing.T) {
	for step := 1; ; step++ {
		disk := simdisk.New()
		l := newLate(t, disk)
		tid := store(t, l.storage, "one")
		before := len(disk.Ops())
		disk.PowerOffAt(before + step)
		_, err := l.apply(t.Context(), l.storage, admin.ApplyUntilRequest{Until: tid})
		steps := len(disk.Ops()) - before
		_ = l.storage.Close() // without power
		keep, openErr := state.Open(disk.Crash(uint64(step)), "Data.fs")
		if openErr != nil {
			t.Fatal(openErr)
		}
		if err == nil && keep.State().ApplyUntil != tid {
			t.Errorf("step %d: it was answered, and is %v after a loss of power", step, keep.State().ApplyUntil)
		}
		if steps < step {
			break
		}
	}
}

// A primary has no delay, and nobody writes on top of what was.
func TestAPromotionShowsEverythingAndADemotionDelaysAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, simdisk.New())
		one := store(t, l.storage, "one")
		pause.For(t.Context(), 5*time.Hour)
		two := store(t, l.storage, "two")
		if tid := l.serve(zeo.ReadOnly); tid != one {
			t.Fatalf("a secondary shows %v", tid)
		}
		defer l.close(t)
		if limit, all := l.packLimit(); limit != one || all {
			t.Errorf("it packs up to %v", limit)
		}
		l.leads.Store(true)
		l.c.setAccess(zeo.Writable)
		if tid, access := l.offered(), l.front.access["1"]; tid != two || access != zeo.Writable {
			t.Errorf("a primary shows %v, access %v", tid, access)
		}
		if _, all := l.packLimit(); !all {
			t.Error("a primary does not pack everything")
		}
		l.leads.Store(false)
		l.c.setAccess(zeo.ReadOnly)
		if tid, access := l.offered(), l.front.access["1"]; tid != one || access != zeo.ReadOnly {
			t.Errorf("a secondary again shows %v, access %v", tid, access)
		}
		l.front.mu.Lock()
		l.front.access["1"] = zeo.ReadOnly
		l.front.mu.Unlock()
		if l.setAccess(zeo.Writable); l.front.access["1"] != zeo.ReadOnly {
			t.Error("clients may write while they see what was")
		}
		l.setAccess(zeo.ReadOnly)
	})
}

// A file that was packed beyond what is old enough shows nothing, and says so, until it is old enough.
func TestADelayedSecondaryWaitsForAFileThatWasPackedTooFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, simdisk.New())
		store(t, l.storage, "one")
		packed := store(t, l.storage, "two")
		store(t, l.storage, "three")
		if r, err := l.storage.Pack(t.Context(), packed, filestorage.PackOptions{}); err != nil || !r.Packed {
			t.Fatal(r, err)
		}
		l.retire = l.c.offer(l.storage, zeo.StorageOptions{})
		defer l.close(t)
		if why := <-l.front.ends; !strings.Contains(why.Error(), "was packed to transaction") {
			t.Errorf("clients hear %v", why)
		}
		pause.For(t.Context(), 5*time.Hour)
		if tid := l.offered(); tid != l.storage.LastTid() {
			t.Errorf("then they see %v", tid)
		}
	})
}
