package blobtools_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/zodb"
)

// recovers brings back what is missing, and returns the results by oid.
func recovers(t *testing.T, s *site, opt blobtools.RecoverOptions) (map[zodb.Oid]blobtools.Recovered,
	*blobtools.RecoverSummary) {
	t.Helper()
	results := map[zodb.Oid]blobtools.Recovered{}
	blobs, err := blobstore.Open(s.dir, blobstore.Options{})
	must(t, err)
	opt.Path, opt.Blobs = s.data, blobs
	opt.Report = func(r *blobtools.Recovered) error { results[r.Oid] = *r; return nil }
	sum, err := blobtools.RecoverBlobs(t.Context(), opt)
	must(t, err)
	return results, sum
}

func cachePath(dir string, oid zodb.Oid, tid zodb.Tid) string {
	return filepath.Join(dir, fmt.Sprint(uint64(oid%997)), fmt.Sprintf("%d.%v.blob", oid/997, tid))
}

func (s *site) blob(oid zodb.Oid, tid zodb.Tid) string {
	s.t.Helper()
	f, err := s.store.OpenBlob(oid, tid)
	must(s.t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	must(s.t, errors.Join(err, f.Close()))
	return string(b)
}

// What is missing comes back from whichever layout has it, with the mode of a blob, and a second call finds nothing to
// do.
func TestBlobsComeBackFromEveryLayout(t *testing.T) {
	for _, layout := range []string{blobstore.Bushy, blobstore.Lawn} {
		s := newSite(t, layout)
		tid := s.commit(1, 1994, 3, 4, 5)
		sources := t.TempDir()
		for oid, path := range map[zodb.Oid]string{
			1:    cachePath(sources+"/cache", 1, tid),
			1994: cachePath(sources+"/cache", 1994, tid),
			3:    filepath.Join(sources, "lawn", "0x03", blobstore.FileName(tid)),
			4: filepath.Join(sources, "bushy", strings.Repeat("0x00/", 7)+"0x04",
				blobstore.FileName(tid)),
			5: filepath.Join(sources, "aside", fmt.Sprintf("%v.%v.blob", zodb.Oid(5), tid)),
		} {
			must(t, os.Remove(s.path(oid, tid)))
			s.write(path, content(oid, tid), 0o600)
		}
		_, sum := recovers(t, s, blobtools.RecoverOptions{From: []string{sources}, DryRun: true})
		if sum.Recovered != 5 || sum.Left != 0 {
			t.Errorf("a dry run says %+v", sum)
		}
		if again, found := audit(t, s); again.Damages != 5 || len(found) != 5 {
			t.Error("a dry run has changed something")
		}
		_, sum = recovers(t, s, blobtools.RecoverOptions{From: []string{sources}})
		if sum.Missing != 5 || sum.Recovered != 5 || sum.Left != 0 {
			t.Errorf("%+v", sum)
		}
		for _, oid := range []zodb.Oid{1, 1994, 3, 4, 5} {
			if got := s.blob(oid, tid); got != content(oid, tid) {
				t.Errorf("blob %v is %q", oid, got)
			}
		}
		if _, found := audit(t, s); len(found) != 0 {
			t.Errorf("afterwards: %v", kinds(found))
		}
		if _, sum = recovers(t, s, blobtools.RecoverOptions{From: []string{sources}}); sum.Missing != 0 {
			t.Errorf("a second time: %+v", sum)
		}
	}
}

// Files of which nothing proves that they are the blob are not taken, and it is said why.
func TestDoubtfulFilesAreNotTaken(t *testing.T) {
	s := newSite(t, blobstore.Bushy)
	tid := s.commit(1, 2, 3, 4, 5, 6)
	a, b := t.TempDir(), t.TempDir()
	for oid := zodb.Oid(1); oid <= 6; oid++ {
		must(t, os.Remove(s.path(oid, tid)))
	}
	s.write(cachePath(a, 1, tid)+".dl", "the blo", 0o600)
	s.write(cachePath(a, 2, tid), "", 0o600)
	s.write(cachePath(a, 3, tid), "one", 0o600)
	s.write(cachePath(b, 3, tid), "two", 0o600)
	s.write(cachePath(a, 4, tid-1), content(4, tid), 0o600)
	secret := filepath.Join(t.TempDir(), "secret")
	s.write(secret, "secret", 0o600)
	must(t, os.MkdirAll(filepath.Dir(cachePath(a, 5, tid)), 0o777))
	must(t, os.Symlink(secret, cachePath(a, 5, tid)))
	must(t, os.Symlink(filepath.Dir(cachePath(b, 6, tid)), filepath.Dir(cachePath(a, 6, tid))))
	results, sum := recovers(t, s, blobtools.RecoverOptions{From: []string{a, b}})
	if sum.Recovered != 0 || sum.Left != 6 {
		t.Errorf("%+v", sum)
	}
	for oid, want := range map[zodb.Oid]string{1: blobtools.Doubtful, 2: blobtools.Doubtful, 3: blobtools.Doubtful,
		4: blobtools.NotFound, 5: blobtools.NotFound, 6: blobtools.NotFound} {
		if r := results[oid]; r.Result != want || r.Why == "" {
			t.Errorf("blob %v: %+v", oid, r)
		}
	}
}

// What was noted of a blob decides: a whole download that was not renamed is taken, and what differs is not.
func TestWhatWasNotedDecides(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	tid := s.commit(1, 2, 3)
	a, b := t.TempDir(), t.TempDir()
	for oid := zodb.Oid(1); oid <= 3; oid++ {
		must(t, os.Remove(s.path(oid, tid)))
	}
	s.write(cachePath(a, 1, tid)+".dl", content(1, tid), 0o600)
	s.write(cachePath(a, 2, tid), "wrong", 0o600)
	s.write(cachePath(b, 2, tid), content(2, tid), 0o600)
	s.write(cachePath(a, 3, tid), "wrong", 0o600)
	noted := func(oid zodb.Oid, tid zodb.Tid) (int64, [sha256.Size]byte, bool) {
		text := content(oid, tid)
		return int64(len(text)), sha256.Sum256([]byte(text)), true
	}
	results, sum := recovers(t, s, blobtools.RecoverOptions{From: []string{a, b}, Noted: noted})
	if sum.Recovered != 2 || s.blob(1, tid) != content(1, tid) || s.blob(2, tid) != content(2, tid) {
		t.Errorf("%+v", sum)
	}
	if r := results[3]; r.Result != blobtools.Doubtful || !strings.Contains(r.Why, "noted") {
		t.Errorf("%+v", r)
	}
}

// No file is replaced, whatever a source has of it, and no symbolic link in the directory leads out of it.
func TestNothingIsReplacedAndNoLinkIsFollowed(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	tid := s.commit(1, 2)
	cache, outside := t.TempDir(), t.TempDir()
	s.write(cachePath(cache, 1, tid), "other", 0o600)
	s.write(cachePath(cache, 2, tid), content(2, tid), 0o600)
	folder := filepath.Dir(s.path(2, tid))
	must(t, errors.Join(os.RemoveAll(folder), os.Symlink(outside, folder)))
	results, sum := recovers(t, s, blobtools.RecoverOptions{From: []string{cache}})
	if sum.Missing != 1 || results[2].Result != blobtools.CannotSay {
		t.Errorf("%+v, %+v", sum, results)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside of the directory there is %v, %v", entries, err)
	}
	if got := s.blob(1, tid); got != content(1, tid) {
		t.Errorf("a blob that was there is %q now", got)
	}
}

func TestARecoveryEndsWithItsContext(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	tid := s.commit(1)
	must(t, os.Remove(s.path(1, tid)))
	blobs, err := blobstore.Open(s.dir, blobstore.Options{})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = blobtools.RecoverBlobs(ctx, blobtools.RecoverOptions{Path: s.data, Blobs: blobs})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
