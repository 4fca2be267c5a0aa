package zeo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A fakeDamage knows what is wrong with blobs, and what they have to be.
type fakeDamage struct {
	w          *world
	known      map[zodb.Oid]error
	right      map[zodb.Oid]string
	unreadable chan zodb.Oid
}

func (d *fakeDamage) Known(oid zodb.Oid, _ zodb.Tid) error { return d.known[oid] }

func (d *fakeDamage) Unreadable(oid zodb.Oid, _ zodb.Tid, _ error) { d.unreadable <- oid }

func (d *fakeDamage) Open(_ context.Context, oid zodb.Oid, _ zodb.Tid, damage error) (BlobFile, error) {
	content, ok := d.right[oid]
	if !ok {
		return nil, damage
	}
	f, err := d.w.disk.OpenFile("db/right", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err == nil {
		_, err = f.WriteAt([]byte(content), 0)
	}
	return f, err
}

// storedBlob commits a blob.
func (p *peer) storedBlob(oid zodb.Oid, content string) zodb.Tid {
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	p.tell("storeBlobStart")
	p.tell("storeBlobChunk", pickle.Bytes(content))
	p.tell("storeBlobEnd", oidValue(oid), tidValue(0), pickle.Bytes(blobRecord), handle)
	p.call("vote", handle)
	return tidIn(p.t, p.call("tpc_finish", handle))
}

// receivedBlob asks for a blob, and returns what comes, or the answer that it does not.
func (p *peer) receivedBlob(oid zodb.Oid, tid zodb.Tid) (content string, failed bool) {
	p.t.Helper()
	id := p.send(0, "sendBlob", oidValue(oid), tidValue(tid))
	for {
		m := p.receive()
		if m.ID == id {
			return content, m.Flag != 0
		}
		if m.Method == "receiveBlobChunk" {
			args := m.Args.(pickle.Tuple)
			content += string(args[2].(pickle.Bytes))
		}
	}
}

// A client gets what a damaged blob has to be, whether it is known to be wrong or missing, and an error where nobody
// knows what that is, never what is known to be wrong.
func TestADamagedBlobIsAnsweredByWhatItHasToBe(t *testing.T) {
	w := newWorld(t)
	w.stop()
	damage := &fakeDamage{w: w, known: map[zodb.Oid]error{}, right: map[zodb.Oid]string{},
		unreadable: make(chan zodb.Oid, 1)}
	s := offer(t, w.st, Options{Buffers: w.buffers}, StorageOptions{DamagedBlobs: damage})
	defer w.st.Close()
	defer s.stop()
	p, _ := s.register(t)
	const sound, wrong, missing, lost = zodb.Oid(10), zodb.Oid(11), zodb.Oid(12), zodb.Oid(13)
	tids := map[zodb.Oid]zodb.Tid{}
	for _, oid := range []zodb.Oid{sound, wrong, missing, lost} {
		tids[oid] = p.storedBlob(oid, "content of "+oid.String())
	}
	f, err := w.blobs.OpenBlob(missing, tids[missing])
	w.must(err)
	w.must(errors.Join(f.Close(), w.disk.Remove(f.Name())))
	damage.known[wrong], damage.known[lost] = errors.New("it is wrong"), errors.New("it is wrong")
	damage.right[wrong], damage.right[missing] = strings.Repeat("right", 50_000), "the right one"
	for oid, want := range map[zodb.Oid]string{sound: "content of " + sound.String(), wrong: damage.right[wrong],
		missing: damage.right[missing]} {
		if got, failed := p.receivedBlob(oid, tids[oid]); failed || got != want {
			t.Errorf("oid %v: got %.20q, %v, want %.20q", oid, got, failed, want)
		}
	}
	if got, failed := p.receivedBlob(lost, tids[lost]); !failed || got != "" {
		t.Errorf("got %q of a blob that is known to be wrong", got)
	}
}

// What fails because of damage is logged as that, and not as a storage that takes no transactions.
func TestACallThatFailsBecauseOfDamageIsLoggedAsDamaged(t *testing.T) {
	w := newWorld(t)
	w.stop()
	damage := &fakeDamage{w: w, known: map[zodb.Oid]error{}, unreadable: make(chan zodb.Oid, 1)}
	var log bytes.Buffer
	s := offer(t, w.st, Options{Buffers: w.buffers, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})},
		StorageOptions{DamagedBlobs: damage})
	defer w.st.Close()
	p, _ := s.register(t)
	tid := p.storedBlob(10, "content")
	damage.known[10] = &zodb.DamagedBlobError{Oid: 10, Tid: tid, Size: 3, Noted: 7}
	if got, failed := p.receivedBlob(10, tid); !failed {
		t.Errorf("got %q of a damaged blob", got)
	}
	s.stop()
	if got := log.String(); !strings.Contains(got, "a call failed") || !strings.Contains(got, "warning=damaged") ||
		strings.Contains(got, "storage_failed") {
		t.Errorf("the log has: %s", got)
	}
	for err, want := range map[error]warning.Code{
		&zodb.CorruptError{}: warning.Damaged, &filestorage.UnreadableError{Err: io.EOF}: warning.Damaged,
		errors.New("no space"): warning.StorageFailed,
	} {
		if got := warningOf(fmt.Errorf("load: %w", err)); got != want {
			t.Errorf("%v is logged as %s", err, got)
		}
	}
}

// An unreadable disk has files that can be opened, and blobs that cannot be read.
type unreadable struct{ vfs.FS }

func (d unreadable) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err == nil && flag&(os.O_WRONLY|os.O_RDWR) == 0 && strings.HasSuffix(path, ".blob") {
		f = unreadableFile{f}
	}
	return f, err
}

type unreadableFile struct{ vfs.File }

func (unreadableFile) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// A blob whose file cannot be read while it is sent is damage that others hear of. The client has to ask again, over
// another connection: it would take a part of a blob for the whole.
func TestABlobThatCannotBeReadIsToldOf(t *testing.T) {
	disk := unreadable{simdisk.New()}
	blobs, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	damage := &fakeDamage{unreadable: make(chan zodb.Oid, 1)}
	s := offer(t, st, Options{Buffers: t.TempDir()}, StorageOptions{DamagedBlobs: damage})
	defer s.stop()
	p, _ := s.register(t)
	tid := p.storedBlob(10, "content")
	p.send(0, "sendBlob", oidValue(10), tidValue(tid))
	if oid := <-damage.unreadable; oid != 10 {
		t.Errorf("was told of oid %v", oid)
	}
}
