package zeo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A running commit is cut at every message, by the network, by a crash, and at every operation of the disk. Whatever
// the moment: the transaction is wholly there or wholly not; what its client was told holds; nothing is left of it but
// what it committed; and the next client commits at once, with oids that nobody has.

func TestACommitThatTheNetworkCutsIsWholeOrNothing(t *testing.T) {
	for _, encoding := range []string{wire.Z5, wire.M5} {
		for n := 0; ; n++ {
			more := cutByNetwork(t, encoding, n, false)
			if t.Failed() || !more {
				break
			}
			cutByNetwork(t, encoding, n, true)
		}
	}
}

// cutByNetwork cuts the connection after n messages, before anything is heard of the last one, or in the middle of the
// next one. It reports whether there are more.
func cutByNetwork(t *testing.T, encoding string, n int, middle bool) (more bool) {
	t.Helper()
	w := newWorld(t)
	defer w.shut()
	v := w.victim(encoding)
	if middle {
		v.play(n)
		next := v.script[n].bytes
		_, err := v.conn.Write(next[:len(next)/2])
		w.must(err)
	} else {
		v.say(n)
	}
	w.must(v.conn.Close())
	when := fmt.Sprintf("%s: %d messages, a part of another: %v", encoding, n, middle)
	again := w.check(when, false)
	if used := slices.IndexFunc(again, func(oid zodb.Oid) bool { return slices.Contains(v.oids, oid) }); used >= 0 {
		t.Errorf("%s: oid %v was handed out twice", when, again[used])
	}
	w.shut()
	w.checkFolders(when)
	w.reopen(w.disk)
	w.check(when+", opened again", false)
	return n < len(v.script)
}

func TestACommitThatACrashCutsIsWholeOrNothing(t *testing.T) {
	for n := 0; ; n++ {
		for seed := range uint64(4) {
			w := newWorld(t)
			v := w.victim(wire.Z5)
			more := n < len(v.script)
			told := v.play(n)
			w.crash(fmt.Sprintf("crash after %d messages, seed %d", n, seed), seed, told)
			if t.Failed() || !more && seed == 3 {
				return
			}
		}
	}
}

func TestACommitDuringWhichTheDiskDiesIsWholeOrNothing(t *testing.T) {
	for n := 1; ; n++ {
		told := false
		for seed := range uint64(4) {
			w := newWorld(t)
			v := w.victim(wire.Z5)
			w.disk.PowerOffAt(len(w.disk.Ops()) + n)
			told = v.play(len(v.script))
			w.crash(fmt.Sprintf("power off at operation %d, seed %d", n, seed), seed, told)
			if t.Failed() {
				return
			}
		}
		if told {
			return
		}
	}
}

// crash ends the server as a power failure does, and checks what is there when it comes again.
func (w *world) crash(when string, seed uint64, told bool) {
	w.t.Helper()
	crashed := w.disk.Crash(seed)
	w.shut()
	w.reopen(crashed)
	w.check(when, told)
	w.shut()
	w.checkFolders(when)
}

// A world is a disk with a storage that is served.
type world struct {
	t       *testing.T
	disk    *simdisk.Disk
	buffers string
	blobs   *blobstore.Store
	*site
}

// blobRecord is the record of a blob object: its class is what tells.
const blobRecord = "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."

// The objects that are there before: one that will be changed, and one that will only be looked at.
const (
	changed = zodb.Oid(1)
	steady  = zodb.Oid(2)
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, buffers: t.TempDir()}
	disk := simdisk.New()
	w.must(errors.Join(disk.Mkdir("db", 0o777), disk.SyncDir("."), disk.Mkdir("db/blobs", 0o777), disk.SyncDir("db")))
	w.reopen(disk)
	p, _ := w.register(t)
	p.commit(changed, 0, "old")
	p.commit(steady, 0, "steady")
	w.must(p.conn.Close())
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reopen(disk *simdisk.Disk) {
	w.t.Helper()
	w.disk = disk
	var err error
	w.blobs, err = blobstore.Open("db/blobs", blobstore.Options{FS: disk})
	w.must(err)
	st, err := filestorage.Open(w.t.Context(), "db/Data.fs", filestorage.Options{FS: disk, Blobs: w.blobs})
	w.must(err)
	w.site = offer(w.t, st, Options{Buffers: w.buffers}, StorageOptions{})
}

// shut ends the server. The disk may be dead, so the storage may be unable to say good-bye.
func (w *world) shut() {
	w.stop()
	_ = w.st.Close()
}

// A victim is a client in the middle of a commit.
type victim struct {
	*peer
	oids   []zodb.Oid // that it was given
	script []message
}

// A message is one of the commit's; 0: it has no answer.
type message struct {
	bytes  []byte
	answer int64
}

func (w *world) victim(encoding string) *victim {
	w.t.Helper()
	v := &victim{peer: w.dial(w.t, encoding)}
	v.call("register", "1", false)
	v.oids = v.newOids()
	_, at := v.current(changed)
	_, seen := v.current(steady)
	created, blob := oidValue(v.oids[0]), oidValue(v.oids[1])
	v.add("tpc_begin", handle, pickle.Bytes("user"), pickle.Bytes(mark), &pickle.Dict{}, nil, " ")
	v.add("storea", oidValue(changed), tidValue(at), pickle.Bytes("new"), handle)
	v.add("storea", created, tidValue(0), pickle.Bytes(strings.Repeat("created", 1000)), handle)
	v.add("storeBlobStart")
	for _, chunk := range []string{"first, ", "second, ", "third"} {
		v.add("storeBlobChunk", pickle.Bytes(chunk))
	}
	v.add("storeBlobEnd", blob, tidValue(0), pickle.Bytes(blobRecord), handle)
	v.add("checkCurrentSerialInTransaction", oidValue(steady), tidValue(seen), handle)
	v.ask("vote", handle)
	v.ask("tpc_finish", handle)
	return v
}

const (
	mark        = "the commit that is cut" // its description
	blobContent = "first, second, third"
)

func (p *peer) newOids() (oids []zodb.Oid) {
	p.t.Helper()
	list, _ := items(p.call("new_oids"))
	for _, v := range list {
		oids = append(oids, zodb.Oid(tidIn(p.t, v)))
	}
	return oids
}

func (v *victim) add(method string, args ...pickle.Value) { v.append(0, 1, method, args) }

func (v *victim) ask(method string, args ...pickle.Value) {
	v.next++
	v.append(v.next, 0, method, args)
}

func (v *victim) append(id int64, flag int, method string, args pickle.Tuple) {
	v.t.Helper()
	b, err := v.codec.Append(nil, &wire.Message{ID: id, Flag: flag, Method: method, Args: args})
	if err != nil {
		v.t.Fatal(err)
	}
	v.script = append(v.script, message{b, id})
}

// say sends the first n messages. After each but the last it waits for the answer, as the client does, and it reports
// whether none was refused.
func (v *victim) say(n int) bool {
	for i, m := range v.script[:n] {
		if _, err := v.conn.Write(m.bytes); err != nil {
			return false
		}
		if m.answer != 0 && i < n-1 && !v.hears(m.answer) {
			return false
		}
	}
	return true
}

// play is say, and waits for the last answer, too. It reports whether the commit was acknowledged.
func (v *victim) play(n int) (told bool) {
	if !v.say(n) || n == 0 || v.script[n-1].answer == 0 {
		return false
	}
	return v.hears(v.script[n-1].answer) && n == len(v.script)
}

// hears reports whether the call with this id succeeds. The connection may end before.
func (v *victim) hears(id int64) bool {
	for {
		b, err := wire.Read(v.conn, 1<<20)
		if err != nil {
			return false
		}
		m, err := v.codec.Decode(b)
		if err != nil {
			v.t.Fatal(err)
		}
		if m.IsReply() {
			return m.ID == id && m.Flag == 0
		}
	}
}

// check lets another client commit, and compares what is there with the rule. It returns the oids that the client was
// given.
func (w *world) check(when string, told bool) []zodb.Oid {
	w.t.Helper()
	p, _ := w.register(w.t)
	oids := p.newOids()
	p.commit(oids[0], 0, "life goes on")
	p.tell("storeBlobStart")
	p.tell("storeBlobChunk", pickle.Bytes("another"))
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	p.tell("storeBlobEnd", oidValue(oids[1]), tidValue(0), pickle.Bytes(blobRecord), handle)
	p.call("vote", handle)
	p.call("tpc_finish", handle)
	w.must(p.conn.Close())

	data, tid, err := w.st.Load(changed)
	w.must(err)
	there := string(data) == "new"
	if told && !there {
		w.t.Errorf("%s: the commit was acknowledged, and is gone", when)
	}
	w.checkTransaction(when, tid, there)
	w.checkBlobs(when)
	for _, oid := range oids[2:] {
		if _, _, err := w.st.Load(oid); err == nil {
			w.t.Errorf("%s: oid %v was handed out, and is in use", when, oid)
		}
	}
	return oids
}

// checkTransaction finds all that the commit wrote in the transaction tid, or nothing of it anywhere.
func (w *world) checkTransaction(when string, tid zodb.Tid, there bool) {
	w.t.Helper()
	var found []string
	it, err := w.st.Iterate(0, false)
	w.must(err)
	defer it.Close()
	for {
		txn, err := it.Next(w.t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		w.must(err)
		if string(txn.Meta().Description) != mark {
			continue
		}
		oids, err := oidsOf(txn)
		w.must(err)
		found = append(found, fmt.Sprintf("%d objects in %v, blob %q", len(oids), txn.Meta().Tid,
			w.blob(oids[len(oids)-1], txn.Meta().Tid)))
	}
	var want []string
	if there {
		want = []string{fmt.Sprintf("3 objects in %v, blob %q", tid, blobContent)}
	}
	if !slices.Equal(found, want) {
		w.t.Errorf("%s: found %q, want %q", when, found, want)
	}
}

func (w *world) blob(oid zodb.Oid, tid zodb.Tid) string {
	w.t.Helper()
	f, err := w.blobs.OpenBlob(oid, tid)
	w.must(err)
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	w.must(err)
	return string(content)
}

// checkBlobs finds the record of each blob.
func (w *world) checkBlobs(when string) {
	w.t.Helper()
	w.must(w.blobs.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
		if _, err := w.st.LoadSerial(oid, tid); err != nil {
			w.t.Errorf("%s: %s has no record: %v", when, path, err)
		}
		return nil
	}))
}

// checkFolders finds nothing in the folders of what is under way.
func (w *world) checkFolders(when string) {
	w.t.Helper()
	if left, err := os.ReadDir(w.buffers); err != nil || len(left) > 0 {
		w.t.Errorf("%s: left in the folder of buffers: %v, %v", when, left, err)
	}
	if left, err := w.disk.ReadDir(filepath.Join("db", "blobs", "tmp")); err != nil || len(left) > 0 {
		w.t.Errorf("%s: left in the folder of blobs under way: %v, %v", when, left, err)
	}
}
