package filestorage

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Whatever sync fails, once or from then on, whether the process goes on or is killed there, whether the pages that
// were not written are still in memory or not: when the storage is opened again all that was acknowledged is there, and
// all that is shown, and what is committed then, is there after a power failure.
func TestASyncThatFails(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for n, more := 1, true; more && !t.Failed(); n++ {
				more = false
				for _, after := range []string{"once", "always", "killed"} {
					for mode := range 3 {
						evict, goOn := mode == 1, mode == 2
						st, reached := playWithFailingSync(t, s, n, after)
						more = more || reached
						if evict {
							st.disk.Evict()
						}
						when := fmt.Sprintf("sync %d fails, %s, pages read again %v", n, after, evict)
						checkShownIsDurable(t, when, st, goOn)
					}
				}
			}
		})
	}
}

// playWithFailingSync performs a story in which sync n fails, and reports whether there are so many.
func playWithFailingSync(t *testing.T, s story, n int, after string) (st *stage, reached bool) {
	t.Helper()
	st = newStage(t, s)
	syncs := 0
	st.disk.FailWhen(func(op simdisk.Op) error {
		if after == "killed" && reached {
			return simdisk.ErrKilled
		}
		if op.Kind != simdisk.Sync && op.Kind != simdisk.SyncDir {
			return nil
		}
		if syncs++; syncs < n || after == "once" && syncs > n {
			return nil
		}
		reached = true
		return syscall.EIO
	})
	s.play(st)
	st.end()
	st.disk.Heal()
	st.disk.Revive()
	return st, reached
}

// The same for a process that is killed before any of its operations: what it wrote can be read, and is not on the
// disk.
func TestAKilledProcess(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for n, done := 1, false; !done && !t.Failed(); n++ {
				for _, goOn := range []bool{false, true} {
					st := newStage(t, s)
					st.disk.KillAt(len(st.disk.Ops()) + n)
					s.play(st)
					done = st.err == nil
					st.end()
					st.disk.Revive()
					checkShownIsDurable(t, fmt.Sprintf("killed at operation %d", n), st, goOn)
				}
			}
		})
	}
}

// checkShownIsDurable opens the storage on the disk that played left, looks, goes on or not, and switches the power
// off.
func checkShownIsDurable(t *testing.T, when string, played *stage, goOn bool) {
	t.Helper()
	if t.Failed() {
		return
	}
	st := &stage{t: t, disk: played.disk}
	st.open()
	if st.err != nil {
		t.Fatalf("%s: %v", when, st.err)
	}
	found := contents(t, st.s)
	if len(found) < played.acked || len(found) > len(played.tried) {
		t.Fatalf(
			"%s: %d transactions acknowledged, %d tried, %d found",
			when,
			played.acked,
			len(played.tried),
			len(found),
		)
	}
	if diff := cmp.Diff(lines(played.tried[:len(found)]), lines(found)); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", when, diff)
	}
	checkNoStrayBlobs(t, when, st.s)
	st.tried, st.acked = found, len(found)
	if goOn {
		st.commit(1, "after", "")
	}
	if st.err != nil {
		t.Fatalf("%s: going on: %v", when, st.err)
	}
	crashed := st.disk.Crash(0)
	st.end()
	checkCrashed(t, when+", then the power", st, crashed)
}

// A status whose sync failed is taken back at once: not even this process's page cache says any more that the
// transaction is committed.
func TestAStatusThatIsNotDurableIsTakenBack(t *testing.T) {
	st := newStage(t, story{prepare: start})
	end := st.s.Size()
	txn := st.begin()
	st.store(txn, 1, "may be lost", "")
	st.note(txn.Vote(t.Context()))
	st.disk.FailAt(len(st.disk.Ops())+2, syscall.EIO) // the write of the status, its sync
	if _, err := txn.Finish(t.Context(), nil); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := st.s.file.ReadAt(b[:], end+statusAt); err != nil || b[0] != byte(zodb.StatusCheckpoint) {
		t.Errorf("the status is %q, %v", b, err)
	}
	for seed := range uint64(20) { // and not on the disk either
		f, err := st.disk.Crash(seed).OpenFile(crashPath, os.O_RDWR, 0)
		if err == nil {
			_, err = f.ReadAt(b[:], end+statusAt)
		}
		if err != nil || b[0] != byte(zodb.StatusCheckpoint) {
			t.Errorf("after a power failure, seed %d, the status is %q, %v", seed, b, err)
		}
	}
	st.end()
}

// Pages that a failed sync left clean may go out of memory while the file is being read. What was read then does not
// count; what the disk has does.
func TestPagesThatChangeWhileAStorageIsOpenedAreReadAgain(t *testing.T) {
	st := newStage(t, story{prepare: withCommits})
	end := st.s.Size()
	st.commit(3, "last", "")
	st.close()
	f, err := st.disk.OpenFile(crashPath, os.O_RDWR, 0)
	st.note(errors.Join(err, st.disk.Remove(crashPath+indexSuffix)))
	_, err = f.WriteAt([]byte{'c'}, end+statusAt)
	st.note(errors.Join(err, f.Sync()))
	_, err = f.WriteAt([]byte{' '}, end+statusAt)
	st.note(err)
	st.disk.FailAt(len(st.disk.Ops())+1, syscall.EIO)
	if err := f.Sync(); err == nil || st.err != nil {
		t.Fatal(err, st.err)
	}
	st.disk.Heal()
	opt, read := st.options(), 0
	opt.Progress = func(done, total int64) {
		if done == total {
			read++
			st.disk.Evict()
		}
	}
	s, err := Open(t.Context(), crashPath, opt)
	if err != nil {
		t.Fatal(err)
	}
	if read == 0 || s.LastTid() != 30 {
		t.Errorf("read to the end %d times, the last transaction is %v", read, s.LastTid())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
