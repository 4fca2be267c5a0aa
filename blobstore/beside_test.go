package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func unpaced(context.Context) error { return nil }

// A life is what happens to a directory while it is converted: of every three steps one brings a blob, one takes one
// away, and one sets one aside, or packs one away.
type life struct {
	s        *Store
	has      map[revision]bool // durably
	gone     map[revision]bool // durably
	unsure   *revision         // of what goes on when the disk stops
	step     int
	keepOld  bool // packs keep what they remove
	discards bool
}

func newLife(s *Store) *life {
	l := &life{s: s, has: map[revision]bool{}, gone: map[revision]bool{}}
	for _, r := range converted {
		l.has[r] = true
	}
	return l
}

func (l *life) next(context.Context) error {
	l.step++
	r := revision{zodb.Oid(2 + l.step%5*51), zodb.Tid(1000 + l.step)}
	switch l.step % 4 {
	case 0, 1:
		l.unsure = &r
		if err := l.publish(r); err != nil {
			return err
		}
		l.has[r] = !l.discards
		l.gone[r] = l.discards
		l.discards = !l.discards
	default:
		r = l.oldest()
		l.unsure = &r
		delete(l.has, r)
		if err := l.remove(r); err != nil {
			return err
		}
		l.gone[r] = true
	}
	l.unsure = nil
	return nil
}

func (l *life) oldest() revision {
	return slices.MinFunc(slices.Collect(maps.Keys(l.has)), func(a, b revision) int {
		return strings.Compare(a.tid.String()+a.oid.String(), b.tid.String()+b.oid.String())
	})
}

func (l *life) publish(r revision) error {
	b, err := l.s.Stage(r.oid, r.tid, strings.NewReader(r.oid.String()+r.tid.String()))
	if err != nil {
		return err
	}
	if err := errors.Join(b.Sync(), b.Publish()); err != nil {
		return err
	}
	if l.discards {
		return b.Discard()
	}
	return b.SyncDir()
}

func (l *life) remove(r revision) error {
	switch l.step % 3 {
	case 0:
		return l.s.Remove(r.oid, r.tid)
	case 1:
		return l.s.SetAside(r.oid, r.tid, "aside")
	}
	one := func(yield func(zodb.Oid, zodb.Tid) bool) { _ = yield(r.oid, r.tid) }
	if err := l.s.PlanRemoval(iter.Seq2[zodb.Oid, zodb.Tid](one), l.keepOld); err != nil {
		return err
	}
	return l.s.FinishRemoval(context.Background(), notNeeded)
}

// mustBe looks whether a directory has what it must have, and nothing else.
func (l *life) mustBe(t *testing.T, s *Store, when string) {
	t.Helper()
	err := s.FinishRemoval(t.Context(), notNeeded) // as when the storage is opened
	if l.unsure != nil && err == nil {
		err = s.SetAside(l.unsure.oid, l.unsure.tid, "aside") // likewise
	}
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for r, is := range l.has {
		text, err := textOf(s, r)
		if is && (err != nil || text != r.oid.String()+r.tid.String()) {
			t.Fatalf("%s: blob %v is %q, %v", when, r, text, err)
		}
	}
	for r, is := range l.gone {
		if _, err := s.Stat(r.oid, r.tid); is && err == nil {
			t.Fatalf("%s: blob %v is there again", when, r)
		}
	}
	err = s.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
		r := revision{oid, tid}
		if !l.has[r] {
			return fmt.Errorf("%s is there", path)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

func textOf(s *Store, r revision) (string, error) {
	f, err := s.OpenBlob(r.oid, r.tid)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	return string(text), errors.Join(err, f.Close())
}

// A power failure at any step of a conversion beside commits, packs and recoveries loses no blob and brings none back,
// and the conversion can be gone on with, or back, beside a server or without one.
func TestACrashInAConversionBesideAServerLosesNoBlob(t *testing.T) {
	for _, syncs := range []string{"all at a time", "one by one"} {
		for _, way := range [][2]string{{Bushy, Lawn}, {Lawn, Bushy}} {
			t.Run(fmt.Sprint(syncs, way), func(t *testing.T) {
				for n := 1; crashBeside(t, way, n, syncs == "one by one"); n += 3 {
				}
			})
		}
	}
}

func crashBeside(t *testing.T, way [2]string, n int, oneByOne bool) (crashed bool) {
	t.Helper()
	disk := simdisk.New()
	if oneByOne {
		disk.SyncsOneByOne()
	}
	s := open(t, "db/blobs", Options{FS: disk, Layout: way[0]})
	fillAll(t, s)
	l := newLife(s)
	l.keepOld = n%2 == 0
	disk.PowerOffAt(len(disk.Ops()) + n)
	err := convertTwice(t.Context(), s, way[1], l.next)
	crashed = err != nil
	if err != nil && !errors.Is(err, simdisk.ErrPowerLoss) {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		for i, to := range way {
			after := disk.Crash(seed)
			s := open(t, "db/blobs", Options{FS: after})
			when := fmt.Sprintf("cut before operation %d, seed %d", n, seed)
			l.mustBe(t, s, when)
			switch {
			case (int(seed)+i)%2 == 0:
				err = convertTwice(t.Context(), s, to, unpaced)
			default:
				_, err = s.Convert(t.Context(), to, nil)
			}
			if err != nil {
				t.Fatalf("%s: going on to %s: %v", when, to, err)
			}
			l.mustBe(t, s, when+", and gone on")
			l.mustBe(t, open(t, "db/blobs", Options{FS: after, Layout: to}), when+", and opened again")
			mustHaveNoOther(t, s, when)
		}
	}
	return crashed
}

// convertTwice converts, and keeps the old names at first.
func convertTwice(ctx context.Context, s *Store, to string, pace func(context.Context) error) error {
	if _, err := s.ConvertBeside(ctx, to, BesideOptions{OldNames: true, Pace: pace}); err != nil {
		return err
	}
	_, err := s.ConvertBeside(ctx, to, BesideOptions{Pace: pace})
	return err
}

// While blobs are published, read, evicted and packed away by several at a time, the layout is changed back and forth.
// No read of a blob that is there fails, and at the end each is there under one name.
func TestAConversionBesideReadersAndWriters(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var rounds atomic.Int64
	for writer := range 3 {
		all.Go(func() {
			l := &life{s: s, has: map[revision]bool{}}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r := revision{zodb.Oid(300*writer + i%7 + 10), zodb.Tid(100 + i)}
				err := l.publish(r)
				if err == nil {
					_, err = textOf(s, r)
				}
				if err == nil && writer == 0 {
					err = l.remove(r)
				} else if err == nil {
					err = s.Evict(r.oid, r.tid)
				}
				for _, r := range converted {
					if text, err := textOf(s, r); err != nil || text != r.oid.String()+r.tid.String() {
						t.Errorf("blob %v is %q, %v", r, text, err)
					}
				}
				if err != nil {
					t.Errorf("blob %v: %v", r, err)
					return
				}
				l.step++
				rounds.Add(1)
			}
		})
	}
	for n := range 6 {
		to := []string{Bushy, Lawn}[n%2]
		before := rounds.Load()
		for rounds.Load() < before+3 && !t.Failed() && pause.For(t.Context(), time.Millisecond) {
		}
		if err := convertTwice(t.Context(), s, to, unpaced); err != nil {
			t.Error(err)
		}
		if s.Layout() != to {
			t.Errorf("the layout is %s, want %s", s.Layout(), to)
		}
	}
	close(stop)
	all.Wait()
	mustHaveAll(t, s, "converted beside writers")
	mustHaveNoOther(t, s, "converted beside writers")
}

// While the old names are kept, a client that shares the directory finds, by the layout that it has read at its start,
// each blob, and what it puts there is found.
func TestWhoKeepsToTheOldLayoutSeesEachBlobUntilOldNamesGo(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	if did, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{OldNames: true, Pace: unpaced}); err != nil ||
		!did.OldNames || did.Removed != 0 || did.Blobs != int64(len(converted)) {
		t.Fatalf("%+v, %v", did, err)
	}
	for _, old := range []bool{true, false} {
		would, err := s.WouldConvert(t.Context(), Bushy, old)
		if want := int64(len(converted)); err != nil || would.Blobs != 0 || would.OldNames != old ||
			(would.Removed == want) == old {
			t.Errorf("with old names %v it would do %+v, %v", old, would, err)
		}
	}
	put(t, s, 3, 9)
	for _, r := range append(slices.Clone(converted), revision{3, 9}) {
		for _, l := range []layout{lawn{}, bushy{}} {
			if text, err := os.ReadFile(s.pathIn(l, r.oid, r.tid)); string(text) != r.oid.String()+r.tid.String() {
				t.Errorf("%v as %s: %q, %v", r, l.name(), text, err)
			}
		}
	}
	want := []string{filepath.Join(s.Dir(), bushy{}.folder(3)), filepath.Join(s.Dir(), "0x03")}
	if got := s.Folders(3); !slices.Equal(got, want) {
		t.Errorf("uploads are looked for in %q", got)
	}
	if err := s.Evict(3, 9); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(want[1], FileName(9))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an evicted blob is still there by the old layout: %v", err)
	}
	empty := filepath.Join(s.Dir(), "0x99") // that a client made for a blob that it did not commit
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	again := open(t, s.Dir(), Options{})
	if len(again.Folders(3)) != 2 {
		t.Error("after a start the old names are forgotten")
	}
	if did, err := again.ConvertBeside(t.Context(), Bushy, BesideOptions{Pace: unpaced}); err != nil ||
		did.OldNames || did.Removed != int64(len(converted)) {
		t.Errorf("%+v, %v", did, err)
	}
	mustHaveAll(t, again, "ended")
	mustHaveNoOther(t, again, "ended")
	if _, err := os.Stat(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder stays: %v", err)
	}
	if len(again.Folders(3)) != 1 {
		t.Error("after the end there are two layouts")
	}
}

// A command in another process, which has opened the directory before, brings a blob back while it is converted: the
// conversion has passed the place already.
func TestABlobThatAnotherProcessBringsBackIsConverted(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	other := open(t, s.Dir(), Options{})
	right := func() error { return nil }
	for _, keep := range []bool{true, false} {
		r := revision{7, zodb.Tid(1 + len(s.Folders(1)))}
		restored := false
		pace := func(context.Context) error {
			if restored {
				return nil
			}
			restored = true
			return other.Restore(r.oid, r.tid, strings.NewReader(r.oid.String()+r.tid.String()), right)
		}
		if _, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{OldNames: keep, Pace: pace}); err != nil {
			t.Fatal(err)
		}
		if _, err := textOf(s, r); err != nil || !restored {
			t.Error(err)
		}
	}
	mustHaveNoOther(t, s, "ended")
}

// An old name is not removed while somebody goes through the directory by it.
func TestAWalkByTheOldLayoutSeesAllBlobs(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	ended := make(chan error, 1)
	seen := 0
	err := s.Walk(func(_ zodb.Oid, _ zodb.Tid, _ int64, path string) error {
		if seen++; seen == 1 {
			go func() {
				_, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{Pace: unpaced})
				ended <- err
			}()
			for s.doubled() != ending && pause.For(t.Context(), time.Millisecond) {
			}
		}
		_, err := os.Stat(path)
		return err
	})
	if err != nil || seen != len(converted) {
		t.Errorf("saw %d, %v", seen, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mustHaveNoOther(t, s, "ended")
}

// A conversion beside a server is refused where files have one name, and when one goes on already; it ends with its
// context, and says what is in its way.
func TestAConversionBesideAServerSaysWhyItCannot(t *testing.T) {
	s := open(t, t.TempDir(), Options{FS: linkless{vfs.OS{}}, Layout: Lawn})
	fillAll(t, s)
	_, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{Pace: unpaced})
	if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "without one") {
		t.Errorf("without links: %v", err)
	}
	if began, err := s.Converting(); began || err != nil {
		t.Errorf("it has begun: %v, %v", began, err)
	}

	s = open(t, s.Dir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.ConvertBeside(ctx, Bushy, BesideOptions{Pace: func(ctx context.Context) error {
		if _, err := s.Convert(ctx, Bushy, nil); !errors.Is(err, ErrConverting) {
			t.Errorf("a second one: %v", err)
		}
		cancel()
		return context.Cause(ctx)
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	mustHaveAll(t, s, "given up")

	// A file in the place of a folder.
	if err := errors.Join(os.MkdirAll(filepath.Join(s.Dir(), "0x80"), 0o777),
		os.WriteFile(filepath.Join(s.Dir(), "0x80", "0x00"), nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{Pace: unpaced}); err == nil {
		t.Error("a file in the place of a folder is no reason")
	}
	mustHaveAll(t, s, "refused")
}

// hindered is a disk that refuses to make some names, as one whose file system is full.
type hindered struct {
	vfs.FS
	refuses func(name string) bool
}

func (h hindered) Link(from, to string) error {
	if h.refuses(to) {
		return syscall.ENOSPC
	}
	return h.FS.Link(from, to)
}

// A blob that comes and cannot get its second name is committed nevertheless, and gets it before the marker changes.
func TestABlobThatMissesItsSecondNameGetsItLater(t *testing.T) {
	full, paces := false, 0
	s := open(t, t.TempDir(), Options{Layout: Lawn, FS: hindered{vfs.OS{}, func(name string) bool {
		return full && filepath.Base(name) == FileName(9)
	}}})
	fillAll(t, s)
	did, err := s.ConvertBeside(t.Context(), Bushy, BesideOptions{OldNames: true, Pace: func(context.Context) error {
		if paces++; paces == 1 { // in a folder that was read already
			full = true
			put(t, s, 0, 9)
			full = false
			put(t, s, 0, 10)
		}
		return nil
	}})
	if err != nil || did.Blobs != int64(len(converted))+2 {
		t.Fatalf("%+v, %v", did, err)
	}
	for _, tid := range []zodb.Tid{9, 10} {
		if _, err := s.Stat(0, tid); err != nil {
			t.Error(err)
		}
	}
}
