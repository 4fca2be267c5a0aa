package zeo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// placesToFlip are offsets of bytes whose change an iteration notices, in the last transactions of a file of several.
func placesToFlip(t *testing.T, disk vfs.FS) map[string]int64 {
	t.Helper()
	in, err := filestorage.Inspect(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	all := map[string]int64{}
	for txn, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		all["length"], all["status"], all["second length"] = txn.Pos+14, txn.Pos+16, txn.End()-3
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			all["record's length"] = rec.Pos + 40
		}
	}
	return all
}

// flipAt changes a byte, and returns what it was.
func flipAt(t *testing.T, disk vfs.FS, at int64) (was byte) {
	t.Helper()
	f, err := disk.OpenFile("Data.fs", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err = f.ReadAt(b[:], at); err == nil {
		was = b[0]
		_, err = f.WriteAt([]byte{was ^ 4}, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	return was
}

// A record that is too long to be read ahead, and that the disk does not give to its end, is read anew when it is known
// what has to be there, and the records before it are not returned twice.
func TestAnIterationThatCannotReadALongRecordGoesOn(t *testing.T) {
	disk := &badSector{FS: simdisk.New()}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := offer(t, st, Options{}, StorageOptions{Correct: func(_ context.Context, damage error) bool {
		lost := (*filestorage.UnreadableError)(nil)
		return errors.As(damage, &lost) && st.Correct(func(vfs.FS) (filestorage.Part, []filestorage.Patch, error) {
			right := []filestorage.Patch{{Pos: lost.Pos, Data: []byte("x")}}
			return filestorage.Part{From: 4, To: st.Size()}, right, nil
		}) == nil
	}})
	defer s.stop()
	p, _ := s.register(t)
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	for oid := range zodb.Oid(4) {
		p.tell("storea", oidValue(oid), tidValue(0), pickle.Bytes(strings.Repeat("x", 400_000)), handle)
	}
	p.call("vote", handle)
	p.call("tpc_finish", handle)
	c := &caller{p, map[string]bool{}}
	all := c.do("iterator_start", nil, nil)
	records := c.do("iterator_record_start", all, c.do("iterator_next", all).(pickle.Tuple)[0])
	disk.at.Store(st.Size() - 600_000) // in the third one
	for oid := range zodb.Oid(4) {
		rec, ok := c.do("iterator_record_next", records).(pickle.Tuple)
		if !ok {
			t.Fatalf("no record %d", oid)
		}
		if data, _ := rec[2].(pickle.Bytes); zodb.Oid(tidIn(t, rec[0])) != oid || len(data) != 400_000 ||
			strings.Trim(string(data), "x") != "" {
			t.Errorf("record %d is of oid %v, with %d bytes", oid, tidIn(t, rec[0]), len(data))
		}
	}
	if rec := c.do("iterator_record_next", records); rec != nil {
		t.Errorf("there is one more: %v", rec)
	}
}

// A badSector is a disk that does not give one byte of Data.fs.
type badSector struct {
	vfs.FS
	at atomic.Int64 // 0: it gives all
}

func (d *badSector) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err == nil && path == "Data.fs" {
		f = &badSectorFile{f, d}
	}
	return f, err
}

type badSectorFile struct {
	vfs.File
	d *badSector
}

func (f *badSectorFile) ReadAt(b []byte, off int64) (int, error) {
	at := f.d.at.Load()
	if at == 0 || at < off || at >= off+int64(len(b)) {
		return f.File.ReadAt(b, off)
	}
	n, err := f.File.ReadAt(b[:at-off], off)
	return n, errors.Join(err, syscall.EIO)
}

// Iterations of clients, and their lists of what can be undone, that meet damage go on with what has to be there, at
// the transaction and the record where they were.
func TestIterationsAndUndoLogsThatMeetDamageGoOn(t *testing.T) {
	for _, what := range []string{"length", "status", "second length", "record's length"} {
		for name, list := range map[string]func(c *caller) string{
			"iteration": func(c *caller) (all string) {
				iterate(c, func(oid zodb.Oid, tid zodb.Tid) { all += fmt.Sprintln(oid, tid) })
				return all
			},
			"undoLog": func(c *caller) (all string) {
				log, _ := c.do("undoLog", int64(0), int64(-100)).(*pickle.List)
				for i := 0; log != nil && i < len(log.Items); i++ {
					id, _ := log.Items[i].(*pickle.Dict).Get("id")
					all += fmt.Sprintln(id)
				}
				return all
			},
		} {
			disk := simdisk.New()
			st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
			if err != nil {
				t.Fatal(err)
			}
			var at int64
			var right byte
			s := offer(t, st, Options{}, StorageOptions{Correct: func(context.Context, error) bool {
				return st.Correct(func(vfs.FS) (filestorage.Part, []filestorage.Patch, error) {
					patch := filestorage.Patch{Pos: at, Data: []byte{right}}
					return filestorage.Part{From: 4, To: st.Size()}, []filestorage.Patch{patch}, nil
				}) == nil
			}})
			p, _ := s.register(t)
			for n := range zodb.Oid(8) {
				p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
				for oid := range zodb.Oid(3) {
					p.tell("storea", oidValue(10*n+oid), tidValue(0), pickle.Bytes(fmt.Sprint("state ", oid)), handle)
				}
				p.call("vote", handle)
				p.call("tpc_finish", handle)
			}
			c := &caller{p, map[string]bool{}}
			want := list(c)
			at = placesToFlip(t, disk)[what]
			right = flipAt(t, disk, at)
			if got := list(c); got != want {
				t.Errorf("%s with another %s: got\n%swant\n%s", name, what, got, want)
			}
			s.stop()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
