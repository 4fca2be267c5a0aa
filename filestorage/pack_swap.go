package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
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
//	7  let commits go on; save the index; do what is
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
	e.file, e.id, e.index, e.commitPoint = renamedFile{p.file, s.path}, id, p.index, newFrontier(p.out.pos(), last)
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
	s.saver.restart(e.size())
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
	p.report(PackBlobs, 0, total)
	err := p.blobs.FinishRemoval(ctx, p.s.hasRevision)
	p.s.leave(err) // also where it is the context's: it goes on later
	if err == nil {
		p.report(PackBlobs, total, total)
	}
	return err
}
