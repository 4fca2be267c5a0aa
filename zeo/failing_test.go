package zeo

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// A gate is a disk whose syncs can be held up, and made to fail then.
type gate struct {
	vfs.FS
	shut atomic.Pointer[chan error] // nil: open
}

func (g *gate) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := g.FS.OpenFile(path, flag, perm)
	return gated{f, g}, err
}

type gated struct {
	vfs.File
	g *gate
}

func (f gated) Sync() error {
	if held := f.g.shut.Load(); held != nil {
		return <-*held
	}
	return f.File.Sync()
}

// A vote that meets a transaction that is not durable yet waits for its invalidation. When the disk fails, that never
// comes.
func TestNobodyWaitsForATransactionThatTheDiskHasLost(t *testing.T) {
	disk := &gate{FS: simdisk.New()}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() // fails as the disk does
	s := offer(t, st, Options{}, StorageOptions{})
	defer s.stop()
	committer, _ := s.register(t)
	loser, _ := s.register(t)
	first := committer.commit(1, 0, "old")

	held := make(chan error)
	disk.shut.Store(&held)
	committer.stored(1, first, "never durable")
	committer.call("vote", handle)
	committer.send(0, "tpc_finish", handle)
	committer.call("ping") // the commit lock is free, and the transaction on its way to the disk

	loser.stored(1, first, "too late")
	vote := loser.send(0, "vote", handle)
	loser.call("ping")
	stats := &s.storage("1").stats
	s.until(t, "the conflict is found", func() bool { return stats.waiting.Load() == 0 })

	broken := errors.New("the disk is broken")
	held <- broken
	disk.shut.Store(nil)
	if m := loser.answer(vote); m.Flag == 0 {
		t.Errorf("the vote is answered with %v", m.Args)
	}
	committer.cut()
	if data, tid := loser.current(1); data != "old" || tid != first {
		t.Errorf("there is %q of %v", data, tid)
	}
}

func TestNobodyEntersAStorageThatIsWithdrawn(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	st := s.storage("1") // as a client that found it a moment ago
	s.withdraw()
	if st.enter(&client{}, nil, true, false) {
		t.Error("entered")
	}
}

func TestACallThatComesTwiceIsAnsweredTwice(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	for range 2 {
		p.call("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	}
	for range 2 {
		p.call("tpc_abort", handle)
	}
}

func TestAnUploadThatBrokeOffIsNotInTheWayOfTheNext(t *testing.T) {
	w := newWorld(t)
	p, _ := w.register(t)
	p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
	p.tell("storeBlobStart")
	p.tell("storeBlobChunk", pickle.Bytes("the client cannot read the rest of its file"))
	p.call("tpc_abort", handle)
	w.checkFolders("after tpc_abort")
	p.call("storeBlobStart")
	w.must(p.conn.Close())
	w.shut()
	w.checkFolders("at the end")
}
