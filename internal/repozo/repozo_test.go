package repozo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/repozo"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	data   = "db/Data.fs"
	folder = "backups"
)

// commit adds a transaction to the Data.fs on a disk, and returns the content of the file.
func commit(t *testing.T, disk vfs.FS, n int) []byte {
	t.Helper()
	st, err := filestorage.Open(t.Context(), data, filestorage.Options{FS: disk})
	must(t, err)
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{Description: fmt.Append(nil, n)})
	must(t, err)
	must(t, txn.Store(zodb.Oid(n), 0, bytes.Repeat([]byte{byte(n)}, 700)))
	_, err = txn.Finish(t.Context(), nil)
	must(t, errors.Join(err, st.Close()))
	return read(t, disk, data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	text, err := vfs.ReadFile(disk, path, 1<<30)
	must(t, err)
	return text
}

func newDisk(t *testing.T) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	must(t, errors.Join(disk.Mkdir("db", 0o777), disk.Mkdir(folder, 0o777), disk.SyncDir("")))
	return disk
}

// at is a clock that is so many seconds after the beginning.
func at(seconds int) func() time.Time {
	return func() time.Time { return time.Date(2026, 11, 29, 22, 0, seconds, 0, time.UTC) }
}

func backup(t *testing.T, disk vfs.FS, seconds int, opt repozo.BackupOptions) (*repozo.Result, error) {
	t.Helper()
	opt.FS, opt.Dir, opt.File, opt.Now = disk, folder, data, at(seconds)
	return repozo.Backup(t.Context(), opt)
}

func verify(t *testing.T, disk vfs.FS) error {
	t.Helper()
	return repozo.Verify(t.Context(), repozo.VerifyOptions{FS: disk, Dir: folder})
}

// restored is what is restored of the newest state.
func restored(t *testing.T, disk vfs.FS, date string) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	err := repozo.Recover(t.Context(), repozo.RecoverOptions{FS: disk, Dir: folder, Date: date, Writer: &out})
	return out.Bytes(), err
}

// A crash at any step of a backup leaves a repository from which a state is restored that was backed up, or the one
// that was being backed up; what a verification takes can be restored; and the next backup and verification are good.
func TestACrashInABackupLeavesWhatCanBeRestored(t *testing.T) {
	for _, opt := range []repozo.BackupOptions{{}, {Gzip: true}, {Full: true, KillOld: true}, {Quick: true}} {
		for n := 1; crashInBackup(t, opt, n); n++ {
		}
	}
}

func crashInBackup(t *testing.T, opt repozo.BackupOptions, n int) (crashed bool) {
	t.Helper()
	disk := newDisk(t)
	var states [][]byte
	for i := 1; i <= 2; i++ {
		states = append(states, commit(t, disk, i))
		_, err := backup(t, disk, i, repozo.BackupOptions{Gzip: opt.Gzip})
		must(t, err)
	}
	states = append(states, commit(t, disk, 3))
	disk.PowerOffAt(len(disk.Ops()) + n)
	_, err := backup(t, disk, 3, opt)
	if err != nil && !errors.Is(err, simdisk.ErrPowerLoss) {
		t.Fatal(err)
	}
	for seed := range uint64(4) {
		after := disk.Crash(seed)
		when := fmt.Sprintf("%+v, cut before operation %d, seed %d", opt, n, seed)
		got, restoreErr := restored(t, after, "")
		good := slices.ContainsFunc(states[1:], func(s []byte) bool { return bytes.Equal(s, got) })
		if restoreErr != nil || !good {
			t.Fatalf("%s: restored are %d bytes, %v", when, len(got), restoreErr)
		}
		if err == nil && !bytes.Equal(got, states[2]) {
			t.Fatalf("%s: a backup that was complete is lost", when)
		}
		last := commit(t, after, 4)
		if _, err := backup(t, after, 4, repozo.BackupOptions{Quick: opt.Quick}); err != nil {
			t.Fatalf("%s: the next backup: %v", when, err)
		}
		if err := verify(t, after); err != nil {
			t.Fatalf("%s: after the next backup: %v", when, err)
		}
		if got, err := restored(t, after, ""); err != nil || !bytes.Equal(got, last) {
			t.Fatalf("%s: after the next backup %d bytes are restored, %v", when, len(got), err)
		}
	}
	return err != nil
}

// A crash at any step of a restore leaves the file that was there, or the new one, and never a wrong index beside it.
func TestACrashInARestoreLeavesOneFileWhole(t *testing.T) {
	for n := 1; ; n++ {
		disk := newDisk(t)
		first := commit(t, disk, 1)
		_, err := backup(t, disk, 1, repozo.BackupOptions{})
		must(t, err)
		second := commit(t, disk, 2)
		disk.PowerOffAt(len(disk.Ops()) + n)
		err = repozo.Recover(t.Context(), repozo.RecoverOptions{FS: disk, Dir: folder, Output: data, Verify: true})
		for seed := range uint64(4) {
			after := disk.Crash(seed)
			got := read(t, after, data)
			if !bytes.Equal(got, first) && (err == nil || !bytes.Equal(got, second)) {
				t.Fatalf("cut before operation %d, seed %d: the file has %d bytes", n, seed, len(got))
			}
			st, openErr := filestorage.Open(t.Context(), data, filestorage.Options{FS: after, ReadOnly: true})
			must(t, openErr)
			if st.Size() != int64(len(got)) {
				t.Fatalf("cut before operation %d, seed %d: opened it has %d bytes", n, seed, st.Size())
			}
			must(t, st.Close())
		}
		if err == nil {
			return
		}
	}
}

// Whatever is wrong with a repository is found by a verification, and said with the file.
func TestVerificationsFindWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "Data.fs")
	for name, spoil := range map[string]func(repository string, names []string) error{
		"a byte": func(r string, names []string) error {
			return change(filepath.Join(r, names[1]), func(b []byte) []byte { b[len(b)-6] ^= 0xff; return b })
		},
		"an end that is cut off": func(r string, names []string) error {
			return change(filepath.Join(r, names[1]), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"a missing delta": func(r string, names []string) error { return os.Remove(filepath.Join(r, names[1])) },
		"a line that is missing": func(r string, names []string) error {
			return change(filepath.Join(r, "2026-11-29-22-00-01.dat"), func(b []byte) []byte {
				return b[:bytes.IndexByte(b, '\n')+1]
			})
		},
		"a line that is cut off": func(r string, names []string) error {
			return change(filepath.Join(r, "2026-11-29-22-00-01.dat"), func(b []byte) []byte { return b[:len(b)-9] })
		},
		"no .dat file": func(r string, _ []string) error {
			return os.Remove(filepath.Join(r, "2026-11-29-22-00-01.dat"))
		},
		"no full backup": func(r string, names []string) error {
			return os.Remove(filepath.Join(r, names[0]))
		},
	} {
		for _, zip := range []bool{false, true} {
			repository := filepath.Join(dir, fmt.Sprint(strings.ReplaceAll(name, " ", "-"), zip))
			must(t, errors.Join(os.Mkdir(repository, 0o777), os.RemoveAll(source), os.RemoveAll(source+".index")))
			var names []string
			for i := 1; i <= 2; i++ {
				add(t, source, i)
				result, err := repozo.Backup(t.Context(), repozo.BackupOptions{Dir: repository, File: source, Gzip: zip,
					Now: at(i)})
				must(t, err)
				names = append(names, filepath.Base(result.Path))
			}
			opt := repozo.VerifyOptions{Dir: repository}
			must(t, repozo.Verify(t.Context(), opt))
			must(t, spoil(repository, names))
			var wrong *repozo.VerifyError
			if err := repozo.Verify(t.Context(), opt); !errors.As(err, &wrong) {
				t.Errorf("%s, gzip %v: %v", name, zip, err)
			}
			last := add(t, source, 3)
			_, err := repozo.Backup(t.Context(), repozo.BackupOptions{Dir: repository, File: source, Now: at(3)})
			must(t, err)
			var out bytes.Buffer
			must(t, repozo.Verify(t.Context(), opt))
			must(t, repozo.Recover(t.Context(), repozo.RecoverOptions{Dir: repository, Writer: &out, Verify: true}))
			if !bytes.Equal(out.Bytes(), last) {
				t.Errorf("%s, gzip %v: the next backup restores %d bytes", name, zip, out.Len())
			}
		}
	}
}

func change(path string, how func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, how(b), 0o600)
}

func add(t *testing.T, path string, n int) []byte {
	t.Helper()
	st, err := filestorage.Open(t.Context(), path, filestorage.Options{})
	must(t, err)
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	must(t, err)
	must(t, txn.Store(zodb.Oid(n), 0, bytes.Repeat([]byte{byte(n)}, 700)))
	_, err = txn.Finish(t.Context(), nil)
	must(t, errors.Join(err, st.Close()))
	text, err := os.ReadFile(path)
	must(t, err)
	return text
}

// A backup of the second of the last one, or of a clock that went back, would not be the newest: it is refused.
func TestABackupIsLaterThanTheOneBefore(t *testing.T) {
	disk := newDisk(t)
	commit(t, disk, 1)
	_, err := backup(t, disk, 5, repozo.BackupOptions{})
	must(t, err)
	if result, err := backup(t, disk, 6, repozo.BackupOptions{}); err != nil || result.Path != "" {
		t.Errorf("without a change: %+v, %v", result, err)
	}
	commit(t, disk, 2)
	for _, now := range []int{5, 4} {
		if _, err := backup(t, disk, now, repozo.BackupOptions{}); !errors.Is(err, repozo.ErrExists) {
			t.Errorf("at %d: %v", now, err)
		}
	}
}

// Where there is nothing, or nothing that early, that is said.
func TestNothingToRestore(t *testing.T) {
	disk := newDisk(t)
	if err := verify(t, disk); !errors.Is(err, repozo.ErrNoFiles) {
		t.Errorf("got %v", err)
	}
	commit(t, disk, 1)
	_, err := backup(t, disk, 1, repozo.BackupOptions{})
	must(t, err)
	if _, err := restored(t, disk, "2025"); !errors.Is(err, repozo.ErrNoFiles) {
		t.Errorf("got %v", err)
	}
	err = repozo.Recover(t.Context(), repozo.RecoverOptions{FS: disk, Dir: "nowhere", Writer: io.Discard})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for date, good := range map[string]bool{"": true, "2026": true, "2026-11-29-22": true, "yesterday": false,
		"2026-1": false} {
		if err := repozo.CheckDate(date); (err == nil) != good {
			t.Errorf("%q: %v", date, err)
		}
	}
}
