package blobcache

import (
	"context"
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

// RemoveUnneeded removes the objects that have been unneeded each time since After, and notes the others. What is
// needed again loses its line. The file is replaced before anything is removed, so that a crash only puts off.
func RemoveUnneeded(ctx context.Context, opt RemoveOptions, unneeded []Finding) (removed []Finding, err error) {
	before, err := readNotes(opt.FS, opt.Data)
	if err != nil {
		return nil, err
	}
	var due []Finding
	notes := unneededNotes{}
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
	if err := notes.write(opt.FS, opt.Data); err != nil {
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
