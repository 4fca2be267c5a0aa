package blobstore

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// filled returns a store with two revisions of oid 1 and one of oid 2.
func filled(t *testing.T, layout string) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "blobs"), Options{Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []revision{{1, 10}, {1, 20}, {2, 10}} {
		put(t, s, r.oid, r.tid)
	}
	return s
}

func put(t *testing.T, s *Store, oid zodb.Oid, tid zodb.Tid) {
	t.Helper()
	b, err := s.Stage(oid, tid, strings.NewReader(oid.String()+tid.String()))
	if err == nil {
		err = errors.Join(b.Sync(), b.Publish(), b.SyncDir())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func notNeeded(zodb.Oid, zodb.Tid) (bool, error) { return false, nil }

// blobsIn lists the blobs of a directory, and checks that it has no empty folder but tmp.
func blobsIn(t *testing.T, dir, layout string) (list []revision) {
	t.Helper()
	s, err := Open(dir, Options{Layout: layout, ReadOnly: true})
	if err == nil {
		err = s.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
			list = append(list, revision{oid, tid})
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == tmpName {
			return err
		}
		entries, err := os.ReadDir(path)
		if len(entries) == 0 {
			t.Errorf("%s is empty", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What was planned is removed, unless it is needed; with keepOld the other directory has everything; folders that
// became empty are gone, and blobs can be put there again.
func TestRemoval(t *testing.T) {
	for _, layout := range []string{Bushy, Lawn} {
		for _, keepOld := range []bool{true, false} {
			s := filled(t, layout)
			planned := map[zodb.Oid]zodb.Tid{1: 10, 2: 10, 3: 10}
			for range 2 { // a second plan takes the place of the first
				if err := s.PlanRemoval(maps.All(planned), keepOld); err != nil {
					t.Fatal(err)
				}
			}
			if got := blobsIn(t, s.Dir(), layout); len(got) != 3 {
				t.Errorf("a plan left %v", got)
			}
			if err := s.FinishRemoval(t.Context(), notNeeded); err != nil {
				t.Fatal(err)
			}
			left := blobsIn(t, s.Dir(), layout)
			if diff := cmp.Diff([]revision{{1, 20}}, left, cmp.AllowUnexported(revision{})); diff != "" {
				t.Errorf("%s, keep %v (-want +got):\n%s", layout, keepOld, diff)
			}
			if keepOld {
				want := []revision{{1, 10}, {1, 20}, {2, 10}}
				old := blobsIn(t, s.Dir()+oldSuffix, layout)
				if diff := cmp.Diff(want, old, cmp.AllowUnexported(revision{})); diff != "" {
					t.Errorf("%s, old (-want +got):\n%s", layout, diff)
				}
			} else if _, err := os.Stat(s.Dir() + oldSuffix); !errors.Is(err, fs.ErrNotExist) {
				t.Error("there is an old directory")
			}
			if err := errors.Join(s.PlanRemoval(maps.All(planned), false), s.CancelRemoval()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.Dir() + oldSuffix); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the next plan leaves the old directory of the last one")
			}
			put(t, s, 2, 30)
			if err := s.FinishRemoval(t.Context(), notNeeded); err != nil || len(blobsIn(t, s.Dir(), layout)) != 2 {
				t.Errorf("without a plan: %v", err)
			}
		}
	}
}

// A removal that is interrupted goes on the next time; what is still needed stays; a plan that is dropped does nothing.
func TestRemovalGoesOn(t *testing.T) {
	s := filled(t, Bushy)
	plan := func() {
		if err := s.PlanRemoval(maps.All(map[zodb.Oid]zodb.Tid{1: 10, 2: 10}), true); err != nil {
			t.Fatal(err)
		}
	}
	plan()
	if err := s.CancelRemoval(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.CancelRemoval(), s.FinishRemoval(t.Context(), notNeeded)); err != nil {
		t.Fatal(err)
	}
	plan()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := s.FinishRemoval(stopped, notNeeded); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unknown := errors.New("unknown")
	err := s.FinishRemoval(t.Context(), func(zodb.Oid, zodb.Tid) (bool, error) { return false, unknown })
	if !errors.Is(err, unknown) || len(blobsIn(t, s.Dir(), Bushy)) != 3 {
		t.Error(err)
	}
	err = s.FinishRemoval(t.Context(), func(oid zodb.Oid, _ zodb.Tid) (bool, error) { return oid == 2, nil })
	want := []revision{{1, 20}, {2, 10}}
	if diff := cmp.Diff(want, blobsIn(t, s.Dir(), Bushy), cmp.AllowUnexported(revision{})); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

// A plan that makes no sense is an error, and nothing is removed.
func TestPlanThatIsNone(t *testing.T) {
	for _, text := range []string{
		"", "keep", "throw away\n", "remove\n0000000000000001\n", "remove\n000000000000000100000000000000zz\n",
		"keep\n" + strings.Repeat("x", 100_000),
	} {
		s := filled(t, Bushy)
		if err := os.WriteFile(filepath.Join(s.Dir(), planName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		err := s.FinishRemoval(t.Context(), notNeeded)
		if (err == nil) != (text == "keep") || len(blobsIn(t, s.Dir(), Bushy)) != 3 {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
