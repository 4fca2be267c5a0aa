package blobcache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

const (
	unneededSuffix = ".blobstore-unneeded.zrsd"
	maxUnneeded    = 1 << 30 // bytes of that file
)

// unneededNotes say since when objects are unneeded, by their keys. Each line of the file is one:
//
//	blobs/2a/3f8658010000000.blob 2026-11-29T21:00:00Z
type unneededNotes map[string]time.Time

func readNotes(disk vfs.FS, data string) (unneededNotes, error) {
	notes := unneededNotes{}
	text, err := vfs.ReadFile(disk, data+unneededSuffix, maxUnneeded)
	if errors.Is(err, fs.ErrNotExist) {
		return notes, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read since when objects are unneeded: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, when, _ := strings.Cut(lines.Text(), " ")
		since, err := time.Parse(time.RFC3339, when)
		if err != nil {
			return nil, fmt.Errorf("%s: line %.80q: %w: remove the file, and the time begins anew",
				data+unneededSuffix, lines.Text(), err)
		}
		notes[key] = since
	}
	return notes, lines.Err()
}

// write replaces the file, durably.
func (n unneededNotes) write(disk vfs.FS, data string) error {
	var text bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&text, "%s %s\n", key, n[key].UTC().Format(time.RFC3339))
	}
	err := vfs.WriteFileAtomic(disk, data+unneededSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(text.Bytes(), 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("note since when objects are unneeded: %w", err)
	}
	return nil
}
