package filestorage

import (
	"crypto/sha256"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// blobContent is that of the blob in the tests of blob repairs.
const blobContent = "content of the blob"

// A repaired blob is what it was, and what was there is kept.
func TestARepairOfABlob(t *testing.T) {
	for name, there := range map[string]string{"damaged": "Content of the blob", "short": "con", "missing": ""} {
		t.Run(name, func(t *testing.T) {
			disk, s := blobDisk(t, there)
			if err := s.RepairBlob(blobRepair(blobContent)); err != nil {
				t.Fatal(err)
			}
			if now := blobNow(t, s); now != blobContent {
				t.Errorf("the blob is %q", now)
			}
			q := reasons(t, disk, "db/quarantine")
			if there == "" && q == nil {
				return
			}
			if len(q) != 1 || *q[0].Oid != 1 || *q[0].Tid != 20 || q[0].Length != int64(len(there)) {
				t.Fatalf("quarantine has %+v", q)
			}
			if kept := contentOf(t, disk, "db/quarantine/"+q[0].Bytes); string(kept) != there {
				t.Errorf("kept %q", kept)
			}
		})
	}
}

// What is not the right content leaves the blob as it is.
func TestAWrongBlobIsNotTaken(t *testing.T) {
	disk, s := blobDisk(t, "Content of the blob")
	for _, content := range []string{"", "content", "Content of the bloB", blobContent + "."} {
		r := blobRepair(blobContent)
		r.Content = strings.NewReader(content)
		var wrong *BlobContentError
		if err := s.RepairBlob(r); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", content, err)
		}
		if now := blobNow(t, s); now != "Content of the blob" || reasons(t, disk, "db/quarantine") != nil {
			t.Errorf("%q: the blob is %q", content, now)
		}
	}
	r := blobRepair(blobContent)
	r.Tid = 30
	var missing *zodb.POSKeyError
	if err := s.RepairBlob(r); !errors.As(err, &missing) {
		t.Errorf("a blob of no revision: %v", err)
	}
}

// A crash leaves the damaged blob or the right one.
func TestACrashDuringARepairOfABlob(t *testing.T) {
	const damaged = "Content of the blob"
	for n, done := 1, false; !done; n++ {
		for seed := range uint64(6) {
			disk, s := blobDisk(t, damaged)
			disk.PowerOffAt(len(disk.Ops()) + n)
			done = s.RepairBlob(blobRepair(blobContent)) == nil
			after := disk.Crash(seed)
			again := mustOpen(t, crashPath, blobOptions(t, after))
			now := blobNow(t, again)
			if now != damaged && now != blobContent || done && now != blobContent {
				t.Fatalf("power off at %d, seed %d: the blob is %q", n, seed, now)
			}
			if now == blobContent && len(reasons(t, after, "db/quarantine")) != 1 {
				t.Fatalf("power off at %d, seed %d: repaired, and the damaged one is not in quarantine", n, seed)
			}
			again.Close()
		}
	}
}

func blobOptions(t *testing.T, disk vfs.FS) Options {
	t.Helper()
	b, err := blobstore.Open("db/blobs", blobstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	return Options{FS: disk, Blobs: b}
}

// blobDisk has a storage with a blob that became what is said; "": it is missing.
func blobDisk(t *testing.T, there string) (*simdisk.Disk, *Storage) {
	t.Helper()
	st := newStage(t, story{prepare: func(st *stage) { start(st); st.commit(1, withBlob, blobContent) }})
	if st.err != nil {
		t.Fatal(st.err)
	}
	f, err := st.s.OpenBlob(1, 20)
	if err != nil {
		t.Fatal(err)
	}
	path := f.Name()
	f.Close()
	if err := st.disk.Remove(path); err != nil {
		t.Fatal(err)
	}
	if there != "" {
		put(t, st.disk, path, []byte(there))
	}
	if err := st.disk.SyncDir(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.end)
	return st.disk, st.s
}

func blobRepair(content string) *BlobRepair {
	digest := sha256.Sum256([]byte(content))
	return &BlobRepair{
		Oid: 1, Tid: 20, Content: strings.NewReader(content), Size: int64(len(content)), Digest: &digest,
		Damage: Damage{Found: "its digest", By: "a test", Peer: "db2:5000"},
	}
}

func blobNow(t *testing.T, s *Storage) string {
	t.Helper()
	f, err := s.OpenBlob(1, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
