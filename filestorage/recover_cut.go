package filestorage

import (
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
	s.log.Warn("cut off what an interrupted commit left after the last good transaction", "file", s.path, "at", c.pos,
		"bytes", c.size-c.pos, "kept_in", kept, "last_tid", c.last)
	return nil
}

// unfinished reports whether a transaction stands at pos that never became final.
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
// second length does not stand there.
func (c *scan) nextAfter(tloc, end int64) int64 {
	lost := cursor{pos: tloc, txn: txnHeader{Length: uint64(end - tloc)}}
	if whole, err := lost.whole(c); err != nil || !whole {
		return -1
	}
	return lost.behind()
}
