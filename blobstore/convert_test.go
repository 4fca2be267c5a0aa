package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// converted are blobs of which the folders of both layouts lie in each other: lawn's 0x00 is bushy's first one.
var converted = []revision{{0, 1}, {0, 2}, {1, 1}, {256, 1}, {1<<63 + 5, 7}}

func fillAll(t *testing.T, s *Store) {
	t.Helper()
	for _, r := range converted {
		put(t, s, r.oid, r.tid)
	}
}

// mustHaveAll reads every blob, by the layout that the marker says.
func mustHaveAll(t *testing.T, s *Store, when string) {
	t.Helper()
	var got []revision
	err := s.Walk(func(oid zodb.Oid, tid zodb.Tid, size int64, _ string) error {
		got = append(got, revision{oid, tid})
		f, err := s.OpenBlob(oid, tid)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		if string(text) != oid.String()+tid.String() {
			t.Fatalf("%s: oid %v tid %v has %q", when, oid, tid, text)
		}
		return errors.Join(err, f.Close())
	})
	if err != nil || !slices.Equal(got, converted) {
		t.Fatalf("%s, %s: %v, %v", when, s.Layout(), got, err)
	}
}

// A crash at any step of a conversion leaves a directory that is readable as before or as after, and the next call
// comes to its end, or back.
func TestACrashInAConversionLeavesEveryBlobReadable(t *testing.T) {
	for _, syncs := range []string{"all at a time", "one by one"} {
		for _, way := range [][2]string{{Bushy, Lawn}, {Lawn, Bushy}} {
			t.Run(fmt.Sprint(syncs, way), func(t *testing.T) {
				for n := 1; crashInConversion(t, way, n, syncs == "one by one"); n++ {
				}
			})
		}
	}
}

func crashInConversion(t *testing.T, way [2]string, n int, oneByOne bool) (crashed bool) {
	t.Helper()
	disk := simdisk.New()
	if oneByOne {
		disk.SyncsOneByOne()
	}
	s := open(t, "db/blobs", Options{FS: disk, Layout: way[0]})
	fillAll(t, s)
	disk.PowerOffAt(len(disk.Ops()) + n)
	_, err := s.Convert(t.Context(), way[1], nil)
	if err != nil && !errors.Is(err, simdisk.ErrPowerLoss) {
		t.Fatal(err)
	}
	for seed := range uint64(6) {
		for _, to := range way {
			after := disk.Crash(seed)
			s := open(t, "db/blobs", Options{FS: after})
			when := fmt.Sprintf("cut before operation %d, seed %d", n, seed)
			mustHaveAll(t, s, when)
			if _, err := s.Convert(t.Context(), to, nil); err != nil {
				t.Fatalf("%s: going on to %s: %v", when, to, err)
			}
			mustHaveAll(t, s, when+", and gone on")
			mustHaveAll(t, open(t, "db/blobs", Options{FS: after, Layout: to}), when+", and opened again")
			mustHaveNoOther(t, s, when)
		}
	}
	return err != nil
}

// mustHaveNoOther looks for names of the other layout, and a plan that was left.
func mustHaveNoOther(t *testing.T, s *Store, when string) {
	t.Helper()
	err := s.survey(otherThan(s.layout()), nil, &Surveyor{
		Blob: func(_ zodb.Oid, _ zodb.Tid, path string, _ fs.FileInfo) error {
			return fmt.Errorf("%s is there", path)
		},
		Other:      func(string, fs.DirEntry) error { return nil },
		Unreadable: func(_ string, err error) error { return err },
	})
	left, err2 := s.Converting()
	if err != nil || err2 != nil || left {
		t.Fatalf("%s: %v, %v, plan %v", when, err, err2, left)
	}
}

// What nobody can tell to be the same blob is never removed: the conversion says what is in its way, or leaves it.
func TestAConversionRemovesNoContent(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	inTheWay := filepath.Join(s.Dir(), bushy{}.folder(1), FileName(1))
	if err := errors.Join(os.MkdirAll(filepath.Dir(inTheWay), 0o777),
		os.WriteFile(inTheWay, []byte("x"), 0o444)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Convert(t.Context(), Bushy, nil); err == nil || !strings.Contains(err.Error(), inTheWay) {
		t.Errorf("got %v", err)
	}
	mustHaveAll(t, open(t, s.Dir(), Options{}), "refused")
	only := filepath.Join(s.Dir(), bushy{}.folder(99), FileName(9))
	if err := errors.Join(os.Remove(inTheWay), os.MkdirAll(filepath.Dir(only), 0o777),
		os.WriteFile(only, []byte("only here"), 0o444)); err != nil {
		t.Fatal(err)
	}
	did, err := s.Convert(t.Context(), Lawn, nil)
	if err != nil || did.Left != 1 {
		t.Errorf("%+v, %v", did, err)
	}
	if text, err := os.ReadFile(only); err != nil || string(text) != "only here" {
		t.Errorf("a blob that is only in the other layout is %q, %v", text, err)
	}
}

func TestAConversionEndsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Convert(ctx, Bushy, func(Conversion) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	mustHaveAll(t, open(t, s.Dir(), Options{}), "given up")
}

// Who has the directory open for reading, as a node beside a server of another kind or one that shares the directory,
// finds every blob after another process has converted it.
func TestWhoReadsIsToldOfAConversion(t *testing.T) {
	s := open(t, t.TempDir(), Options{Layout: Lawn})
	fillAll(t, s)
	reader := open(t, s.Dir(), Options{ReadOnly: true})
	shared, err := OpenShared(s.Dir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{Bushy, Lawn} {
		if _, err := s.Convert(t.Context(), to, nil); err != nil {
			t.Fatal(err)
		}
		for _, r := range converted {
			_, err1 := reader.Stat(r.oid, r.tid)
			_, err2 := shared.Stat(r.oid, r.tid)
			if err := errors.Join(err1, err2); err != nil {
				t.Errorf("after a conversion to %s: %v", to, err)
			}
		}
		mustHaveAll(t, reader, "the reader")
	}
}

// Who watches is told from the first step on how many there are, in each part of the work.
func TestAConversionKnowsHowMuchItHasToDo(t *testing.T) {
	n := int64(len(converted))
	s := open(t, "blobs", Options{FS: simdisk.New()})
	fillAll(t, s)
	var last Conversion
	watch := func(want int64) func(Conversion) {
		return func(c Conversion) {
			if last = c; c.Total != want {
				t.Errorf("%d names of %d, want %d", c.Blobs+c.Removed, c.Total, want)
			}
		}
	}
	check := func(did *Conversion, err error, want int64) {
		t.Helper()
		if err != nil || did.Total != 0 || last.Blobs+last.Removed != want {
			t.Errorf("%+v, %v; the last step: %+v", did, err, last)
		}
	}
	did, err := s.Convert(t.Context(), Lawn, watch(2*n))
	check(did, err, 2*n)
	pace := func(context.Context) error { return nil }
	did, err = s.ConvertBeside(t.Context(), Bushy, BesideOptions{OldNames: true, Pace: pace, Progress: watch(n)})
	check(did, err, n)
	did, err = s.ConvertBeside(t.Context(), Bushy, BesideOptions{Pace: pace, Progress: watch(n)})
	check(did, err, n)
}
