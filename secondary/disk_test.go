package secondary

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

func TestAFullDiskIsToldAndGoesOnWhenThereIsRoom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 20)
	disk := simdisk.New()
	s := onDisk(t, disk, "db")
	disk.SetCapacity(2500)
	r := s.follow(t, p.asPrimary(t))
	st := r.eventually(t, "out of room", func(st Status) bool { return st.State == StateFailed })
	if !strings.Contains(st.LastError, syscall.ENOSPC.Error()) {
		t.Errorf("the operator does not read that the disk is full: %s", st.LastError)
	}
	mustBePrefix(t, p, s)
	select {
	case err := <-r.done:
		t.Fatalf("Run gave up: %v", err)
	default:
	}
	disk.Heal()
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
}

func TestADiskThatCannotSyncEndsRunWithAnErrorThatSaysToReopen(t *testing.T) {
	p := inMemory(t).named(t).history(t, 5)
	disk := simdisk.New()
	s := onDisk(t, disk, "db")
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Sync && op.Path == s.data() {
			return syscall.EIO
		}
		return nil
	})
	addr := p.asPrimary(t)
	r := s.follow(t, addr)
	var failed *filestorage.FailedError
	if err := <-r.done; !errors.As(err, &failed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Run ended with %v", err)
	}
	r.done <- nil
	if st := r.Status(); st.State != StateFailed || st.LastError == "" {
		t.Errorf("%+v", st)
	}
	disk.Heal()
	_ = s.st.Close()
	again := onDisk(t, disk, "db")
	again.follow(t, addr).has(t, p.st.LastTid())
	mustEqual(t, p, again)
}

// applied runs a secondary on a disk that loses power before operation n, and reports whether it did.
func applied(t *testing.T, p *site, addr string, n int, change ...func(*Options)) (lost bool, after *simdisk.Disk) {
	t.Helper()
	disk := simdisk.New()
	disk.PowerOffAt(n)
	s := &site{fs: disk, dir: "db"}
	if err := s.open(); err != nil {
		return true, disk.Crash(uint64(n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	sec := s.secondary(addr, change...)
	sec.pause = func(context.Context, time.Duration) bool {
		if sec.Status().State == StateFailed {
			cancel() // there is no time for more
		}
		return true
	}
	r := sec.run(t)
	context.AfterFunc(ctx, r.end)
	r.eventually(t, "complete or stopped", func(st Status) bool {
		return st.Durable == p.st.LastTid() || st.State == StateStopped || len(r.done) > 0
	})
	lost = r.Status().Durable != p.st.LastTid()
	durable := r.Status().Durable
	after = disk.Crash(uint64(n))
	r.end()
	<-r.done
	r.done <- nil
	cancel()
	_ = s.st.Close() // without power
	left := onDisk(t, after, "db")
	if got := left.st.LastTid(); got < durable {
		t.Errorf("operation %d: %v was durable, %v is left", n, durable, got)
	}
	mustBePrefix(t, p, left)
	if err := left.st.Close(); err != nil {
		t.Error(err)
	}
	return lost, after
}

// Each operation of a secondary that fills itself is once the one before which the power fails. What is left opens,
// shows only what the primary has, has all that was durable, and is completed by the next run.
func TestACrashAtAnyOperationIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 7)
	addr := p.asPrimary(t)
	for n := 1; ; n++ {
		lost, after := applied(t, p, addr, n)
		s := onDisk(t, after, "db")
		s.follow(t, addr).has(t, p.st.LastTid())
		mustEqual(t, p, s)
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
		if !lost {
			t.Logf("%d operations", n)
			return
		}
	}
}
