package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// readings is how often a file is read that does not stay what it is.
const readings = 3

// recover brings index and commit point to what the file says: it starts from the saved index where that is good, scans
// the rest, makes the end durable, and cuts off the tail of an interrupted commit.
func (s *Storage) recover(ctx context.Context, progress func(done, total int64)) error {
	for n := 1; ; n++ {
		err := s.recoverOnce(ctx, progress)
		if n == readings || !errors.Is(err, errChanged) {
			return err
		}
		s.log.Info(
			"the end of the file on disk differs from what was read: reading it again",
			"file",
			s.path,
			"error",
			err,
		)
	}
}

func (s *Storage) recoverOnce(ctx context.Context, progress func(done, total int64)) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	c := newScan(ctx, s.file, s.path, max(info.Size(), magicLen))
	indexed := s.startFromIndex(c)
	from := c.pos
	c.progress = progress
	if err := c.run(); err != nil {
		return err
	}
	s.warn(c, from)
	if !s.readOnly {
		if err := s.secure(c, from); err != nil {
			return err
		}
	}
	if c.pos < c.size && !s.readOnly {
		if err := s.cutTail(c); err != nil {
			return err
		}
	}
	s.index, s.commitPoint, s.indexSaver.saved = c.index, newCommitPoint(c.pos, c.last), from
	if !indexed && !s.readOnly {
		s.indexSaver.saved = c.pos
		s.saveIndexAt(c.pos)
	}
	return nil
}

// startFromIndex gives the scan the saved index and the position to continue from, and reports whether there was a good
// one. Without, the scan begins at the front.
func (s *Storage) startFromIndex(c *scan) bool {
	x, pos, err := loadIndex(s.fs, s.path+indexSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = c.accept(x, pos)
	}
	if err != nil {
		s.log.Info("cannot use the saved index, scanning the file", "file", s.path+indexSuffix, "error", err)
	}
	return err == nil
}

// warn logs what a scan saw that is odd but does no harm.
func (s *Storage) warn(c *scan, from int64) {
	if c.strange > 0 {
		s.log.Info("some records have a wrong pointer to their previous revision; current data are not affected",
			"file", s.path, "records", c.strange, "from", from)
	}
	if c.disorder > 0 {
		s.log.Info(
			"some tids are not above the tid before them: a clock was wrong; transactions are served in file order",
			"file",
			s.path,
			"transactions",
			c.disorder,
			"from",
			from,
		)
	}
}

// cutTail cuts the file off after the last good transaction. What it cuts is kept in the first free of the files
// Data.fs.tr0, Data.fs.tr1, …, and published blobs of the transactions in it are set aside. A crash on the way repeats
// the whole at the next open. Without room for it a transaction that never became final is not kept: nobody was told of
// it, and a full disk must not keep a server from starting.
func (s *Storage) cutTail(c *scan) error {
	label, err := s.keepTail(c.pos, c.size)
	kept := s.path + "." + label
	if noRoom(err) && c.unfinished() {
		kept, err = "nowhere: there was no room", nil
	}
	if err != nil {
		return fmt.Errorf("keep the tail at %d before cutting it off: %w", c.pos, err)
	}
	if err := s.setBlobsAside(c, label); err != nil {
		return err
	}
	if err := s.file.Truncate(c.pos); err != nil {
		return fmt.Errorf("cut off the tail at %d: %w", c.pos, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("cut off the tail at %d: %w", c.pos, err)
	}
	s.log.Info("cut off what an interrupted commit left after the last good transaction", "file", s.path, "at", c.pos,
		"bytes", c.size-c.pos, "kept_in", kept, "last_tid", c.last)
	return nil
}

// unfinished reports whether a transaction is at pos that never became final.
func (c *scan) unfinished() bool {
	var b [1]byte
	return c.size-c.pos >= txnHeaderLen && c.peek(b[:], c.pos+statusAt) == nil && b[0] == byte(zodb.StatusCheckpoint)
}

// noRoom reports whether an error is about room on the disk, or the size that files may have.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// keepTail copies [from, to) into a new file and returns its suffix, in any case.
func (s *Storage) keepTail(from, to int64) (label string, err error) {
	for n := 0; ; n++ {
		label = fmt.Sprintf("tr%d", n)
		f, err := s.fs.OpenFile(s.path+"."+label, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return label, err
		}
		if err := copyOut(f, s.file, from, to); err != nil {
			return label, errors.Join(err, s.fs.Remove(f.Name()))
		}
		return label, s.fs.SyncDir(filepath.Dir(s.path))
	}
}

// copyOut fills to with [from, end) of file, durably, and closes it.
func copyOut(to, file vfs.File, from, end int64) error {
	_, err := io.CopyBuffer(io.NewOffsetWriter(to, 0), io.NewSectionReader(file, from, end-from), make([]byte, scanBuf))
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// setBlobsAside gives the blobs of the lost transactions away, as far as their records can be made out. Blobs are
// published only after the records are durable, so those of every published blob can be.
func (s *Storage) setBlobsAside(c *scan, label string) error {
	if s.blobs == nil {
		return nil
	}
	for at := c.pos; at >= 0 && c.size-at >= txnHeaderLen; {
		b, err := c.bytes(at, txnHeaderLen)
		if err != nil {
			return err
		}
		var h txnHeader
		h.decode(b)
		end, err := s.setRecordsAside(c, at, at+h.headerLen(), label)
		if err != nil {
			return err
		}
		at = c.nextAfter(at, end)
	}
	return nil
}

// setRecordsAside does so for the transaction at tloc, whose records begin at pos, and returns where they end.
func (s *Storage) setRecordsAside(c *scan, tloc, pos int64, label string) (end int64, err error) {
	for {
		r, err := c.header(pos, c.size, tloc)
		if noRecord(err) {
			return pos, nil
		}
		if err != nil {
			return 0, err
		}
		if r.Tid > c.last {
			if err := s.setAside(lostBlob{r.Oid, r.Tid, label}); err != nil {
				return 0, fmt.Errorf("set aside the blob of oid %v in lost transaction %v: %w", r.Oid, r.Tid, err)
			}
		}
		pos += r.length()
	}
}

// nextAfter returns where the transaction after the one at tloc begins, whose records end at end, or -1 when its
// second length is not there.
func (c *scan) nextAfter(tloc, end int64) int64 {
	lost := cursor{pos: tloc, txn: txnHeader{Length: uint64(end - tloc)}}
	if whole, err := lost.whole(c); err != nil || !whole {
		return -1
	}
	return lost.after()
}

// What a process wrote last need not be on the disk, although it can be read: the process was killed before its fsync,
// or its fsync failed, after which Linux marks the pages as clean and no later fsync writes them. So nothing is
// published before it was read, written again, and synced. That is done with
//
//   - the transactions after the position of the saved index, which is saved only of what is durable, and of these the
//     last ones: tailLimit bytes, the largest not counted. A process stops at the first fsync that fails, and has at
//     most maxUnsynced bytes and one transaction on their way to the disk; one of Python has one transaction;
//   - the header of a transaction that is not finished: the disk may have it as a finished one;
//   - blobs of those transactions, which are synced only: zrsd has done so before it finished them, Python never does.

// errChanged says that what was read from a file is not what is there after it was written again.
var errChanged = errors.New("the end of the file reads differently each time: check the disk")

// secure makes durable what the scan c has found, from the position from on.
func (s *Storage) secure(c *scan, from int64) error {
	start, err := c.unsure(from)
	if noRecord(err) {
		return errors.Join(errChanged, err) // the scan has come by here
	}
	if err != nil {
		return err
	}
	if err := rewrite(s.file, start, min(c.pos+txnHeaderLen, c.size)); err != nil {
		return fmt.Errorf("write the transactions from %d on again, which may not be on the disk: %w", start, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync %s before its transactions count: %w", s.path, err)
	}
	if err := s.fs.SyncDir(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", s.path, err)
	}
	return s.confirm(c, start)
}

// unsure returns where the transactions begin that may not be on the disk, not before from.
func (c *scan) unsure(from int64) (int64, error) {
	var ch chain
	var h txnHeader
	for at := c.pos; ; {
		switch {
		case at <= magicLen:
			return 0, nil // the magic may not be there either
		case at <= from:
			return at, nil
		}
		start, err := c.before(at, &h)
		if err != nil {
			return 0, err
		}
		if ch.add(start, at-start); ch.tooLongForTail {
			return at, nil
		}
		at = start
	}
}

// rewrite reads [from, to) of a file and writes it again, which makes the pages dirty.
func rewrite(file vfs.File, from, to int64) error {
	buf := make([]byte, min(scanBuf, max(to-from, 0)))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		if err := readFull(file, b, from); err != nil {
			return err
		}
		if _, err := file.WriteAt(b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

// confirm checks that the transactions from start on are still what c has found, and makes their blobs durable. A page
// that was not on the disk may have been read from there since.
func (s *Storage) confirm(c *scan, start int64) error {
	again := newScan(c.ctx, s.file, s.path, c.size)
	again.pos, again.last = max(start, magicLen), c.last
	for again.pos < c.pos {
		if whole, err := again.transaction(); err != nil || !whole {
			return errors.Join(errChanged, err)
		}
	}
	if again.pos != c.pos || again.last != c.last {
		return errChanged
	}
	if whole, err := again.transaction(); c.pos < c.size && (err != nil || whole) {
		return errors.Join(errChanged, err)
	}
	for oid, pos := range again.index.all() {
		if was, _ := c.index.get(oid); was != pos {
			return errChanged
		}
	}
	return s.secureBlobs(c, max(start, magicLen))
}

// A blobSecurer makes a published blob durable, where there is one.
type blobSecurer interface {
	Secure(oid zodb.Oid, tid zodb.Tid) error
}

// secureBlobs makes the blobs of the transactions from start on durable.
func (s *Storage) secureBlobs(c *scan, start int64) error {
	blobs, ok := s.blobs.(blobSecurer)
	if !ok {
		return nil
	}
	for at := start; at < c.pos; {
		b, err := c.bytes(at, txnHeaderLen)
		if err != nil {
			return err
		}
		var h txnHeader
		h.decode(b)
		end := at + int64(h.Length)
		for pos := at + h.headerLen(); pos < end; {
			r, err := c.header(pos, end, at)
			if err != nil {
				return err
			}
			if err := blobs.Secure(r.Oid, r.Tid); err != nil {
				return err
			}
			pos += r.length()
		}
		at = end + lengthLen
	}
	return nil
}

// unflip takes back the status that flip wrote and that may not have become durable: nobody may take the transactions
// of g for committed because the page cache has them so. What it cannot do, the next open does with what it then finds.
func (s *Storage) unflip(g *group) error {
	at := g.start + statusAt
	if _, err := s.file.WriteAt([]byte{byte(zodb.StatusCheckpoint)}, at); err != nil {
		return fmt.Errorf("take back the status at %d: %w", at, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync the status taken back at %d: %w", at, err)
	}
	return nil
}
