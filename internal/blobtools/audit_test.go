package blobtools_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/mount"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func audit(t *testing.T, s *site) (*blobtools.Summary, []blobtools.Finding) {
	t.Helper()
	var list []blobtools.Finding
	blobs, err := blobstore.Open(s.dir, blobstore.Options{ReadOnly: true})
	must(t, err)
	sum, err := blobtools.Audit(t.Context(), blobtools.AuditOptions{Path: s.data, Blobs: blobs,
		Report: func(f *blobtools.Finding) error { list = append(list, *f); return nil }})
	must(t, err)
	return sum, list
}

// kinds are the findings, each as "kind oid" or "kind name".
func kinds(list []blobtools.Finding) (texts []string) {
	for _, f := range list {
		what := filepath.Base(f.Path)
		if f.Oid != nil {
			what = fmt.Sprintf("%d", *f.Oid)
		}
		texts = append(texts, fmt.Sprintf("%s %s", f.Kind, what))
	}
	slices.Sort(texts)
	return texts
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	for _, layout := range []string{blobstore.Bushy, blobstore.Lawn} {
		s := newSite(t, layout)
		s.commit(1, 2, -3)
		s.commit(1, 256)
		sum, list := audit(t, s)
		if len(list) > 0 || sum.Files != 4 || sum.Revisions != 4 || sum.Damages+sum.Warnings != 0 {
			t.Errorf("%s: %v, %+v", layout, kinds(list), sum)
		}
	}
}

// Whatever is wrong with a file is said, with the object and the transaction to which it belongs.
func TestEveryKindIsFound(t *testing.T) {
	for _, layout := range []string{blobstore.Bushy, blobstore.Lawn} {
		t.Run(layout, func(t *testing.T) {
			s := newSite(t, layout)
			tid := s.commit(1, 2, 3, 4, 5, 6, -9)
			elsewhere := filepath.Join(t.TempDir(), "secret")
			s.write(elsewhere, "secret", 0o644)

			must(t, os.Remove(s.path(1, tid)))
			must(t, errors.Join(os.Remove(s.path(2, tid)), os.Symlink(elsewhere, s.path(2, tid))))
			must(t, errors.Join(os.Chmod(s.path(3, tid), 0o600), os.Truncate(s.path(3, tid), 0),
				os.Chmod(s.path(3, tid), 0o400)))
			must(t, os.Chmod(s.path(4, tid), 0o644))
			must(t, os.Chmod(s.path(5, tid), 0o200))
			s.write(s.path(6, tid-0x800), "a revision that was packed", 0o444)
			s.write(s.path(9, tid), "of another storage", 0o444)
			s.write(s.path(7, tid), "of an object that is gone", 0o444)
			s.write(s.path(6, tid+0x10000), "of a later transaction", 0o444)
			s.write(filepath.Join(s.dir, "tmp", "BUC1.tmp"), "x", 0o644)
			s.write(filepath.Join(filepath.Dir(s.path(4, tid)), "0x0400abcd.tmp"), "x", 0o644)
			s.write(filepath.Join(s.dir, "notes.txt"), "x", 0o644)
			s.write(filepath.Join(s.dir, mount.BlobName), "of a node that runs here", 0o644)
			must(t, os.Symlink("/", filepath.Join(s.dir, "0xfe")))
			must(t, os.Remove(filepath.Join(s.dir, ".layout")))
			if layout == blobstore.Bushy {
				s.write(filepath.Join(s.dir, ".layout"), layout, 0o644)
			}

			sum, list := audit(t, s)
			want := []string{"missing 1", "not-plain 2", "empty 3", "mode 4", "mode 5", "unreadable 5", "orphaned 6",
				"foreign 6", "foreign 9", "orphaned 7", "leftover BUC1.tmp", "leftover 0x0400abcd.tmp",
				"unknown notes.txt", "unknown 0xfe"}
			if layout == blobstore.Lawn {
				want = append(want, "layout .layout")
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, kinds(list)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if sum.Damages != sum.Found[blobtools.Missing]+sum.Found[blobtools.NotPlain]+
				sum.Found[blobtools.Unreadable] || sum.WastedSize == 0 {
				t.Errorf("%+v", sum)
			}
			for _, f := range list {
				if f.Kind == blobtools.Missing && (f.Txn == nil || f.Txn.User != "ann" || f.Txn.Description != "edit" ||
					!f.Txn.Time.Equal(tid.Time().UTC())) {
					t.Errorf("the transaction of a missing blob is %+v", f.Txn)
				}
			}
		})
	}
}

// Beside a server, blobs of transactions that were committed since the audit began are no findings.
func TestACommitDuringAnAuditIsNoFinding(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	s.commit(1)
	blobs, err := blobstore.Open(s.dir, blobstore.Options{ReadOnly: true})
	must(t, err)
	once := true
	sum, err := blobtools.Audit(t.Context(), blobtools.AuditOptions{Path: s.data, Blobs: blobs,
		Progress: func(_, _ int64) {
			if once {
				once = false
				s.commit(2)
			}
		},
		Report: func(f *blobtools.Finding) error { return errors.New(f.String()) }})
	if err != nil || sum.Later != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// What is said of a Data.fs that a pack has replaced meanwhile would be wrong.
func TestAPackDuringAnAuditEndsIt(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	tid := s.commit(1)
	must(t, os.Remove(s.path(1, tid)))
	blobs, err := blobstore.Open(s.dir, blobstore.Options{ReadOnly: true})
	must(t, err)
	_, err = blobtools.Audit(t.Context(), blobtools.AuditOptions{Path: s.data, Blobs: blobs,
		Progress: func(_, _ int64) {
			text, err := os.ReadFile(s.data)
			must(t, errors.Join(err, os.Rename(s.data, s.data+".old"), os.WriteFile(s.data, text, 0o600)))
		},
		Report: func(f *blobtools.Finding) error { return errors.New(f.String()) }})
	if !errors.Is(err, blobtools.ErrPacked) {
		t.Errorf("got %v", err)
	}
}

// Every transaction is found by its tid, wherever between the remembered ones it is.
func TestTheTransactionOfAFileIsFound(t *testing.T) {
	s := newSite(t, blobstore.Bushy)
	var tids []zodb.Tid
	for range 200 {
		tids = append(tids, s.commit(-1))
	}
	for _, tid := range tids {
		s.write(s.path(7, tid), "x", 0o444)
		s.write(s.path(7, tid-1), "x", 0o444)
	}
	_, list := audit(t, s)
	if len(list) != 400 {
		t.Fatalf("%d findings", len(list))
	}
	for _, f := range list {
		if known := slices.Contains(tids, *f.Tid); known != (f.Txn != nil) {
			t.Fatalf("of tid %v: %+v", *f.Tid, f.Txn)
		}
	}
}

// A folder that cannot be read is named, and its blobs are not called missing. What is missing elsewhere comes back.
func TestAFolderThatCannotBeReadHoldsNothingElseUp(t *testing.T) {
	s := newSite(t, blobstore.Bushy)
	tid := s.commit(1, 2, 3)
	cache := t.TempDir()
	s.write(cachePath(cache, 3, tid), s.blob(3, tid), 0o444)
	must(t, os.Remove(s.path(3, tid)))
	disk := &simdisk.Unreadable{FS: vfs.OS{}, Dir: filepath.Dir(s.path(2, tid))}
	blobs, err := blobstore.Open(s.dir, blobstore.Options{FS: disk, ReadOnly: true})
	must(t, err)
	var list []blobtools.Finding
	_, err = blobtools.Audit(t.Context(), blobtools.AuditOptions{FS: disk, Path: s.data, Blobs: blobs,
		Report: func(f *blobtools.Finding) error { list = append(list, *f); return nil }})
	must(t, err)
	if len(list) != 2 || list[0].Path != disk.Dir || list[0].Kind != blobtools.Unreadable ||
		list[1].Kind != blobtools.Missing || *list[1].Oid != 3 {
		t.Errorf("found %+v", list)
	}

	blobs, err = blobstore.Open(s.dir, blobstore.Options{FS: disk})
	must(t, err)
	results := map[zodb.Oid]string{}
	sum, err := blobtools.RecoverBlobs(t.Context(), blobtools.RecoverOptions{FS: disk, Path: s.data, Blobs: blobs,
		From:   []string{cache},
		Report: func(r *blobtools.Recovered) error { results[r.Oid] = r.Result; return nil }})
	must(t, err)
	want := map[zodb.Oid]string{2: blobtools.CannotSay, 3: blobtools.Recover}
	if diff := cmp.Diff(want, results); diff != "" || sum.Left != 1 || sum.Recovered != 1 {
		t.Errorf("%s%+v", diff, sum)
	}
}
