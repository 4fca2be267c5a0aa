package filestorage

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// What a process wrote last need not be on the disk, although it can be read: the process was killed before its fsync,
// or its fsync failed, after which Linux takes the pages for clean and no later fsync writes them. So nothing is
// published before it was read, written again, and synced. That is done with
//
//   - the transactions after the position of the saved index, which is saved only of what is durable, and of these the
//     last ones: tailLimit bytes, the largest not counted. A process stops at the first fsync that fails, and has at
//     most maxUnsynced bytes and one transaction on their way to the disk; one of Python has one transaction;
//   - the header of a transaction that is not finished: the disk may have it as a finished one;
//   - blobs of those transactions, which are synced only: zrsd has done so before it finished them, Python never does.

// errChanged says that what was read from a file is not what stands there after it was written again.
var errChanged = errors.New("the end of the file reads differently each time: check the disk")

// secure makes durable what the scan c has found, from the position from on.
func (s *Storage) secure(c *scan, from int64) error {
	start, err := c.unsure(from)
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
