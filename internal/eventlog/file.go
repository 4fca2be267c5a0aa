package eventlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// A file is a log file that can be exchanged between two records.
type file struct {
	path string
	max  int64
	old  int

	mu   sync.Mutex
	f    *os.File
	size int64
}

// reopen opens the file under its name, with mode 0640 before the umask.
func (l *file) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// open exchanges the file; where that fails, the one in use stays.
func (l *file) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	before := l.f
	l.f, l.size = f, info.Size()
	if before == nil {
		return nil
	}
	return before.Close()
}

// Write appends one record, and moves a file out of the way that it does not fit into.
func (l *file) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var moved error
	if l.max > 0 && l.size > 0 && l.size+int64(len(line)) > l.max {
		moved = l.rotate()
	}
	n, err := l.f.Write(line)
	l.size += int64(n)
	return n, errors.Join(moved, err)
}

// rotate moves the file to .1, that to .2 and so on; the last one is overwritten.
func (l *file) rotate() error {
	for i := l.old; i > 0; i-- {
		from := l.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", l.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", l.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return l.open()
}

// Close closes the file; nothing can be logged any more.
func (l *file) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
