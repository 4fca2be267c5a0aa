package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A File is a sink whose cursor is its last whole line.
//
//	{"tid":"03f8…","time":…}\n {"tid":"03f9…",…}\n {"tid":"03fa
//	                           └ cursor             └ of an interrupted Put: cut off at the next start
//
// Put appends and syncs. The name of a new file is durable before the first line is. A file that is to begin anew can
// be moved away while no feed runs.
type File struct {
	file   vfs.File
	end    int64
	cursor zodb.Tid
	some   bool
}

// OpenFile opens the file of a feed, or creates one.
func OpenFile(disk vfs.FS, path string) (*File, error) {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = disk.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return nil, err
	}
	s := &File{file: f}
	err = s.recover()
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the feed in %s: %w", path, err), f.Close())
	}
	return s, nil
}

// recover finds the last whole line, and cuts off what is after it.
func (s *File) recover() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if s.end, err = s.lineEnd(info.Size()); err != nil {
		return err
	}
	if s.end < info.Size() {
		if err := s.file.Truncate(s.end); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil { // what the last process may not have synced counts from here on
		return err
	}
	if s.end == 0 {
		return nil
	}
	begin, err := s.lineEnd(s.end - 1)
	if err != nil {
		return err
	}
	line := make([]byte, s.end-begin)
	if _, err := s.file.ReadAt(line, begin); err != nil {
		return err
	}
	var last struct {
		Tid *zodb.Tid `json:"tid"`
	}
	if err := json.Unmarshal(line, &last); err != nil || last.Tid == nil {
		return fmt.Errorf("the last line, at %d, is no transaction of a feed: use another file", begin)
	}
	s.cursor, s.some = *last.Tid, true
	return nil
}

// lineEnd returns where the last line ends that ends by pos, 0 for none.
func (s *File) lineEnd(pos int64) (int64, error) {
	const step = 64 << 10
	buf := make([]byte, step)
	for pos > 0 {
		from := max(pos-step, 0)
		part := buf[:pos-from]
		if _, err := s.file.ReadAt(part, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return from + int64(at) + 1, nil
		}
		pos = from
	}
	return 0, nil
}

// Cursor is of Sink.
func (s *File) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) {
	return s.cursor, s.some, nil
}

// Put is of Sink.
func (s *File) Put(_ context.Context, lines []Line) error {
	var text []byte
	for _, line := range lines {
		text = append(text, line.JSON...)
	}
	if _, err := s.file.WriteAt(text, s.end); err != nil {
		return fmt.Errorf("append to the feed in %s: %w", s.file.Name(), err)
	}
	if err := vfs.SyncData(s.file); err != nil {
		return fmt.Errorf("sync the feed in %s: %w", s.file.Name(), err)
	}
	s.end += int64(len(text))
	s.cursor, s.some = lines[len(lines)-1].Tid, true
	return nil
}

// Close closes the file.
func (s *File) Close() error { return s.file.Close() }
