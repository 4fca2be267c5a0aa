package zeo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Uploads of several clients, chunk beside chunk, are each other's business as little as that of the clients that
// vanish in the middle of one: of those nothing is left.
func TestUploadsBesideEachOtherAreWholeOrLeaveNothing(t *testing.T) {
	const clients, chunks = 6, 8
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t)
		var all []*peer
		for range clients {
			p, _ := w.register(t)
			p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
			p.tell("storeBlobStart")
			all = append(all, p)
		}
		sent := make([]string, clients)
		gone := make([]bool, clients)
		for _, i := range shuffled(random, clients, chunks) {
			if gone[i] {
				continue
			}
			if i%2 == 1 && random.IntN(chunks) == 0 || i == 1 && len(sent[i]) > 0 {
				w.must(all[i].conn.Close())
				gone[i] = true
				continue
			}
			chunk := strings.Repeat(fmt.Sprintf("%d of client %d. ", len(sent[i]), i), 1000)
			all[i].tell("storeBlobChunk", pickle.Bytes(chunk))
			sent[i] += chunk
		}
		var want []string
		for i, p := range all {
			if gone[i] {
				continue
			}
			oid := zodb.Oid(100 + i)
			p.tell("storeBlobEnd", oidValue(oid), tidValue(0), pickle.Bytes(blobRecord), handle)
			p.call("vote", handle)
			tid := tidIn(t, p.call("tpc_finish", handle))
			if got := w.blob(oid, tid); got != sent[i] {
				t.Errorf("seed %d: client %d sent %d bytes, and %d are there", seed, i, len(sent[i]), len(got))
			}
			want = append(want, oid.String())
		}
		var found []string
		w.must(w.blobs.Walk(func(oid zodb.Oid, _ zodb.Tid, _ int64, _ string) error {
			found = append(found, oid.String())
			return nil
		}))
		if !slices.Equal(found, want) {
			t.Errorf("seed %d: blobs of %v, want %v", seed, found, want)
		}
		w.shut()
		w.checkFolders(fmt.Sprintf("seed %d", seed))
	}
}

// The chunks of a blob share memory, one after the other. What a client stores between them has its own.
func TestWhatIsStoredWithinAnUploadKeepsItsRecord(t *testing.T) {
	w := newWorld(t)
	p, _ := w.register(t)
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	p.tell("storeBlobStart")
	var blob, records []string
	for i := range 6 {
		chunk := strings.Repeat(fmt.Sprintf("chunk %d. ", i), 500*(1+i%3))
		p.tell("storeBlobChunk", pickle.Bytes(chunk))
		blob = append(blob, chunk)
		record := strings.Repeat(fmt.Sprintf("record %d. ", i), 600)
		p.tell("storea", oidValue(zodb.Oid(200+i)), tidValue(0), pickle.Bytes(record), handle)
		records = append(records, record)
	}
	record := append([]byte(blobRecord), strings.Repeat(".", 1000)...)
	p.tell("storeBlobEnd", oidValue(100), tidValue(0), pickle.Bytes(record), handle)
	p.call("vote", handle)
	tid := tidIn(t, p.call("tpc_finish", handle))
	if got := w.blob(100, tid); got != strings.Join(blob, "") {
		t.Errorf("%d bytes came of the blob, or others than were sent", len(got))
	}
	for i, want := range records {
		if got, _, err := w.st.Load(zodb.Oid(200 + i)); err != nil || string(got) != want {
			t.Errorf("record %d: %.30q, %v, want %.30q", i, got, err, want)
		}
	}
	if got, _, err := w.st.Load(100); err != nil || !slices.Equal(got, record) {
		t.Errorf("the record of the blob: %.30q, %v", got, err)
	}
	w.must(p.conn.Close())
	w.shut()
}

// A blob for which there is no room on the disk is the end of its transaction, at the vote. The client stays connected.
func TestABlobThatTheDiskDoesNotTakeFailsTheVoteOnly(t *testing.T) {
	for _, kind := range []simdisk.Kind{simdisk.Create, simdisk.Write} {
		w := newWorld(t)
		p, _ := w.register(t)
		upload := func() {
			p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
			p.tell("storeBlobStart")
			for range 3 {
				p.tell("storeBlobChunk", pickle.Bytes("a part of the blob"))
			}
			p.tell("storeBlobEnd", oidValue(100), tidValue(0), pickle.Bytes(blobRecord), handle)
		}
		w.disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == kind && strings.Contains(op.Path, "/tmp/") {
				return syscall.ENOSPC
			}
			return nil
		})
		upload()
		p.refused(classStorage, "vote", handle)
		p.call("tpc_abort", handle)
		w.disk.Heal()
		upload()
		p.call("vote", handle)
		tid := tidIn(t, p.call("tpc_finish", handle))
		if got := w.blob(100, tid); got != strings.Repeat("a part of the blob", 3) {
			t.Errorf("%s failed: then there is %q", kind, got)
		}
		w.must(p.conn.Close())
		w.shut()
		w.checkFolders("at the end")
	}
}

// shuffled is each of n numbers several times, in any order.
func shuffled(random *rand.Rand, n, times int) (order []int) {
	for i := range n * times {
		order = append(order, i%n)
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
