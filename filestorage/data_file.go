package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A dataFile is one file that stands, or stood, at the path of an Attached. All but the commit point belongs to the
// watcher, except where noted.
type dataFile struct {
	*commitPoint
	file  vfs.File
	id    fs.FileInfo // when it was opened
	magic zodb.Magic

	refs      int  // of the watcher and of sources
	suspended bool // the commit point hides everything; both are guarded by Attached.mu

	walk headerCursor // is after the last transaction taken
	last lastTransaction
}

// A lastTransaction is the last transaction taken from a file: as long as it is at its place the file is what it
// was.
type lastTransaction struct {
	pos    int64 // 0: nothing was taken
	tid    zodb.Tid
	length uint64
}

// errUnfinished says that a file is not yet what it is going to be.
var errUnfinished = errors.New("the file is not complete yet")

// openGeneration opens what is at the path now and finds the end of its last finished transaction.
func (a *Attached) openGeneration(ctx context.Context) (*dataFile, error) {
	f, err := a.fs.OpenFile(a.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	g := &dataFile{file: f, commitPoint: newCommitPoint(magicLen, 0), refs: 1}
	if err := g.start(ctx, a); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return g, nil
}

func (g *dataFile) start(ctx context.Context, a *Attached) (err error) {
	if g.id, err = g.file.Stat(); err != nil {
		return err
	}
	if g.id.Size() < magicLen {
		return fmt.Errorf("%w: it has %d bytes", errUnfinished, g.id.Size())
	}
	if _, err := g.file.ReadAt(g.magic[:], 0); err != nil {
		return readError(err)
	}
	if !g.magic.Known() {
		return corruptAt(a.path, 0, "the magic FS30 or FS21", fmt.Sprintf("%q", g.magic[:]))
	}
	g.walk = headerCursor{src: g.source(a), win: window{file: g.file, size: g.id.Size()}}
	if err := g.findEnd(ctx, a.savedEnd); err != nil {
		return err
	}
	return g.take(ctx)
}

// source returns the data file as readers see it, without a reference.
func (g *dataFile) source(a *Attached) *source {
	src := &source{
		commitPoint: g.commitPoint, file: g.file, path: a.path,
		index:     a.savedIndex,
		successor: func(context.Context) (*source, error) { return a.acquire() },
	}
	if a.blobs != nil {
		src.openBlob = a.blobs.OpenBlob
	}
	return src
}

// savedIndex returns what the writer saved last, nil when that is of no use.
func (a *Attached) savedIndex() *index {
	x, _, err := loadIndex(a.fs, a.path+indexSuffix)
	if err != nil {
		a.log.Debug("no saved index", "error", err)
		return nil
	}
	return x
}

// savedEnd returns where the file ended when the index was saved, 0 when that is unknown.
func (a *Attached) savedEnd() int64 {
	_, pos, err := loadIndex(a.fs, a.path+indexSuffix)
	if err != nil {
		return 0
	}
	return pos
}

// take takes all transactions that are finished by now.
func (g *dataFile) take(ctx context.Context) error {
	info, err := g.file.Stat()
	if err != nil {
		return err
	}
	p := &g.walk
	if info.Size() < p.pos {
		return nil
	}
	p.win = window{file: g.file, size: info.Size(), buf: p.win.buf[:0]} // void what was read of an aborted one
	if err := p.read(p.pos); err != nil {
		return err
	}
	for p.src.checkTxn(&p.txn, p.pos, p.win.size) == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		here := p.txnPosition
		if err := p.read(p.after()); err != nil {
			return err
		}
		if p.before != here.txn.Length {
			p.txnPosition = here
			break
		}
		g.last = lastTransaction{here.pos, here.txn.Tid, here.txn.Length}
	}
	if end, _ := g.get(); end != p.pos {
		g.advance(p.pos, g.last.tid)
	}
	return nil
}

// stands reports whether the last transaction taken is still at its place.
func (g *dataFile) stands() (bool, error) {
	if g.last.pos == 0 {
		return true, nil
	}
	var there cursor
	r := &plain{file: g.file, path: g.file.Name()}
	if _, err := there.enter(r, g.last.pos); err != nil {
		return false, ignoreEnd(readError(err))
	}
	h := &there.txn
	if h.Tid != g.last.tid || h.Length != g.last.length || h.Status == zodb.StatusCheckpoint {
		return false, nil
	}
	whole, err := there.whole(r)
	return whole, ignoreEnd(readError(err))
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// findEnd puts the walk to a place up to which the file is finished, and notes the transaction in front of it. It tries
// the end of the file, the place before a last transaction that is whole but not finished, and the end as the saved
// index knows it; from there transactions are taken one by one, as they are from the start when nothing else is left.
func (g *dataFile) findEnd(ctx context.Context, saved func() int64) error {
	p, size := &g.walk, g.walk.win.size
	places := []func() int64{
		func() int64 { return size },
		func() int64 { return p.voted(size) },
		saved,
	}
	for _, place := range places {
		pos := place()
		if pos <= magicLen || pos > size {
			continue
		}
		if err := p.confirm(ctx, pos); err == nil {
			return g.noteLast()
		} else if corrupt := (*zodb.CorruptError)(nil); !errors.As(err, &corrupt) {
			return err
		}
	}
	return p.read(magicLen)
}

// noteLast notes the transaction in front of the walk as taken.
func (g *dataFile) noteLast() error {
	p, here := &g.walk, g.walk.txnPosition
	if err := p.prev(); err != nil {
		return err
	}
	g.last = lastTransaction{p.pos, p.txn.Tid, p.txn.Length}
	p.txnPosition = here
	return nil
}

// voted returns where the last transaction of the file begins when it is whole but not finished, 0 otherwise.
func (p *headerCursor) voted(size int64) int64 {
	if p.read(size) != nil || p.before > uint64(size-lengthLen-magicLen) {
		return 0
	}
	length := p.before
	if p.read(size-lengthLen-int64(length)) != nil ||
		p.txn.Length != length || p.txn.Status != zodb.StatusCheckpoint {
		return 0
	}
	return p.pos
}

// confirm goes to pos when a chain of finished transactions leads there; a *zodb.CorruptError says that none does. A
// chain may also be in the data of a record, such as a copy of a Data.fs; but a record of this file names the offset
// of its transaction. The chain is followed for as many transactions as can be on their way to the disk: the first one
// of each group says that it is not finished.
func (p *headerCursor) confirm(ctx context.Context, pos int64) error {
	if err := p.read(pos); err != nil {
		return err
	}
	here, own := p.txnPosition, false
	var passed chain
	for passed.n < nearEnd || passed.n < 2*appendTxns && !passed.tooLongForTail {
		if p.pos == magicLen {
			own = true
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.prev(); err != nil {
			return err
		}
		if !own && p.txn.Length > uint64(p.txn.headerLen()) {
			if err := p.checkFirstRecord(); err != nil {
				return err
			}
			own = true
		}
		passed.add(p.pos, p.after()-p.pos)
	}
	if !own {
		return p.src.corrupt(p.pos, "a transaction with records", fmt.Sprintf("%d without", passed.n))
	}
	p.txnPosition = here
	return nil
}

// checkFirstRecord checks that the first record of the transaction is one of this file.
func (p *headerCursor) checkFirstRecord() error {
	pos := p.first()
	if room := p.second() - pos; room < recHeaderLen {
		return p.src.corrupt(pos, "a data record", fmt.Sprintf("%d bytes", room))
	}
	var b [recHeaderLen]byte
	if err := p.win.peek(b[:], pos); err != nil {
		return readError(err)
	}
	var r recHeader
	r.decode(b[:])
	if r.Tloc != p.pos {
		return p.src.corrupt(pos+24, fmt.Sprintf("the offset %d of its transaction", p.pos), fmt.Sprint(r.Tloc))
	}
	return nil
}
