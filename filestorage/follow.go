package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A DivergedError says that a transaction which was already taken from a file is no longer in it: the writer lost it in
// a crash, or the file was replaced by one with another history. Whoever got the transaction from here has what the
// writer does not have any more.
type DivergedError struct {
	File string
	Tid  zodb.Tid
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf(
		"%s no longer has transaction %v, which was already replicated: the file was cut, or replaced by an older "+
			"one; save the secondaries' files, decide which history is right, and start again",
		e.File,
		e.Tid,
	)
}

// patience is how many polls long a file may stay in a state that is normal only while something continues.
const patience = 10

// watch looks at the file whenever it was changed, and now and then.
func (a *Attached) watch(ctx context.Context) {
	defer close(a.done)
	watcher, err := a.subscribe()
	if err != nil {
		a.log.Info("no file change notifications; polling the file", "interval", a.poll, "error", err)
		watcher = &fsnotify.Watcher{}
	} else {
		defer watcher.Close() //nolint:errcheck // it has nothing to lose
	}
	ticker := time.NewTicker(a.poll)
	defer ticker.Stop()
	for a.lookAgain(ctx) {
		if !a.await(ctx, watcher, ticker) {
			return
		}
	}
}

func (a *Attached) subscribe() (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(filepath.Dir(a.path)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// await returns when there is a reason to look at the file; false: the end.
func (a *Attached) await(ctx context.Context, watcher *fsnotify.Watcher, ticker *time.Ticker) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
			return true
		case e := <-watcher.Events:
			if filepath.Base(e.Name) == filepath.Base(a.path) {
				return true
			}
		case err := <-watcher.Errors: // too many events, so that some were lost
			a.log.Debug("file change notifications", "error", err)
			return true
		}
	}
}

// lookAgain looks and deals with what went wrong. Only a divergence, or the end of ctx, ends the watching: everything
// else may pass.
func (a *Attached) lookAgain(ctx context.Context) bool {
	err := a.look(ctx)
	diverged := (*DivergedError)(nil)
	switch {
	case err == nil:
		a.trouble = ""
	case ctx.Err() != nil:
		return false
	case errors.As(err, &diverged):
		a.log.Error("stopped following", "error", err, "warning", warning.StorageFailed)
		a.suspend(a.dataFile())
		a.dataFile().close(diverged)
		return false
	case err.Error() != a.trouble:
		a.trouble = err.Error()
		a.log.Warn("cannot follow the file, retrying", "file", a.path, "error", err, "warning", warning.FilesWrong)
	}
	return true
}

// look takes what was finished since the last time, and notices when the file is not the one that it was.
func (a *Attached) look(ctx context.Context) error {
	g := a.dataFile()
	at, missing := a.fs.Stat(a.path) // before anything is read: once another file is there, ours is complete
	if missing != nil && !errors.Is(missing, fs.ErrNotExist) {
		return missing
	}
	stands, err := g.stands()
	switch {
	case err != nil:
		return err
	case stands:
		a.resume(g)
		err = g.take(ctx)
	default:
		a.suspend(g)
	}
	switch {
	case err != nil:
		return err
	case missing != nil:
		return nil //nolint:nilerr // the moment between the two renames of a pack
	case stands && vfs.SameFile(at, g.id):
		a.change = pendingChange{}
		a.watchTail(g, at.Size())
		return nil
	}
	return a.goOver(ctx, g, at)
}

// watchTail reports once when a transaction after the last finished one does not get finished.
func (a *Attached) watchTail(g *dataFile, size int64) {
	if size <= g.walk.pos || a.tail.pos != g.walk.pos {
		a.tail = tail{pos: g.walk.pos, since: a.now()}
		return
	}
	if a.tail.told || a.now().Sub(a.tail.since) < patience*a.poll {
		return
	}
	a.tail.told = true
	a.log.Info("the file has bytes after the last finished transaction: its writer is in a commit, was killed in "+
		"one (it cuts them off at its next start), or the file is damaged there",
		"file", a.path, "offset", g.walk.pos, "bytes", size-g.walk.pos)
}

// A tail is a place after which something unfinished stands.
type tail struct {
	pos   int64
	since time.Time
	told  bool
}

// goOver replaces the data file by what is at the path now, once that continues where g ended. While it does not, it
// may be on its way there, as a copy is; when it has stopped changing, it is another history.
func (a *Attached) goOver(ctx context.Context, g *dataFile, at fs.FileInfo) error {
	next, err := a.openGeneration(ctx)
	if err == nil {
		var follows bool
		if follows, err = next.follows(ctx, g); follows && err == nil {
			a.log.Info("the data file was replaced, for example by a pack", "file", a.path, "last_tid", g.last.tid)
			a.change = pendingChange{}
			return a.replace(next)
		}
		err = errors.Join(err, next.file.Close())
	}
	switch {
	case !a.change.stable(at, a.now(), patience*a.poll):
		a.log.Debug("the new data file cannot be used yet", "file", a.path, "error", err)
		return nil
	case err != nil && !errors.Is(err, errUnfinished):
		return err
	}
	return &DivergedError{File: a.path, Tid: g.last.tid}
}

// follows reports whether g continues where old ended: it has the last transaction taken from old. A pack removes that
// one only if it has no records: whatever else a transaction has changed last is current, and stays. (A pack also
// removes a last transaction of which nothing can be reached. That looks like an older backup that was packed, and is
// taken for one. So are two packs while this process did not look, where the second one has removed it.)
func (g *dataFile) follows(ctx context.Context, old *dataFile) (bool, error) {
	if old.last.pos == 0 {
		return true, nil
	}
	p, err := g.walk.src.headerCursor()
	if err != nil {
		return false, err
	}
	if err := p.seek(ctx, old.last.tid-1); err != nil {
		return false, err
	}
	if !p.atEnd() && p.txn.Tid == old.last.tid {
		return true, nil
	}
	before, _, err := p.neighbours()
	if err != nil || before.Status != zodb.StatusPacked || vfs.SameFile(g.id, old.id) {
		return false, err
	}
	return old.emptyAfter(before.Tid)
}

// emptyAfter reports whether all transactions taken that are newer than tid have no records.
func (g *dataFile) emptyAfter(tid zodb.Tid) (bool, error) {
	p := headerCursor{src: g.walk.src, win: window{file: g.file, size: g.walk.pos}}
	for err := p.read(g.walk.pos); ; {
		if err == nil && p.pos == magicLen {
			return true, nil
		}
		if err == nil {
			err = p.prev()
		}
		if err != nil || p.txn.Tid <= tid {
			return err == nil, err
		}
		if int64(p.txn.Length) > p.txn.headerLen() {
			return false, nil
		}
	}
}

// A pendingChange is a file that does not continue where the one before ended, as it was seen last.
type pendingChange struct {
	id    fs.FileInfo
	since time.Time
}

// stable reports whether the file has not changed for that long.
func (u *pendingChange) stable(at fs.FileInfo, now time.Time, long time.Duration) bool {
	if u.id == nil || !vfs.SameFile(u.id, at) || u.id.Size() != at.Size() || !u.id.ModTime().Equal(at.ModTime()) {
		*u = pendingChange{at, now}
	}
	return now.Sub(u.since) >= long
}
