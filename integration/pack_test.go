package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A packJob is what pack.py is told to do, and what zrsd does to a copy of the same files.
type packJob struct {
	Data  string  `json:"data"`
	Blobs string  `json:"blobs"`
	Time  float64 `json:"time"` // 0: only read
	GC    bool    `json:"gc"`

	copied string // folder of the copy
	err    error  // of zrsd
}

// Random histories, with undo, deletion, garbage and blobs, are packed to random times by the real ZODB and by zrsd:
// what comes out is the same, byte for byte, unless zrsd keeps the last transaction up to that time without records.
// The one case in which ZODB fails and zrsd does not is an undo that crosses the pack time; and where ZODB fails in
// garbage collection because an object is missing, so does zrsd. ZODB reads whatever zrsd has packed.
func TestPacksAreThoseOfRealZODB(t *testing.T) {
	var jobs, reads []*packJob
	for seed := range uint64(60) {
		job, _ := randomHistory(t, seed)
		jobs = append(jobs, job)
		packCopy(t, job)
		mustBeSound(t, &site{data: filepath.Join(job.copied, "Data.fs"), blobs: blobsIn(job, job.copied)})
		reads = append(reads, &packJob{Data: filepath.Join(job.copied, "Data.fs"), Blobs: blobsIn(job, job.copied)})
	}
	compared := 0
	for i, failed := range runPacks(t, jobs) {
		job := jobs[i]
		var dangling *filestorage.DanglingError
		name := fmt.Sprintf("history %d, gc %v", i, job.GC)
		switch {
		case failed == nil && job.err != nil:
			t.Errorf("%s: %v", name, job.err)
		case failed != nil && *failed == "KeyError":
			if !errors.As(job.err, &dangling) {
				t.Errorf("%s: ZODB finds no object, zrsd: %v", name, job.err)
			}
		case failed != nil && job.err != nil:
			t.Errorf("%s: ZODB fails with %s, zrsd: %v", name, *failed, job.err)
		case failed == nil && keepsAnEmptyTransaction(t, job):
		case failed == nil:
			compared++
			samePack(t, name, filepath.Dir(job.Data), job.copied)
		}
	}
	if compared < len(jobs)/2 {
		t.Errorf("only %d of %d histories could be compared", compared, len(jobs))
	}
	for i, failed := range runPacks(t, reads) {
		if failed != nil {
			t.Errorf("history %d: ZODB cannot read what zrsd has packed: %s", i, *failed)
		}
	}
}

func runPacks(t *testing.T, jobs []*packJob) (failures []*string) {
	t.Helper()
	ask(t, &failures, "pack.py", jobsFile(t, jobs))
	return failures
}

// jobsFile writes what a script is told to do.
func jobsFile(t *testing.T, jobs any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jobs.json")
	b, err := json.Marshal(jobs)
	if err == nil {
		err = os.WriteFile(file, b, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func blobsIn(job *packJob, dir string) string {
	if job.Blobs == "" {
		return ""
	}
	return filepath.Join(dir, "blobs")
}

// packCopy packs a copy of the job's files with zrsd.
func packCopy(t *testing.T, job *packJob) {
	t.Helper()
	job.copied = t.TempDir()
	if err := os.CopyFS(job.copied, os.DirFS(filepath.Dir(job.Data))); err != nil {
		t.Fatal(err)
	}
	s := openHistory(t, job.copied, job.Blobs != "", nil)
	stop, err := zodb.TidFromUnix(job.Time)
	if err != nil {
		t.Fatal(err)
	}
	_, job.err = s.Pack(t.Context(), stop, filestorage.PackOptions{GC: job.GC, KeepOld: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// samePack compares all files of two folders that matter after a pack.
func samePack(t *testing.T, name, zodbs, ours string) {
	t.Helper()
	want, got := packedFiles(t, zodbs), packedFiles(t, ours)
	if mustHaveRecords(t, ours) {
		for name := range got { // ZODB removes all blobs of an object that was garbage, those of later revisions too
			if _, ok := want[name]; !ok && strings.HasPrefix(name, "blobs"+string(filepath.Separator)) {
				delete(got, name)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: files (-ZODB +zrsd):\n%s", name, diff)
	}
	a, err := os.ReadFile(filepath.Join(zodbs, "Data.fs"))
	b, err2 := os.ReadFile(filepath.Join(ours, "Data.fs"))
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s: Data.fs has %d bytes, ZODB's %d, and they differ, %v", name, len(b), len(a), err)
	}
}

// mustHaveRecords checks that each blob in a folder belongs to a record, and reports whether there are any.
func mustHaveRecords(t *testing.T, dir string) (some bool) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "blobs")); err != nil {
		return false
	}
	records := recordsIn(t, dir)
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = blobs.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
		some = true
		if !records[fmt.Sprint(oid, tid)] {
			t.Errorf("%s has no record", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return some
}

// keepsAnEmptyTransaction reports whether the copy of a job has a transaction without records.
func keepsAnEmptyTransaction(t *testing.T, job *packJob) (found bool) {
	t.Helper()
	eachTransaction(t, job.copied, job.Blobs != "", func(records []zodb.Record) {
		found = found || len(records) == 0
	})
	return found
}

// recordsIn returns the oids and tids of all records of the storage in a folder.
func recordsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	eachTransaction(t, dir, true, func(records []zodb.Record) {
		for _, r := range records {
			all[fmt.Sprint(r.Oid, r.Tid)] = true
		}
	})
	return all
}

// eachTransaction calls f for the transactions of the storage in a folder, with their records but without the data.
func eachTransaction(t *testing.T, dir string, withBlobs bool, f func([]zodb.Record)) {
	t.Helper()
	s := openHistory(t, dir, withBlobs, nil)
	defer s.Close()
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		var records []zodb.Record
		for err == nil {
			var rec *zodb.Record
			if rec, err = txn.NextRecord(); err == nil {
				records = append(records, *rec)
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		f(records)
	}
}

// packedFiles maps files to their content, that of the Data.fs left out.
func packedFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, _ := filepath.Rel(dir, path)
		switch {
		case strings.HasSuffix(below, ".lock"), strings.HasSuffix(below, ".tmp"), below == "blobs/.removed":
			return nil
		case below == "Data.fs":
			files[below] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		files[below] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
