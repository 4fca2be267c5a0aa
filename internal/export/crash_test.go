package export

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// What there is of an export in a folder: its manifest is named last, and the files are those that it names.
func wholeExport(t *testing.T, disk vfs.FS, folder string, want map[string]string) (there, whole bool) {
	t.Helper()
	if _, err := disk.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return false, false
	}
	for name, content := range want {
		b, err := vfs.ReadFile(disk, filepath.Join(folder, name), 1<<20)
		if err != nil || string(b) != content {
			return true, false
		}
	}
	return true, true
}

// exportedTo makes an export on a disk, and returns what its files have.
func exportedTo(t *testing.T, disk vfs.FS, opt Options) (map[string]string, error) {
	t.Helper()
	opt.At, opt.Output, opt.FS = zodb.MaxTid, "/out/site", disk
	sum, err := Export(t.Context(), siteFile, opt)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	entries, err := disk.ReadDir(opt.Output)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := vfs.ReadFile(disk, filepath.Join(opt.Output, e.Name()), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	var written Summary
	if err := json.Unmarshal([]byte(files[manifest]), &written); err != nil || len(files) != len(sum.Tables)+1 {
		t.Fatalf("%d files for %d tables: %v", len(files), len(sum.Tables), err)
	}
	return files, nil
}

// The power fails, or the process is killed, at any operation of an export: under its final name there is nothing, or a
// whole export; an earlier one that it replaces is not lost before the new one is there; and the next export succeeds.
func TestAnExportIsWholeOrNotThereAfterACrash(t *testing.T) {
	for _, format := range []string{"jsonl", "parquet"} {
		for _, replaces := range []bool{false, true} {
			opt := Options{Format: format, Force: replaces}
			opt.Classes = []string{"new.site.*", "old.site.*"}
			reference := simdisk.New()
			mustMkdir(t, reference)
			want, err := exportedTo(t, reference, opt)
			if err != nil {
				t.Fatal(err)
			}
			for n, done := 1, false; !done; n++ {
				for _, power := range []bool{true, false} {
					disk, earlier := simdisk.New(), map[string]string(nil)
					mustMkdir(t, disk)
					if replaces {
						if earlier, err = exportedTo(t, disk, Options{Format: format, All: true}); err != nil {
							t.Fatal(err)
						}
					}
					before := len(disk.Ops())
					if power {
						disk.PowerOffAt(before + n)
					} else {
						disk.KillAt(before + n)
					}
					_, err := exportedTo(t, disk, opt)
					done = err == nil
					for seed := range uint64(4) {
						left := disk
						if power {
							left = disk.Crash(seed)
						} else {
							disk.Revive()
						}
						afterCrash(t, left, want, earlier, opt)
						if !power {
							break
						}
					}
				}
			}
		}
	}
}

func mustMkdir(t *testing.T, disk *simdisk.Disk) {
	t.Helper()
	if err := errors.Join(disk.Mkdir("/out", 0o755), disk.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
}

func afterCrash(t *testing.T, disk *simdisk.Disk, want, earlier map[string]string, opt Options) {
	t.Helper()
	there, whole := wholeExport(t, disk, "/out/site", want)
	if there && !whole {
		if _, old := wholeExport(t, disk, "/out/site", earlier); earlier == nil || !old {
			t.Fatal("what has the final name is not whole")
		}
	}
	if _, kept := wholeExport(t, disk, "/out/site.zrsd-old", earlier); earlier != nil && !there && !kept {
		t.Fatal("the export that was to be replaced is lost, and there is no other")
	}
	opt.Force = true
	if got, err := exportedTo(t, disk, opt); err != nil || len(got) != len(want) {
		t.Fatalf("the next export: %d files, want %d (%v)", len(got), len(want), err)
	}
}

// What an earlier export has left is removed, and never what a link leads to.
func TestRemovingWhatWasLeftFollowsNoLinks(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := errors.Join(os.Mkdir(precious, 0o755), os.WriteFile(filepath.Join(precious, "Data.fs"), nil, 0o600),
		os.MkdirAll(filepath.Join(dir, "left", "deep"), 0o755),
		os.Symlink(precious, filepath.Join(dir, "left", "deep", "link")),
		os.Symlink(precious, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"left", "link", "none"} {
		if err := removeAll(vfs.OS{}, filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(precious, "Data.fs")); err != nil {
		t.Error(err)
	}
}
