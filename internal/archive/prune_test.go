package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// packedOften returns an archive of n generations, a day apart, and the moments that there were.
func packedOften(t *testing.T, store Store, n int) (s *site, was map[zodb.Tid]look) {
	t.Helper()
	s = newSite(t, 1)
	t.Cleanup(s.close)
	w := s.writer(store, smallSegments)
	was = map[zodb.Tid]look{}
	for i := range n {
		if i > 0 {
			s.pack(s.st.LastTid() - 1)
		}
		s.archive(w)
		day, err := zodb.TidFromTime(firstTid.Time().AddDate(0, 0, i))
		if err != nil {
			t.Fatal(err)
		}
		s.tid = day
		for range 20 {
			was[s.commit(3, 2000, true)] = s.look()
		}
		s.archive(w)
	}
	return s, was
}

func prune(t *testing.T, a *Archive, opt PruneOptions) *PruneReport {
	t.Helper()
	r, err := a.Prune(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPruneDeletesOnlyWhatNoKeptMomentNeeds(t *testing.T) {
	store := newStore(t, simdisk.New())
	s, was := packedOften(t, store, 6)
	a := open(t, store, Keys{})
	now := firstTid.Time().AddDate(0, 0, 6)
	opt := PruneOptions{Keep: Keep{Generations: 1}, DryRun: true}
	opt.Now = time.Now().Add(48 * time.Hour) // the objects are older than a day
	opt.Keep.Every = 36*time.Hour + opt.Now.Sub(now)
	would := prune(t, a, opt)
	opt.DryRun = false
	r := prune(t, a, opt)
	if would.Segments != r.Segments || r.Segments == 0 {
		t.Errorf("a dry run says %d segments, and %d went", would.Segments, r.Segments)
	}
	report, err := a.Verify(t.Context(), 2, nil)
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("verify after prune: %v, %+v", err, report)
	}
	since, err := zodb.TidFromTime(now.Add(-36 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for tid, want := range was {
		if tid >= since {
			same(t, tid.String(), mustRestore(t, a, tid), want)
			kept++
		}
	}
	if kept == 0 {
		t.Error("no moment is kept")
	}
	same(t, "the latest moment", mustRestore(t, a, Latest), s.look())
}

// Whatever is kept, one generation can be restored.
func TestPruneLeavesOneRestorableGeneration(t *testing.T) {
	store := newStore(t, simdisk.New())
	s, _ := packedOften(t, store, 4)
	a := open(t, store, Keys{})
	r := prune(t, a, PruneOptions{Keep: Keep{Generations: 1}, Now: time.Now().AddDate(10, 0, 0)})
	if fmt.Sprint(r.Generations) != "[1 2 3]" || r.Blobs == 0 {
		t.Errorf("pruned: %+v", r)
	}
	same(t, "the latest moment", mustRestore(t, a, Latest), s.look())
	for o, err := range store.List(t.Context(), segments) {
		if id, ok := parseSegment(o.Key); err != nil || !ok || id.Generation != 4 {
			t.Errorf("%s is left, %v", o.Key, err)
		}
	}
}

// A lockedStore deletes nothing whose key has a certain beginning, as under an object lock.
type lockedStore struct {
	Store
	prefix string
}

func (s *lockedStore) Delete(ctx context.Context, key string) error {
	if strings.HasPrefix(key, s.prefix) {
		return fmt.Errorf("delete %s: %w", key, objectstore.ErrPermission)
	}
	return s.Store.Delete(ctx, key)
}

func TestWhatTheStoreKeepsIsReported(t *testing.T) {
	for _, prefix := range []string{generations, segments + "00000002", blobs} {
		store := newStore(t, simdisk.New())
		packedOften(t, store, 3)
		a := open(t, &lockedStore{store, prefix}, Keys{})
		r := prune(t, a, PruneOptions{Keep: Keep{Generations: 1}, Now: time.Now().AddDate(1, 0, 0)})
		if r.Refused == 0 || r.FirstError == nil {
			t.Errorf("%s: %+v", prefix, r)
		}
		report, err := a.Verify(t.Context(), 1, nil)
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("%s: verify: %v, %+v", prefix, err, report.Problems)
		}
	}
}

// A dyingStore ends after so many operations.
type dyingStore struct {
	Store
	left int
}

var errDead = errors.New("the process is dead")

func (s *dyingStore) Delete(ctx context.Context, key string) error {
	if s.left == 0 {
		return errDead
	}
	s.left--
	return s.Store.Delete(ctx, key)
}

// A prune that ends anywhere leaves an archive that is right, and the next one does the rest.
func TestAPruneThatIsKilledLeavesNothingHalf(t *testing.T) {
	for killed := 0; ; killed += 3 {
		store := newStore(t, simdisk.New())
		s, _ := packedOften(t, store, 3)
		dying := &dyingStore{store, killed}
		opt := PruneOptions{Keep: Keep{Generations: 1}, Now: time.Now().AddDate(1, 0, 0)}
		_, err := open(t, dying, Keys{}).Prune(t.Context(), opt)
		a := open(t, store, Keys{})
		report, verr := a.Verify(t.Context(), 1, nil)
		if verr != nil || len(report.Problems) > 0 {
			t.Fatalf("killed after %d: verify: %v, %+v", killed, verr, report.Problems)
		}
		same(t, "the latest moment", mustRestore(t, a, Latest), s.look())
		if err == nil {
			return
		}
		if again := prune(t, a, opt); again.Refused > 0 {
			t.Fatalf("%+v", again)
		}
		same(t, "the latest moment", mustRestore(t, a, Latest), s.look())
	}
}
