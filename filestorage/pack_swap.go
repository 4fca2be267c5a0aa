package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// The names of the file that a pack writes, and of the one that it replaces.
const (
	packSuffix = ".pack"
	oldSuffix  = ".old"
)

// make writes the new file and puts it in the place of the old one, unless there is nothing to drop. Its steps, and
// what a crash after each leaves:
//
//	1  write Data.fs.pack, sync it                     the old file; the next open removes Data.fs.pack
//	2  sync the name of Data.fs.pack, then plan the
//	   removal of blobs, durably                       the same; the next open drops the plan: Data.fs.pack is there
//	3  link Data.fs to Data.fs.old, remove the saved
//	   index, sync the folder                          the same; the next open removes the second name, and scans
//	4  with the commit lock, and nothing on its way to
//	   the disk: write the rest, sync
//	5  rename Data.fs.pack to Data.fs                  the old or the new file
//	6  sync the folder                                 the new file
//	7  let commits continue; save the index; do what is
//	   planned for the blobs                           the same; the next open does it
func (p *packer) make(ctx context.Context) error {
	var err error
	p.file, err = p.s.fs.OpenFile(p.s.path+packSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	if err := p.copyKept(ctx); err != nil {
		return err
	}
	if p.out.pos() == p.packpos {
		return nil
	}
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.opt.refused(); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	return p.takeOver(ctx)
}

// prepare makes ready what can be done before the file is replaced.
func (p *packer) prepare() error {
	if err := p.s.checkPlace(p.e.size(), false); err != nil {
		return err
	}
	p.sortDropped()
	if p.blobs != nil {
		if err := p.planBlobs(); err != nil {
			return err
		}
	}
	p.prepared = true
	disk, path := p.s.fs, p.s.path
	if err := vfs.RemoveIfThere(disk, path+oldSuffix); err != nil {
		return err
	}
	if p.opt.KeepOld {
		if err := disk.Link(path, path+oldSuffix); err != nil {
			return fmt.Errorf("keep the old file: %w", err)
		}
	}
	if err := vfs.RemoveIfThere(disk, path+indexSuffix); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// planBlobs plans the removal of blobs.
func (p *packer) planBlobs() error {
	if err := p.s.fs.SyncDir(filepath.Dir(p.s.path)); err != nil {
		return err
	}
	p.prepared = true
	return p.blobs.PlanRemoval(p.eachDropped, p.opt.KeepOld)
}

// takeOver copies the rest while nothing can be committed, and puts the new file in the place of the old one.
func (p *packer) takeOver(ctx context.Context) error {
	s := p.s
	if err := s.lockCommit(ctx); err != nil {
		return err
	}
	begun := time.Now()
	p.way.hurry = true
	defer func() {
		p.result.Pause = time.Since(begun)
		<-s.commit
	}()
	if err := s.queue.room(ctx, 1); err != nil {
		return err
	}
	end, last := p.e.get()
	if err := p.copyRest(ctx, end); err != nil {
		return err
	}
	if err := s.checkOwn(); err != nil {
		return err
	}
	if err := s.lock.claim(p.file); err != nil {
		return err
	}
	id, err := p.file.Stat()
	if err != nil {
		return err
	}
	if err := s.fs.Rename(s.path+packSuffix, s.path); err != nil {
		return err
	}
	p.result = PackResult{
		Packed: true, Before: end, After: p.out.pos(), Objects: p.index.len(), Blobs: len(p.dropped),
	}
	err = s.fs.SyncDir(filepath.Dir(s.path))
	e := newEdition(s.path)
	e.file, e.id, e.index, e.commitPoint = renamedFile{p.file, s.path}, id, p.index, newCommitPoint(p.out.pos(), last)
	s.adopt(e)
	if err != nil {
		return s.fail(fmt.Errorf("sync the folder after a pack: %w", err))
	}
	return nil
}

// adopt makes e the present data file. The caller has the commit lock, and nothing is on its way to the disk.
func (s *Storage) adopt(e *openDataFile) {
	old := s.openDataFile
	s.view.Lock()
	s.openDataFile = e
	s.view.Unlock()
	s.writer.end, s.writer.out.file = e.size(), e.file
	s.indexSaver.restart(e.size())
	old.close(errReplaced)
	old.release()
}

// A renamedFile is a file that got another name after it was opened.
type renamedFile struct {
	vfs.File
	name string
}

func (f renamedFile) Name() string { return f.name }

// SyncData is that of the file.
func (f renamedFile) SyncData() error { return vfs.SyncData(f.File) }

// Look is that of the file.
func (f renamedFile) Look() (fs.FileInfo, error) { return vfs.LookAt(f.File) }

// drop removes what a pack that failed, or that found nothing to drop, has left.
func (p *packer) drop() error {
	if p.file == nil {
		return nil
	}
	disk, path := p.s.fs, p.s.path
	err := errors.Join(p.endSync(), p.file.Close())
	if p.prepared {
		if p.blobs != nil {
			err = errors.Join(err, p.blobs.CancelRemoval())
		}
		if p.opt.KeepOld {
			err = errors.Join(err, vfs.RemoveIfThere(disk, path+oldSuffix))
		}
		p.s.saveIndexAt(p.e.size())
	}
	return errors.Join(err, vfs.RemoveIfThere(disk, path+packSuffix))
}

// clean does what is left once the new file is there.
func (p *packer) clean(ctx context.Context) error {
	p.s.log.Info("packed", "file", p.s.path, "before", p.result.Before, "after", p.result.After,
		"objects", p.result.Objects, "blobs_dropped", p.result.Blobs, "pause", p.result.Pause)
	p.s.saveIndexAt(p.result.After)
	if p.blobs == nil {
		return nil
	}
	total := int64(len(p.dropped))
	p.report(packBlobs, 0, total)
	err := p.blobs.FinishRemoval(ctx, p.s.hasRevision)
	p.s.leave(err) // also where it is the context's: it continues later
	if err == nil {
		p.report(packBlobs, total, total)
	}
	return err
}

// While commits continue, what they add is copied in rounds, until what one round leaves for the next is at most
// smallRest; maxRounds bound the wait for that where commits are as fast as copying.
const (
	smallRest = 256 << 10
	maxRounds = 32
)

// catchUp copies what is committed without keeping anybody from committing, until little is left.
func (p *packer) catchUp(ctx context.Context) error {
	for range maxRounds {
		if err := p.copyRest(ctx, p.e.size()); err != nil {
			return err
		}
		if p.e.size()-p.done <= smallRest {
			break
		}
	}
	return nil
}

// copyRest copies the transactions from done to end whole, durably.
func (p *packer) copyRest(ctx context.Context, end int64) error {
	w := newWalker(ctx, p.in, p.e.path, p.done, end)
	w.progress = func(done, total int64) { p.report(packCopy, done, total) }
	if err := w.each(func() error { return p.copyLater(w) }); err != nil {
		return err
	}
	p.done = end
	return p.sync()
}

// copyLater copies the transaction that w is at, with the offsets in it changed to those of the new file.
func (p *packer) copyLater(w *walker) error {
	tloc := p.out.pos()
	if err := p.copyHead(w, w.txn.Status); err != nil {
		return err
	}
	p.changed = p.changed[:0]
	err := w.records(func(r record) error {
		p.changed = append(p.changed, entry{r.Oid, p.out.pos()})
		return p.copyWhole(w, r, tloc)
	})
	if err != nil {
		return err
	}
	if err := p.endTxn(tloc); err != nil {
		return err
	}
	after := w.after()
	if by := p.out.pos() - after; by != p.shifts[len(p.shifts)-1].by {
		p.shifts = append(p.shifts, shift{after, by})
	}
	if w.txn.Status != zodb.StatusUndone {
		for _, e := range p.changed {
			p.index.set(e.oid, e.pos)
		}
	}
	return nil
}

// copyWhole copies a record into the transaction at tloc. One that points back to one that is not kept gets the data.
func (p *packer) copyWhole(w *walker, r record, tloc int64) error {
	h := r.recHeader
	h.Tloc = tloc
	h.Prev, _ = p.index.get(r.Oid)
	if h.PLen > 0 || r.back == 0 {
		return p.writeRecord(w, &h, r.pos, 0)
	}
	back, err := p.newOffset(r.Oid, r.back)
	if err != nil {
		return err
	}
	if back != 0 {
		return p.writeRecord(w, &h, 0, back)
	}
	from, err := p.e.origin(r.Oid, r.back, r.pos)
	if err != nil {
		return err
	}
	h.PLen = from.PLen
	return p.writeRecord(w, &h, from.pos, 0)
}

// newOffset returns where the record of oid at the old offset is in the new file, 0 when it is not kept.
func (p *packer) newOffset(oid zodb.Oid, old int64) (int64, error) {
	if old >= p.packpos {
		i := sort.Search(len(p.shifts), func(i int) bool { return p.shifts[i].old > old })
		return old + p.shifts[i-1].by, nil
	}
	if x := p.record(old); x != nil {
		return x.new, nil
	}
	at, _ := p.current.get(oid)
	if at&moved == 0 {
		return 0, nil
	}
	at &^= kept | moved
	was, err := p.e.record(oid, old, p.packpos)
	if err != nil {
		return 0, err
	}
	var b [recHeaderLen]byte
	if err := readFull(p.file, b[:], at); err != nil {
		return 0, err
	}
	var now recHeader
	if now.decode(b[:]); now.Tid != was.Tid {
		return 0, nil
	}
	return at, nil
}

// finishOpen clears up after a crash, as far as that is possible: what is not is left for later. The error is that of
// ctx.
func (s *Storage) finishOpen(ctx context.Context) error {
	err := s.finishPack(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lost := s.left.aside; len(lost) > 0 {
		err = errors.Join(err, lostAsideError(len(lost), lost[0], s.left.first))
	}
	s.leave(err)
	return nil
}

// setAside moves the blob of a lost transaction aside. If that is impossible it stays for now: nothing refers to it,
// and if the transaction comes again, its blob replaces it. A failing disk is another matter.
func (s *Storage) setAside(b lostBlob) error {
	err := s.blobs.SetAside(b.oid, b.tid, b.label)
	if err == nil || errors.Is(err, syscall.EIO) {
		return err
	}
	s.left.lost(b, err)
	return nil
}

// finishPack clears up after a pack that was interrupted, by a crash or in Python. A new file that is still there did
// not come to replace the old one and is removed, with the plan for its blobs; a plan without it is carried out.
func (s *Storage) finishPack(ctx context.Context) error {
	blobs, _ := s.blobs.(BlobPacker)
	_, err := s.fs.Stat(s.path + packSuffix)
	switch {
	case err == nil:
		s.log.Info("removing files of an interrupted pack", "file", s.path+packSuffix)
		if blobs != nil {
			err = blobs.CancelRemoval()
		}
		if err == nil {
			err = s.fs.Remove(s.path + packSuffix)
		}
	case errors.Is(err, fs.ErrNotExist) && blobs != nil:
		err = blobs.FinishRemoval(ctx, s.hasRevision)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err = errors.Join(err, s.removeSecondName()); err != nil {
		return fmt.Errorf("finish an interrupted pack: %w", err)
	}
	return nil
}

// removeSecondName removes a Data.fs.old that is the Data.fs.
func (s *Storage) removeSecondName() error {
	old, err := s.fs.Stat(s.path + oldSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := s.file.Stat()
	if err != nil || !vfs.SameFile(old, now) {
		return err
	}
	return s.fs.Remove(s.path + oldSuffix)
}
