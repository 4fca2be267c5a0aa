package blobcache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// RemoveOptions of RemoveUnneeded.
type RemoveOptions struct {
	Objects Objects
	FS      vfs.FS
	Data    string        // of the storage, beside which it is noted since when an object is unneeded
	After   time.Duration // after which it is removed
	DryRun  bool
	Now     time.Time
}

const (
	unneededSuffix = ".blobstore-unneeded.zrsd"
	maxUnneeded    = 1 << 30 // bytes of that file
)

// RemoveUnneeded removes the objects that have been unneeded each time since After, and notes the others. Each line of
// the file is a key and when it was first unneeded:
//
//	blobs/2a/3f8658010000000.blob 2026-11-29T21:00:00Z
//
// What is needed again loses its line. The file is replaced before anything is removed, so that a crash only puts off.
func RemoveUnneeded(ctx context.Context, opt RemoveOptions, unneeded []Finding) (removed []Finding, err error) {
	before, err := opt.read()
	if err != nil {
		return nil, err
	}
	var due []Finding
	notes := map[string]time.Time{}
	for _, f := range unneeded {
		key := Key(f.Oid, f.Tid)
		since, known := before[key]
		if !known {
			since = opt.Now
		}
		notes[key] = since
		if opt.Now.Sub(since) >= opt.After {
			f.What, f.Text = Removed, "unneeded since "+since.UTC().Format(time.RFC3339)
			due = append(due, f)
		}
	}
	if opt.DryRun {
		return due, nil
	}
	if err := opt.write(notes); err != nil {
		return nil, err
	}
	for _, f := range due {
		if err := opt.Objects.Store.Delete(ctx, Key(f.Oid, f.Tid)); err != nil {
			return removed, err
		}
		removed = append(removed, f)
	}
	return removed, nil
}

func (o *RemoveOptions) read() (map[string]time.Time, error) {
	notes := map[string]time.Time{}
	text, err := vfs.ReadFile(o.FS, o.Data+unneededSuffix, maxUnneeded)
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
				o.Data+unneededSuffix, lines.Text(), err)
		}
		notes[key] = since
	}
	return notes, lines.Err()
}

func (o *RemoveOptions) write(notes map[string]time.Time) error {
	var text bytes.Buffer
	for key, since := range notes {
		fmt.Fprintf(&text, "%s %s\n", key, since.UTC().Format(time.RFC3339))
	}
	err := vfs.WriteFileAtomic(o.FS, o.Data+unneededSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(text.Bytes(), 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("note since when objects are unneeded: %w", err)
	}
	return nil
}
